//! Commands that take time: what each waits for, and how it ended.

use std::{collections::BTreeMap, time::Duration};

use super::{Effect, Slot, Supervisor, entry::Awaited, hopes::Hopes};
use crate::{
    machine::State,
    model::{ComponentId, Moment, OperationId, RunId},
    wire::{ComponentState, Intent, OperationState, Outcome, Verb},
};

/// Attempts in a row that fail before an operation stops waiting for a component. The component
/// itself goes on as its policy says.
pub(super) const PATIENCE: u32 = 3;

/// An operation does not say *running* of a process that is younger than this and has not
/// shown otherwise that it is well: a program that cannot start mostly ends at once. The order of
/// starts does not wait for it.
pub(super) const STEADY: Duration = Duration::from_millis(250);

/// Ended operations that can still be asked for: at most this many, and this many targets.
const ENDED_KEPT: usize = 128;
const TARGETS_KEPT: usize = 8192;

#[derive(Debug, Default)]
pub(super) struct Operations {
    last: u64,
    all: BTreeMap<OperationId, Operation>,
}

#[derive(Debug)]
struct Operation {
    verb: Verb,
    origin: String,
    asked: Moment,
    targets: Vec<Target>,
    pending: usize,
}

#[derive(Debug)]
struct Target {
    /// Whom it is about, as long as the outcome is pending.
    slot: Slot,
    goal: Goal,
    view: TargetView,
}

/// What a component has to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Running, in a later run than this one where there is one.
    Running {
        after: Option<RunId>,
    },
    Gone,
    /// It is held, and only told of.
    LeftAlone,
}

/// An operation as a caller sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationView {
    pub id: OperationId,
    pub verb: Verb,
    pub origin: String,
    pub asked: Moment,
    pub state: OperationState,
    pub targets: Vec<TargetView>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TargetView {
    pub id: ComponentId,
    pub outcome: Outcome,
    pub state: ComponentState,
    pub pid: Option<u32>,
    pub detail: Option<String>,
}

impl Operations {
    pub fn next_id(&mut self) -> OperationId {
        self.last += 1;
        OperationId(self.last)
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    /// The numbers up to this one are taken.
    pub fn count_on(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// Every operation with its pending targets and their positions, for the oracle.
    #[cfg(test)]
    pub fn pending(&self) -> impl Iterator<Item = (OperationId, Vec<(usize, ComponentId)>)> {
        self.all.iter().map(|(&id, operation)| {
            let targets = operation.targets.iter().enumerate();
            let pending = targets.filter(|(_, target)| target.view.outcome == Outcome::Pending);
            (id, pending.map(|(position, target)| (position, target.view.id.clone())).collect())
        })
    }

    #[cfg(test)]
    pub fn ids(&self) -> impl Iterator<Item = OperationId> {
        self.all.keys().copied()
    }
}

impl Operation {
    fn state(&self) -> OperationState {
        let failed =
            |target: &Target| matches!(target.view.outcome, Outcome::Failed | Outcome::Superseded);
        if self.pending > 0 {
            OperationState::Pending
        } else if self.targets.iter().any(failed) {
            OperationState::Failed
        } else {
            OperationState::Done
        }
    }
}

impl Supervisor {
    /// What was asked for, and of how many.
    pub fn extent_of(&self, id: OperationId) -> Option<(Verb, usize)> {
        let operation = self.operations.all.get(&id)?;
        Some((operation.verb, operation.targets.len()))
    }

    /// An operation as it stands.
    pub fn operation(&self, id: OperationId) -> Option<OperationView> {
        let operation = self.operations.all.get(&id)?;
        let targets = operation.targets.iter().map(|target| {
            if target.view.outcome != Outcome::Pending {
                return target.view.clone();
            }
            let detail = self.waiting_for(target.slot).or_else(|| self.reason_of(target.slot));
            TargetView { detail, ..self.target_view(target.slot, Outcome::Pending) }
        });
        Some(OperationView {
            id,
            verb: operation.verb,
            origin: operation.origin.clone(),
            asked: operation.asked,
            state: operation.state(),
            targets: targets.collect(),
        })
    }

    /// Whether an operation has ended; `None` if it is not known (any more).
    pub fn operation_ended(&self, id: OperationId) -> Option<bool> {
        self.operations.all.get(&id).map(|operation| operation.pending == 0)
    }

    pub(super) fn open_operation(
        &mut self,
        id: OperationId,
        verb: Verb,
        origin: String,
        asked: Moment,
        goals: Vec<(Slot, Goal)>,
        effects: &mut Vec<Effect>,
    ) {
        let pending = goals.len();
        for (position, &(slot, _)) in goals.iter().enumerate() {
            self.entry_mut(slot).awaited_by.push(Awaited { operation: id, position });
            self.touched.insert(slot);
        }
        let targets = goals
            .into_iter()
            .map(|(slot, goal)| {
                let view = self.target_view(slot, Outcome::Pending);
                Target { slot, goal, view }
            })
            .collect();
        self.operations.all.insert(id, Operation { verb, origin, asked, targets, pending });
        if pending == 0 {
            effects.push(Effect::OperationEnded { id });
        }
        self.forget_old_operations();
    }

    /// Looks whether the operations that wait for a component have got what they wait for.
    pub(super) fn evaluate(
        &mut self,
        now: Moment,
        slot: Slot,
        hopes: &mut Hopes,
        effects: &mut Vec<Effect>,
    ) {
        let awaited = std::mem::take(&mut self.entry_mut(slot).awaited_by);
        let mut left = Vec::with_capacity(awaited.len());
        for Awaited { operation: id, position } in awaited {
            #[cfg(test)]
            self.work.set(self.work.get() + 1);
            let Some(operation) = self.operations.all.get(&id) else { continue };
            let goal = operation.targets[position].goal;
            let (outcome, detail) = self.judge(now, slot, goal, hopes);
            if outcome == Outcome::Pending {
                let from = self.steady_from(slot).filter(|&from| from > now);
                self.settling.extend(from.map(|from| (from, slot)));
                left.push(Awaited { operation: id, position });
            } else {
                let view = TargetView { detail, ..self.target_view(slot, outcome) };
                self.end_target(id, position, view, effects);
            }
        }
        self.entry_mut(slot).awaited_by = left;
    }

    /// Ends what is still asked of a component that leaves, and lets ended operations keep what
    /// they know of it.
    pub(super) fn close_targets(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        for Awaited { operation, position } in std::mem::take(&mut self.entry_mut(slot).awaited_by)
        {
            let view = TargetView {
                detail: Some("it left the registry".to_owned()),
                ..self.target_view(slot, Outcome::Superseded)
            };
            self.end_target(operation, position, view, effects);
        }
    }

    fn end_target(
        &mut self,
        id: OperationId,
        position: usize,
        view: TargetView,
        effects: &mut Vec<Effect>,
    ) {
        let Some(operation) = self.operations.all.get_mut(&id) else { return };
        operation.targets[position].view = view;
        operation.pending -= 1;
        if operation.pending == 0 {
            self.look_back(id);
            effects.push(Effect::OperationEnded { id });
        }
    }

    /// When a running component may be called up, where neither a readiness check nor its start
    /// delay has shown that it does not fall at once.
    fn steady_from(&self, slot: Slot) -> Option<Moment> {
        let entry = self.entry(slot);
        let State::Running { live, .. } = entry.machine.state() else { return None };
        let shown = entry.config().ready.is_some() || entry.config().start_delay >= STEADY;
        live.process.filter(|_| !shown).map(|process| process.started.after(STEADY))
    }

    /// What ran for a moment, and fell while others were waited for, has not come up.
    fn look_back(&mut self, id: OperationId) {
        let Some(operation) = self.operations.all.get(&id) else { return };
        let fell = |target: &Target| {
            let (Goal::Running { .. }, Outcome::Done) = (target.goal, target.view.outcome) else {
                return None;
            };
            // It may have left the registry meanwhile.
            let slot = self.find(&target.view.id)?;
            let state = self.entry(slot).machine.state();
            matches!(state, State::Failed { .. } | State::Backoff { .. }).then(|| TargetView {
                detail: self.reason_of(slot),
                ..self.target_view(slot, Outcome::Failed)
            })
        };
        let views: Vec<Option<TargetView>> = operation.targets.iter().map(fell).collect();
        let Some(operation) = self.operations.all.get_mut(&id) else { return };
        for (target, view) in operation.targets.iter_mut().zip(views) {
            if let Some(view) = view {
                target.view = view;
            }
        }
    }

    fn judge(
        &self,
        now: Moment,
        slot: Slot,
        goal: Goal,
        hopes: &mut Hopes,
    ) -> (Outcome, Option<String>) {
        let entry = self.entry(slot);
        let (state, wish) = (entry.machine.state(), entry.machine.wish());
        match goal {
            Goal::LeftAlone => {
                (Outcome::Held, entry.hold.as_ref().map(|hold| format!("it is {hold}")))
            }
            Goal::Gone => match state {
                State::Stopped => (Outcome::Done, None),
                State::Unkillable { .. } => (Outcome::Failed, self.reason_of(slot)),
                _ if wish == Intent::Running => {
                    (Outcome::Superseded, Some("a later start took its place".to_owned()))
                }
                _ => (Outcome::Pending, None),
            },
            Goal::Running { after } => {
                let later = entry.machine.record().last_run > after;
                match state {
                    State::Running { live, .. } if later && live.asked.is_none() => {
                        let steady = self.steady_from(slot).is_none_or(|from| from <= now);
                        (if steady { Outcome::Done } else { Outcome::Pending }, None)
                    }
                    State::Exited if later => {
                        (Outcome::Done, Some("it did its work and ended".into()))
                    }
                    State::Failed { .. } | State::Unkillable { .. } => {
                        (Outcome::Failed, self.reason_of(slot))
                    }
                    _ if wish == Intent::Stopped => {
                        (Outcome::Superseded, Some("a later stop took its place".to_owned()))
                    }
                    _ => match self.hopeless(now, slot, hopes) {
                        Some(why) => (Outcome::Failed, Some(why)),
                        None => (Outcome::Pending, None),
                    },
                }
            }
        }
    }

    fn target_view(&self, slot: Slot, outcome: Outcome) -> TargetView {
        let entry = self.entry(slot);
        let state = entry.machine.state();
        TargetView {
            id: entry.id.clone(),
            outcome,
            state: state.name(),
            pid: state.process().map(|process| process.pid),
            detail: None,
        }
    }

    fn forget_old_operations(&mut self) {
        let ended = |operation: &&Operation| operation.pending == 0;
        let mut count = self.operations.all.values().filter(ended).count();
        let mut targets: usize =
            self.operations.all.values().filter(ended).map(|one| one.targets.len()).sum();
        while count > ENDED_KEPT || (targets > TARGETS_KEPT && count > 1) {
            let oldest = self.operations.all.iter().find(|(_, one)| one.pending == 0);
            let Some((&id, operation)) = oldest else { return };
            targets -= operation.targets.len();
            count -= 1;
            self.operations.all.remove(&id);
        }
    }
}
