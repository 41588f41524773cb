//! A stand-in for the engine: answers the handle's messages as the test says.

use std::{collections::BTreeMap, fs::File, io::Write as _};

use s7supervisor::{
    events::EventLog,
    logs::{self, LogThread, Logs},
    model::{ComponentId, OperationId, RunId},
    registry::Component,
    runtime::{Handle, HistoryRange, LogSources, Message, Request, Targets},
    updates::Updates,
    wire::{
        Acceptance, Access, ComponentDetails, ComponentState, ComponentStatus, ContainmentLevel,
        EventKind, EventRecord, Explanation, Health, History, Hold, HoldReport, Intent, Operation,
        OperationState, Outcome, Problem, ProblemCode, Progress, Readiness, ReloadReport, Snapshot,
        Status, SupervisorStatus, Update, UpgradeReport, Verb,
    },
};
use tokio::sync::{mpsc, oneshot};

/// The run of every component.
pub const RUN: u64 = 7;

/// The test's end of the stand-in.
pub struct Engine {
    orders: mpsc::UnboundedSender<Order>,
    seen: mpsc::UnboundedReceiver<Seen>,
    pub updates: Updates,
    pub events: EventLog,
    logs: Logs,
    // Before its folder goes.
    _log_thread: LogThread,
    folder: tempfile::TempDir,
}

/// What changed something.
#[derive(Debug)]
pub enum Seen {
    Command(Request),
    Reload {
        dry_run: bool,
    },
    Shutdown {
        restart: bool,
        origin: String,
    },
    Reopen,
    /// Somebody waits for this operation.
    Waiting,
}

enum Order {
    Finish(u64),
    Stall(oneshot::Receiver<()>),
    Ready(bool),
    Describe(String),
}

struct State {
    seen: mpsc::UnboundedSender<Seen>,
    waiting: Vec<(OperationId, oneshot::Sender<Result<Operation, Problem>>)>,
    finished: Vec<u64>,
    operations: u64,
    ready: bool,
    description: String,
    updates: Updates,
    events: EventLog,
    logs: Logs,
}

impl Engine {
    pub fn start() -> (Self, Handle) {
        let (handle, mut messages) = Handle::channel();
        let (orders, mut given) = mpsc::unbounded_channel();
        let (report, seen) = mpsc::unbounded_channel();
        let folder = tempfile::tempdir().expect("a folder for events and logs");
        let options = logs::Options::new(Box::new(|_notice| Ok(())));
        let (logs, log_thread) = Logs::start(options).expect("a log thread");
        let mut state = State {
            seen: report,
            waiting: Vec::new(),
            finished: Vec::new(),
            operations: 0,
            ready: true,
            description: "Image Server".into(),
            updates: handle.updates().clone(),
            events: EventLog::open(&folder.path().join("Supervisor.log")).0,
            logs: logs.clone(),
        };
        let (updates, events) = (state.updates.clone(), state.events.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    // Orders first: what a test has ordered counts for what it asks afterwards.
                    biased;
                    Some(order) = given.recv() => state.obey(order).await,
                    Some(message) = messages.recv() => state.answer(message),
                    else => break,
                }
            }
        });
        (Self { orders, seen, updates, events, logs, _log_thread: log_thread, folder }, handle)
    }

    /// A component writes to its standard output.
    pub fn writes(&self, id: &str, text: &str) {
        let id = ComponentId::new(id).expect("an id");
        let output = Component::new(id.clone(), "/bin/true").output;
        let log = self.folder.path().join(&output.log);
        let output = s7supervisor::registry::Output {
            log,
            ..s7supervisor::registry::Output::clone(&output)
        };
        let pipes = self.folder.path().join("pipes");
        let streams =
            self.logs.open(&id, &std::sync::Arc::new(output), &pipes, None).expect("pipes");
        File::from(streams.stdout).write_all(text.as_bytes()).expect("written");
        assert!(self.logs.sync(crate::served::BOUND));
    }

    /// A run of a component begins.
    pub fn begins(&self, id: &str) {
        let id = ComponentId::new(id).expect("an id");
        self.logs.started(&id, RunId(RUN), 812);
        assert!(self.logs.sync(crate::served::BOUND));
    }

    /// A trace log begins to be written.
    pub fn traces(&self, trace: &logs::trace::Trace) {
        trace.attach(&self.logs, &self.folder.path().join("Supervisor.log"), 1);
    }

    /// Waits until everything that was told is there to be read.
    pub fn sync(&self, patience: std::time::Duration) -> bool {
        self.logs.sync(patience)
    }

    /// Ends every stream, as the engine's end does.
    pub fn close(&self) {
        self.updates.close();
    }

    /// Something happens: an event in the log and on the stream.
    pub fn happens(&self, component: &str, text: &str) {
        let event = self.events.append(EventRecord {
            seq: 0,
            at: "2026-11-27T12:00:00.000Z".into(),
            component: Some(component.into()),
            run: Some(RUN),
            kind: EventKind::Running,
            text: text.into(),
            origin: None,
        });
        self.updates.publish(Update::Event { event: (*event).clone() });
    }

    /// Ends an operation, whoever waits for it.
    pub fn finish(&self, operation: u64) {
        self.order(Order::Finish(operation));
    }

    /// Answers nothing until the returned value is dropped.
    pub fn stall(&self) -> oneshot::Sender<()> {
        let (resume, stalled) = oneshot::channel();
        self.order(Order::Stall(stalled));
        resume
    }

    pub fn ready(&self, ready: bool) {
        self.order(Order::Ready(ready));
    }

    pub fn describe(&self, description: String) {
        self.order(Order::Describe(description));
    }

    /// The next thing that changed something.
    pub async fn seen(&mut self) -> Seen {
        self.seen.recv().await.expect("the stand-in lives as long as the test")
    }

    pub async fn command(&mut self) -> Request {
        match self.seen().await {
            Seen::Command(request) => request,
            other => panic!("expected a command, saw {other:?}"),
        }
    }

    /// Whether nothing has changed anything so far.
    pub fn untouched(&mut self) -> bool {
        self.seen.try_recv().is_err()
    }

    fn order(&self, order: Order) {
        assert!(self.orders.send(order).is_ok(), "the stand-in lives as long as the test");
    }
}

impl State {
    async fn obey(&mut self, order: Order) {
        match order {
            Order::Finish(id) => {
                self.finished.push(id);
                for (waited, reply) in std::mem::take(&mut self.waiting) {
                    if waited.0 == id {
                        let _ = reply.send(Ok(self.operation(id)));
                    } else {
                        self.waiting.push((waited, reply));
                    }
                }
            }
            Order::Stall(stalled) => {
                let _ = stalled.await;
            }
            Order::Ready(ready) => self.ready = ready,
            Order::Describe(description) => self.description = description,
        }
    }

    fn answer(&mut self, message: Message) {
        // A caller that went away misses its answer, nothing else.
        match message {
            Message::Command { request, reply } => {
                let answer = self.command(&request);
                let _ = self.seen.send(Seen::Command(request));
                let _ = reply.send(answer);
            }
            Message::Status { reply } => {
                let _ = reply.send(Ok(self.status()));
            }
            Message::Component { id, reply } => {
                let _ = reply.send(known(&id).map(|()| component(&id, &self.description)));
            }
            Message::Explain { id, reply } => {
                let _ = reply.send(known(&id).map(|()| explanation(&id, &self.description)));
            }
            Message::Metrics { reply, .. } => drop(reply.send(Ok("# the engine's\n".to_owned()))),
            Message::History { id, range, reply } => {
                let _ = reply.send(known(&id).map(|()| history(&id, range)));
            }
            Message::Details { id, reply } => {
                let details = |()| ComponentDetails { id: id.clone(), ..Default::default() };
                let _ = reply.send(known(&id).map(details));
            }
            Message::Operation { id, reply } => {
                let _ = reply.send(self.known_operation(id.0));
            }
            Message::OperationEnd { id, reply } => {
                let _ = self.seen.send(Seen::Waiting);
                match self.known_operation(id.0) {
                    Ok(operation) if operation.state == OperationState::Pending => {
                        self.waiting.push((id, reply));
                    }
                    answer => {
                        let _ = reply.send(answer);
                    }
                }
            }
            Message::Reload { dry_run, origin: _, reply } => {
                let _ = self.seen.send(Seen::Reload { dry_run });
                let operation = (!dry_run).then(|| self.new_operation());
                let report = ReloadReport { generation: 2, operation, ..ReloadReport::default() };
                let _ = reply.send(Ok(report));
            }
            Message::Upgrade { binary, reply, .. } => drop(reply.send(Ok(upgraded(binary)))),
            Message::Shutdown { restart, origin, reply } => {
                let _ = self.seen.send(Seen::Shutdown { restart, origin: origin.to_string() });
                let _ = reply.send(Ok(Acceptance::Applied { operation: self.new_operation() }));
            }
            Message::Hold { id, until, reason, origin, reply } => {
                let report = |hold| HoldReport {
                    id: id.clone(),
                    hold: Some(hold),
                    before: None,
                    state: ComponentState::Running,
                    warning: None,
                };
                let hold = Hold {
                    by: origin.to_string(),
                    reason,
                    since: "2026-11-27T12:00:00Z".to_owned(),
                    until: until.map(|until| until.to_string()),
                };
                let _ = reply.send(known(&id).map(|()| report(hold)));
            }
            Message::Release { id, origin: _, reply } => {
                let state = ComponentState::Running;
                let report =
                    HoldReport { id: id.clone(), hold: None, before: None, state, warning: None };
                let _ = reply.send(known(&id).map(|()| report));
            }
            Message::Readiness { reply } => {
                let not_ready = if self.ready { vec![] } else { vec!["ps".to_owned()] };
                let _ = reply.send(Ok(Readiness { ready: self.ready, not_ready }));
            }
            Message::Logs { ids, reply } => {
                let _ = reply.send(self.log_sources(ids));
            }
            Message::ReopenLogs { origin: _, reply } => {
                let _ = self.seen.send(Seen::Reopen);
                let _ = reply.send(Ok(()));
            }
            Message::Watch { after, reply } => {
                self.updates.wake();
                let _ = reply.send(Ok(self.updates.read(after)));
            }
            Message::Snapshot { reply } => {
                let snapshot = Snapshot {
                    host: "img-test".into(),
                    access: Access::Full,
                    status: self.status(),
                    dependencies: BTreeMap::new(),
                    events: self.events.recent(),
                };
                let _ = reply.send(Ok((self.updates.last(), snapshot)));
            }
            Message::Events { reply } => {
                let _ = reply.send(Ok(self.events.clone()));
            }
        }
    }

    fn log_sources(&self, ids: Vec<String>) -> Result<LogSources, Problem> {
        let all = || ["is", "ps", "svg"].map(str::to_owned).to_vec();
        let ids = if ids.is_empty() { all() } else { ids };
        let component = |id: &String| {
            known(id)?;
            let id = ComponentId::new(id).expect("an id");
            Ok((id.clone(), format!("logs/{id}.log").into()))
        };
        let components = ids.iter().map(component).collect::<Result<_, Problem>>()?;
        Ok(LogSources { logs: self.logs.clone(), components })
    }

    /// `ps` is running already, `svg` may not be stopped; everything else is applied.
    fn command(&mut self, request: &Request) -> Result<Acceptance, Problem> {
        if let Targets::Ids(ids) = &request.targets {
            ids.iter().try_for_each(|id| known(id))?;
            match (request.verb, ids.as_slice()) {
                (Verb::Start, [id]) if id == "ps" => {
                    return Ok(Acceptance::Redundant { operation: None });
                }
                (Verb::Stop, [id]) if id == "svg" => {
                    return Err(Problem::new(ProblemCode::Denied, "svg is held by root"));
                }
                _ => {}
            }
        }
        if request.if_run.is_some_and(|run| run.0 != RUN) {
            return Err(Problem::new(ProblemCode::RunEnded, "that run has ended"));
        }
        Ok(Acceptance::Applied { operation: self.new_operation() })
    }

    fn new_operation(&mut self) -> u64 {
        self.operations += 1;
        self.operations
    }

    fn known_operation(&self, id: u64) -> Result<Operation, Problem> {
        if (1..=self.operations).contains(&id) {
            Ok(self.operation(id))
        } else {
            Err(Problem::new(ProblemCode::UnknownOperation, format!("there is no operation {id}")))
        }
    }

    fn operation(&self, id: u64) -> Operation {
        let done = self.finished.contains(&id);
        Operation {
            id,
            verb: Verb::Restart,
            origin: "root (test)".into(),
            state: if done { OperationState::Done } else { OperationState::Pending },
            age_s: 0.5,
            components: vec![Progress {
                id: "is".into(),
                outcome: if done { Outcome::Done } else { Outcome::Pending },
                state: ComponentState::Running,
                pid: Some(100),
                detail: None,
            }],
        }
    }

    fn status(&self) -> Status {
        Status {
            supervisor: SupervisorStatus {
                guardian_pid: None,
                guardian: None,
                pid: 1,
                version: "0.1.0".into(),
                uptime_s: 60.0,
                registry: "/conf/SupervisorRegistry.xml".into(),
                generation: 1,
                upgrades: 0,
                cpu_percent: 0.5,
                memory_bytes: 1 << 20,
                containment: ContainmentLevel::Cgroup,
                shutting_down: false,
            },
            components: ["is", "ps", "svg"].map(|id| component(id, &self.description)).into(),
        }
    }
}

fn history(id: &str, range: HistoryRange) -> History {
    let step_s = range.step.map_or(30.0, |step| step.as_secs_f64());
    let from = range.from.map(|from| from.to_string()).unwrap_or_default();
    History { id: id.into(), from, step_s, points: Vec::new() }
}

fn known(id: &str) -> Result<(), Problem> {
    match id {
        "is" | "ps" | "svg" => Ok(()),
        _ => Err(Problem::new(ProblemCode::UnknownComponent, format!("there is no \"{id}\""))
            .nearest(Some("is".into()))),
    }
}

fn component(id: &str, description: &str) -> ComponentStatus {
    ComponentStatus {
        id: id.into(),
        description: description.into(),
        state: ComponentState::Running,
        health: Health::Ok,
        health_detail: None,
        pid: Some(100),
        run: Some(RUN),
        uptime_s: Some(59.5),
        cpu_percent: Some(1.5),
        memory_bytes: Some(1 << 20),
        processes: 1,
        restarts: 0,
        restarts_asked: 0,
        last_exit: None,
        intent: Intent::Running,
        waiting_for: None,
        next_attempt_s: None,
        attempt: 0,
        enabled: true,
        hold: None,
        reason: None,
    }
}

fn explanation(id: &str, description: &str) -> Explanation {
    Explanation {
        status: component(id, description),
        summary: "running".into(),
        intent: "running".into(),
        blocker: None,
        attempt: 0,
        max_restarts: None,
        window_s: 60.0,
        next_attempt_s: None,
        exits: vec![],
        last_lines: vec![],
        advice: vec![],
        dossiers: vec![],
    }
}

fn upgraded(binary: Option<std::path::PathBuf>) -> UpgradeReport {
    let binary = binary.unwrap_or_else(|| "/usr/bin/s7supervisor".into());
    UpgradeReport {
        from: "1.0.0".to_owned(),
        to: "1.0.1".to_owned(),
        binary: binary.display().to_string(),
        pid: 812,
        upgrades: 0,
    }
}
