//! An engine goes over into the next program: what it leaves in memory, and the step itself.
//!
//! The program is replaced by `execve`: same pid, same children, so exits stay exact. Descriptors
//! are left open, and a file in memory tells their names and what else the journal and the
//! runtime folder do not hold. Until the very call everything can be taken back: the log thread
//! only rests, the listeners only are not asked, and an engine whose `execve` fails goes on.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    candidate::Binary,
    clock,
    driver::{Driver, Inputs},
    passing::Passing,
    upgrade::Upgrade,
};
use crate::{
    guardian::{self, DescriptorStore as _, Kept},
    logs::{Frozen, OpenLine, Thaw},
    model::{Moment, RunId},
    process,
    registry::Check,
    wire::EventKind,
};

/// The format of the file in memory; a reader refuses a newer one.
pub const VERSION: u32 = 1;

/// For the log thread to write what it has read: a disk that hangs must not hang us.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

/// For commands of checks to be gone.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);
const CHECK_LOOK: Duration = Duration::from_millis(5);

/// What the program before us left.
#[derive(Debug)]
pub struct Handover {
    pub kept: Vec<Kept>,
    pub(super) left: Left,
}

/// What goes over beside descriptors. Fields are added, never renamed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Left {
    version: u32,
    /// The same process, or it is somebody else's.
    pid: u32,
    descriptors: Vec<(String, i32)>,
    /// The version before.
    pub from: String,
    /// Who asked for the upgrade.
    pub origin: String,
    /// When nobody was answered any more.
    pub begun: Moment,
    pub upgrades: u64,
    /// Numbers that go on.
    pub generation: u64,
    pub last_operation: u64,
    last_update: u64,
    /// Of the registry's text that was in force.
    pub registry: u32,
    #[serde(default)]
    pub open_lines: Vec<OpenLine>,
}

impl Handover {
    /// Reads what was left at this descriptor. Once, before anything else is opened.
    pub fn receive(number: i32) -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::from(process::inherited(number)?).read_to_end(&mut bytes)?;
        let left: Left = serde_json::from_slice(&bytes)?;
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        if left.version > VERSION {
            return Err(invalid(format!(
                "it is of format {}, and this program reads up to {VERSION}",
                left.version
            )));
        }
        if left.pid != std::process::id() {
            return Err(invalid(format!("it was left by process {}", left.pid)));
        }
        let mut kept = Vec::new();
        for (name, number) in &left.descriptors {
            kept.push(Kept { name: name.clone(), descriptor: process::inherited(*number)? });
        }
        Ok(Self { kept, left })
    }
}

impl Left {
    /// The last number of the stream of updates.
    pub fn last_update(left: Option<&Self>) -> u64 {
        left.map_or(0, |left| left.last_update)
    }
}

/// What is done to be undone, should the step fail.
struct Prepared {
    thaw: Thaw,
    memory: OwnedFd,
}

/// The step. Returns why it was not made.
fn execute(
    binary: &Binary,
    prepared: Prepared,
    arguments: impl FnOnce() -> Vec<OsString>,
    passing: &Passing,
) -> String {
    let Prepared { thaw, memory } = prepared;
    let mut path: PathBuf = binary.path.clone();
    if process::tests_wish("exec").is_some() {
        path.push("does-not-exist");
    }
    let failure = if binary.is_there() {
        let mut arguments = arguments();
        arguments.push(format!("--handover={}", memory.as_raw_fd()).into());
        let error = process::execute(&path, &arguments);
        format!("cannot execute {}: {error}", path.display())
    } else {
        format!("{} was replaced again after it had been asked", path.display())
    };
    // Everything that was left open, whoever did it.
    passing.call_off();
    drop(thaw);
    failure
}

impl Driver {
    /// Replaces this program. Returns only where that failed, and everything is as it was; the
    /// server has been suspended before, and is to be resumed after.
    pub async fn replace_program(
        &mut self,
        inputs: &mut Inputs,
        upgrade: &Upgrade,
        begun: Moment,
        arguments: impl FnOnce() -> Vec<OsString>,
    ) -> String {
        let resting = self.rest_checks().await;
        self.flush_alerts().await;
        let passing = Arc::new(Passing::new());
        let failure = match self.prepare(inputs, upgrade, begun, &passing).await {
            Ok(prepared) => execute(&upgrade.binary, prepared, arguments, &passing),
            Err(error) => {
                passing.call_off();
                error
            }
        };
        self.resume_checks(resting);
        failure
    }

    async fn prepare(
        &mut self,
        inputs: &mut Inputs,
        upgrade: &Upgrade,
        begun: Moment,
        passing: &Arc<Passing>,
    ) -> Result<Prepared, String> {
        // The program that follows begins one of its own.
        self.supervisor.end_record();
        self.history.flush();
        self.manager.alive();
        let (log, logs) = (self.telling.log.clone(), self.logs.clone());
        let pipes = Arc::clone(passing);
        // Last of all, so that nothing is told after it.
        let frozen = tokio::task::spawn_blocking(move || {
            let _kept_in_memory_and_lost = log.write();
            logs.freeze(LOG_PATIENCE, pipes)
        });
        let frozen = frozen.await.map_err(|error| error.to_string())?;
        let (frozen, thaw) =
            frozen.ok_or("the log thread does not come to rest: a disk does not answer")?;
        while let Ok(notice) = inputs.logs.try_recv() {
            self.logged(notice);
        }
        let Frozen { lines } = frozen;
        let cannot = |error: io::Error| format!("cannot leave descriptors open: {error}");
        // None of them is closed before the step: nothing happens in between.
        for (name, descriptor) in &self.guarding.held {
            passing.keep(name, descriptor.as_fd());
        }
        for (run, running) in &self.running {
            passing.keep(&guardian::name::pid(&running.id, *run), running.child.as_fd());
            if let Some(socket) = self.probes.socket(*run) {
                passing.keep(&guardian::name::notify(&running.id, *run), socket);
            }
        }
        let descriptors = passing.numbers();
        let left = Left {
            version: VERSION,
            pid: std::process::id(),
            descriptors,
            from: process::version().to_owned(),
            origin: upgrade.origin.to_string(),
            begun,
            upgrades: self.upgrades + 1,
            generation: self.supervisor.generation(),
            last_operation: self.supervisor.last_operation(),
            last_update: self.publisher.updates.last(),
            registry: upgrade.registry,
            open_lines: lines,
        };
        let bytes = serde_json::to_vec(&left).map_err(|error| error.to_string())?;
        let memory = process::memory_file("s7supervisor-handover", &bytes).map_err(cannot)?;
        process::leave_open(memory.as_fd(), true).map_err(cannot)?;
        Ok(Prepared { thaw, memory })
    }

    /// No command of a check lives on, and no new one is started.
    async fn rest_checks(&mut self) -> Vec<RunId> {
        let runs: Vec<RunId> = self.running.keys().copied().collect();
        let by_command = |run: &RunId| {
            let id = self.running.get(run).map(|one| one.id.clone());
            let config = id.and_then(|id| self.supervisor.config(&id));
            config.is_some_and(|config| {
                let checks = [&config.ready, &config.health].into_iter().flatten();
                checks.into_iter().any(|probe| matches!(probe.check, Check::Exec { .. }))
            })
        };
        let runs: Vec<RunId> = runs.into_iter().filter(by_command).collect();
        if runs.is_empty() {
            return runs;
        }
        for &run in &runs {
            self.probes.quiet(run);
        }
        let until = clock::now().after(CHECK_PATIENCE);
        // First of all they have to be dropped.
        tokio::time::sleep(CHECK_LOOK).await;
        while !self.commands.is_idle() && clock::now() < until {
            tokio::time::sleep(CHECK_LOOK).await;
        }
        runs
    }

    fn resume_checks(&mut self, runs: Vec<RunId>) {
        for run in runs {
            let Some(id) = self.supervisor.component_of(run).cloned() else { continue };
            let Some(config) = self.supervisor.config(&id).map(Arc::clone) else { continue };
            self.forget_probes(run);
            if let Err(error) = self.probes.prepare(run, &config) {
                tracing::warn!(%id, %error, "cannot prepare the checks anew");
            }
            self.keep_socket(&id, run);
            self.start_probes(&id, run, true);
        }
    }

    /// What the program before us left us with.
    pub fn count_on(&mut self, left: &Left) {
        self.upgrades = left.upgrades;
        self.supervisor.count_on(left.generation, left.last_operation);
    }

    pub fn tell_upgrade(&self, left: &Left) {
        let gap = clock::now().since(left.begun);
        let (from, to) = (&left.from, process::version());
        let ms = gap.as_millis();
        tracing::info!(from, to, gap_ms = ms, "upgraded in place");
        let text = format!("upgraded in place from {from} to {to}; not reachable for {ms} ms");
        self.tell(None, EventKind::Supervisor, text, Some(left.origin.clone()));
    }
}
