//! The loop: one input at a time goes to the supervisor, and what comes out is performed.
//!
//! Everything here runs on the engine's thread and never waits: starts are made by the spawner,
//! output is read by the log thread, samples and registries are read on the blocking pool, and
//! each answers through a channel. `effects.rs` performs, `messages.rs` answers clients.

use std::{
    collections::HashMap,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use super::{
    alerting::Alerting,
    births::Births,
    clock,
    dossiers::Desk,
    engine::{Place, tests_wish},
    guarding::Guarding,
    handle::Message,
    history::Chronicle,
    holds::HoldFile,
    journal::{Entry, Journal},
    limits::LimitWatch,
    loose_ends::{LOOK, LooseEnds},
    messages::Internal,
    metrics::ToldCpu,
    notify::ServiceManager,
    publish::Publisher,
    recording::Recorded,
    samples::Samples,
    signals::{SentTo, SignalKind, Signals, Wishes},
    spawner::Nursery,
    tallies::Tallies,
    telling::{About, Telling, Told},
    tidy::Tidy,
    upgrade::{Asked, Progress, Upgrade},
};
use crate::{
    guardian::{self, DescriptorStore as _, Ends, Stores},
    logs::{self, Logs},
    machine::{EndedMeanwhile, Process},
    model::{ComponentId, Exit, Moment, OperationId, Origin, RunId, Via},
    probes::{Commands, Finding, ProbeKind, ProbeNotice, Probes},
    process::{Child, Containment, Notice, Tree, TreeEnd, Watcher},
    registry::Component,
    sampler::Source,
    supervisor::{Effect, Fact},
    wire::{EventKind, Health, Operation, Problem},
};

/// So many facts, or effects of one, are written down together.
pub(super) const CROWD: usize = 8;

/// Entries of the journal that are gathered at most: until they are written, a kill takes how a
/// process ended that was reaped meanwhile.
pub(super) const MOST_GATHERED: usize = 32;

/// How much more time the service manager is asked for while the start goes on.
const START_EXTENSION: Duration = Duration::from_mins(2);

pub(super) struct Driver {
    pub place: Place,
    pub supervisor: Recorded,
    pub running: HashMap<RunId, Box<Running>>,
    pub watcher: Watcher,
    pub births: Births,
    pub logs: Logs,
    pub trace: logs::trace::Trace,
    pub probes: Probes,
    pub commands: Arc<dyn Commands>,
    pub configs: Configs,
    pub containment: Containment,
    pub journal: Journal,
    pub hold_file: HoldFile,
    pub desk: Desk,
    pub samples: Samples,
    pub limits: LimitWatch,
    pub history: Chronicle,
    pub tallies: Tallies,
    pub told_cpu: ToldCpu,
    pub publisher: Publisher,
    pub telling: Telling,
    pub alerting: Alerting,
    pub manager: ServiceManager,
    pub internal: mpsc::UnboundedSender<Internal>,
    /// Callers who wait for an operation's end.
    pub waiters: HashMap<OperationId, Vec<oneshot::Sender<Result<Operation, Problem>>>>,
    pub stop_commands: HashMap<RunId, AbortHandle>,
    pub loose_ends: LooseEnds,
    /// How processes ended that others reaped.
    pub ends: Ends,
    /// Who keeps descriptors for the next engine.
    pub stores: Stores,
    pub guarding: Guarding,
    pub wishes: Wishes,
    /// Facts that came up while effects were performed.
    pub facts: Vec<Fact>,
    /// There are more of them than what is worth a write of its own.
    pub is_crowd: bool,
    /// Runs of which nothing is left, until what follows from that is written down.
    pub gone: Vec<(ComponentId, RunId)>,
    /// Descriptors that nobody needs when that is in the journal.
    pub unneeded: Vec<String>,
    pub boot: Option<OperationId>,
    pub started: Moment,
    /// What the service manager was told last.
    pub told: String,
    /// Set when everything has ended.
    pub end: Option<End>,
    pub tidy: Tidy,
    pub next_statistics: Option<Moment>,
    pub next_watchdog: Option<Moment>,
    /// Of the upgrade that is asked for.
    pub progress: Progress,
    /// How often the program was replaced in this process.
    pub upgrades: u64,
    /// Binaries that were asked whether they can take over.
    pub checks_made: u64,
}

/// A live run as the world sees it.
#[derive(Debug)]
pub(super) struct Running {
    pub id: ComponentId,
    pub child: Child,
    pub tree: Tree,
    pub leader_ended: bool,
    /// CPU time that the leader and those it waited for had used at its end.
    pub used: Duration,
}

impl Running {
    /// Where the sampler finds its processes.
    pub fn source(&self) -> Source {
        match self.tree.folder() {
            Some(folder) => Source::Cgroup(folder.to_owned()),
            None => Source::Leader { pid: self.child.pid(), start_time: self.child.start_time() },
        }
    }
}

/// Why the loop was left.
pub(super) enum Turn {
    End(End),
    Upgrade(Box<Upgrade>),
}

/// How the Supervisor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// It is to execute itself anew.
    pub restart: bool,
    /// Components that could not be ended.
    pub left: Vec<ComponentId>,
}

/// The components' configurations, for those who launch beside them (exec checks).
pub(super) type Configs = Arc<std::sync::Mutex<HashMap<ComponentId, Arc<Component>>>>;

/// Where inputs come from.
pub(super) struct Inputs {
    pub messages: mpsc::Receiver<Message>,
    pub nursery: Nursery,
    pub probes: mpsc::Receiver<ProbeNotice>,
    pub logs: mpsc::Receiver<logs::Notice>,
    pub internal: mpsc::UnboundedReceiver<Internal>,
    pub ended: AsyncFd<OwnedFd>,
    pub signals: Signals,
}

impl Driver {
    /// Runs until everything has ended, or another program is to go on.
    pub async fn run(&mut self, inputs: &mut Inputs) -> Turn {
        let mut notices = Vec::new();
        loop {
            if let Some(end) = self.end.take() {
                return Turn::End(end);
            }
            if let Some(upgrade) = self.ripe_upgrade(clock::now()) {
                return Turn::Upgrade(Box::new(upgrade));
            }
            let due = self.next_deadline();
            self.note_due(due);
            let wait = due.map(|at| at.since(clock::now()));
            tokio::select! {
                biased;
                signal = inputs.signals.recv() => self.signalled(signal, SentTo::Own),
                () = readable(self.guarding.news.as_ref()) => self.hear_guardian(),
                ready = inputs.ended.readable() => {
                    // Cleared first: what ends from now on makes it ready again.
                    if let Ok(mut ready) = ready {
                        ready.clear_ready();
                    }
                    self.take_notices(&mut notices);
                }
                () = inputs.nursery.bell.notified() => {}
                Some(notice) = inputs.probes.recv() => self.probed(notice),
                Some(notice) = inputs.logs.recv() => self.logged(notice),
                Some(internal) = inputs.internal.recv() => self.handle_internal(internal),
                Some(message) = inputs.messages.recv() => self.handle_message(message),
                () = sleep(wait) => {}
            }
            self.take_newborns(&inputs.nursery);
            self.tick();
        }
    }

    /// One fact to the supervisor, and everything that follows.
    pub fn fact(&mut self, fact: Fact) {
        self.facts.push(fact);
        self.take_facts();
    }

    pub fn take_facts(&mut self) {
        while !self.facts.is_empty() {
            let facts = std::mem::take(&mut self.facts);
            self.is_crowd = facts.len() > CROWD;
            for fact in facts {
                tracing::trace!(?fact, "a fact");
                let mut effects = Vec::new();
                self.supervisor.handle(clock::now(), fact, &mut effects);
                self.perform(effects);
            }
        }
        self.is_crowd = false;
        // After what was decided: a successor that knows of no run must know what became of it.
        for (id, run) in std::mem::take(&mut self.gone) {
            self.unneeded.push(guardian::name::pid(&id, run));
            if self.journal.knows_run(&id, run) {
                self.journal.gather(&Entry::Gone { id, run });
            }
        }
        self.write_down_all();
    }

    /// Writes what was gathered, and does what has waited for that.
    pub fn write_down_all(&mut self) {
        // Events first: what a successor finds undecided in the journal it tells of, unless the event
        // is there.
        self.telling.log.note();
        self.journal.flush();
        self.births.begin();
        // Afterwards: whoever reads of it in the journal must find it kept.
        let unneeded = std::mem::take(&mut self.unneeded);
        if self.supervisor.is_shutting_down() {
            self.stores.forget_all(&unneeded);
        } else {
            for name in unneeded {
                self.stores.forget(&name);
            }
        }
    }

    /// Performs the effects of a call to the supervisor, and the facts that came of them.
    pub fn settle(&mut self, effects: Vec<Effect>) {
        self.perform(effects);
        self.take_facts();
    }

    /// Whatever is due by now.
    fn tick(&mut self) {
        let now = clock::now();
        self.logs.wake();
        self.tallies.observe_delay(now);
        if self.supervisor.next_deadline().is_some_and(|at| at <= now) {
            let mut effects = Vec::new();
            self.supervisor.deadline_reached(now, &mut effects);
            self.settle(effects);
        }
        if self.hold_file.is_behind {
            self.store_holds(|_| {});
        }
        if !self.loose_ends.is_empty() {
            self.look_after_loose_ends();
        }
        if self.next_watchdog.is_some_and(|at| at <= now) {
            self.manager.alive();
            self.next_watchdog = self.manager.watchdog.map(|every| now.after(every));
        }
        if self.next_statistics.is_some_and(|at| at <= now) {
            let every = self.supervisor.registry().config.trace_stats_interval;
            self.next_statistics = every.map(|every| now.after(every));
            self.trace_statistics();
        }
        self.keep_guardian(now);
        self.look_at_limits(now);
        self.keep_history(now);
        self.tidy_up(now);
        self.tell_manager();
        self.publish(now);
        self.send_alerts(now);
        self.write_events(now);
        // What was told without a fact.
        self.write_down_all();
        self.trace.release();
    }

    fn next_deadline(&self) -> Option<Moment> {
        let loose_ends = (!self.loose_ends.is_empty()).then(|| clock::now().after(LOOK));
        let deadlines = [
            self.supervisor.next_deadline(),
            self.next_statistics,
            self.next_watchdog,
            loose_ends,
            self.limits.next_deadline(),
            Some(self.history.next_deadline()),
            self.births.next_deadline(),
            self.publisher.next_deadline(),
            self.telling.next_deadline(),
            self.tidy.next_deadline(),
            self.alerting.next_deadline(),
            self.guarding.next_deadline(),
            self.stores.pause().map(|pause| clock::now().after(pause)),
            self.upgrade_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    // ---- the world's news -----------------------------------------------------------------

    /// Takes over a process of an earlier Supervisor.
    pub fn take_over(&mut self, id: &ComponentId, run: RunId, child: Child, tree: Tree) {
        self.stores.keep(&guardian::name::pid(id, run), child.as_fd());
        let id_of_run = id.clone();
        let running =
            Running { id: id_of_run, child, tree, leader_ended: false, used: Duration::ZERO };
        self.running.insert(run, Box::new(running));
        self.watch_leader(run);
        self.keep_limits(id);
    }

    fn take_notices(&mut self, notices: &mut Vec<Notice>) {
        self.trace.gather();
        if let Err(error) = self.watcher.poll(notices) {
            tracing::error!(%error, "cannot ask which processes ended");
        }
        for notice in notices.drain(..) {
            match notice {
                Notice::Exited { token } => self.leader_ended(RunId(token)),
                Notice::TreeEmpty { token } => self.look_at_tree(RunId(token)),
            }
            if self.journal.gathered() >= MOST_GATHERED {
                self.write_down_all();
            }
        }
        self.take_facts();
    }

    pub fn leader_ended(&mut self, run: RunId) {
        let Some(running) = self.running.get(&run).filter(|one| !one.leader_ended) else { return };
        // What a cgroup counts is exact; this much is known of the others.
        let is_counted = running.tree.folder().is_some();
        let used = if is_counted { Duration::ZERO } else { running.child.used_with_descendants() };
        let Some(exit) = self.exit_of(run) else { return };
        let Some(running) = self.running.get_mut(&run) else { return };
        running.leader_ended = true;
        running.used = used;
        let id = running.id.clone();
        let gone = running.tree.end();
        self.ended(&id, run, exit, gone.is_some());
        if let Some(end) = gone {
            self.forget(run, end);
        } else {
            self.watch_tree(run);
        }
    }

    /// A run of an earlier engine ended while nobody watched, and nothing is left of it.
    pub fn ended_unseen(&mut self, id: &ComponentId, run: RunId, end: EndedMeanwhile, asked: bool) {
        let EndedMeanwhile { exit, oom } = end;
        self.logs.exited(id, run, exit, asked);
        self.count_exit(id, run, exit, oom);
        self.tell_exit(id, run, exit, Told { expected: asked, oom });
    }

    /// Tells everybody how a run's leader ended.
    fn ended(&mut self, id: &ComponentId, run: RunId, exit: Exit, tree_gone: bool) {
        let expected = self.supervisor.is_end_expected(run);
        self.logs.exited(id, run, exit, expected);
        let oom = self.is_out_of_memory(run, exit);
        self.journal.gather(&Entry::Ended { id: id.clone(), run, exit, oom });
        self.count_exit(id, run, exit, oom);
        self.tell_exit(id, run, exit, Told { expected, oom });
        self.complete_dossier(run, exit, oom);
        self.facts.push(Fact::Exited { run, exit, oom, tree_gone });
    }

    /// A run's whole tree is gone.
    pub fn forget(&mut self, run: RunId, end: TreeEnd) {
        self.loose_ends.forget(run);
        self.watcher.remove_tree(run.0);
        self.forget_probes(run);
        if let Some(command) = self.stop_commands.remove(&run) {
            command.abort();
        }
        if let Some(running) = self.running.remove(&run) {
            let Running { id, tree, used: of_leader, .. } = *running;
            self.count_cpu(&id, end.used.unwrap_or(of_leader));
            if self.supervisor.is_shutting_down() {
                // Nothing is started any more: what is left of it goes while others are ending.
                self.births.clear_away(tree);
                self.logs.retire(&id);
                let pipes = logs::Stream::BOTH.map(|stream| logs::kept_name(&id, stream));
                self.unneeded.extend(pipes);
            }
            self.gone.push((id, run));
        }
    }

    fn probed(&mut self, notice: ProbeNotice) {
        let ProbeNotice { run, kind, finding } = notice;
        let fact = match (kind, finding) {
            (ProbeKind::Ready, Finding::Passed { .. }) => Fact::Ready { run },
            (ProbeKind::Ready, Finding::Failed { detail }) => Fact::NotReady { run, why: detail },
            (ProbeKind::Health, Finding::Passed { detail }) => {
                self.tell_health(run, EventKind::Healthy, &detail);
                Fact::HealthChanged { run, health: Health::Ok, detail: Some(detail) }
            }
            (ProbeKind::Health, Finding::Failed { detail }) => {
                self.tell_health(run, EventKind::Unhealthy, &detail);
                let health = Health::Failing;
                let why = detail.clone();
                self.facts.push(Fact::HealthChanged { run, health, detail: Some(detail) });
                Fact::Unhealthy { run, why }
            }
            (_, Finding::Answer { detail, .. } | Finding::Status(detail)) => {
                Fact::StatusText { run, text: detail }
            }
            (_, Finding::ExtendTimeout(by)) => Fact::ExtendTimeout { run, by },
            (_, Finding::Reloading) => says(run, "it reloads (RELOADING=1)"),
            (_, Finding::Reloaded) => says(run, "it has reloaded (READY=1)"),
            (_, Finding::Stopping) => says(run, "it is on its way out (STOPPING=1)"),
            (_, Finding::Errno(errno)) => {
                let error = std::io::Error::from_raw_os_error(errno);
                says(run, &format!("it fails with: {error}"))
            }
            (_, Finding::Refused(reason)) => {
                let id = self.supervisor.component_of(run).map(ToString::to_string);
                tracing::warn!(id, %run, reason, "a message over the notification protocol was refused");
                says(run, &reason)
            }
            (kind, other) => {
                let id = self.supervisor.component_of(run).map(ToString::to_string);
                tracing::debug!(id, %run, ?kind, finding = ?other, "a component or its check says");
                return;
            }
        };
        self.fact(fact);
    }

    fn tell_health(&self, run: RunId, kind: EventKind, detail: &str) {
        if let Some(id) = self.supervisor.component_of(run) {
            self.tell(Some(About { id, run: Some(run) }), kind, format!("{kind}: {detail}"), None);
        }
    }

    pub fn logged(&mut self, notice: logs::Notice) {
        self.tell_of_losses(&notice);
        let name = |id: &Option<ComponentId>| {
            id.as_ref().map_or_else(|| "the trace log".to_owned(), ToString::to_string)
        };
        match notice {
            logs::Notice::Matched { run, line, .. } => self.probes.matched(run, line),
            logs::Notice::Lost { id, path, error } => tracing::error!(
                id = name(&id), path = %path.display(), error,
                "output cannot be stored, and is counted as lost until it can be again"
            ),
            logs::Notice::Resumed { id, path, lost_bytes, lost_lines } => tracing::warn!(
                id = name(&id), path = %path.display(), lost_bytes, lost_lines,
                "output is stored again"
            ),
        }
    }

    fn tell_of_losses(&self, notice: &logs::Notice) {
        let (id, text) = match notice {
            logs::Notice::Matched { .. } => return,
            logs::Notice::Lost { id, path, error } => {
                let path = path.display();
                (id, format!("output cannot be stored in {path}, and is counted as lost: {error}"))
            }
            logs::Notice::Resumed { id, lost_bytes, lost_lines, .. } => {
                let lost = format!("{lost_lines} lines ({lost_bytes} bytes) are lost");
                (id, format!("output is stored again; {lost}"))
            }
        };
        let about = id.as_ref().map(|id| About { id, run: None });
        self.tell(about, EventKind::Dropped, text, None);
    }

    pub fn signalled(&mut self, signal: SignalKind, to: SentTo) {
        let origin =
            |name: &str| Origin { via: Via::Signal { name: name.to_owned() }, ..Origin::default() };
        match signal {
            SignalKind::Stop(_) if !self.wishes.is_new(to, clock::now()) => {}
            SignalKind::Stop(name) => {
                let again = self.supervisor.is_shutting_down();
                tracing::info!(signal = name, again, "asked to end");
                self.shut_down(false, again, &origin(name));
            }
            SignalKind::Reload => {
                self.manager.reloading();
                self.load_registry(false, origin("SIGHUP"), None);
            }
            SignalKind::ReopenLogs => {
                tests_wish("engine");
                tracing::info!("the log files are opened anew");
                self.logs.reopen();
            }
            // A test has the console panic by this signal.
            SignalKind::Upgrade if cfg!(debug_assertions) && is_panic_wished() => {}
            SignalKind::Upgrade => {
                self.ask_for_upgrade(None, Asked { origin: origin("SIGUSR2"), reply: None });
            }
            SignalKind::Child => {
                // Leaders first: what follows from their ends waits for nothing, least of all for a
                // look at a thousand children.
                self.take_notices(&mut Vec::new());
                self.expect_orphans();
            }
        }
    }

    pub fn shut_down(&mut self, restart: bool, kill: bool, origin: &Origin) -> OperationId {
        if let Some(link) = self.guarding.alive()
            && !restart
        {
            link.stopping();
        }
        self.manager.stopping();
        let mut effects = Vec::new();
        let operation =
            self.supervisor.shut_down(clock::now(), restart, kill, origin, &mut effects);
        self.settle(effects);
        operation
    }

    /// Keeps the service manager's view: when the start is done, and a line of status.
    fn tell_manager(&mut self) {
        if !self.manager.is_present() || self.supervisor.is_shutting_down() {
            return;
        }
        let generation = self.supervisor.generation();
        self.manager.mind_room(generation, self.supervisor.registry());
        let status = self.summary();
        let booted =
            self.boot.is_some_and(|boot| self.supervisor.operation_ended(boot) != Some(false));
        if booted {
            self.boot = None;
            self.manager.ready(&status);
        } else if status != self.told {
            if self.boot.is_some() {
                self.manager.extend(&status, START_EXTENSION);
            } else {
                self.manager.status(&status);
            }
        }
        self.told = status;
    }

    fn summary(&self) -> String {
        use crate::wire::ComponentState::{Failed, Running};
        let (all, running) = self.supervisor.count(Running);
        let (_, failed) = self.supervisor.count(Failed);
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        format!("{running} of {all} running{failed}")
    }

    /// The process of a run, for those who ask by pid.
    pub fn process_of(&self, run: RunId) -> Option<Process> {
        let id = self.supervisor.component_of(run)?;
        let view = self.supervisor.component(id)?;
        Some(Process { pid: view.pid?, started: view.started? })
    }
}

fn is_panic_wished() -> bool {
    std::env::var_os("S7_TEST_PANIC").is_some()
}

fn says(run: RunId, text: &str) -> Fact {
    Fact::StatusText { run, text: text.to_owned() }
}

/// Returns when the guardian has said something; never without one.
async fn readable(guardian: Option<&AsyncFd<OwnedFd>>) {
    match guardian {
        Some(guardian) => {
            if let Ok(mut ready) = guardian.readable().await {
                // Cleared first: what comes from now on makes it ready again.
                ready.clear_ready();
            }
        }
        None => std::future::pending().await,
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
