//! The simulated machine: process trees that live, crash, fork, ignore signals and hang, and the
//! news of that, which are under way for a while.
//!
//! What happens to processes goes on while no Supervisor lives; news die with the Supervisor that
//! they were for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fastrand::Rng;

use crate::{
    machine::Process,
    model::{ComponentId, Exit, Moment, RunId},
    registry::Component,
    supervisor::Fact,
    wire::Health,
};

pub const KILLED: Exit = Exit::Signal { signal: 9, core: false };

/// How well the processes of a component behave that are started from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Calm,
    /// Anything, at any time.
    Wild,
    /// It ends soon after each start.
    Crashing,
    /// It reacts to nothing for long.
    Stubborn,
}

/// What becomes of one run, drawn when its start is ordered.
#[derive(Debug, Clone)]
struct Fate {
    birth: Duration,
    birth_error: Option<&'static str>,
    /// It ends by itself so long after its start; `true`: out of memory.
    exit: Option<(Duration, Exit, bool)>,
    /// Processes of it outlive the leader; so long, unless they are ended.
    others: Option<Duration>,
    /// From a polite request to the end of the leader, and of the others; none: ignored.
    stop: Option<Duration>,
    others_stop: Option<Duration>,
    /// From the kill to the end; none: it does not go away.
    kill: Option<Duration>,
    /// Its readiness check's verdict.
    ready: Option<(Duration, bool)>,
    unhealthy: Option<Duration>,
    over_limit: Option<Duration>,
    extension: Option<(Duration, Duration)>,
    evidence: Option<Duration>,
    /// How long the news of its end are under way.
    latency: Duration,
}

/// The processes of one run.
#[derive(Debug)]
pub struct Tree {
    pub id: ComponentId,
    pub config: Arc<Component>,
    /// None while it is being made.
    pub process: Option<Process>,
    /// How the leader ended.
    pub leader: Option<(Exit, bool)>,
    others: bool,
    /// A Supervisor has had it killed.
    pub killed: bool,
    fate: Fate,
}

impl Tree {
    /// Something of it lives, or may any moment.
    pub fn lives(&self) -> bool {
        self.leader.is_none() || self.others
    }
}

/// Something that is due.
#[derive(Debug, Clone)]
enum Due {
    Birth(RunId),
    LeaderEnds(RunId, Exit, bool),
    OthersEnd(RunId),
    Killed(RunId),
    News(News),
}

/// What the kernel tells a Supervisor that listens.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    Born(RunId),
    NotBorn(RunId, &'static str),
    /// The leader ended.
    Ended(RunId),
    /// Nothing of the tree is left.
    Empty(RunId),
    /// From checks, limits, evidence: as it is.
    Said(Fact),
}

/// The machine with its processes.
#[derive(Debug)]
pub struct Kernel {
    seed: u64,
    due: BTreeMap<(Moment, u64), Due>,
    sequence: u64,
    pub trees: BTreeMap<RunId, Tree>,
    moods: BTreeMap<ComponentId, Mood>,
    calm: bool,
}

fn millis(rng: &mut Rng, limit: u64) -> Duration {
    // In microseconds, so that things seldom happen at once, but for those that are immediate.
    if rng.u8(..4) == 0 { Duration::ZERO } else { Duration::from_micros(rng.u64(..limit * 1000)) }
}

impl Fate {
    fn calm() -> Self {
        let soon = Duration::from_millis(1);
        Self {
            birth: soon,
            birth_error: None,
            exit: None,
            others: None,
            stop: Some(soon),
            others_stop: Some(soon),
            kill: Some(soon),
            ready: Some((soon, true)),
            unhealthy: None,
            over_limit: None,
            extension: None,
            evidence: Some(soon),
            latency: Duration::ZERO,
        }
    }

    fn draw(mood: Mood, rng: &mut Rng) -> Self {
        let mut fate = Self::calm();
        let some = |rng: &mut Rng, of_ten: u8, limit: u64| {
            (rng.u8(..10) < of_ten).then(|| millis(rng, limit))
        };
        fate.latency = if rng.u8(..8) == 0 { millis(rng, 3000) } else { millis(rng, 2) };
        fate.birth = if rng.u8(..8) == 0 { millis(rng, 20_000) } else { millis(rng, 20) };
        let exit = |rng: &mut Rng| match rng.u8(..8) {
            0..3 => Exit::Code(0),
            3..5 => Exit::Code(rng.i32(1..4)),
            5 => Exit::Signal { signal: 11, core: true },
            6 => KILLED,
            _ => Exit::Unknown,
        };
        match mood {
            Mood::Calm => {}
            Mood::Wild => {
                if rng.u8(..10) == 0 {
                    fate.birth_error = rng
                        .choice(["EAGAIN", "ENOMEM", "cannot execute it: no such file"])
                        .or(Some("EMFILE"));
                }
                fate.exit = some(rng, 4, 20_000).map(|after| (after, exit(rng), rng.u8(..8) == 0));
                fate.others = some(rng, 3, 10_000);
                fate.stop = some(rng, 8, 5000);
                fate.others_stop = some(rng, 5, 5000);
                fate.kill = some(rng, 9, 5000);
                fate.ready = some(rng, 9, 5000).map(|after| (after, rng.u8(..4) > 0));
                fate.unhealthy = some(rng, 3, 20_000);
                fate.over_limit = some(rng, 1, 20_000);
                fate.extension = some(rng, 2, 10_000).map(|after| (after, millis(rng, 30_000)));
                fate.evidence = some(rng, 8, 5000);
            }
            Mood::Crashing => {
                fate.exit = Some((millis(rng, 300), exit(rng), false));
                fate.others = some(rng, 2, 300);
            }
            Mood::Stubborn => {
                fate.stop = None;
                fate.others = some(rng, 5, 600_000);
                fate.others_stop = None;
                fate.kill = some(rng, 5, 30_000);
                fate.evidence = None;
                fate.unhealthy = some(rng, 5, 20_000);
            }
        }
        fate
    }
}

impl Kernel {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            due: BTreeMap::new(),
            sequence: 0,
            trees: BTreeMap::new(),
            moods: BTreeMap::new(),
            calm: false,
        }
    }

    pub fn set_mood(&mut self, id: &ComponentId, mood: Mood) {
        self.moods.insert(id.clone(), mood);
    }

    fn plan(&mut self, at: Moment, due: Due) {
        self.sequence += 1;
        self.due.insert((at, self.sequence), due);
    }

    fn plan_if(&mut self, now: Moment, after: Option<Duration>, due: Due) {
        if let Some(after) = after {
            self.plan(now.after(after), due);
        }
    }

    fn tell(&mut self, now: Moment, after: Duration, news: News) {
        self.plan(now.after(after), Due::News(news));
    }

    // ---- what a Supervisor has done -------------------------------------------------------

    pub fn spawn(&mut self, now: Moment, config: &Arc<Component>, run: RunId) {
        // Of its own, so that a shorter schedule leaves the rest as it was.
        let mut rng = Rng::with_seed(self.seed ^ run.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let id = config.id.clone();
        let mood = if self.calm { None } else { self.moods.get(&id).copied() };
        let fate = mood.map_or_else(Fate::calm, |mood| Fate::draw(mood, &mut rng));
        self.plan(now.after(fate.birth), Due::Birth(run));
        let others = fate.others.is_some();
        let config = Arc::clone(config);
        let tree = Tree { id, config, process: None, leader: None, others, killed: false, fate };
        self.trees.insert(run, tree);
    }

    /// The polite request to the leader.
    pub fn request_stop(&mut self, now: Moment, run: RunId) {
        let after = self.trees.get(&run).and_then(|tree| tree.fate.stop);
        self.plan_if(now, after, Due::LeaderEnds(run, Exit::Code(0), false));
    }

    pub fn request_others_stop(&mut self, now: Moment, run: RunId) {
        let after = self.trees.get(&run).and_then(|tree| tree.fate.others_stop);
        self.plan_if(now, after, Due::OthersEnd(run));
    }

    pub fn kill(&mut self, now: Moment, run: RunId) {
        let Some(tree) = self.trees.get_mut(&run) else { return };
        tree.killed = true;
        let after = tree.fate.kill;
        self.plan_if(now, after, Due::Killed(run));
    }

    /// Checks, as they are configured now.
    pub fn start_probes(
        &mut self,
        now: Moment,
        config: &Arc<Component>,
        run: RunId,
        ready_already: bool,
    ) {
        let Some(tree) = self.trees.get_mut(&run) else { return };
        tree.config = Arc::clone(config);
        let (config, fate) = (Arc::clone(&tree.config), tree.fate.clone());
        if let (Some(_), Some((after, passes)), false) = (&config.ready, fate.ready, ready_already)
        {
            let why = || "not ready in time".to_owned();
            let fact =
                if passes { Fact::Ready { run } } else { Fact::NotReady { run, why: why() } };
            self.tell(now, after, News::Said(fact));
        }
        if let (Some(_), Some(after)) = (&config.health, fate.unhealthy) {
            let (health, detail) = (Health::Failing, Some("no answer".to_owned()));
            self.tell(now, after, News::Said(Fact::HealthChanged { run, health, detail }));
            let fact = Fact::Unhealthy { run, why: "no answer".to_owned() };
            self.tell(now, after, News::Said(fact));
        }
        if let Some(after) = fate.over_limit {
            let fact = Fact::OverLimit { run, why: "too much memory".to_owned() };
            self.tell(now, after, News::Said(fact));
        }
        if let Some((after, by)) = fate.extension {
            self.tell(now, after, News::Said(Fact::ExtendTimeout { run, by }));
        }
    }

    /// No more checks; an answer that is on its way still comes.
    pub fn stop_probes(&mut self, now: Moment, run: RunId) {
        let on_its_way = now.after(Duration::from_millis(2));
        self.due.retain(|&(at, _), due| match due {
            Due::News(News::Said(
                fact @ (Fact::Ready { .. }
                | Fact::NotReady { .. }
                | Fact::Unhealthy { .. }
                | Fact::HealthChanged { .. }),
            )) => fact.run() != run || at <= on_its_way,
            _ => true,
        });
    }

    pub fn gather_evidence(&mut self, now: Moment, run: RunId) {
        if let Some(after) = self.trees.get(&run).and_then(|tree| tree.fate.evidence) {
            self.tell(now, after, News::Said(Fact::EvidenceGathered { run }));
        }
    }

    // ---- the Supervisor's eyes ------------------------------------------------------------

    /// From now on the end of the leader is told.
    pub fn watch_leader(&mut self, now: Moment, run: RunId) {
        if self.trees.get(&run).is_some_and(|tree| tree.leader.is_some()) {
            self.tell(now, Duration::ZERO, News::Ended(run));
        }
    }

    /// From now on the end of the rest is told.
    pub fn watch_rest(&mut self, now: Moment, run: RunId) {
        if self.trees.get(&run).is_some_and(|tree| !tree.lives()) {
            self.tell(now, Duration::ZERO, News::Empty(run));
        }
    }

    /// The Supervisor died: nobody listens, and what was being made may have come to be.
    pub fn engine_died(&mut self, now: Moment, rng: &mut Rng) {
        self.due.retain(|_, due| !matches!(due, Due::News(_) | Due::Birth(_)));
        let unborn: Vec<RunId> = self
            .trees
            .iter()
            .filter(|(_, tree)| tree.process.is_none())
            .map(|(&run, _)| run)
            .collect();
        for run in unborn {
            if rng.bool() {
                self.be_born(now, run);
            } else {
                self.trees.remove(&run);
            }
        }
        self.due.retain(|_, due| !matches!(due, Due::News(_)));
    }

    // ---- time -----------------------------------------------------------------------------

    pub fn next(&self) -> Option<Moment> {
        self.due.keys().next().map(|&(at, _)| at)
    }

    /// Lets the first thing that is due happen; what a Supervisor hears of it.
    pub fn happen(&mut self, now: Moment) -> Option<News> {
        let (_, due) = self.due.pop_first()?;
        match due {
            Due::Birth(run) => self.be_born(now, run),
            Due::LeaderEnds(run, exit, oom) => self.end_leader(now, run, exit, oom),
            Due::OthersEnd(run) => self.end_others(now, run),
            Due::Killed(run) => {
                self.end_others(now, run);
                self.end_leader(now, run, KILLED, false);
                self.end_others(now, run);
            }
            Due::News(news) => return Some(news),
        }
        None
    }

    fn be_born(&mut self, now: Moment, run: RunId) {
        let Some(tree) = self.trees.get_mut(&run).filter(|tree| tree.process.is_none()) else {
            return;
        };
        let fate = tree.fate.clone();
        if let Some(error) = fate.birth_error {
            self.trees.remove(&run);
            return self.tell(now, Duration::ZERO, News::NotBorn(run, error));
        }
        let pid = 1000 + u32::try_from(run.0).unwrap_or(0);
        tree.process = Some(Process { pid, started: now });
        if let Some((after, exit, oom)) = fate.exit {
            self.plan(now.after(after), Due::LeaderEnds(run, exit, oom));
        }
        self.tell(now, fate.latency.min(Duration::from_millis(1)), News::Born(run));
    }

    pub fn end_leader(&mut self, now: Moment, run: RunId, exit: Exit, oom: bool) {
        let Some(tree) = self.trees.get_mut(&run) else { return };
        if tree.process.is_none() || tree.leader.is_some() {
            return;
        }
        tree.leader = Some((exit, oom));
        let (latency, others) = (tree.fate.latency, tree.fate.others);
        self.tell(now, latency, News::Ended(run));
        self.plan_if(now, others, Due::OthersEnd(run));
    }

    fn end_others(&mut self, now: Moment, run: RunId) {
        let Some(tree) = self.trees.get_mut(&run) else { return };
        if std::mem::take(&mut tree.others) && tree.leader.is_some() {
            let latency = tree.fate.latency;
            self.tell(now, latency, News::Empty(run));
        }
    }

    /// A tree that cannot be killed goes away at last.
    pub fn vanish(&mut self, now: Moment, run: RunId) {
        self.plan(now, Due::Killed(run));
    }

    /// From now on every process behaves.
    pub fn calm_down(&mut self, now: Moment) {
        self.calm = true;
        let runs: Vec<RunId> = self.trees.keys().copied().collect();
        for run in runs {
            let Some(tree) = self.trees.get_mut(&run) else { continue };
            let before = std::mem::replace(&mut tree.fate, Fate::calm());
            tree.fate.birth_error = before.birth_error;
            tree.fate.latency = before.latency;
            let (asks, made) = (tree.config.ready.is_some(), tree.process.is_some());
            if made && asks {
                self.tell(now, Duration::ZERO, News::Said(Fact::Ready { run }));
            }
        }
    }
}
