//! Commands that take time: what each waits for, and how it ended.

use std::collections::BTreeMap;

use super::{Effect, Slot, Supervisor};
use crate::{
    machine::State,
    model::{ComponentId, Moment, OperationId, RunId},
    wire::{ComponentState, Intent, OperationState, Outcome, Verb},
};

/// Attempts in a row that fail before an operation stops waiting for a component. The component
/// itself goes on as its policy says.
pub(super) const PATIENCE: u32 = 3;

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
    /// None once the component has left the registry.
    slot: Option<Slot>,
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
    /// An operation as it stands.
    pub fn operation(&self, id: OperationId) -> Option<OperationView> {
        let operation = self.operations.all.get(&id)?;
        let targets = operation.targets.iter().map(|target| match target.slot {
            Some(slot) if target.view.outcome == Outcome::Pending => TargetView {
                detail: self.waiting_for(slot).or_else(|| self.reason_of(slot)),
                ..self.target_view(slot, Outcome::Pending)
            },
            _ => target.view.clone(),
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
    ) {
        let pending = goals.len();
        for &(slot, _) in &goals {
            self.entry_mut(slot).awaited_by.push(id);
        }
        let targets = goals
            .into_iter()
            .map(|(slot, goal)| {
                let view = self.target_view(slot, Outcome::Pending);
                Target { slot: Some(slot), goal, view }
            })
            .collect();
        self.operations.all.insert(id, Operation { verb, origin, asked, targets, pending });
        self.forget_old_operations();
    }

    /// Looks whether the operations that wait for a component have got what they wait for.
    pub(super) fn evaluate(&mut self, now: Moment, slot: Slot, effects: &mut Vec<Effect>) {
        for id in self.entry(slot).awaited_by.clone() {
            let Some(operation) = self.operations.all.get(&id) else { continue };
            let position = operation.targets.iter().position(|target| {
                target.slot == Some(slot) && target.view.outcome == Outcome::Pending
            });
            let Some(position) = position else { continue };
            let goal = operation.targets[position].goal;
            let (outcome, detail) = self.judge(now, slot, goal);
            if outcome != Outcome::Pending {
                let view = TargetView { detail, ..self.target_view(slot, outcome) };
                self.end_target(id, position, view, effects);
                self.entry_mut(slot).awaited_by.retain(|&other| other != id);
            }
        }
    }

    pub(super) fn evaluate_all(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        for slot in self.order.clone() {
            if !self.entry(slot).awaited_by.is_empty() {
                self.evaluate(now, slot, effects);
            }
        }
    }

    /// Ends what is still asked of a component that leaves; a stop of it is done.
    pub(super) fn close_targets(&mut self, slot: Slot) {
        let view = self.target_view(slot, Outcome::Superseded);
        for operation in self.operations.all.values_mut() {
            for target in operation.targets.iter_mut().filter(|target| target.slot == Some(slot)) {
                target.slot = None;
                if target.view.outcome == Outcome::Pending {
                    let detail = Some("it left the registry".to_owned());
                    target.view = TargetView { detail, ..view.clone() };
                    operation.pending -= 1;
                }
            }
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

    /// What ran for a moment, and fell while others were waited for, has not come up.
    fn look_back(&mut self, id: OperationId) {
        let Some(operation) = self.operations.all.get(&id) else { return };
        let fell = |target: &Target| {
            let slot = target.slot.filter(|_| target.view.outcome == Outcome::Done)?;
            let Goal::Running { .. } = target.goal else { return None };
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

    fn judge(&self, now: Moment, slot: Slot, goal: Goal) -> (Outcome, Option<String>) {
        let entry = self.entry(slot);
        let (state, wish) = (entry.machine.state(), entry.machine.wish());
        match goal {
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
                        (Outcome::Done, None)
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
                    _ => match self.hopeless(now, slot, 0) {
                        Some(why) => (Outcome::Failed, Some(why)),
                        None => (Outcome::Pending, None),
                    },
                }
            }
        }
    }

    /// Why nobody should wait for a component to run, if so.
    fn hopeless(&self, now: Moment, slot: Slot, depth: usize) -> Option<String> {
        let entry = self.entry(slot);
        let failures = entry.machine.record().failures_in_a_row;
        match entry.machine.state() {
            State::Failed { .. } | State::Unkillable { .. } => self.reason_of(slot),
            State::Stopped if entry.machine.wish() == Intent::Stopped => {
                Some("it is stopped".to_owned())
            }
            State::Backoff { until } if failures >= PATIENCE => {
                let why = self.reason_of(slot).unwrap_or_default();
                let wait = until.since(now).as_secs_f64();
                Some(format!(
                    "{why}, {failures} times in a row; the next attempt is in {wait:.1} s"
                ))
            }
            State::Starting { .. }
                if failures >= PATIENCE && entry.machine.record().trouble.is_some() =>
            {
                let why = self.reason_of(slot).unwrap_or_default();
                Some(format!("{why}, {failures} times in a row; it is being tried again"))
            }
            State::Waiting { .. } if depth < 64 => {
                let blockers = self.blockers(slot);
                blockers.into_iter().find_map(|blocker| {
                    let why = self.hopeless(now, blocker, depth + 1)?;
                    Some(format!("it waits for {}: {why}", self.entry(blocker).id))
                })
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Exited => None,
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
