//! Reading back: everything that is kept, oldest first, by time, component and number.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    EventLog,
    files::{Files, event},
};
use crate::wire::EventRecord;

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// At or after this time.
    pub since: Option<Timestamp>,
    /// Only of this component.
    pub component: Option<String>,
    /// After this number.
    pub after: Option<u64>,
}

/// Lines longer than this are passed over: no event is so long.
const LONGEST_LINE: usize = 64 << 10;

impl Query {
    pub fn wants(&self, event: &EventRecord) -> bool {
        if self.after.is_some_and(|after| event.seq <= after) {
            return false;
        }
        if self.component.is_some() && self.component != event.component {
            return false;
        }
        self.since.is_none_or(|since| event.at.parse::<Timestamp>().is_ok_and(|at| at >= since))
    }
}

/// Gives every event that is wanted to `take`, oldest first, until it wants no more (`false`).
/// Returns the newest number that was looked at. Blocks; memory is bounded by one line.
pub fn read(
    log: &EventLog,
    query: &Query,
    mut take: impl FnMut(EventRecord) -> bool,
) -> io::Result<u64> {
    let mut wants_more = true;
    let mut newest = read_files(log.paths(), query, |event| {
        wants_more = take(event);
        wants_more
    })?;
    // What the disk has not taken.
    let rest = if wants_more { log.since(newest) } else { Vec::new() };
    for event in rest {
        newest = event.seq;
        if query.wants(&event) && !take((*event).clone()) {
            break;
        }
    }
    Ok(newest)
}

/// As [`read`], from the files of this base path alone: for whoever looks while no Supervisor
/// runs. Writes nothing.
pub fn read_at(
    base: &Path,
    query: &Query,
    take: impl FnMut(EventRecord) -> bool,
) -> io::Result<u64> {
    read_files(Files::closed(base).paths(), query, take)
}

fn read_files(
    paths: Vec<PathBuf>,
    query: &Query,
    mut take: impl FnMut(EventRecord) -> bool,
) -> io::Result<u64> {
    let mut newest = 0;
    let mut line = Vec::new();
    for path in paths {
        let file = match File::open(&path) {
            // Turned over meanwhile; its events are in the next one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let mut reader = BufReader::new(file);
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.len() > LONGEST_LINE {
                continue;
            }
            let Some(event) = event(&line) else { continue };
            // A file that was turned over while it was read would be read twice.
            if event.seq <= newest {
                continue;
            }
            newest = event.seq;
            if query.wants(&event) && !take(event) {
                return Ok(newest);
            }
        }
    }
    Ok(newest)
}
