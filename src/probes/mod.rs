//! Readiness and health checks: asks a component how it is, and tells the engine what changed.
//!
//! Owns the running checks, their timing, the judgement of their answers, and one notify socket
//! per component that speaks the systemd protocol. Does not own: what follows from a verdict
//! (the supervisor's policy), how processes are started ([`Commands`]), where output lines come
//! from ([`LineSource`]), who belongs to a component's process tree ([`Members`]).
//!
//! ```text
//!  prepare ──► (process starts) ──► watch ──► [ready checks] ──► [health checks …] ──► forget
//!     │ binds the notify socket,                    │ Passed / Failed     │ Failed / Passed
//!     │ subscribes to the output                    ▼                     ▼
//!     └──────────────────────────────────►  ProbeNotice { run, kind, finding }
//! ```
//!
//! One run has at most two small tasks: the rounds of checks (`rounds`), and the notify
//! listener where the component speaks that protocol. Every wait is in the tokio clock, so tests
//! run in virtual time; whether an answer changes the verdict is decided by the pure [`Judge`].

mod check;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod judge;
mod lines;
mod notify;
mod rounds;
mod spread;
mod text;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use regex::bytes::Regex;
use tokio::{
    sync::{Semaphore, SetOnce, mpsc},
    task::AbortHandle,
    time::Instant,
};

use crate::{
    metrics::Histogram,
    model::{ComponentId, Moment, RunId},
    registry::{Check, Component, Probe},
};

pub use check::{CommandEnd, CommandError, CommandRequest, Commands, LaunchOf, Runner};
pub use judge::{Judge, Verdict};
pub use lines::{LineSource, Since};
pub use notify::{Message, NotifyError, Watchdog, parse};
use rounds::Stage;
pub use spread::Spread;

/// A future that is handed over a trait.
pub type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Which of a component's two checks something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    Ready,
    Health,
}

/// Something that the engine should know about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeNotice {
    pub run: RunId,
    pub kind: ProbeKind,
    pub finding: Finding,
}

/// What was found. Texts are one line, without control characters, at most 256 characters and
/// ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The verdict became good: ready, or healthy (for the first time, or again).
    Passed { detail: String },
    /// The verdict became bad. Checks go on, so `Passed` can follow.
    Failed { detail: String },
    /// A single answer that says something else than the one before, and changed no verdict.
    Answer { ok: bool, detail: String },
    /// `STATUS=`: what the component says about itself.
    Status(String),
    /// `STOPPING=1`: it is on its way out. Its watchdog is no longer listened for.
    Stopping,
    /// `RELOADING=1`.
    Reloading,
    /// `READY=1` after `RELOADING=1`.
    Reloaded,
    /// `EXTEND_TIMEOUT_USEC=`: it asks for this long from now. A wait for readiness by `notify`
    /// is extended here already; a stop in progress is the engine's to extend.
    ExtendTimeout(Duration),
    /// `MAINPID=`, sent by and naming a process of the component's tree.
    MainPid(u32),
    /// `ERRNO=`: the error that it is about to fail with.
    Errno(i32),
    /// A message that was not acted upon, and why.
    Refused(String),
}

/// Whether a process belongs to a run's tree.
pub trait Members: Send + Sync {
    /// Asked on the engine's thread once per datagram that the leader did not send itself, so it
    /// must be quick: one file of `/proc`, not a scan. A process that is gone is no member.
    fn contains(&self, run: RunId, leader: u32, pid: u32) -> bool;
}

/// What this room needs of the others.
#[derive(Clone)]
pub struct Services {
    pub commands: Arc<dyn Commands>,
    pub lines: Arc<dyn LineSource>,
    pub members: Arc<dyn Members>,
    /// The folder of the notify sockets, made at the first need with mode 0711.
    pub notify_folder: PathBuf,
    /// Sets the phases of the checks, together with each component's id.
    pub seed: u64,
}

/// A process that has just been started, or that was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// The leader of the run's process tree.
    pub pid: u32,
    /// How long it has lived already; zero for a fresh start.
    pub age: Duration,
    /// It had become ready under an earlier engine: only its health is checked.
    pub ready: bool,
}

/// All running checks. Lives on the engine's current-thread runtime; dropping it ends them.
pub struct Probes {
    shared: Arc<Shared>,
    runs: HashMap<RunId, Run>,
}

/// What every task needs.
struct Shared {
    notices: mpsc::Sender<ProbeNotice>,
    services: Services,
    /// At most [`Probes::COMMANDS_AT_ONCE`] exec checks run.
    command_slots: Arc<Semaphore>,
    resolver: check::Resolver,
    latencies: Mutex<Latencies>,
}

/// How long the checks of a component took.
type Latencies = BTreeMap<(ComponentId, ProbeKind), Histogram>;

/// One run: what was prepared for it, and its tasks once it is watched.
#[derive(Default)]
struct Run {
    /// Shared with the listener.
    socket: Option<Arc<notify::Socket>>,
    /// Removes the socket's file; here and not in a task, so that `forget` does it at once.
    socket_file: Option<notify::SocketFile>,
    /// Where output counts: the patterns, and where matching lines go.
    output: Option<Output>,
    listener: Option<Ending>,
    rounds: Option<Ending>,
}

/// The output of a run, as far as its checks are about it.
struct Output {
    id: ComponentId,
    ready: Option<Regex>,
    health: Option<Regex>,
    /// When full, a matching line is dropped: one says as much as two.
    sender: mpsc::Sender<Vec<u8>>,
    /// Taken by the run's rounds.
    lines: Option<mpsc::Receiver<Vec<u8>>>,
}

/// Speaks for one run, and knows its time.
#[derive(Clone)]
struct Reporter {
    shared: Arc<Shared>,
    run: RunId,
    id: ComponentId,
    /// When the run began to be watched, and how old it was then.
    began: Instant,
    age: Duration,
}

/// Ends its task when it is dropped.
struct Ending(AbortHandle);

/// What keeps a component from being watched; its start should fail with this reason.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error(transparent)]
    Notify(#[from] NotifyError),
    #[error("cannot watch the output of {id} for \"{pattern}\": {source}")]
    Pattern { id: ComponentId, pattern: String, source: Box<regex::Error> },
}

impl Probes {
    /// Exec checks that run at the same time; the others wait, which is not held against them.
    pub const COMMANDS_AT_ONCE: usize = 8;

    /// When `notices` is full, the reporter waits, and with it the next check of that run.
    pub fn new(notices: mpsc::Sender<ProbeNotice>, services: Services) -> Self {
        let command_slots = Arc::new(Semaphore::new(Self::COMMANDS_AT_ONCE));
        let resolver = check::Resolver::default();
        let shared = Arc::new(Shared {
            notices,
            services,
            command_slots,
            resolver,
            latencies: Mutex::default(),
        });
        Self { shared, runs: HashMap::new() }
    }

    /// Gets ready for the start of a run: binds its notify socket and listens to its output, so
    /// that nothing the process says is missed. The answer is to be added to its environment, from
    /// which the `NOTIFY_SOCKET` and `WATCHDOG_*` of our own are to be removed. Call it on the
    /// runtime. When the start fails, [`Probes::forget`] undoes it.
    pub fn prepare(
        &mut self,
        run: RunId,
        component: &Component,
    ) -> Result<Vec<(String, String)>, PrepareError> {
        self.prepare_with(run, component, None)
    }

    /// As [`prepare`](Self::prepare), with the notify socket that an earlier engine had for this run: what
    /// was said meanwhile is in it. A new one takes its place where nobody comes to it any more.
    pub fn prepare_with(
        &mut self,
        run: RunId,
        component: &Component,
        before: Option<OwnedFd>,
    ) -> Result<Vec<(String, String)>, PrepareError> {
        let mut prepared = Run::default();
        let mut environment = Vec::new();
        prepared.output = Output::of(component)?;
        let watchdog = component.health.as_ref().filter(|probe| probe.check == Check::Notify);
        let readiness = component.ready.as_ref().filter(|probe| probe.check == Check::Notify);
        if watchdog.is_some() || readiness.is_some() {
            let folder = &self.shared.services.notify_folder;
            let resumed = before
                .and_then(|before| notify::resume(folder, run, &component.id, before).transpose());
            let bound = resumed.unwrap_or_else(|| notify::bind(folder, run, &component.id));
            let bound = bound.map_err(|source| {
                let address = notify::wanted_address(folder, &component.id);
                NotifyError { id: component.id.clone(), address, source }
            })?;
            prepared.socket = Some(Arc::new(bound.socket));
            prepared.socket_file = bound.file;
            environment.push(("NOTIFY_SOCKET".to_owned(), bound.address));
        }
        if let Some(probe) = watchdog {
            environment.push(("WATCHDOG_USEC".to_owned(), probe.interval.as_micros().to_string()));
        }
        if let Some(pattern) = prepared.output.as_ref().and_then(|output| output.ready.clone()) {
            let lines = &self.shared.services.lines;
            lines.watch_lines(&component.id, run, pattern, Since::RunStart);
        }
        // Most have nothing to prepare.
        if prepared.output.is_some() || prepared.socket.is_some() {
            self.runs.insert(run, prepared);
        }
        Ok(environment)
    }

    /// Starts the checks of a prepared run: readiness first, then health. A run that was taken
    /// over is prepared too (its notify socket keeps its address), and its environment ignored.
    /// A run that is watched already starts over.
    pub fn watch(&mut self, run: RunId, component: &Component, process: Watched) {
        let id = component.id.clone();
        let shared = Arc::clone(&self.shared);
        let began = Instant::now();
        let reporter = Reporter { shared, run, id, began, age: process.age };
        let is_asked = component.ready.is_some() || component.health.is_some();
        let entry = match self.runs.entry(run) {
            Entry::Vacant(_) if !is_asked => return,
            entry => entry.or_default(),
        };
        (entry.listener, entry.rounds) = (None, None);
        let ready = component.ready.as_deref().filter(|_| !process.ready);
        let health = component.health.as_deref();
        let latch = entry.socket.as_ref().map(|socket| {
            let session = session(ready, health);
            let latch = Arc::new(SetOnce::new());
            let listener = notify::Listener {
                reporter: reporter.clone(),
                leader: process.pid,
                socket: Arc::clone(socket),
                session,
                ready: Arc::clone(&latch),
                main_pid: None,
                refused: None,
            };
            entry.listener = Some(Ending(tokio::spawn(listener.listen()).abort_handle()));
            latch
        });
        let ready = stage(ready, entry.output.as_ref().and_then(|output| output.ready.clone()));
        let health = stage(health, entry.output.as_ref().and_then(|output| output.health.clone()));
        let lines = entry.output.as_mut().and_then(|output| output.lines.take());
        if matches!((&ready, &health, &latch), (Stage::Skip, Stage::Skip, None)) {
            return;
        }
        let rounds = rounds::rounds(reporter, [ready, health], lines, latch);
        entry.rounds = Some(Ending(tokio::spawn(rounds).abort_handle()));
    }

    /// A line of the run's output that a watch of its [`LineSource`] waited for.
    pub fn matched(&mut self, run: RunId, line: Vec<u8>) {
        if let Some(output) = self.runs.get(&run).and_then(|run| run.output.as_ref()) {
            // Full or closed: a line is known already, or is not waited for.
            let _ = output.sender.try_send(line);
        }
    }

    /// The run is being ended: its checks end, commands of theirs included. What it says over the
    /// notification protocol is heard still: it may ask for more time.
    pub fn quiet(&mut self, run: RunId) {
        if let Some(run) = self.runs.get_mut(&run) {
            run.rounds = None;
        }
    }

    /// The notify socket of a run, for whoever keeps it beyond the life of this process.
    pub fn socket(&self, run: RunId) -> Option<BorrowedFd<'_>> {
        Some(self.runs.get(&run)?.socket.as_ref()?.as_fd())
    }

    /// Ends the checks of a run, commands of theirs included: nothing is sent for it any more.
    pub fn forget(&mut self, run: RunId) {
        let Some(Run { output: Some(output), .. }) = self.runs.remove(&run) else { return };
        let successor = self.runs.values().filter_map(|run| run.output.as_ref());
        if successor.into_iter().all(|other| other.id != output.id) {
            self.shared.services.lines.unwatch(&output.id);
        }
    }
}

impl Probes {
    /// How long the checks of each component took so far, over all its runs.
    pub fn latencies(&self) -> Vec<(ComponentId, ProbeKind, Histogram)> {
        let known = self.shared.latencies();
        known.iter().map(|((id, kind), took)| (id.clone(), *kind, *took)).collect()
    }

    /// The component is not in the registry any more.
    pub fn forget_component(&self, id: &ComponentId) {
        self.shared.latencies().retain(|(known, _), _| known != id);
    }
}

impl Shared {
    fn latencies(&self) -> MutexGuard<'_, Latencies> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    /// None where neither check is about output.
    fn of(component: &Component) -> Result<Option<Self>, PrepareError> {
        let ready = Self::pattern(&component.id, component.ready.as_deref())?;
        let health = Self::pattern(&component.id, component.health.as_deref())?;
        if ready.is_none() && health.is_none() {
            return Ok(None);
        }
        let (sender, lines) = mpsc::channel(1);
        Ok(Some(Self { id: component.id.clone(), ready, health, sender, lines: Some(lines) }))
    }

    fn pattern(id: &ComponentId, probe: Option<&Probe>) -> Result<Option<Regex>, PrepareError> {
        let Some(Check::Log { pattern }) = probe.map(|probe| &probe.check) else { return Ok(None) };
        let regex = Regex::new(pattern).map_err(|source| PrepareError::Pattern {
            id: id.clone(),
            pattern: pattern.clone(),
            source: Box::new(source),
        })?;
        Ok(Some(regex))
    }
}

/// What the notify listener of a run has to wait for.
fn session(ready: Option<&Probe>, health: Option<&Probe>) -> notify::Session {
    let notify = |probe: &&Probe| probe.check == Check::Notify;
    let readiness = ready.filter(notify);
    let readiness = readiness.map(|probe| probe.start_period.saturating_add(probe.timeout));
    let watchdog = health.filter(notify).map(|probe| (probe.interval, probe.start_period));
    notify::Session::new(Reporter::STARTED, readiness, watchdog)
}

/// How the rounds of a run deal with one of its checks.
fn stage(probe: Option<&Probe>, pattern: Option<Regex>) -> Stage {
    let Some(probe) = probe else { return Stage::Skip };
    match (&probe.check, pattern) {
        (Check::Notify, _) => Stage::Elsewhere,
        (Check::Log { .. }, Some(pattern)) => Stage::Listen(Box::new(probe.clone()), pattern),
        (Check::Log { .. }, None) => Stage::Skip, // not prepared
        (Check::Tcp { .. } | Check::Http { .. } | Check::Exec { .. }, _) => {
            Stage::Ask(Box::new(probe.clone()))
        }
    }
}

impl Reporter {
    /// The start of the process, in the time of [`Reporter::now`].
    const STARTED: Moment = Moment::from_boot(Duration::ZERO);

    /// Time since the start of the process.
    fn now(&self) -> Moment {
        Self::STARTED.after(self.age).after(self.began.elapsed())
    }

    /// The same moment in the runtime's clock.
    fn instant(&self, moment: Moment) -> Instant {
        // An instant cannot be as far away as a duration can be long.
        const FAR: Duration = Duration::from_hours(24 * 365);
        self.began + moment.since(Self::STARTED.after(self.age)).min(FAR)
    }

    /// Takes note of how long a check took.
    fn took(&self, kind: ProbeKind, took: Duration) {
        let mut latencies = self.shared.latencies();
        let latency = latencies.entry((self.id.clone(), kind)).or_default();
        latency.observe(took.as_secs_f64());
    }

    /// Tells the engine. When the channel is full this waits; when the engine is gone, for ever:
    /// its end ends this task, too.
    async fn tell(&self, kind: ProbeKind, finding: Finding) {
        let notice = ProbeNotice { run: self.run, kind, finding };
        if self.shared.notices.send(notice).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}
