//! The promises, checked after every step against a model of its own: what operators wished, what
//! really lives, and how often each component has failed.
//!
//! It knows the rules as an operator does, not how the supervisor keeps them. What the supervisor
//! keeps about itself (indexes, queues, counts) is compared in `tests/oracle.rs`.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{kernel::Kernel, memory::Memory, order::Order, past::Past};
use crate::{
    machine::{Resting, State},
    model::{ComponentId, Moment, OperationId, RunId},
    registry::Registry,
    supervisor::{
        Answer, Command, ComponentView, Denial, Effect, Fact, HoldChange, Inherited, Left,
        Selection, Supervisor, entry::Entry,
    },
    wire::{ComponentState, Intent, OperationState, Outcome, Verb},
};

/// Nothing may be put off further than this, but for the end of a hold.
const FURTHEST: Duration = Duration::from_mins(3);

pub struct Oracle {
    wishes: BTreeMap<ComponentId, bool>,
    past: BTreeMap<ComponentId, Past>,
    order: Order,
    /// Operations that have begun, and those whose end was told, under this Supervisor.
    begun: BTreeSet<OperationId>,
    ended: BTreeSet<OperationId>,
    booted: bool,
    shutting_down: bool,
    /// When components were started again unasked, within the last minute.
    unasked: VecDeque<Moment>,
    limit: Option<u32>,
    /// How each component was before the input, where that is needed.
    before: BTreeMap<ComponentId, Before>,
    /// The fact at hand is about this component, or about nobody any more.
    about: Option<ComponentId>,
    /// How everybody was before news of a run that is over.
    stale: Option<All>,
    steps: u64,
    stride: u64,
    /// For the counters and for those who watch: the views of some steps ago, who was told as
    /// changed since, and whose past was forgiven since.
    seen: Vec<ComponentView>,
    changed: BTreeSet<ComponentId>,
    forgiven: BTreeSet<ComponentId>,
}

/// A component before an input.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "four things to remember, each of its own")]
pub struct Before {
    pub state: ComponentState,
    pub wish: Intent,
    pub asked: bool,
    /// It is being ended because somebody asked for that.
    pub expected: bool,
    pub run: Option<RunId>,
    pub held: bool,
    pub removed: bool,
}

impl Before {
    fn of(entry: &Entry) -> Self {
        let state = entry.machine.state();
        Self {
            state: state.name(),
            wish: entry.machine.wish(),
            asked: state.stop_asked().is_some(),
            expected: matches!(state, State::Stopping { cause, .. } if cause.is_expected()),
            run: state.run(),
            held: entry.hold.is_some(),
            removed: entry.removed,
        }
    }

    /// Whether its next start is the one that was asked for.
    fn begins_by(&self, verb: Verb) -> bool {
        use ComponentState::{Running, Starting, Unkillable, Waiting};
        !matches!((verb, self.state), (_, Waiting | Unkillable) | (Verb::Start, Starting | Running))
    }

    /// Whether a start or restart by hand makes it begin with a clean record.
    fn is_forgiven_by(&self, verb: Verb) -> bool {
        use ComponentState::{Running, Starting, Stopping, Unkillable, Waiting};
        match (verb, self.state) {
            (_, Waiting | Unkillable) | (Verb::Start, Starting | Running) => false,
            (_, Stopping) => self.wish == Intent::Stopped || !self.expected,
            (_, Starting | Running) => !self.asked || self.wish == Intent::Stopped,
            _ => true,
        }
    }
}

/// Every component as it is.
pub type All = BTreeMap<ComponentId, Before>;

fn all(supervisor: &Supervisor) -> All {
    let entries = supervisor.entries.iter().flatten();
    entries.map(|entry| (entry.id.clone(), Before::of(entry))).collect()
}

fn entry<'a>(supervisor: &'a Supervisor, id: &ComponentId) -> Option<&'a Entry> {
    supervisor.find(id).map(|slot| supervisor.entry(slot))
}

impl Oracle {
    pub fn new(seed: u64) -> Self {
        Self {
            wishes: BTreeMap::new(),
            past: BTreeMap::new(),
            order: Order::default(),
            begun: BTreeSet::new(),
            ended: BTreeSet::new(),
            booted: false,
            shutting_down: false,
            unasked: VecDeque::new(),
            limit: None,
            before: BTreeMap::new(),
            about: None,
            stale: None,
            steps: 0,
            // The deep look takes most of the time; what it would find a few steps later it finds.
            stride: if seed.is_multiple_of(64) { 1 } else { 31 },
            seen: Vec::new(),
            changed: BTreeSet::new(),
            forgiven: BTreeSet::new(),
        }
    }

    /// Another Supervisor begins, with what is remembered.
    pub fn begin(&mut self, supervisor: &Supervisor, memory: &Memory, inherited: &[Inherited]) {
        self.past.clear();
        self.wishes.clear();
        for component in &supervisor.registry.components {
            let id = &component.id;
            let by_hand = memory.components.get(id).is_some_and(|one| one.stopped_by_hand);
            let left = inherited.iter().find(|one| one.id == *id).map(|one| &one.left);
            // Whatever was on its way goes on; the rest is started as the registry says.
            let goes_on = !matches!(left, None | Some(Left::Resting(Resting::Stopped)));
            self.wishes.insert(id.clone(), !by_hand && (component.enabled || goes_on));
        }
        for one in inherited {
            let config = supervisor.config(&one.id).map(Arc::clone);
            self.past.insert(one.id.clone(), Past::inherited(one, config));
        }
        self.order = Order::default();
        self.begun.clear();
        self.ended.clear();
        self.unasked.clear();
        self.limit = supervisor.registry.config.starts_per_minute;
        self.booted = false;
        self.shutting_down = false;
        self.before.clear();
        self.about = None;
        self.seen.clear();
        self.changed.clear();
        self.forgiven.clear();
    }

    // ---- before and after inputs ----------------------------------------------------------

    pub fn before_command(&mut self, supervisor: &Supervisor, command: &Command) -> All {
        self.about = None;
        self.before = all(supervisor);
        if let Verb::Reload | Verb::Shutdown = command.verb {
            unreachable!("the schedule asks for neither by a command");
        }
        self.before.clone()
    }

    pub fn after_command(
        &mut self,
        supervisor: &Supervisor,
        before: &All,
        command: &Command,
        answer: &Answer,
    ) {
        let Command { verb, selection, if_run, .. } = command;
        let named: Vec<&str> = match selection {
            Selection::All => Vec::new(),
            Selection::Ids(ids) => ids.iter().map(String::as_str).collect(),
        };
        let starts = matches!(verb, Verb::Start | Verb::Restart);
        if let Answer::Denied(denial) = answer {
            let is = |id: &str, test: fn(&Before) -> bool| before.get(id).is_some_and(test);
            let anybody = |test: fn(&Before) -> bool| before.values().any(test);
            let true_reason = match denial {
                Denial::Unknown { id, .. } => !before.contains_key(id.as_str()),
                Denial::RunEnded { id, asked, now } => {
                    let run = before.get(id).and_then(|one| one.run);
                    *if_run == Some(*asked) && run != Some(*asked) && run == *now
                }
                Denial::Leaving { id } => starts && is(id, |one| one.removed),
                Denial::Held { id, .. } => starts && is(id, |one| one.held),
                Denial::Machine(_) => {
                    starts && anybody(|one| one.state == ComponentState::Unkillable)
                }
                Denial::ShuttingDown => starts && self.shutting_down,
                Denial::NotForComponents(_) => false,
            };
            assert!(true_reason, "{command:?} is denied: {denial}");
            assert_eq!(&all(supervisor), before, "denied, and yet something moved: {command:?}");
            return;
        }
        if let (true, Answer::Applied(operation)) = (starts, answer) {
            let view = supervisor.operation(*operation).expect("it has just begun");
            for target in &view.targets {
                let stuck = before.get(&target.id).map(|one| one.state);
                let refused = matches!(target.outcome, Outcome::Failed | Outcome::Held);
                let is_stuck = stuck == Some(ComponentState::Unkillable);
                assert!(!is_stuck || refused, "an unkillable one is started: {target:?}");
            }
        }
        for id in named {
            let wish = entry(supervisor, &id.parse().expect("an id")).map(|one| one.machine.wish());
            if !starts {
                // It may have left at once.
                assert_ne!(wish, Some(Intent::Running), "{id} was asked to stop");
            }
        }
    }

    pub fn before_fact(&mut self, supervisor: &Supervisor, fact: &Fact, now: Moment) {
        let slot = supervisor.runs.get(&fact.run());
        self.about = slot.map(|&slot| supervisor.entry(slot).id.clone());
        self.stale = slot.is_none().then(|| all(supervisor));
        if let Some(&slot) = slot {
            let entry = supervisor.entry(slot);
            self.past.entry(entry.id.clone()).or_default().hear(entry, fact, now);
        }
    }

    pub fn after_fact(&mut self, supervisor: &Supervisor) {
        if let Some(before) = self.stale.take() {
            assert_eq!(all(supervisor), before, "news of a run that is over");
        }
        self.about = None;
    }

    pub fn reloaded(&mut self, supervisor: &Supervisor, old: &Registry, new: &Registry) {
        self.before = all(supervisor);
        self.about = None;
        let in_old = |id: &ComponentId| old.components.iter().any(|one| one.id == *id);
        let in_new = |id: &ComponentId| new.components.iter().any(|one| one.id == *id);
        for component in old.components.iter().filter(|one| !in_new(&one.id)) {
            self.wishes.insert(component.id.clone(), false);
        }
        for component in new.components.iter().filter(|one| !in_old(&one.id)) {
            let unkillable = self
                .before
                .get(&component.id)
                .is_some_and(|one| one.state == ComponentState::Unkillable);
            let wished = component.enabled && !unkillable && !self.shutting_down;
            let kept = unkillable && self.wishes.get(&component.id).copied().unwrap_or_default();
            self.wishes.insert(component.id.clone(), wished || kept);
        }
        if old.config.starts_per_minute != new.config.starts_per_minute {
            self.unasked.clear();
        }
        self.limit = new.config.starts_per_minute;
        self.order.reloaded(new);
        for past in self.past.values_mut() {
            past.policy_may_change();
        }
    }

    pub fn shut_down(&mut self, supervisor: &Supervisor, _restart: bool, _kill: bool) {
        self.about = None;
        self.before = all(supervisor);
        self.shutting_down = true;
    }

    /// From here on every wish is as it was.
    pub fn boots(&mut self, supervisor: &Supervisor) {
        self.before = all(supervisor);
        self.booted = true;
    }

    /// What must hold after each input, before its effects are performed.
    pub fn after(
        &mut self,
        supervisor: &Supervisor,
        now: Moment,
        effects: &[Effect],
        registry: &Registry,
        kernel: &Kernel,
    ) {
        self.steps += 1;
        if self.stale.is_some() {
            let harmless = effects.iter().all(|effect| matches!(effect, Effect::KillTree { .. }));
            assert!(harmless, "news of a run that is over: {effects:?}");
        }
        for effect in effects {
            self.look_at(supervisor, now, effect, effects, registry, kernel);
        }
        self.order.after(supervisor);
        // What was taken over has its wish when it begins.
        if self.booted {
            self.check_wishes(supervisor);
        }
        if let Some(next) = supervisor.next_deadline() {
            let hold = supervisor.hold_ends.first().map(|&(at, _)| at);
            let bound = now.after(FURTHEST);
            assert!(next <= bound || Some(next) == hold, "nothing is due before {next:?}");
        }
        if self.steps.is_multiple_of(self.stride) {
            self.look_deep(supervisor, now, registry, kernel);
        }
        self.before.clear();
    }

    fn look_at(
        &mut self,
        supervisor: &Supervisor,
        now: Moment,
        effect: &Effect,
        effects: &[Effect],
        registry: &Registry,
        kernel: &Kernel,
    ) {
        match effect {
            Effect::Asked { verb, ids, operation, .. } => {
                assert!(self.begun.last() < Some(operation), "{operation} is not a new number");
                self.begun.insert(*operation);
                self.asked(supervisor, *verb, ids, *operation, registry);
            }
            Effect::OperationEnded { id } => {
                assert!(self.ended.insert(*id), "operation {id} ends twice");
                let view = supervisor.operation(*id);
                let pending = view.is_some_and(|view| view.state == OperationState::Pending);
                assert!(!pending, "operation {id} has ended, and is pending");
            }
            Effect::Spawn { id, run } => {
                assert!(kernel.trees.keys().next_back() < Some(run), "run {run} is not new");
                self.check_start(supervisor, now, id, registry, kernel);
                self.order.check_start(supervisor, id);
                let told = effects.iter().any(|other| {
                    matches!(other, Effect::Transition(one) if one.run == Some(*run) && one.id == *id)
                });
                assert!(told, "{id} starts, and nobody is told");
            }
            Effect::Transition(one) => {
                use ComponentState::{Backoff, Exited, Failed, Stopped, Waiting};
                if let Stopped | Waiting | Backoff | Exited | Failed = one.to {
                    let living =
                        kernel.trees.iter().find(|(_, tree)| tree.id == one.id && tree.lives());
                    assert!(living.is_none(), "{} is {}, and lives: {living:?}", one.id, one.to);
                }
                if one.to == ComponentState::Unkillable {
                    let tree = one.run.and_then(|run| kernel.trees.get(&run));
                    let killed = tree.is_none_or(|tree| tree.killed);
                    assert!(killed, "{} is called unkillable, and was never killed", one.id);
                }
                let entry = entry(supervisor, &one.id);
                let past = self.past.entry(one.id.clone()).or_default();
                past.moves(one, entry, now, self.limit);
                let started = one.run.is_some_and(|run| {
                    effects.contains(&Effect::Spawn { id: one.id.clone(), run })
                });
                if started {
                    let restarted = past.starts(now);
                    past_config(past, supervisor, &one.id);
                    if restarted {
                        self.check_governor(now, &one.id);
                    }
                }
                let killed =
                    effects.contains(&Effect::KillTree { run: one.run.unwrap_or(RunId(0)) });
                if !killed && self.about.as_ref() != Some(&one.id) {
                    self.order.check_stop(supervisor, one);
                }
            }
            Effect::KillTree { run }
            | Effect::RequestOrphansStop { run }
            | Effect::RequestStop { run, .. } => {
                assert!(
                    self.stale.is_some() || supervisor.component_of(*run).is_some(),
                    "run {run} is nobody's"
                );
            }
            Effect::HoldChanged { id, change } => {
                if let (HoldChange::Released { .. } | HoldChange::Expired, Some(past)) =
                    (change, self.past.get_mut(id))
                {
                    past.released(entry(supervisor, id), now);
                }
                if let (HoldChange::Released { .. } | HoldChange::Expired, true) =
                    (change, self.shutting_down)
                    && entry(supervisor, id)
                        .is_some_and(|one| one.machine.wish() == Intent::Stopped)
                {
                    // Nothing keeps it out of a restart of everything any more.
                    self.wishes.insert(id.clone(), false);
                }
            }
            Effect::Reconfigured { id } => {
                if let Some(past) = self.past.get_mut(id) {
                    past_config(past, supervisor, id);
                }
            }
            Effect::Removed { id } => {
                let there = registry.components.iter().any(|one| one.id == *id);
                assert!(!there, "{id} is forgotten, and stands in the registry");
                self.past.remove(id);
                self.wishes.remove(id);
                self.seen.retain(|view| view.id != *id);
            }
            Effect::AllGone { left, .. } => {
                assert!(self.shutting_down, "everything has ended, unasked");
                for id in left {
                    let state = supervisor.component(id).map(|view| view.state);
                    assert_eq!(state, Some(ComponentState::Unkillable), "{id} is left");
                }
            }
            Effect::GatherEvidence { .. }
            | Effect::Crashed { .. }
            | Effect::StartProbes { .. }
            | Effect::StopProbes { .. } => {}
        }
    }

    fn asked(
        &mut self,
        supervisor: &Supervisor,
        verb: Verb,
        ids: &[ComponentId],
        operation: OperationId,
        registry: &Registry,
    ) {
        for id in ids {
            let before = self.before.get(id);
            let state = before.map(|one| one.state);
            match verb {
                Verb::Start | Verb::Restart => {
                    if state != Some(ComponentState::Unkillable) {
                        self.wishes.insert(id.clone(), true);
                    }
                    self.start_asked(id, verb);
                }
                Verb::Stop | Verb::Kill | Verb::Shutdown => {
                    self.wishes.insert(id.clone(), false);
                }
                Verb::Reload => {
                    // Of those that are wished, whose wish does not change.
                    if self.wishes.get(id) == Some(&true) {
                        self.start_asked(id, Verb::Restart);
                    }
                }
            }
        }
        self.order.asked(supervisor, verb, ids, operation, registry, &self.before);
    }

    fn start_asked(&mut self, id: &ComponentId, verb: Verb) {
        let before = self.before.get(id);
        let past = self.past.entry(id.clone()).or_default();
        if before.is_none_or(|one| one.begins_by(verb)) {
            past.asked = true;
        } else if before.is_some_and(|one| one.run.is_some() && one.wish == Intent::Stopped) {
            // A stop that had not had its turn is withdrawn, and a restart with it.
            past.asked = false;
        }
        if before.is_none_or(|one| one.is_forgiven_by(verb)) {
            past.forgive();
            self.forgiven.insert(id.clone());
        }
    }

    fn check_start(
        &self,
        supervisor: &Supervisor,
        now: Moment,
        id: &ComponentId,
        registry: &Registry,
        kernel: &Kernel,
    ) {
        let wished = self.wishes.get(id).copied().unwrap_or_default();
        assert!(wished, "{id} starts, unasked");
        assert!(!self.shutting_down, "{id} starts in a shutdown");
        let other = kernel.trees.iter().find(|(_, tree)| tree.id == *id);
        assert!(other.is_none(), "{id} is doubled: {other:?}");
        let entry = entry(supervisor, id).expect("what starts is there");
        assert_eq!(entry.hold, None, "{id} starts at {now:?}, and is held");
        let component = registry.components.iter().find(|one| one.id == *id);
        let component = component.expect("only what is in the registry starts");
        for dependency in &component.depends_on {
            let state = supervisor
                .find(dependency)
                .map(|slot| supervisor.entry(slot).machine.state().name());
            let there = matches!(state, Some(ComponentState::Running | ComponentState::Exited));
            assert!(there, "{id} starts while {dependency} is {state:?}");
        }
    }

    fn check_governor(&mut self, now: Moment, id: &ComponentId) {
        const WINDOW: Duration = Duration::from_mins(1);
        while self.unasked.front().is_some_and(|&at| now.since(at) >= WINDOW) {
            self.unasked.pop_front();
        }
        if let Some(limit) = self.limit {
            let count = self.unasked.len();
            assert!(count < limit as usize, "{id} is restart {count} within a minute of {limit}");
        }
        self.unasked.push_back(now);
    }

    fn check_wishes(&self, supervisor: &Supervisor) {
        for entry in supervisor.entries.iter().flatten() {
            let wished = self.wishes.get(&entry.id).copied().unwrap_or_default();
            let wish = entry.machine.wish() == Intent::Running;
            assert_eq!(wish, wished, "the wish for {}", entry.id);
        }
    }

    // ---- the deep look --------------------------------------------------------------------

    fn look_deep(
        &mut self,
        supervisor: &Supervisor,
        now: Moment,
        registry: &Registry,
        kernel: &Kernel,
    ) {
        supervisor.assert_consistent();
        let views = supervisor.snapshot();
        for component in &registry.components {
            let there = views.iter().filter(|view| view.id == component.id).count();
            assert_eq!(there, 1, "{} stands in the registry", component.id);
        }
        for tree in kernel.trees.values() {
            let there = views.iter().any(|view| view.id == tree.id);
            assert!(there || !tree.lives(), "{} lives, and is not known", tree.id);
        }
        for view in &views {
            let states = views.iter().filter(|other| other.state == view.state).count();
            assert_eq!(supervisor.count(view.state), (views.len(), states), "{}", view.state);
            self.check_counters(supervisor, view);
        }
        self.seen = views;
        self.forgiven.clear();
        self.changed.clear();
        // One after the other: each is read often enough, and the words are what takes time.
        if let Ok(count) = u64::try_from(self.seen.len())
            && let Some(turn) = (self.steps / self.stride).checked_rem(count)
            && let Some(view) = usize::try_from(turn).ok().and_then(|turn| self.seen.get(turn))
        {
            check_words(supervisor, now, view);
        }
        for &operation in &self.begun {
            if supervisor.operation_ended(operation) == Some(true) {
                assert!(self.ended.contains(&operation), "the end of {operation} was not told");
            }
        }
    }

    fn check_counters(&self, supervisor: &Supervisor, view: &ComponentView) {
        let Some(before) = self.seen.iter().find(|one| one.id == view.id) else { return };
        assert!(view.run >= before.run, "{}: runs go back", view.id);
        let forgiven = self.forgiven.contains(&view.id);
        assert!(forgiven || view.restarts >= before.restarts, "{}: restarts fell", view.id);
        let same = view.state == before.state
            && (view.pid, view.run, view.intent) == (before.pid, before.run, before.intent)
            && view.hold == before.hold;
        let told = same || self.changed.contains(&view.id);
        assert!(told, "{} moved, and nobody who watches was told", supervisor.generation());
    }

    /// Components that were told as changed to those who watch.
    pub fn told(&mut self, changed: Vec<ComponentId>) {
        self.changed.extend(changed);
    }

    // ---- ends -----------------------------------------------------------------------------

    /// The Supervisor has ended as it was asked to.
    pub fn ended_in_order(supervisor: &Supervisor, kernel: &Kernel) {
        for (run, tree) in &kernel.trees {
            let state = supervisor.component_of(*run).and_then(|id| entry(supervisor, id));
            let state = state.map(|entry| entry.machine.state().name());
            let held = supervisor.holds().any(|(id, _)| *id == tree.id);
            let left = state == Some(ComponentState::Unkillable) || (held && state.is_some());
            assert!(left || !tree.lives(), "run {run} of {} is left behind: {state:?}", tree.id);
        }
    }

    /// The world has been calm for long: every operation has ended, every wish is fulfilled.
    pub fn check_rest(&self, supervisor: &Supervisor) {
        use ComponentState::{Exited, Failed, Running, Stopped, Unkillable, Waiting};
        for &operation in &self.begun {
            let Some(view) = supervisor.operation(operation) else { continue };
            assert_ne!(view.state, OperationState::Pending, "never ends: {view:#?}");
            assert!(self.ended.contains(&operation), "its end was not told: {view:#?}");
        }
        let views = supervisor.snapshot();
        let state_of = |id: &str| views.iter().find(|view| &*view.id == id).map(|view| view.state);
        for view in &views {
            let component = supervisor.config(&view.id).expect("it is there");
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

fn past_config(past: &mut Past, supervisor: &Supervisor, id: &ComponentId) {
    past.config = supervisor.config(id).map(Arc::clone);
}

/// Words come out whole: an operator is never told "waiting for ".
fn check_words(supervisor: &Supervisor, now: Moment, view: &ComponentView) {
    let explain = supervisor.explain(now, &view.id).expect("it is there");
    assert_eq!(explain.view, *view, "explain and snapshot differ");
    let texts =
        [Some(explain.summary), explain.blocker, explain.view.waiting_for, explain.view.reason];
    for text in texts.iter().flatten() {
        let whole = !text.is_empty() && text.trim() == text && !text.contains("  ");
        assert!(whole && !text.contains("for since"), "{}: {text:?}", view.id);
    }
}
