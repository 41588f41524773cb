//! The simulated world: it makes processes, lets them end, and tells the supervisor.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    machine::Process,
    model::{ComponentId, Exit, Moment, OperationId, Origin, RunId, Shared, Via},
    registry::{Check, Component, Config, Leftovers, Probe, Registry, TraceLevel},
    supervisor::{
        Answer, Command, ComponentView, Effect, Fact, Hold, Inherited, OperationView, Selection,
        Supervisor, Transition, Until,
    },
    wire::{ComponentState, OperationState, Outcome, Verb},
};

pub const KILLED: Exit = Exit::Signal { signal: 9, core: false };

/// How the processes of a component behave.
#[derive(Debug, Clone)]
pub struct Habit {
    /// How long a spawn takes; none: it is not answered until [`Sim::spawned`].
    pub spawn: Option<Duration>,
    pub spawn_error: Option<&'static str>,
    /// It ends by itself so long after its start.
    pub exit: Option<(Duration, Exit)>,
    /// Its readiness check passes so long after its start.
    pub ready: Option<Duration>,
    /// From the polite request to its end; none: it does not listen.
    pub stop: Option<Duration>,
    /// From the kill to its end; none: it does not go away.
    pub kill: Option<Duration>,
    /// How long it takes to write down what it is doing; none: that hangs.
    pub evidence: Option<Duration>,
    /// Something of its tree outlives the leader by so much, unless it is killed.
    pub orphan: Option<Duration>,
}

impl Default for Habit {
    fn default() -> Self {
        Self {
            spawn: Some(Duration::ZERO),
            spawn_error: None,
            exit: None,
            ready: Some(Duration::ZERO),
            stop: Some(Duration::from_millis(10)),
            kill: Some(Duration::from_millis(1)),
            evidence: Some(Duration::ZERO),
            orphan: None,
        }
    }
}

#[derive(Debug)]
struct Tree {
    id: ComponentId,
    /// None while the process is being made.
    process: Option<Process>,
    leader_dead: bool,
    habit: Habit,
}

#[derive(Debug, Clone, Copy)]
enum Due {
    Spawn(RunId),
    SpawnFails(RunId, &'static str),
    Ready(RunId),
    LeaderEnds(RunId, Exit),
    OrphansEnd(RunId),
    Killed(RunId),
    Evidence(RunId),
}

pub struct Sim {
    pub supervisor: Supervisor,
    pub now: Moment,
    pub registry: Registry,
    habits: BTreeMap<String, Habit>,
    trees: BTreeMap<RunId, Tree>,
    due: BTreeMap<(Moment, u64), Due>,
    sequence: u64,
    /// Every change of state, as "ps: waiting -> starting".
    pub transitions: Vec<Transition>,
    /// Every order to make a process, with its moment.
    pub spawns: Vec<(Moment, String)>,
    /// The effects of the last input.
    pub effects: Vec<Effect>,
    pub ended: BTreeSet<OperationId>,
    pub all_gone: Option<Vec<ComponentId>>,
    killed: bool,
    pub answer: Option<Answer>,
    /// Compare the indexes with the entries after each input.
    pub checked: bool,
    pub inputs: u64,
}

pub fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("a good id")
}

pub fn operator() -> Origin {
    Origin { via: Via::InProcess, client: Some("cli".into()), ssh: None }
}

pub fn probe() -> Shared<Probe> {
    Shared::from(Probe {
        check: Check::Tcp { host: "localhost".into(), port: 1 },
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        failures: 3,
        successes: 1,
        start_period: Duration::ZERO,
        jitter: Probe::JITTER,
    })
}

pub trait Seconds {
    fn secs(self) -> Duration;
    fn millis(self) -> Duration;
}

impl Seconds for u64 {
    fn secs(self) -> Duration {
        Duration::from_secs(self)
    }

    fn millis(self) -> Duration {
        Duration::from_millis(self)
    }
}

/// A registry from a line: `is:1 ps:2<is,svg` is `is` with priority 1, and `ps` with priority 2
/// that depends on `is` and `svg`.
pub fn registry(line: &str) -> Registry {
    let component = |word: &str| {
        let (head, dependencies) = word.split_once('<').unwrap_or((word, ""));
        let (name, priority) = head.split_once(':').unwrap_or((head, "1"));
        let mut component = Component::new(id(name), "/bin/true");
        component.start_priority = priority.parse().expect("a number after the colon");
        component.depends_on =
            dependencies.split(',').filter(|one| !one.is_empty()).map(id).collect();
        component
    };
    Registry {
        file: "SupervisorRegistry.xml".into(),
        install_folder: "/opt".into(),
        config: Config {
            tcp_port: None,
            log: "logs/Supervisor.log".into(),
            temp: "temp".into(),
            trace_level: TraceLevel(2),
            trace_stats_interval: None,
            keep_days: 14,
            control_group: None,
            starts_per_minute: None,
            leftovers: Leftovers::Adopt,
            notify: Vec::new(),
        },
        components: line.split_whitespace().map(component).map(Shared::from).collect(),
    }
}

impl Sim {
    pub fn new(line: &str) -> Self {
        Self::with(line, |_| {})
    }

    /// With changes to the registry before anything begins.
    pub fn with(line: &str, edit: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = registry(line);
        edit(&mut registry);
        Self::over(registry, 1)
    }

    pub fn over(registry: Registry, seed: u64) -> Self {
        Self {
            supervisor: Supervisor::new(&Arc::new(registry.clone()), RunId(1), seed),
            now: Moment::from_boot(Duration::from_secs(1000)),
            registry,
            habits: BTreeMap::new(),
            trees: BTreeMap::new(),
            due: BTreeMap::new(),
            sequence: 0,
            transitions: Vec::new(),
            spawns: Vec::new(),
            effects: Vec::new(),
            ended: BTreeSet::new(),
            all_gone: None,
            killed: false,
            answer: None,
            checked: true,
            inputs: 0,
        }
    }

    pub fn habit(&mut self, id: &str, edit: impl FnOnce(&mut Habit)) -> &mut Self {
        edit(self.habits.entry(id.to_owned()).or_default());
        self
    }

    // ---- inputs ---------------------------------------------------------------------------

    pub fn boot(&mut self) -> &mut Self {
        self.boot_without(&[])
    }

    pub fn boot_without(&mut self, stopped_by_hand: &[&str]) -> &mut Self {
        let stopped = stopped_by_hand.iter().map(|name| id(name)).collect();
        let mut effects = Vec::new();
        let operation = self.supervisor.boot(self.now, &stopped, &mut effects);
        assert_eq!(operation, OperationId(1));
        self.answer = Some(Answer::Applied(operation));
        self.turn(effects)
    }

    /// Before [`boot`](Self::boot). The runs have no tree here: the test tells their ends.
    pub fn adopt(&mut self, inherited: Vec<Inherited>) -> Vec<Inherited> {
        let mut effects = Vec::new();
        let refused = self.supervisor.adopt(self.now, inherited, &mut effects);
        self.turn(effects);
        refused
    }

    /// The end of an adopted run.
    pub fn exit_unknown(&mut self, run: RunId) -> &mut Self {
        self.tell(Fact::Exited { run, exit: Exit::Unknown, oom: false, tree_gone: true })
    }

    /// Whether a kill was asked for since this was called last.
    pub fn kills_asked(&mut self) -> bool {
        std::mem::take(&mut self.killed)
    }

    pub fn start(&mut self, ids: &str) -> &mut Self {
        self.command(Verb::Start, ids, None)
    }

    pub fn stop(&mut self, ids: &str) -> &mut Self {
        self.command(Verb::Stop, ids, None)
    }

    pub fn restart(&mut self, ids: &str) -> &mut Self {
        self.command(Verb::Restart, ids, None)
    }

    pub fn kill(&mut self, ids: &str) -> &mut Self {
        self.command(Verb::Kill, ids, None)
    }

    /// `ids` is "all", or ids with blanks between.
    pub fn command(&mut self, verb: Verb, ids: &str, if_run: Option<RunId>) -> &mut Self {
        let selection = match ids {
            "all" => Selection::All,
            ids => Selection::Ids(ids.split_whitespace().map(ToOwned::to_owned).collect()),
        };
        let command = Command { verb, selection, if_run, origin: operator() };
        let mut effects = Vec::new();
        self.answer = Some(self.supervisor.command(self.now, command, &mut effects));
        self.turn(effects)
    }

    /// Holds a component; for so long, or until it is released.
    pub fn hold(&mut self, id: &str, lasting: Option<Duration>) -> &mut Self {
        let until = lasting.map(|lasting| Until {
            at: self.now.after(lasting),
            time: "2026-11-27T14:30:00Z".to_owned(),
        });
        let (by, reason) = (operator().to_string(), Some("disk swap".to_owned()));
        let hold = Hold { by, reason, since: "2026-11-27T12:00:00Z".to_owned(), until };
        let mut effects = Vec::new();
        self.supervisor.hold(self.now, id, hold, &mut effects).expect("a component to hold");
        self.turn(effects)
    }

    pub fn release(&mut self, id: &str) -> &mut Self {
        let mut effects = Vec::new();
        let released = self.supervisor.release(self.now, id, &operator(), &mut effects);
        released.expect("a component to release");
        self.turn(effects)
    }

    pub fn reload(&mut self, registry: Registry) -> &mut Self {
        let mut effects = Vec::new();
        let new = Arc::new(registry.clone());
        self.registry = registry;
        let (_, operation) = self.supervisor.reload(self.now, &new, &operator(), &mut effects);
        self.answer = Some(match operation {
            Some(operation) => Answer::Applied(operation),
            None => Answer::Redundant(None),
        });
        self.turn(effects)
    }

    pub fn shut_down(&mut self, kill: bool) -> &mut Self {
        self.end_all(false, kill)
    }

    /// Everything and the Supervisor are to start anew.
    pub fn restart_all(&mut self) -> &mut Self {
        self.end_all(true, false)
    }

    fn end_all(&mut self, restart: bool, kill: bool) -> &mut Self {
        let mut effects = Vec::new();
        let operation =
            self.supervisor.shut_down(self.now, restart, kill, &operator(), &mut effects);
        self.answer = Some(Answer::Applied(operation));
        self.turn(effects)
    }

    pub fn tell(&mut self, fact: Fact) -> &mut Self {
        let mut effects = Vec::new();
        self.supervisor.handle(self.now, fact, &mut effects);
        self.turn(effects)
    }

    /// The leader of a component's tree ends now.
    pub fn exit(&mut self, id: &str, code: i32) -> &mut Self {
        let run = self.run(id);
        self.leader_ends(run, Exit::Code(code));
        self
    }

    /// The spawn that is under way comes to its end.
    pub fn spawned(&mut self, id: &str) -> &mut Self {
        let run = self.run(id);
        self.make(run);
        self
    }

    pub fn unhealthy(&mut self, id: &str) -> &mut Self {
        let run = self.run(id);
        self.tell(Fact::Unhealthy { run, why: "no answer on port 8080".into() })
    }

    /// A killed tree that did not go away does so at last.
    pub fn vanish(&mut self, id: &str) -> &mut Self {
        let run = self.run(id);
        self.end_tree(run);
        self
    }

    pub fn advance(&mut self, duration: Duration) -> &mut Self {
        let end = self.now.after(duration);
        while self.happen_next(end) {}
        self.now = end;
        self
    }

    /// Lets the next thing happen that is due until `end`.
    pub fn happen_next(&mut self, end: Moment) -> bool {
        let world = self.due.keys().next().map(|&(at, _)| at);
        let own = self.supervisor.next_deadline();
        match (world, own) {
            (Some(at), own) if at <= end && own.is_none_or(|own| at <= own) => {
                self.now = self.now.max(at);
                let ((_, _), due) = self.due.pop_first().expect("it has a first one");
                self.happen(due);
                true
            }
            (_, Some(at)) if at <= end => {
                self.now = self.now.max(at);
                let mut effects = Vec::new();
                self.supervisor.deadline_reached(self.now, &mut effects);
                let next = self.supervisor.next_deadline();
                assert!(
                    next.is_none_or(|next| next > self.now),
                    "due again: the driver would spin"
                );
                self.turn(effects);
                true
            }
            _ => false,
        }
    }

    // ---- the world ------------------------------------------------------------------------

    fn turn(&mut self, effects: Vec<Effect>) -> &mut Self {
        self.inputs += 1;
        if self.checked {
            self.supervisor.assert_consistent();
        }
        for effect in &effects {
            self.perform(effect);
        }
        self.effects = effects;
        self
    }

    fn perform(&mut self, effect: &Effect) {
        match effect {
            Effect::Spawn { id, run } => {
                if self.checked {
                    let other = self.trees.iter().find(|(_, tree)| tree.id == *id);
                    assert!(other.is_none(), "{id} is doubled: {other:?} lives beside run {run}");
                }
                self.spawns.push((self.now, id.to_string()));
                let habit = self.habits.get(id.as_str()).cloned().unwrap_or_default();
                if let Some(after) = habit.spawn {
                    let due = match habit.spawn_error {
                        Some(error) => Due::SpawnFails(*run, error),
                        None => Due::Spawn(*run),
                    };
                    self.plan(after, due);
                }
                let tree = Tree { id: id.clone(), process: None, leader_dead: false, habit };
                self.trees.insert(*run, tree);
            }
            Effect::RequestStop { run, .. } => {
                // Adopted runs have none.
                let after = self.trees.get(run).and_then(|tree| tree.habit.stop);
                self.plan_if(after, Due::LeaderEnds(*run, Exit::Code(0)));
            }
            Effect::KillTree { run } => {
                self.killed = true;
                let after = self.trees.get(run).and_then(|tree| tree.habit.kill);
                self.plan_if(after, Due::Killed(*run));
            }
            Effect::Transition(transition) => self.transitions.push(transition.clone()),
            Effect::OperationEnded { id } => {
                assert!(self.ended.insert(*id), "operation {id} ends twice");
            }
            Effect::AllGone { left, .. } => {
                assert!(self.all_gone.is_none(), "all are gone twice");
                self.all_gone = Some(left.clone());
            }
            Effect::GatherEvidence { run, .. } => {
                let tree = self.trees.get(run).expect("evidence is taken of what lives");
                let after = tree.habit.evidence;
                self.plan_if(after, Due::Evidence(*run));
            }
            Effect::RequestOrphansStop { .. }
            | Effect::Crashed { .. }
            | Effect::StartProbes { .. }
            | Effect::StopProbes { .. }
            | Effect::Asked { .. }
            | Effect::HoldChanged { .. }
            | Effect::Reconfigured { .. }
            | Effect::Removed { .. } => {}
        }
    }

    fn plan(&mut self, after: Duration, due: Due) {
        self.sequence += 1;
        self.due.insert((self.now.after(after), self.sequence), due);
    }

    fn plan_if(&mut self, after: Option<Duration>, due: Due) {
        if let Some(after) = after {
            self.plan(after, due);
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Spawn(run) => self.make(run),
            Due::SpawnFails(run, error) => {
                if self.trees.get(&run).is_none_or(|tree| tree.process.is_some()) {
                    return;
                }
                self.trees.remove(&run);
                self.tell(Fact::SpawnFailed { run, error: error.into() });
            }
            Due::Ready(run) if self.trees.get(&run).is_some_and(|tree| !tree.leader_dead) => {
                self.tell(Fact::Ready { run });
            }
            Due::Ready(_) => {}
            Due::LeaderEnds(run, exit) => self.leader_ends(run, exit),
            Due::OrphansEnd(run) => self.end_tree(run),
            Due::Evidence(run) => {
                self.tell(Fact::EvidenceGathered { run });
            }
            Due::Killed(run) => {
                if self.trees.get(&run).is_some_and(|tree| tree.process.is_some()) {
                    self.end_tree(run);
                }
            }
        }
    }

    fn make(&mut self, run: RunId) {
        let pid = 1000 + u32::try_from(run.0).expect("few runs");
        let process = Process { pid, started: self.now };
        let Some(tree) = self.trees.get_mut(&run) else { return };
        if tree.process.is_some() {
            return;
        }
        tree.process = Some(process);
        let habit = tree.habit.clone();
        let probed = self.supervisor.config(&tree.id).is_some_and(|config| config.ready.is_some());
        self.plan_if(
            habit.exit.map(|(after, _)| after),
            Due::LeaderEnds(run, habit.exit.map_or(KILLED, |(_, exit)| exit)),
        );
        if probed {
            self.plan_if(habit.ready, Due::Ready(run));
        }
        self.tell(Fact::Spawned { run, process });
    }

    fn leader_ends(&mut self, run: RunId, exit: Exit) {
        let Some(tree) = self.trees.get_mut(&run) else { return };
        if tree.leader_dead || tree.process.is_none() {
            return;
        }
        tree.leader_dead = true;
        let orphan = tree.habit.orphan;
        match orphan {
            Some(after) => self.plan(after, Due::OrphansEnd(run)),
            None => drop(self.trees.remove(&run)),
        }
        self.tell(Fact::Exited { run, exit, oom: false, tree_gone: orphan.is_none() });
    }

    fn end_tree(&mut self, run: RunId) {
        let Some(tree) = self.trees.remove(&run) else { return };
        if tree.leader_dead {
            self.tell(Fact::TreeGone { run });
        } else {
            self.tell(Fact::Exited { run, exit: KILLED, oom: false, tree_gone: true });
        }
    }

    /// A tree whose end the test tells itself.
    pub fn forget_tree(&mut self, run: RunId) {
        self.trees.remove(&run);
    }

    /// Runs whose tree lives, or is being made.
    pub fn living(&self) -> Vec<RunId> {
        self.trees.keys().copied().collect()
    }

    // ---- questions ------------------------------------------------------------------------

    pub fn view(&self, id: &str) -> ComponentView {
        self.supervisor.component(id).expect("a component of the registry")
    }

    pub fn run(&self, id: &str) -> RunId {
        let slot = self.supervisor.find(id).expect("a component of the registry");
        self.supervisor.entry(slot).machine.state().run().expect("it has a run")
    }

    #[track_caller]
    pub fn expect(&mut self, id: &str, state: ComponentState) -> &mut Self {
        let view = self.view(id);
        assert_eq!(view.state, state, "{id}: {view:?}");
        self
    }

    #[track_caller]
    pub fn expect_all(&mut self, state: ComponentState) -> &mut Self {
        for view in self.supervisor.snapshot() {
            assert_eq!(view.state, state, "{view:?}");
        }
        self
    }

    #[track_caller]
    pub fn operation(&self) -> OperationId {
        match self.answer.clone().expect("a command was given") {
            Answer::Applied(id) | Answer::Redundant(Some(id)) => id,
            other => panic!("no operation came of it: {other:?}"),
        }
    }

    pub fn operation_view(&self, id: OperationId) -> OperationView {
        self.supervisor.operation(id).expect("an operation that was not forgotten")
    }

    #[track_caller]
    pub fn expect_operation(&self, id: OperationId, state: OperationState) {
        let view = self.operation_view(id);
        assert_eq!(view.state, state, "{view:#?}");
        let ended = state != OperationState::Pending;
        assert_eq!(self.ended.contains(&id), ended, "its end is told when it comes");
    }

    /// How one component fared in an operation, and the words for it.
    pub fn outcome(&self, operation: OperationId, id: &str) -> (Outcome, String) {
        let view = self.operation_view(operation);
        let target = view.targets.iter().find(|target| &*target.id == id);
        let target = target.expect("a target of the operation");
        (target.outcome, target.detail.clone().unwrap_or_default())
    }

    #[track_caller]
    pub fn denial(&self) -> String {
        match &self.answer {
            Some(Answer::Denied(denial)) => denial.to_string(),
            other => panic!("it was not denied: {other:?}"),
        }
    }

    /// The names of those that were started since the last call, in order.
    pub fn started(&mut self) -> Vec<String> {
        self.spawns.drain(..).map(|(_, id)| id).collect()
    }

    /// The components that came into `state`, in order.
    pub fn came_into(&self, state: ComponentState) -> Vec<String> {
        let came = self.transitions.iter().filter(|one| one.to == state);
        came.map(|one| one.id.to_string()).collect()
    }
}
