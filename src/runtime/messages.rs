//! Answers the questions that come through a [`Handle`](super::Handle), and what the blocking
//! pool brings back for them.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::oneshot;

use super::{
    alerting::Delivered,
    clock,
    driver::Driver,
    guarding::NewGuardian,
    handle::{Message, Request, Targets},
    samples::Sample,
    status,
    telling::About,
    upgrade::{Asked, Known},
};
use crate::{
    events::Written,
    model::{OperationId, Origin, RunId},
    plan::Change,
    premises,
    probes::{CommandEnd, CommandError},
    registry::{self, LoadError, Loaded},
    sampler::Source,
    supervisor::{Answer, Command, Denial, ReloadPlan, Selection},
    wire::{
        Acceptance, ComponentPlan, ContainmentLevel, EventKind, Problem, ProblemCode, Readiness,
        ReloadReport, Status, SupervisorStatus,
    },
};

/// Lines of output in an explanation.
const EXPLAINED_LINES: usize = 10;

/// Dossiers in an explanation.
const EXPLAINED_DOSSIERS: usize = 5;

pub(super) type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// What comes back to the loop from work that was done elsewhere.
pub(super) enum Internal {
    /// What a broken run was doing.
    EvidenceGathered {
        run: RunId,
        evidence: Box<super::evidence::Evidence>,
    },
    StopCommandEnded {
        run: RunId,
        result: Result<CommandEnd, CommandError>,
    },
    GuardianMade(Result<Box<NewGuardian>, String>),
    /// Resident bytes of the trees that have a limit.
    MemoryLookedAt {
        used: Vec<(RunId, u64)>,
    },
    RegistryRead {
        result: Box<Result<Loaded, LoadError>>,
        dry_run: bool,
        origin: Origin,
        reply: Option<Reply<ReloadReport>>,
    },
    /// The registry was checked before a restart of the Supervisor.
    RestartChecked {
        result: Box<Result<Loaded, LoadError>>,
        origin: Origin,
        reply: Reply<Acceptance>,
    },
    /// A binary was asked whether it can take over.
    CandidateAsked {
        result: Result<Box<Known>, Problem>,
        asked: Asked,
    },
    /// Figures for those who watch.
    Sampled(Sample),
    EventsWritten(Written),
    /// A try to bring a message to whom `<notify>` names.
    AlertDelivered(Delivered),
}

impl Driver {
    pub fn handle_message(&mut self, message: Message) {
        tracing::trace!(?message, "asked");
        self.tidy.is_asked = true;
        let now = clock::now();
        if self.is_handing_over() && message.changes_something() {
            // Its reply goes with it: the handle says what that means.
            return;
        }
        match message {
            Message::Command { request, reply } => {
                let answer = self.command(request);
                let _caller_left = reply.send(answer);
            }
            Message::Status { reply } => self.with_status(move |status| {
                let _caller_left = reply.send(Ok(status));
            }),
            Message::Component { id, reply } => match self.supervisor.component(&id) {
                None => drop(reply.send(Err(self.unknown(&id)))),
                Some(view) => self.with_sample(move |sample| {
                    let _caller_left = reply.send(Ok(status::component(view, now, &sample.trees)));
                }),
            },
            Message::Explain { id, reply } => match self.supervisor.explain(now, &id) {
                None => drop(reply.send(Err(self.unknown(&id)))),
                Some(explain) => {
                    let lines = self.logs.tail(&explain.view.id, EXPLAINED_LINES);
                    let lines = lines.iter().map(|line| status::sanitised(&line.text)).collect();
                    let dossiers = self.desk.index.of(&explain.view.id, EXPLAINED_DOSSIERS);
                    self.with_sample(move |sample| {
                        let answer =
                            status::explanation(explain, now, &sample.trees, lines, dossiers);
                        let _caller_left = reply.send(Ok(answer));
                    });
                }
            },
            Message::Details { id, reply } => self.reply_details(&id, reply),
            Message::Metrics { asked, reply } => self.reply_metrics(asked, reply),
            Message::History { id, range, reply } => self.reply_history(id, range, reply),
            Message::Operation { id, reply } => {
                let _caller_left = reply.send(self.operation(id));
            }
            Message::OperationEnd { id, reply } => match self.supervisor.operation_ended(id) {
                Some(false) => {
                    let waiters = self.waiters.entry(id).or_default();
                    // Those who gave up waiting leave nothing behind.
                    waiters.retain(|waiter| !waiter.is_closed());
                    waiters.push(reply);
                }
                Some(true) | None => drop(reply.send(self.operation(id))),
            },
            Message::Reload { dry_run, origin, reply } => {
                self.load_registry(dry_run, origin, Some(reply));
            }
            Message::Shutdown { restart: false, origin, reply } => {
                let operation = self.shut_down(false, false, &origin).0;
                let _caller_left = reply.send(Ok(Acceptance::Applied { operation }));
            }
            Message::Shutdown { restart: true, origin, reply } => self.check_restart(origin, reply),
            Message::Upgrade { binary, origin, reply } => {
                self.ask_for_upgrade(binary, Asked { origin, reply: Some(reply) });
            }
            Message::Logs { ids, reply } => {
                let _caller_left = reply.send(self.log_sources(&ids));
            }
            Message::ReopenLogs { origin, reply } => self.reopen_logs(&origin, reply),
            Message::Hold { id, until, reason, origin, reply } => {
                self.hold(&id, until, reason, &origin, reply);
            }
            Message::Release { id, origin, reply } => self.release(&id, &origin, reply),
            Message::Readiness { reply } => {
                let not_ready = self.supervisor.not_ready();
                let not_ready: Vec<String> = not_ready.into_iter().map(String::from).collect();
                let ready = not_ready.is_empty() && !self.supervisor.is_shutting_down();
                let _caller_left = reply.send(Ok(Readiness { ready, not_ready }));
            }
            Message::Watch { after, reply } => {
                let _caller_left = reply.send(Ok(self.watch(after)));
            }
            Message::Snapshot { reply } => self.with_snapshot(move |seq, snapshot| {
                let _caller_left = reply.send(Ok((seq, snapshot)));
            }),
            Message::Events { reply } => {
                let _caller_left = reply.send(Ok(self.telling.log.clone()));
            }
        }
    }

    pub fn handle_internal(&mut self, internal: Internal) {
        match internal {
            Internal::EvidenceGathered { run, evidence } => self.evidence_gathered(run, *evidence),
            Internal::StopCommandEnded { run, result } => self.stop_command_ended(run, result),
            Internal::GuardianMade(made) => self.guardian_made(made),
            Internal::MemoryLookedAt { used } => self.memory_looked_at(used),
            Internal::CandidateAsked { result, asked } => self.candidate_asked(result, asked),
            Internal::Sampled(sample) => self.sampled(&sample),
            Internal::EventsWritten(written) => self.events_written(written),
            Internal::AlertDelivered(delivered) => self.alert_delivered(delivered),
            Internal::RegistryRead { result, dry_run, origin, reply } => {
                let report = self.reload(*result, dry_run, &origin);
                if let Err(problem) = &report {
                    let text = format!("not reloaded: {}", problem.detail);
                    self.tell(None, EventKind::Reload, text, Some(origin.to_string()));
                    tracing::error!(
                        problem = %problem.detail,
                        diagnostics = problem.diagnostics.as_deref(),
                        "the registry was not reloaded; the running one stays in force"
                    );
                }
                if !dry_run && reply.is_none() {
                    self.told.clear();
                    let status = "the registry was read again";
                    self.manager.ready(status);
                }
                if let Some(reply) = reply {
                    let _caller_left = reply.send(report);
                }
            }
            Internal::RestartChecked { result, origin, reply } => {
                let answer = match *result {
                    Ok(_) => {
                        let operation = self.shut_down(true, false, &origin).0;
                        Ok(Acceptance::Applied { operation })
                    }
                    Err(error) => Err(invalid(&error)),
                };
                let _caller_left = reply.send(answer);
            }
        }
    }

    fn command(&mut self, request: Request) -> Result<Acceptance, Problem> {
        let Request { verb, targets, if_run, origin } = request;
        let selection = match targets {
            Targets::All => Selection::All,
            Targets::Ids(ids) => Selection::Ids(ids),
        };
        let (by, only) = (
            origin.to_string(),
            match &selection {
                Selection::Ids(ids) if ids.len() == 1 => ids.first().cloned(),
                Selection::All | Selection::Ids(_) => None,
            },
        );
        let command = Command { verb, selection, if_run, origin };
        let mut effects = Vec::new();
        let answer = self.supervisor.command(clock::now(), command, &mut effects);
        self.settle(effects);
        match answer {
            Answer::Applied(operation) => Ok(Acceptance::Applied { operation: operation.0 }),
            Answer::Redundant(operation) => {
                Ok(Acceptance::Redundant { operation: operation.map(|id| id.0) })
            }
            Answer::Denied(denial) => {
                let id = only.as_deref().and_then(|id| self.supervisor.component(id));
                let about = id.as_ref().map(|view| About { id: &view.id, run: None });
                let text = format!("{verb} refused: {denial}");
                self.tell(about, EventKind::Command, text, Some(by));
                Err(problem(&denial))
            }
        }
    }

    fn operation(&self, id: OperationId) -> Result<crate::wire::Operation, Problem> {
        let view = self.supervisor.operation(id).ok_or_else(|| {
            let text = format!("operation {id} is not known; old ones are forgotten");
            Problem::new(ProblemCode::UnknownOperation, text)
        })?;
        Ok(status::operation(view, clock::now()))
    }

    pub(super) fn unknown(&self, id: &str) -> Problem {
        problem(&self.supervisor.unknown(id))
    }

    // ---- status ---------------------------------------------------------------------------

    /// Calls `then` with the status and fresh figures, on the blocking pool.
    pub fn with_status(&self, then: impl FnOnce(Status) + Send + 'static) {
        let now = clock::now();
        let views = self.supervisor.snapshot();
        let supervisor = SupervisorStatus {
            pid: std::process::id(),
            guardian_pid: self.guarding.pid(),
            guardian: self.guarding.status(now),
            version: crate::process::version().to_owned(),
            uptime_s: now.since(self.started).as_secs_f64(),
            registry: self.place.registry_file.display().to_string(),
            generation: self.supervisor.generation(),
            upgrades: self.upgrades,
            cpu_percent: 0.0,
            memory_bytes: 0,
            containment: match self.containment.level() {
                crate::process::Level::Cgroup => ContainmentLevel::Cgroup,
                crate::process::Level::Subreaper => ContainmentLevel::Subreaper,
                crate::process::Level::JobObject => ContainmentLevel::JobObject,
            },
            shutting_down: self.supervisor.is_shutting_down(),
        };
        self.with_sample(move |sample| {
            let supervisor = SupervisorStatus {
                cpu_percent: sample.own.cpu_percent,
                memory_bytes: sample.own.memory_bytes,
                ..supervisor
            };
            let components = views.into_iter();
            let components = components.map(|view| status::component(view, now, &sample.trees));
            then(Status { supervisor, components: components.collect() });
        });
    }

    /// Calls `then` with fresh figures, on the blocking pool.
    pub fn with_sample(&self, then: impl FnOnce(Sample) + Send + 'static) {
        let trees = self.running.iter().filter(|(_, running)| !running.leader_ended);
        let trees: Vec<(RunId, Source)> =
            trees.map(|(&run, running)| (run, running.source())).collect();
        let samples = self.samples.clone();
        tokio::task::spawn_blocking(move || then(samples.take(&trees)));
    }

    pub fn trace_statistics(&self) {
        let names: Vec<(RunId, String)> =
            self.running.iter().map(|(&run, running)| (run, running.id.to_string())).collect();
        self.with_sample(move |sample| {
            let mib = |bytes: u64| bytes >> 20;
            tracing::info!(
                memory_mib = mib(sample.own.memory_bytes),
                cpu_s = sample.own.cpu_time.as_secs_f64(),
                "statistics of the Supervisor"
            );
            for (run, id) in names {
                let Some(usage) = sample.trees.get(&run) else { continue };
                tracing::info!(
                    id,
                    memory_mib = mib(usage.memory_bytes),
                    cpu_s = usage.cpu_time.as_secs_f64(),
                    processes = usage.processes,
                    threads = usage.threads,
                    "statistics"
                );
            }
        });
    }

    // ---- stop commands ---------------------------------------------------------------------

    fn stop_command_ended(&mut self, run: RunId, result: Result<CommandEnd, CommandError>) {
        self.stop_commands.remove(&run);
        let Some(id) = self.supervisor.component_of(run).cloned() else { return };
        let failure = match result {
            Ok(end) if end.exit == crate::model::Exit::Code(0) => return,
            Ok(end) => format!("it ended with {}: {}", end.exit, status::sanitised(&end.output)),
            Err(error) => error.to_string(),
        };
        let Some(config) = self.supervisor.config(&id) else { return };
        let signal = config.stop.signal.into();
        tracing::warn!(%id, failure, %signal, "the stop command failed; the signal is sent instead");
        self.send_stop_signal(run, signal);
    }

    // ---- the registry ----------------------------------------------------------------------

    pub fn load_registry(&self, dry_run: bool, origin: Origin, reply: Option<Reply<ReloadReport>>) {
        self.read_registry(move |result| Internal::RegistryRead { result, dry_run, origin, reply });
    }

    /// A restart must not stop everything only to find that the registry is wrong.
    fn check_restart(&self, origin: Origin, reply: Reply<Acceptance>) {
        self.read_registry(move |result| Internal::RestartChecked { result, origin, reply });
    }

    fn read_registry(
        &self,
        then: impl FnOnce(Box<Result<Loaded, LoadError>>) -> Internal + Send + 'static,
    ) {
        let (place, internal) = (self.place.clone(), self.internal.clone());
        tokio::task::spawn_blocking(move || {
            let result =
                premises::load(&place.registry_file, &place.install_folder, &place.sources);
            let result = result.map(|(loaded, _told_at_the_start)| loaded);
            let _ended_meanwhile = internal.send(then(Box::new(result)));
        });
    }

    fn reload(
        &mut self,
        result: Result<Loaded, LoadError>,
        dry_run: bool,
        origin: &Origin,
    ) -> Result<ReloadReport, Problem> {
        let loaded = result.map_err(|error| invalid(&error))?;
        if self.supervisor.is_shutting_down() {
            let text = "the Supervisor is shutting down: nothing is reloaded any more";
            return Err(Problem::new(ProblemCode::ShuttingDown, text));
        }
        let warnings: Vec<String> =
            loaded.warnings.iter().map(|warning| warning.message().to_owned()).collect();
        let new = Arc::new(loaded.registry);
        let (plan, operation) = if dry_run {
            (self.supervisor.plan_reload(&new), None)
        } else {
            let mut effects = Vec::new();
            let done = self.supervisor.reload(clock::now(), &new, origin, &mut effects);
            self.settle(effects);
            self.take_over_config(&new.config);
            self.take_over_alerts(&new);
            self.tell_reload(&done.0, origin);
            self.publish_anew();
            done
        };
        Ok(report(plan, self.supervisor.generation(), operation, warnings))
    }

    /// What of `<config>` needs no restart.
    fn take_over_config(&mut self, config: &registry::Config) {
        self.trace.set_level(config.trace_level);
        self.next_statistics = config.trace_stats_interval.map(|every| clock::now().after(every));
    }
}

fn report(
    plan: ReloadPlan,
    generation: u64,
    operation: Option<OperationId>,
    warnings: Vec<String>,
) -> ReloadReport {
    let bare = |ids: Vec<crate::model::ComponentId>| {
        let plans = ids.into_iter();
        plans.map(|id| ComponentPlan { id: id.into(), differences: Vec::new() }).collect()
    };
    let changes = |changes: Vec<Change>| {
        let plans = changes.into_iter().map(|change| ComponentPlan {
            id: change.id.into(),
            differences: change.elements.into_iter().map(str::to_owned).collect(),
        });
        plans.collect()
    };
    let names: BTreeSet<&str> = plan.needs_supervisor_restart.into_iter().collect();
    ReloadReport {
        generation,
        added: bare(plan.difference.added),
        removed: bare(plan.difference.removed),
        changed: changes(plan.difference.changed),
        updated: changes(plan.difference.updated),
        unchanged: plan.difference.unchanged.into_iter().map(String::from).collect(),
        needs_supervisor_restart: names.into_iter().map(str::to_owned).collect(),
        warnings,
        operation: operation.map(|id| id.0),
    }
}

pub(super) fn problem(denial: &Denial) -> Problem {
    let code = match denial {
        Denial::Unknown { .. } => ProblemCode::UnknownComponent,
        Denial::RunEnded { .. } => ProblemCode::RunEnded,
        Denial::Machine(_) | Denial::Leaving { .. } | Denial::Held { .. } => ProblemCode::Denied,
        Denial::ShuttingDown => ProblemCode::ShuttingDown,
        Denial::NotForComponents(_) => ProblemCode::BadRequest,
    };
    let nearest = match denial {
        Denial::Unknown { nearest, .. } => nearest.clone(),
        _ => None,
    };
    Problem::new(code, denial.to_string()).nearest(nearest)
}

fn invalid(error: &LoadError) -> Problem {
    match error {
        LoadError::Invalid(diagnostics) => {
            let summary = diagnostics.summary();
            let text = format!(
                "cannot use the registry: {}; the running one stays in force",
                summary.unwrap_or_else(|| "it is wrong".to_owned())
            );
            Problem::new(ProblemCode::RegistryInvalid, text)
                .diagnostics(diagnostics.render(false, 100))
        }
        other => Problem::new(ProblemCode::RegistryInvalid, other.to_string()),
    }
}
