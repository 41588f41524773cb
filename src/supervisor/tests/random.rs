//! Random schedules: commands, reloads and a world that misbehaves, against a model of the wishes.
//!
//! A failing seed is named; `S7_SEED=n cargo test random` runs it alone, `S7_SEEDS=n` runs more.

use std::{collections::BTreeMap, ops::Range, panic, time::Duration};

use fastrand::Rng;

use super::world::{Habit, Seconds, Sim, id, probe, registry};
use crate::{
    model::{ComponentId, Exit, OperationId, RunId, Shared},
    registry::{Component, Registry, RestartWhen},
    supervisor::{Answer, Effect, Fact, Transition},
    wire::{ComponentState, Intent, OperationState, Verb},
};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const SEEDS: Range<u64> = 0..1500;
const STEPS: usize = 60;

struct Schedule {
    sim: Sim,
    rng: Rng,
    /// What operators (and the policy of the registry) wish, told by commands alone.
    wishes: BTreeMap<ComponentId, bool>,
    asked: Vec<OperationId>,
    shutting_down: bool,
}

#[test]
fn whatever_happens_the_promises_hold() {
    if let Some(seed) = std::env::var("S7_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Schedule::new(seed).run();
        return;
    }
    let more = std::env::var("S7_SEEDS").ok().and_then(|count| count.parse().ok());
    for seed in SEEDS.start..more.unwrap_or(SEEDS.end) {
        let held = panic::catch_unwind(|| Schedule::new(seed).run());
        assert!(held.is_ok(), "seed {seed} failed; again: S7_SEED={seed} cargo test --lib random");
    }
}

/// A registry of some of the names; dependencies go to earlier names of no later priority.
fn some_registry(rng: &mut Rng) -> Registry {
    let mut registry = registry("");
    registry.config.starts_per_minute = rng.bool().then_some(20);
    for name in NAMES {
        if rng.u8(..10) < 8 {
            let component = some_component(name, &registry.components, rng);
            registry.components.push(component.into());
        }
    }
    rng.shuffle(&mut registry.components);
    registry
}

fn some_component(name: &str, earlier: &[Shared<Component>], rng: &mut Rng) -> Component {
    let mut component = Component::new(id(name), "/bin/true");
    component.start_priority = rng.i32(1..4);
    for other in earlier {
        if other.start_priority <= component.start_priority && rng.u8(..10) < 3 {
            component.depends_on.push(other.id.clone());
        }
    }
    component.enabled = rng.u8(..10) < 8;
    component.start_delay = rng.u64(..3).secs();
    component.ready = (rng.u8(..10) < 3).then(probe);
    component.stop.timeout = rng.u64(..20).secs();
    component.restart.when = *rng
        .choice(&[RestartWhen::Always, RestartWhen::OnFailure, RestartWhen::Never])
        .expect("three to choose from");
    component.restart.max_restarts = *rng.choice(&[None, Some(0), Some(3)]).expect("three");
    component.restart.reset_after = 5.secs();
    component.arguments = vec![rng.u8(..3).to_string()];
    component
}

fn some_habit(rng: &mut Rng) -> Habit {
    let some = |rng: &mut Rng, of_ten: u8, limit: u64| {
        (rng.u8(..10) < of_ten).then(|| rng.u64(..limit).millis())
    };
    Habit {
        spawn: some(rng, 9, 2000),
        spawn_error: (rng.u8(..10) < 1).then_some("cannot execute it: no such file"),
        exit: some(rng, 4, 20_000).map(|after| (after, Exit::Code(rng.i32(..2)))),
        ready: some(rng, 9, 5000),
        stop: some(rng, 8, 5000),
        kill: some(rng, 9, 5000),
        evidence: some(rng, 8, 5000),
        orphan: some(rng, 2, 10_000),
    }
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let registry = some_registry(&mut rng);
        let wishes = registry.components.iter().map(|one| (one.id.clone(), one.enabled)).collect();
        let mut sim = Sim::over(registry, seed);
        // The oracle takes half of the time; a fault that it would find later is found as well.
        sim.stride = if seed < 300 { 1 } else { 4 };
        Self { sim, rng, wishes, asked: Vec::new(), shutting_down: false }
    }

    fn run(mut self) {
        self.new_habits();
        self.sim.boot();
        self.after_command(&[]);
        for _ in 0..STEPS {
            self.act();
        }
        // The world quiets down: then every operation ends, and every wish is fulfilled.
        self.sim.calm_down();
        // Some holds have no end: who is held to the end may wait for it.
        if self.rng.bool() {
            let held: Vec<ComponentId> =
                self.sim.supervisor.holds().map(|(id, _)| id.clone()).collect();
            for id in held {
                self.sim.release(&id);
                self.after_input(&[]);
            }
        }
        self.pass(3600.secs());
        self.check_end();
        self.sim.shut_down(false);
        self.shutting_down = true;
        self.wishes.values_mut().for_each(|wish| *wish = false);
        self.after_command(&[]);
        self.pass(600.secs());
        assert!(self.sim.all_gone.is_some(), "the shutdown ends");
        let living = self.sim.living();
        let unkillable = self.sim.supervisor.snapshot();
        let unkillable =
            unkillable.iter().filter(|view| view.state == ComponentState::Unkillable).count();
        assert_eq!(living.len(), unkillable, "left behind: {living:?}");
    }

    fn act(&mut self) {
        match self.rng.u8(..20) {
            0..=7 => self.command(),
            8 => self.reload(),
            9..=10 => self.new_habits(),
            11 => self.repeat_old_news(),
            12 => self.answer_a_spawn(),
            13 => self.trouble(),
            14 => self.vanish(),
            15 => self.hold_or_release(),
            _ => {
                let duration = self.rng.u64(..8000).millis();
                self.pass(duration);
            }
        }
    }

    fn command(&mut self) {
        let verb =
            *self.rng.choice(&[Verb::Start, Verb::Stop, Verb::Restart, Verb::Kill]).expect("four");
        let present: Vec<String> = self.sim.supervisor.ids().map(ToString::to_string).collect();
        let ids = if self.rng.u8(..4) == 0 {
            "all".to_owned()
        } else {
            let count = self.rng.usize(1..4);
            let some: Vec<&str> =
                (0..count).filter_map(|_| self.rng.choice(&present)).map(String::as_str).collect();
            some.join(" ")
        };
        self.sim.command(verb, &ids, None);
        // Whom it concerned is in the effect; a denied command concerned nobody.
        let concerned: Vec<ComponentId> = self
            .sim
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Asked { ids, .. } => Some(ids.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        for id in &concerned {
            let denied = self.sim.supervisor.component(id).is_some_and(|view| {
                view.state == ComponentState::Unkillable
                    && matches!(verb, Verb::Start | Verb::Restart)
            });
            if !denied {
                self.wishes.insert(id.clone(), matches!(verb, Verb::Start | Verb::Restart));
            }
        }
        if let Some(Answer::Denied(_)) = self.sim.answer {
            let moved = self.sim.effects.iter().any(|effect| {
                !matches!(effect, Effect::Asked { .. } | Effect::OperationEnded { .. })
            });
            assert!(!moved, "denied, and yet: {:?}", self.sim.effects);
        }
        self.after_command(&concerned);
    }

    fn reload(&mut self) {
        let mut new = self.sim.registry.clone();
        if self.rng.u8(..3) == 0 {
            new = some_registry(&mut self.rng);
        } else if !new.components.is_empty() {
            let index = self.rng.usize(..new.components.len());
            let name = new.components[index].id.clone();
            match self.rng.u8(..5) {
                0 => {
                    new.components.remove(index);
                    for other in &mut new.components {
                        other.depends_on.retain(|id| *id != name);
                    }
                }
                1 => new.components[index].arguments.push("x".into()),
                2 => new.components[index].depends_on.clear(),
                _ => new.components[index].ready = self.rng.bool().then(probe),
            }
        }
        let before: Vec<ComponentId> =
            self.sim.registry.components.iter().map(|one| one.id.clone()).collect();
        for id in &before {
            if !new.components.iter().any(|one| one.id == *id) {
                self.wishes.insert(id.clone(), false);
            }
        }
        for component in &new.components {
            let unkillable = self
                .sim
                .supervisor
                .component(&component.id)
                .is_some_and(|view| view.state == ComponentState::Unkillable);
            if !before.contains(&component.id) && !unkillable {
                self.wishes.insert(component.id.clone(), component.enabled);
            }
        }
        self.sim.reload(new);
        self.after_command(&[]);
    }

    fn hold_or_release(&mut self) {
        let ids: Vec<ComponentId> = self.sim.supervisor.ids().cloned().collect();
        let Some(id) = self.rng.choice(&ids).cloned() else { return };
        if self.sim.supervisor.is_leaving(&id) {
            return;
        }
        match self.rng.u8(..4) {
            0 => self.sim.hold(&id, None),
            1..=2 => {
                let lasting = self.rng.u64(1..30_000).millis();
                self.sim.hold(&id, Some(lasting))
            }
            _ => self.sim.release(&id),
        };
        self.after_input(&[]);
    }

    fn new_habits(&mut self) {
        for name in NAMES {
            let new = some_habit(&mut self.rng);
            self.sim.habit(name, |habit| *habit = new);
        }
    }

    fn repeat_old_news(&mut self) {
        let run = RunId(self.rng.u64(1..40));
        if self.sim.living().contains(&run) {
            return;
        }
        let facts = [
            Fact::Exited { run, exit: Exit::Code(0), oom: false, tree_gone: true },
            Fact::TreeGone { run },
            Fact::Ready { run },
            Fact::NotReady { run, why: "late".into() },
            Fact::Unhealthy { run, why: "late".into() },
            Fact::OverLimit { run, why: "late".into() },
            Fact::SpawnFailed { run, error: "late".into() },
        ];
        let before = self.sim.supervisor.snapshot();
        for fact in facts {
            self.sim.tell(fact);
            assert_eq!(self.sim.effects, [], "news of run {run}, which has ended");
        }
        assert_eq!(self.sim.supervisor.snapshot(), before);
    }

    fn answer_a_spawn(&mut self) {
        if let Some(&run) = self.rng.choice(&self.sim.living())
            && let Some(id) = self.sim.supervisor.component_of(run).cloned()
            && self.sim.view(&id).pid.is_none()
        {
            self.sim.spawned(&id);
            self.after_input(&[]);
        }
    }

    /// A report that the world may give of any living run, true or doubled.
    fn trouble(&mut self) {
        let Some(&run) = self.rng.choice(&self.sim.living()) else { return };
        let fact = match self.rng.u8(..4) {
            0 => Fact::Unhealthy { run, why: "no answer".into() },
            1 => Fact::NotReady { run, why: "not ready in time".into() },
            2 => Fact::Ready { run },
            3 => Fact::OverLimit { run, why: "too much memory".into() },
            _ => Fact::StatusText { run, text: "busy".into() },
        };
        let concerned: Vec<ComponentId> =
            self.sim.supervisor.component_of(run).into_iter().cloned().collect();
        self.sim.tell(fact);
        self.after_input(&concerned);
    }

    fn vanish(&mut self) {
        let views = self.sim.supervisor.snapshot();
        if let Some(view) = views.iter().find(|view| view.state == ComponentState::Unkillable) {
            self.sim.vanish(&view.id);
            self.after_input(&[]);
        }
    }

    /// Time passes, one thing after the other.
    fn pass(&mut self, duration: Duration) {
        let end = self.sim.now.after(duration);
        while self.sim.happen_next(end) {
            self.after_input(&[]);
        }
        self.sim.now = end;
    }

    fn after_command(&mut self, concerned: &[ComponentId]) {
        if let Some(Answer::Applied(operation) | Answer::Redundant(Some(operation))) =
            self.sim.answer
        {
            self.asked.push(operation);
        }
        self.after_input(concerned);
    }

    /// What must hold after each input, beside what the world itself asserts.
    fn after_input(&mut self, concerned: &[ComponentId]) {
        let effects = std::mem::take(&mut self.sim.effects);
        for effect in &effects {
            match effect {
                Effect::Spawn { id, .. } => self.check_spawn(id),
                Effect::Transition(one) => self.check_transition(one, concerned, &effects),
                _ => {}
            }
        }
        for entry in self.sim.supervisor.entries.iter().flatten() {
            let wished = self.wishes.get(&entry.id).copied().unwrap_or_default();
            assert_eq!(
                entry.machine.wish() == Intent::Running,
                wished,
                "the wish for {}",
                entry.id
            );
        }
        // One after the other: each is read often enough, and the words are what takes time.
        let ids = self.sim.supervisor.ids().count() as u64;
        if let Some(turn) = self.sim.inputs.checked_rem(ids) {
            let id =
                self.sim.supervisor.ids().nth(usize::try_from(turn).expect("few ids")).cloned();
            self.check_words(&id.expect("one of the ids"));
        }
    }

    fn check_spawn(&self, id: &ComponentId) {
        assert!(self.wishes.get(id).copied().unwrap_or_default(), "{id} starts, unasked");
        assert!(!self.shutting_down, "{id} starts in a shutdown");
        let hold = self.sim.view(id).hold;
        assert_eq!(hold, None, "{id} starts, and is held");
        let component = self.sim.registry.components.iter().find(|one| one.id == *id);
        let component = component.expect("only what is in the registry starts");
        for dependency in &component.depends_on {
            let view = self.sim.view(dependency);
            let there = matches!(view.state, ComponentState::Running | ComponentState::Exited);
            assert!(there, "{id} starts while {dependency} is {}", view.state);
        }
    }

    fn check_transition(&self, one: &Transition, concerned: &[ComponentId], effects: &[Effect]) {
        if one.to == ComponentState::Backoff
            && let Some(view) = self.sim.supervisor.component(&one.id)
            && let Some(next) = view.next_attempt
            && let Some(config) = self.sim.supervisor.config(&one.id)
            && self.sim.registry.config.starts_per_minute.is_none()
        {
            let delay = next.since(self.sim.now);
            let policy = &config.restart;
            assert!(delay <= policy.max_delay, "{delay:?}");
            assert!(delay >= policy.delay.mul_f64(0.8), "{delay:?}");
        }
        // In an order of stops those that depend on it go first. Kills are for all at once, and
        // what is broken goes by itself.
        let killed = effects.contains(&Effect::KillTree { run: one.run.unwrap_or(RunId(0)) });
        let asked = one.reason.as_deref().is_some_and(|why| why.ends_with("was asked for"));
        if one.to == ComponentState::Stopping && asked && !killed && one.pid.is_some() {
            let itself = concerned.len() == 1 && concerned[0] == one.id;
            for component in &self.sim.registry.components {
                let depends = component.depends_on.contains(&one.id);
                let view = self.sim.view(&component.id);
                let alive = matches!(view.state, ComponentState::Stopping)
                    && view.intent == Intent::Stopped;
                assert!(!depends || !alive || itself, "{} stops before {}", one.id, view.id);
            }
        }
    }

    /// Words come out whole: an operator is never told "waiting for ".
    fn check_words(&self, id: &ComponentId) {
        let explain = self.sim.supervisor.explain(self.sim.now, id).expect("it is there");
        let texts =
            [Some(explain.summary), explain.blocker, explain.view.waiting_for, explain.view.reason];
        for text in texts.iter().flatten() {
            let whole = !text.is_empty() && text.trim() == text && !text.contains("  ");
            assert!(whole && !text.contains("for since"), "{id}: {text:?}");
        }
    }

    fn check_end(&self) {
        use ComponentState::{Exited, Failed, Running, Stopped, Unkillable, Waiting};
        for &operation in &self.asked {
            let Some(view) = self.sim.supervisor.operation(operation) else { continue };
            assert_ne!(view.state, OperationState::Pending, "never ends: {view:#?}");
            assert!(self.sim.ended.contains(&operation), "its end was not told: {view:#?}");
        }
        let views = self.sim.supervisor.snapshot();
        let state_of = |id: &str| views.iter().find(|view| &*view.id == id).map(|view| view.state);
        for view in &views {
            let component = self.sim.supervisor.config(&view.id).expect("it is there");
            let fulfilled = match (view.intent, view.state) {
                (Intent::Running, Running | Exited | Failed)
                | (Intent::Stopped, Stopped)
                | (_, Unkillable) => true,
                (Intent::Running, Waiting) if view.hold.is_some() => true,
                // Only for somebody who is down for a reason of his own.
                (Intent::Running, Waiting) => component.depends_on.iter().any(|id| {
                    matches!(state_of(id), Some(Stopped | Failed | Unkillable | Waiting))
                }),
                _ => false,
            };
            assert!(fulfilled, "{view:?}");
        }
    }
}
