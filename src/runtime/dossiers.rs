//! When a dossier is made, and what goes into it.
//!
//! ```text
//!  crash:  Crashed ──► a moment later, when its last words are read ──► written
//!  hang:   GatherEvidence ──► /proc, thread dumps ──► EvidenceGathered ──► written, the stop begins
//!                     └──► a stop, a kill or the deadline comes first ──► written without
//!          its end ──► how it ended is added
//! ```
//!
//! Nothing here holds up the engine or a restart: gathering and writing happen on the blocking
//! pool, one dossier is written at a time, and in a crash loop one a second at most, each in the
//! place of the one before, so that the first and the latest are kept.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, SetOnce},
    task::AbortHandle,
};

use super::{
    clock,
    driver::Driver,
    evidence::{self, Evidence},
    messages::Internal,
};
use crate::{
    dossier::{
        Bounds, Cause, CauseKind, Dossier, ExitFacts, Index, RegistryFacts, Store, Summary,
        SupervisorFacts,
    },
    logs::Logs,
    machine::Ended,
    model::{ComponentId, Exit, Moment, RunId, in_words, secret},
    registry::{Check, Component},
    runtime::{launch, samples::Samples},
    supervisor::{ComponentView, Fact},
    wire::ComponentState,
};

mod content;

/// A run's last words are read within this time, and its neighbours have reacted.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// A dossier is there after this time, or never.
const WRITTEN_WITHIN: Duration = Duration::from_mins(1);

/// Between two dossiers of one component.
const PAUSE: Duration = Duration::from_secs(1);

/// From this failure in a row on the dossier takes the place of the one before.
const LOOP_FROM: u32 = 3;

/// Dossiers that wait to be written; of more ends than these there is none.
const QUEUE: usize = 64;

/// Runs whose evidence is gathered at the same time.
const GATHERERS: usize = 4;

/// Everything about dossiers that the driver keeps.
pub(super) struct Desk {
    store: Arc<Store>,
    pub index: Index,
    /// One is written at a time, in the order in which they came.
    writer: Arc<Semaphore>,
    gatherers: Arc<Semaphore>,
    gathering: HashMap<RunId, Gathering>,
    /// Runs that are being ended and have a dossier already: its folder, once it is there.
    unfinished: HashMap<RunId, Written>,
    recent: HashMap<ComponentId, Recent>,
    /// The last one could not be written: told once.
    broken: Arc<AtomicBool>,
}

/// The folder, or none where it could not be written.
type Written = Arc<SetOnce<Option<PathBuf>>>;

struct Gathering {
    id: ComponentId,
    failure: Failure,
    task: AbortHandle,
}

/// What went wrong, and when that showed.
struct Failure {
    run: RunId,
    pid: Option<u32>,
    ended: Ended,
    at: Timestamp,
}

/// A dossier to be written.
struct Order {
    due: Moment,
    written: Written,
    begun: Arc<AtomicBool>,
    /// The dossier that this one takes the place of.
    replaces: Option<Written>,
}

/// The latest dossier of a component.
struct Recent {
    due: Moment,
    /// It is being written, or is there.
    begun: Arc<AtomicBool>,
    written: Written,
    task: AbortHandle,
    left_out: u64,
    attempt: u32,
}

impl Desk {
    /// The dossiers stand beside the Supervisor's own log.
    pub fn new(log: &std::path::Path) -> Self {
        let folder = log.parent().unwrap_or(log).join("dossiers");
        let store = Arc::new(Store::new(folder, Bounds::default()));
        let (index, seen) = (store.index(), Arc::clone(&store));
        tokio::task::spawn_blocking(move || {
            if let Err(error) = seen.look() {
                tracing::warn!(%error, "cannot look at the dossiers of earlier times");
            }
        });
        Self {
            store,
            index,
            writer: Arc::new(Semaphore::new(1)),
            gatherers: Arc::new(Semaphore::new(GATHERERS)),
            gathering: HashMap::new(),
            unfinished: HashMap::new(),
            recent: HashMap::new(),
            broken: Arc::default(),
        }
    }

    pub fn forget(&mut self, id: &ComponentId) {
        self.recent.remove(id);
    }
}

impl Driver {
    /// A run ended by itself, and not well.
    pub fn keep_crash(&mut self, id: &ComponentId, run: RunId, pid: u32, ended: &Ended) {
        let failure = Failure { run, pid: Some(pid), ended: ended.clone(), at: Timestamp::now() };
        self.keep(id, &failure, None, Vec::new());
    }

    /// A run is broken and is going to be ended: what is it doing?
    pub fn gather_evidence(&mut self, id: &ComponentId, run: RunId, ended: Ended) {
        let Some(running) = self.running.get(&run) else {
            self.facts.push(Fact::EvidenceGathered { run });
            return;
        };
        let (source, pid) = (running.source(), running.child.pid().unsigned_abs());
        let (samples, logs, internal) =
            (self.samples.clone(), self.logs.clone(), self.internal.clone());
        let (gatherers, component) = (Arc::clone(&self.desk.gatherers), id.clone());
        let task = tokio::spawn(async move {
            let Ok(_permit) = gatherers.acquire().await else { return };
            let evidence = evidence::gather(samples, logs, &component, run, source).await;
            let evidence = Box::new(evidence);
            let _ended_meanwhile = internal.send(Internal::EvidenceGathered { run, evidence });
        });
        let failure = Failure { run, pid: Some(pid), ended, at: Timestamp::now() };
        let (id, task) = (id.clone(), task.abort_handle());
        self.desk.gathering.insert(run, Gathering { id, failure, task });
    }

    pub fn evidence_gathered(&mut self, run: RunId, evidence: Evidence) {
        let Some(gathering) = self.desk.gathering.remove(&run) else { return };
        self.keep(&gathering.id, &gathering.failure, Some(evidence), Vec::new());
        self.fact(Fact::EvidenceGathered { run });
    }

    /// The stop of a run begins: nobody waits for evidence any more.
    pub fn give_up_evidence(&mut self, run: RunId) {
        let Some(gathering) = self.desk.gathering.remove(&run) else { return };
        let Gathering { id, failure, task } = gathering;
        task.abort();
        let missing = vec!["what it was doing: its end did not wait for that".to_owned()];
        self.keep(&id, &failure, None, missing);
    }

    /// The leader of a run has ended: a dossier that was written before gets to know.
    pub fn complete_dossier(&mut self, run: RunId, exit: Exit, oom: bool) {
        self.give_up_evidence(run);
        let Some(written) = self.desk.unfinished.remove(&run) else { return };
        let (store, writer) = (Arc::clone(&self.desk.store), Arc::clone(&self.desk.writer));
        tokio::spawn(async move {
            // One that another took the place of is never written.
            let path = tokio::time::timeout(WRITTEN_WITHIN, written.wait()).await;
            let Ok(Some(path)) = path.cloned() else { return };
            let Ok(_permit) = writer.acquire().await else { return };
            let done = tokio::task::spawn_blocking(move || {
                let followed_by = format!("it was ended: {exit}");
                store.complete(&path, &ExitFacts::of(exit, oom), &followed_by)
            });
            if let Ok(Err(error)) = done.await {
                tracing::warn!(%run, %error, "cannot add to a dossier how the run ended");
            }
        });
    }

    fn keep(
        &mut self,
        id: &ComponentId,
        failure: &Failure,
        evidence: Option<Evidence>,
        missing: Vec<String>,
    ) {
        let (run, at, ended) = (failure.run, failure.at, &failure.ended);
        let view = self.supervisor.component(id);
        let Some((view, config)) = view.zip(self.supervisor.config(id).cloned()) else { return };
        let now = clock::now();
        let attempt = view.attempt;
        let ended_already = matches!(ended, Ended::Exited(_) | Ended::OutOfMemory(_));
        let mut due = if ended_already { now.after(LAST_WORDS) } else { now };
        let (mut left_out, mut replaces) = (0, None);
        if let Some(before) = self.desk.recent.remove(id) {
            let is_first = before.attempt < 2;
            if before.begun.load(Ordering::Relaxed) || is_first {
                due = due.max(before.due.after(PAUSE));
            } else {
                // It has not been written yet, and this one is newer.
                before.task.abort();
                left_out = before.left_out + 1;
                due = before.due;
            }
            if attempt >= LOOP_FROM && attempt > before.attempt && !is_first {
                replaces = Some(before.written);
            }
        }
        let mut summary = self.summary_of(&view, &config, failure, now);
        summary.missing = missing;
        summary.left_out = left_out;
        let material = content::Material {
            summary,
            run,
            at,
            others: self.supervisor.ids().filter(|other| *other != id).cloned().collect(),
            states: self.supervisor.snapshot(),
            evidence,
        };
        let written: Written = Arc::default();
        if !ended_already {
            self.desk.unfinished.insert(run, Arc::clone(&written));
        }
        let begun = Arc::new(AtomicBool::new(false));
        let order =
            Order { due, written: Arc::clone(&written), begun: Arc::clone(&begun), replaces };
        let task = self.write_when_due(order, material);
        let recent = Recent { due, begun, written, task, left_out, attempt };
        self.desk.recent.insert(id.clone(), recent);
    }

    fn write_when_due(&self, order: Order, material: content::Material) -> AbortHandle {
        let Order { due, written, begun, replaces } = order;
        let (store, writer) = (Arc::clone(&self.desk.store), Arc::clone(&self.desk.writer));
        let (logs, samples, broken): (Logs, Samples, _) =
            (self.logs.clone(), self.samples.clone(), Arc::clone(&self.desk.broken));
        let last_hour = self.history.last_hour();
        let waiting = self.desk.recent.values().filter(|recent| !recent.task.is_finished());
        let is_too_many = waiting.count() >= QUEUE;
        let task = tokio::spawn(async move {
            let id = material.summary.id.clone();
            if is_too_many {
                tracing::warn!(%id, "too many end at once: there is no dossier of this end");
                let _nobody_else_sets_it = written.set(None);
                return;
            }
            tokio::time::sleep(due.since(clock::now())).await;
            let Ok(_permit) = writer.acquire().await else { return };
            begun.store(true, Ordering::Relaxed);
            let done = tokio::task::spawn_blocking(move || {
                let replaces = replaces.and_then(|replaces| replaces.get().cloned().flatten());
                let hour = last_hour(&material.summary.id);
                let dossier: Dossier = material.collect(&logs, &samples, &hour, replaces);
                store.write(&dossier)
            });
            let result = done.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            match &result {
                Ok(path) => {
                    tracing::info!(%id, path = %path.display(), "what is known of this end is kept");
                    if broken.swap(false, Ordering::Relaxed) {
                        tracing::info!("dossiers are written again");
                    }
                }
                Err(error) if !broken.swap(true, Ordering::Relaxed) => tracing::error!(
                    %id, %error,
                    "cannot keep what is known of this end; supervising goes on without dossiers"
                ),
                Err(_told_already) => {}
            }
            let _nobody_else_sets_it = written.set(result.ok());
        });
        task.abort_handle()
    }

    fn summary_of(
        &self,
        view: &ComponentView,
        config: &Component,
        failure: &Failure,
        now: Moment,
    ) -> Summary {
        let Failure { run, pid, ended, at } = failure;
        let exit =
            view.last_exit.filter(|_| matches!(ended, Ended::Exited(_) | Ended::OutOfMemory(_)));
        let lasted = exit.map(|exit| exit.lasted);
        let lasted = lasted.or_else(|| Some(now.since(view.started?)));
        let executable = config.executable.display().to_string();
        let words =
            std::iter::once(executable.as_str()).chain(config.arguments.iter().map(String::as_str));
        Summary {
            version: Summary::VERSION,
            id: view.id.clone(),
            description: view.description.clone(),
            run: *run,
            pid: *pid,
            at: format!("{at:.3}"),
            cause: Cause { kind: kind(ended, config), text: ended.to_string() },
            exit: exit.map(|exit| ExitFacts::of(exit.exit, exit.oom)),
            lasted_s: lasted.map(|lasted| lasted.as_secs_f64()),
            attempt: view.attempt.max(1),
            restarts: view.restarts,
            last_check: view.health_detail.clone(),
            followed_by: what_follows(view, now),
            left_out: 0,
            missing: Vec::new(),
            command: secret::masked_command(words),
            working_directory: config.working_directory.display().to_string(),
            registry: RegistryFacts {
                file: self.place.registry_file.display().to_string(),
                generation: self.supervisor.generation(),
                fingerprint: format!("{:08x}", launch::fingerprint(config)),
            },
            supervisor: SupervisorFacts {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
            },
        }
    }
}

fn kind(ended: &Ended, config: &Component) -> CauseKind {
    match ended {
        Ended::Exited(_) => CauseKind::Exit,
        Ended::OutOfMemory(_) => CauseKind::OutOfMemory,
        Ended::NotReady(_) => CauseKind::NotReady,
        Ended::Unhealthy(_) => {
            let watchdog = config.health.as_ref().is_some_and(|it| it.check == Check::Notify);
            if watchdog { CauseKind::Watchdog } else { CauseKind::Unhealthy }
        }
        Ended::OverLimit(_) => CauseKind::Limit,
        Ended::NotStarted(_) => CauseKind::Other,
    }
}

fn what_follows(view: &ComponentView, now: Moment) -> String {
    match view.state {
        ComponentState::Starting | ComponentState::Running => "it is started again".to_owned(),
        ComponentState::Backoff => match view.next_attempt {
            Some(at) => format!("the next attempt is in {}", in_words(at.since(now))),
            None => "it is tried again".to_owned(),
        },
        ComponentState::Waiting => {
            let what = view.waiting_for.as_deref().unwrap_or("its turn");
            format!("it waits for {what}")
        }
        ComponentState::Stopping | ComponentState::Unkillable => {
            "what is left of it is being ended".to_owned()
        }
        ComponentState::Failed => view.reason.clone().unwrap_or_else(|| "it was given up".into()),
        ComponentState::Stopped | ComponentState::Exited => "it stays down".to_owned(),
    }
}
