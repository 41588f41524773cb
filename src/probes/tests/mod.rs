//! The room as a whole: with stand-ins for the other rooms, in virtual time where nothing real
//! takes part, and against real sockets.

mod commands;
mod datagrams;
mod schedule;
mod servers;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use regex::bytes::Regex;
use tempfile::TempDir;
use tokio::{sync::mpsc, time::Instant};

use super::*;
use crate::model::Exit;

pub(super) const RUN: RunId = RunId(7);

/// A room with everything around it.
pub(super) struct Lab {
    pub probes: Probes,
    pub notices: mpsc::Receiver<ProbeNotice>,
    pub commands: Arc<FakeCommands>,
    pub lines: Arc<FakeLines>,
    pub members: Arc<FakeMembers>,
    pub folder: TempDir,
}

/// Commands that take some time and then end as they are told.
#[derive(Default)]
pub(super) struct FakeCommands {
    /// What the nth start of a command leads to; the last one again and again.
    pub script: Mutex<Vec<(Duration, i32, &'static str)>>,
    pub started: Mutex<Vec<(RunId, Instant)>>,
    pub running: Arc<AtomicUsize>,
    pub most_at_once: AtomicUsize,
}

#[derive(Default)]
pub(super) struct FakeLines {
    pub watches: Mutex<Vec<(RunId, String, Since)>>,
    pub unwatched: AtomicUsize,
}

#[derive(Default)]
pub(super) struct FakeMembers(pub Mutex<HashSet<u32>>);

/// Counts down when a command ends or is dropped.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Commands for FakeCommands {
    fn run(&self, request: CommandRequest) -> Task<Result<CommandEnd, CommandError>> {
        let mut started = self.started.lock().expect("no test panicked with it");
        started.push((request.run, Instant::now()));
        let script = self.script.lock().expect("no test panicked with it");
        let step = script.get(started.len() - 1).or(script.last()).copied();
        let (lasts, code, output) = step.expect("a test says how its commands end");
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(running, Ordering::SeqCst);
        let alive = Alive(Arc::clone(&self.running));
        Box::pin(async move {
            let _alive = alive;
            tokio::time::sleep(lasts).await;
            Ok(CommandEnd { exit: Exit::Code(code), output: output.as_bytes().to_vec() })
        })
    }
}

impl LineSource for FakeLines {
    fn watch_lines(&self, _id: &ComponentId, run: RunId, pattern: Regex, since: Since) {
        let mut watches = self.watches.lock().expect("no test panicked with it");
        watches.push((run, pattern.to_string(), since));
    }

    fn unwatch(&self, _id: &ComponentId) {
        self.unwatched.fetch_add(1, Ordering::SeqCst);
    }
}

impl Members for FakeMembers {
    fn contains(&self, _run: RunId, _leader: u32, pid: u32) -> bool {
        self.0.lock().expect("no test panicked with it").contains(&pid)
    }
}

impl Lab {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (sender, notices) = mpsc::channel(1024);
        let commands = Arc::new(FakeCommands::default());
        let lines = Arc::new(FakeLines::default());
        let members = Arc::new(FakeMembers::default());
        let services = Services {
            commands: Arc::clone(&commands) as Arc<dyn Commands>,
            lines: Arc::clone(&lines) as Arc<dyn LineSource>,
            members: Arc::clone(&members) as Arc<dyn Members>,
            notify_folder: folder.path().join("notify"),
            seed: 1,
        };
        Self { probes: Probes::new(sender, services), notices, commands, lines, members, folder }
    }

    /// Says how commands end: after how many milliseconds, with which code and output.
    pub fn script(&self, steps: &[(u64, i32, &'static str)]) {
        let steps =
            steps.iter().map(|&(lasts, code, said)| (Duration::from_millis(lasts), code, said));
        *self.commands.script.lock().expect("no test panicked with it") = steps.collect();
    }

    /// Prepares and watches a fresh run.
    pub fn start(&mut self, run: RunId, component: &Component) -> Vec<(String, String)> {
        let environment = self.probes.prepare(run, component).expect("it can be prepared");
        let process = Watched { pid: std::process::id(), age: Duration::ZERO, ready: false };
        self.probes.watch(run, component, process);
        environment
    }

    /// The next finding, which must come within a minute.
    pub async fn next(&mut self) -> (ProbeKind, Finding) {
        let notice = tokio::time::timeout(Duration::from_mins(1), self.notices.recv()).await;
        let notice = notice.expect("a notice within a minute").expect("the room lives");
        (notice.kind, notice.finding)
    }

    /// Everything that is found within this time.
    pub async fn within(&mut self, time: Duration) -> Vec<(ProbeKind, Finding)> {
        let end = Instant::now() + time;
        let mut found = Vec::new();
        while let Ok(Some(notice)) = tokio::time::timeout_at(end, self.notices.recv()).await {
            found.push((notice.kind, notice.finding));
        }
        found
    }
}

pub(super) fn component(id: &str) -> Component {
    Component::new(ComponentId::new(id).expect("a good id"), "/bin/true")
}

/// A probe of every second, with two seconds each, three failures, one success.
pub(super) fn probe(check: Check) -> Probe {
    Probe {
        check,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        failures: 3,
        successes: 1,
        start_period: Duration::ZERO,
        jitter: Probe::JITTER,
    }
}

pub(super) fn exec() -> Check {
    Check::Exec { command: vec!["ask".to_owned(), "-q".to_owned()] }
}

pub(super) fn passed(detail: &str) -> Finding {
    Finding::Passed { detail: detail.to_owned() }
}

pub(super) fn failed(detail: &str) -> Finding {
    Finding::Failed { detail: detail.to_owned() }
}

pub(super) fn answer(ok: bool, detail: &str) -> Finding {
    Finding::Answer { ok, detail: detail.to_owned() }
}
