//! What lies in a runtime folder, read and left as it is: for whoever looks without being the
//! Supervisor.

use std::{fs, io, path::Path};

use super::{
    holds::{self, HoldFile},
    journal::{self, Journal},
};
use crate::{
    model::{ComponentId, RunId},
    process, wire,
};

/// What an earlier Supervisor left, or the present one has there.
#[derive(Debug)]
pub struct Remains {
    /// None: there is no journal. An error: the next Supervisor would refuse it.
    pub journal: Result<Option<JournalRemains>, String>,
    /// An error: the next Supervisor would refuse the file.
    pub holds: Result<Vec<(ComponentId, wire::Hold)>, String>,
}

#[derive(Debug)]
pub struct JournalRemains {
    /// Processes that it names, of this boot.
    pub processes: Vec<RemainingProcess>,
}

/// A process as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemainingProcess {
    pub id: ComponentId,
    pub run: RunId,
    pub pid: i32,
    /// The very process lives, not another one with its number.
    pub lives: bool,
}

/// Reads what is in this runtime folder.
pub fn remains(folder: &Path) -> Remains {
    let holds = match fs::read(folder.join(HoldFile::NAME)) {
        Ok(bytes) => holds::kept(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    };
    Remains { journal: journal_remains(folder), holds }
}

fn journal_remains(folder: &Path) -> Result<Option<JournalRemains>, String> {
    let bytes = match fs::read(folder.join(Journal::NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let boot = process::boot_id().map_err(|error| error.to_string())?;
    let state = journal::read(&bytes, &boot)?;
    let processes = state.components.into_iter().filter_map(|(id, one)| {
        let (run, process) = (one.run?, one.process?);
        let started = process::start_time(process.pid).ok().flatten();
        let lives = started == Some(process.start_time);
        Some(RemainingProcess { id, run, pid: process.pid, lives })
    });
    Ok(Some(JournalRemains { processes: processes.collect() }))
}
