//! Supervisors in the simulated machine, one after the other: each input with what follows from
//! it, as the driver does it, and the deaths in between.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Debug,
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;

use super::{
    kernel::{Kernel, News, Tree},
    memory::Memory,
    oracle::Oracle,
};
use crate::{
    machine::{Adoption, EndedMeanwhile},
    model::{ComponentId, Exit, Moment, OperationId, Origin, RunId, Via},
    registry::{Leftovers, Registry},
    supervisor::{
        Answer, Command, Denial, Effect, Fact, Hold, Inherited, Left, Selection, Supervisor,
    },
    wire::{ComponentState, Intent, Verb},
};

/// How many of the last lines are told when a promise is broken; `S7_LINES=n` tells more.
const LINES: usize = 40;

pub struct Life {
    pub supervisor: Supervisor,
    pub now: Moment,
    pub registry: Arc<Registry>,
    pub kernel: Kernel,
    pub memory: Memory,
    pub oracle: Oracle,
    /// Runs whose process this Supervisor knows, and whether it has reaped the leader (the
    /// driver's `running`).
    known: BTreeMap<RunId, bool>,
    /// News are taken several at a time: deadlines wait.
    pub busy: bool,
    /// The last facts, to be told again.
    pub old_news: VecDeque<Fact>,
    /// It is killed after so many more effects.
    pub dies_in: Option<u64>,
    /// The Supervisor has come to its end in order; `true`: and starts anew.
    pub ended: Option<bool>,
    /// Inputs taken.
    pub steps: u64,
    pub deaths: u64,
    /// The last steps in words, where somebody wants to read them.
    pub story: Option<VecDeque<String>>,
    lines: usize,
    seed: u64,
}

pub fn operator() -> Origin {
    Origin { via: Via::InProcess, client: Some("cli".into()), ssh: None }
}

impl Life {
    pub fn new(registry: Registry, seed: u64, told: bool) -> Self {
        let registry = Arc::new(registry);
        let supervisor = Supervisor::new(&registry, RunId(1), seed);
        let mut life = Self {
            oracle: Oracle::new(seed),
            supervisor,
            now: Moment::from_boot(Duration::from_secs(1000)),
            registry,
            kernel: Kernel::new(seed),
            memory: Memory::new(),
            known: BTreeMap::new(),
            busy: false,
            old_news: VecDeque::new(),
            dies_in: None,
            ended: None,
            steps: 0,
            deaths: 0,
            story: told.then(VecDeque::new),
            lines: super::number("S7_LINES").unwrap_or(LINES),
            seed,
        };
        life.oracle.begin(&life.supervisor, &life.memory, &[]);
        life
    }

    /// Notes what happens, for whoever reads the story of a failure.
    pub fn note(&mut self, what: &dyn Debug) {
        if let Some(story) = &mut self.story {
            if story.len() == self.lines {
                story.pop_front();
            }
            story.push_back(format!("{:>12.6} {what:?}", self.now.since_boot().as_secs_f64()));
        }
    }

    // ---- inputs ---------------------------------------------------------------------------

    /// One input: told to the oracle before and after, its effects performed. Tells whether the
    /// Supervisor still lives.
    fn input<T>(
        &mut self,
        what: &dyn Debug,
        call: impl FnOnce(&mut Supervisor, Moment, &mut Vec<Effect>) -> T,
    ) -> T {
        self.note(what);
        self.steps += 1;
        let mut effects = Vec::new();
        let result = call(&mut self.supervisor, self.now, &mut effects);
        if self.story.is_some() {
            for effect in &effects {
                self.note(&format_args!("    {effect:?}"));
            }
        }
        self.oracle.told(self.supervisor.take_changed());
        self.oracle.after(&self.supervisor, self.now, &effects, &self.registry, &self.kernel);
        for effect in &effects {
            match &mut self.dies_in {
                Some(0) => break,
                Some(left) => *left -= 1,
                None => {}
            }
            self.perform(effect);
        }
        result
    }

    pub fn boot(&mut self, stopped_by_hand: &BTreeSet<ComponentId>) {
        self.oracle.boots(&self.supervisor);
        self.input(&("boot", stopped_by_hand), |supervisor, now, effects| {
            supervisor.boot(now, stopped_by_hand, effects)
        });
    }

    pub fn command(&mut self, command: Command) -> Answer {
        let before = self.oracle.before_command(&self.supervisor, &command);
        let asked = command.clone();
        let answer = self.input(&command.clone(), |supervisor, now, effects| {
            supervisor.command(now, command, effects)
        });
        self.note(&answer);
        self.oracle.after_command(&self.supervisor, &before, &asked, &answer);
        answer
    }

    pub fn hold(&mut self, id: &ComponentId, hold: Hold) -> Result<Option<Hold>, Denial> {
        self.input(&("hold", id), |supervisor, now, effects| {
            supervisor.hold(now, id, hold, effects)
        })
    }

    pub fn release(&mut self, id: &ComponentId) -> Result<Option<Hold>, Denial> {
        self.input(&("release", id), |supervisor, now, effects| {
            supervisor.release(now, id, &operator(), effects)
        })
    }

    pub fn reload(&mut self, registry: Registry) {
        let new = Arc::new(registry);
        self.oracle.reloaded(&self.supervisor, &self.registry, &new);
        self.registry = Arc::clone(&new);
        self.input(&"reload", |supervisor, now, effects| {
            supervisor.reload(now, &new, &operator(), effects)
        });
    }

    pub fn shut_down(&mut self, restart: bool, kill: bool) -> OperationId {
        self.oracle.shut_down(&self.supervisor, restart, kill);
        self.input(&("shut down", restart, kill), |supervisor, now, effects| {
            supervisor.shut_down(now, restart, kill, &operator(), effects)
        })
    }

    pub fn fact(&mut self, fact: Fact) {
        if self.old_news.len() == 16 {
            self.old_news.pop_front();
        }
        self.old_news.push_back(fact.clone());
        self.tell(fact);
    }

    /// A fact that is told once.
    pub fn tell(&mut self, fact: Fact) {
        self.oracle.before_fact(&self.supervisor, &fact, self.now);
        self.input(&fact.clone(), |supervisor, now, effects| {
            supervisor.handle(now, fact, effects);
        });
        self.oracle.after_fact(&self.supervisor);
    }

    /// What the driver does after each input.
    pub fn tick(&mut self) {
        if self.is_dead() || self.supervisor.next_deadline().is_none_or(|at| at > self.now) {
            return;
        }
        self.input(&"deadline", |supervisor, now, effects| {
            supervisor.deadline_reached(now, effects);
        });
        let next = self.supervisor.next_deadline();
        assert!(next.is_none_or(|next| next > self.now), "due again: the driver would spin");
    }

    pub fn is_dead(&self) -> bool {
        self.dies_in == Some(0) || self.ended.is_some()
    }

    // ---- what follows, as the driver does it ----------------------------------------------

    fn perform(&mut self, effect: &Effect) {
        let now = self.now;
        match effect {
            Effect::Spawn { id, run } => {
                let config = self.supervisor.config(id).map(Arc::clone);
                let config = config.expect("what is started has a configuration");
                let (record, _) = self.supervisor.past(id).expect("what is started is there");
                self.memory.starting(id, *run, record);
                self.kernel.spawn(now, &config, *run);
            }
            Effect::RequestStop { run, .. } => {
                assert!(self.known.contains_key(run), "a stop is asked of what lives: {run}");
                self.kernel.request_stop(now, *run);
            }
            Effect::RequestOrphansStop { run } => self.kernel.request_others_stop(now, *run),
            Effect::KillTree { run } => {
                if self.known.contains_key(run) {
                    self.kernel.kill(now, *run);
                }
            }
            Effect::GatherEvidence { run, .. } => self.kernel.gather_evidence(now, *run),
            Effect::StartProbes { id, run, ready_already } => {
                self.start_probes(id, *run, *ready_already);
            }
            Effect::StopProbes { run } => self.kernel.stop_probes(now, *run),
            Effect::Reconfigured { id } => {
                use ComponentState::{Running, Starting};
                let view = self.supervisor.component(id).expect("it goes on");
                if let (Some(_), Some(run), Starting | Running) = (view.pid, view.run, view.state) {
                    self.kernel.stop_probes(now, run);
                    self.start_probes(id, run, view.state == Running);
                }
            }
            Effect::Transition(transition) => {
                if let Some((record, state)) = self.supervisor.past(&transition.id) {
                    self.memory.moved(&transition.id, record, state);
                }
            }
            Effect::Asked { verb, ids, .. } => {
                if self.supervisor.is_shutting_down() {
                    return;
                }
                for id in ids {
                    let wish = self.supervisor.component(id).map(|view| view.intent);
                    let stopped =
                        matches!(verb, Verb::Stop | Verb::Kill) && wish == Some(Intent::Stopped);
                    self.memory.stopped_by_hand(id, stopped);
                }
            }
            Effect::HoldChanged { id, change } => self.memory.hold_changed(id, change),
            Effect::Removed { id } => {
                self.memory.components.remove(id);
                self.memory.holds.remove(id);
            }
            Effect::AllGone { restart, .. } => self.ended = Some(*restart),
            Effect::Crashed { .. } | Effect::OperationEnded { .. } => {}
        }
    }

    fn start_probes(&mut self, id: &ComponentId, run: RunId, ready_already: bool) {
        let config = self.supervisor.config(id).map(Arc::clone).expect("what runs is known");
        self.kernel.start_probes(self.now, &config, run, ready_already);
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Born(run) => {
                let Some(tree) = self.kernel.trees.get(&run) else { return };
                let Some(process) = tree.process else { return };
                let (id, arguments) = (tree.id.clone(), tree.config.arguments.clone());
                self.memory.started(&id, run, process, &arguments);
                self.known.insert(run, false);
                self.kernel.watch_leader(self.now, run);
                self.fact(Fact::Spawned { run, process });
            }
            News::NotBorn(run, error) => {
                let id = self.supervisor.component_of(run).cloned();
                self.fact(Fact::SpawnFailed { run, error: error.to_owned() });
                self.gone(id, run);
            }
            News::Ended(run) if self.known.get(&run) == Some(&false) => {
                let Some(tree) = self.kernel.trees.get(&run) else { return };
                let Some((exit, oom)) = tree.leader else { return };
                let tree_gone = !tree.lives();
                let id = tree.id.clone();
                self.known.insert(run, true);
                self.memory.ended(&id, run, exit, oom);
                if tree_gone {
                    self.forget(run);
                } else {
                    self.kernel.watch_rest(self.now, run);
                }
                self.fact(Fact::Exited { run, exit, oom, tree_gone });
                self.gone(Some(id).filter(|_| tree_gone), run);
            }
            News::Empty(run) if self.known.get(&run) == Some(&true) => {
                if self.kernel.trees.get(&run).is_some_and(Tree::lives) {
                    return;
                }
                let id = self.kernel.trees.get(&run).map(|tree| tree.id.clone());
                self.forget(run);
                self.fact(Fact::TreeGone { run });
                self.gone(id, run);
            }
            News::Ended(_) | News::Empty(_) => {}
            News::Said(fact) => self.fact(fact),
        }
    }

    /// A whole tree is gone.
    fn forget(&mut self, run: RunId) {
        self.known.remove(&run);
        self.kernel.trees.remove(&run);
    }

    /// Nothing is left of a run, and what follows from that is written down.
    fn gone(&mut self, id: Option<ComponentId>, run: RunId) {
        if let Some(id) = id.filter(|_| !self.is_dead()) {
            self.memory.gone(&id, run);
        }
    }

    // ---- time -----------------------------------------------------------------------------

    /// Time passes, one thing after the other.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while !self.is_dead() && self.happen_next(end) {}
        if !self.is_dead() {
            self.now = self.now.max(end);
        }
    }

    /// The engine does not get to run for so long: whatever is due meanwhile comes late.
    pub fn stall(&mut self, duration: Duration) {
        self.note(&("the engine stands still", duration));
        self.now = self.now.after(duration);
    }

    fn happen_next(&mut self, end: Moment) -> bool {
        let (world, own) = (self.kernel.next(), self.supervisor.next_deadline());
        match (world, own) {
            (Some(at), own) if at <= end && own.is_none_or(|own| at <= own) => {
                self.now = self.now.max(at);
                if let Some(news) = self.kernel.happen(self.now) {
                    self.hear(news);
                    if !self.busy || self.kernel.next().is_none_or(|next| next > self.now) {
                        self.tick();
                    }
                }
                true
            }
            (_, Some(at)) if at <= end => {
                self.now = self.now.max(at);
                self.tick();
                true
            }
            _ => false,
        }
    }

    // ---- death and the next Supervisor ----------------------------------------------------

    /// The Supervisor is gone, killed or ended; some time later there is another one.
    pub fn go_on(&mut self, registry: Option<Registry>, rng: &mut Rng) {
        if self.ended.is_some() {
            Oracle::ended_in_order(&self.supervisor, &self.kernel);
            self.memory.close();
        }
        self.note(&("the Supervisor is gone", self.ended));
        self.deaths += 1;
        self.kernel.engine_died(self.now, rng);
        (self.dies_in, self.ended) = (None, None);
        let gap = if rng.bool() { rng.u64(..50) } else { rng.u64(..60_000) };
        self.only_the_world(Duration::from_millis(gap));
        if let Some(new) = registry {
            self.registry = Arc::new(new);
        }
        let inherited = self.end_leftovers(rng);
        self.be_born_again(&inherited);
    }

    /// Time passes with no Supervisor.
    fn only_the_world(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while let Some(at) = self.kernel.next().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            let _nobody_listens = self.kernel.happen(self.now);
        }
        self.now = self.now.max(end);
    }

    /// What the next Supervisor does before it starts anything: whom it takes over, and what it
    /// goes on with. The rest is ended, and if that does not go away, it does not start.
    fn end_leftovers(&mut self, rng: &mut Rng) -> Vec<Inherited> {
        loop {
            let inherited = self.inheritance(rng);
            let kept: BTreeSet<RunId> = inherited.iter().filter_map(living_run).collect();
            let others = self.kernel.trees.keys().filter(|run| !kept.contains(run));
            let others: Vec<RunId> = others.copied().collect();
            if others.is_empty() {
                return inherited;
            }
            for &run in &others {
                self.kernel.kill(self.now, run);
            }
            self.only_the_world(Duration::from_millis(rng.u64(..30_000)));
            for run in others {
                if self.kernel.trees.get(&run).is_some_and(|tree| !tree.lives()) {
                    self.kernel.trees.remove(&run);
                } else {
                    self.kernel.vanish(self.now, run);
                }
            }
        }
    }

    fn inheritance(&mut self, rng: &mut Rng) -> Vec<Inherited> {
        let mut inherited = Vec::new();
        for (id, mut one) in self.memory.components.clone() {
            let registered = self.registry.components.iter().any(|other| other.id == id);
            let adopt = self.registry.config.leftovers == Leftovers::Adopt;
            let adopt = adopt || self.memory.holds.contains_key(&id);
            let Some(run) = one.run else {
                if registered {
                    let left = Left::Resting(one.rest());
                    inherited.push(Inherited { id, record: one.record, left });
                }
                continue;
            };
            let tree = self.kernel.trees.get(&run);
            // Made, and the Supervisor died before it could write that down.
            if one.process.is_none()
                && let Some(process) = tree.and_then(|tree| tree.process)
            {
                one.process = Some(process);
                one.arguments = tree.map(|tree| tree.config.arguments.clone()).unwrap_or_default();
            }
            // One that ended a moment ago may have been alive when it was looked at.
            let late = rng.u8(..3) == 0;
            let lives = tree.is_some_and(|tree| tree.leader.is_none() || late);
            let exit = tree.and_then(|tree| tree.leader).filter(|_| rng.bool());
            let ended = one.ended.or(exit).unwrap_or((Exit::Unknown, false));
            let ended = (!lives || one.ended.is_some())
                .then_some(EndedMeanwhile { exit: ended.0, oom: ended.1 });
            if !registered || (ended.is_none() && !adopt) {
                continue;
            }
            let left = match one.process {
                Some(process) => Left::Run(Adoption {
                    run,
                    process,
                    ready: one.ready,
                    wish: if one.stopped_by_hand { Intent::Stopped } else { Intent::Running },
                    stopping: one.stopping.clone(),
                    ended,
                }),
                None => Left::Resting(one.rest()),
            };
            self.memory.components.insert(id.clone(), one.clone());
            inherited.push(Inherited { id, record: one.record, left });
        }
        inherited
    }

    fn be_born_again(&mut self, inherited: &[Inherited]) {
        self.known = BTreeMap::new();
        self.old_news.clear();
        let seed = self.seed.wrapping_add(self.deaths);
        self.supervisor = Supervisor::new(&self.registry, self.memory.next_run, seed);
        for (id, hold) in self.memory.holds.clone() {
            if !self.supervisor.restore_hold(&id, hold) {
                self.memory.holds.remove(&id);
            }
        }
        self.oracle.begin(&self.supervisor, &self.memory, inherited);
        let taken_over: Vec<RunId> = inherited.iter().filter_map(living_run).collect();
        self.known = taken_over.iter().map(|&run| (run, false)).collect();
        let ids: BTreeSet<ComponentId> = inherited.iter().map(|one| one.id.clone()).collect();
        self.memory.components.retain(|id, _| ids.contains(id));
        let refused = self.input(&inherited, |supervisor, now, effects| {
            supervisor.adopt(now, inherited.to_vec(), effects)
        });
        assert!(refused.is_empty(), "not taken over: {refused:?}");
        for one in inherited.iter().filter(|one| living_run(one).is_some()) {
            self.restart_if_outdated(&one.id);
        }
        let stopped: BTreeSet<ComponentId> = self
            .memory
            .components
            .iter()
            .filter(|(_, one)| one.stopped_by_hand)
            .map(|(id, _)| id.clone())
            .collect();
        self.boot(&stopped);
        // What ended since it was looked at.
        for run in taken_over {
            self.kernel.watch_leader(self.now, run);
        }
        self.tick();
    }

    /// One that was started with other values than the registry has now.
    fn restart_if_outdated(&mut self, id: &ComponentId) {
        let before = self.memory.components.get(id).map(|one| one.arguments.clone());
        let config = self.registry.components.iter().find(|one| one.id == *id);
        let outdated = config.is_some_and(|config| Some(&config.arguments) != before.as_ref());
        let wanted =
            self.supervisor.component(id).is_some_and(|view| view.intent == Intent::Running);
        if outdated && wanted {
            let selection = Selection::Ids(vec![id.to_string()]);
            let origin = Origin::default();
            self.command(Command { verb: Verb::Restart, selection, if_run: None, origin });
        }
    }
}

/// The run of one that is taken over alive.
fn living_run(one: &Inherited) -> Option<RunId> {
    match &one.left {
        Left::Run(adoption) if adoption.ended.is_none() => Some(adoption.run),
        Left::Run(_) | Left::Resting(_) => None,
    }
}
