//! What operators ask for: wishes change at once, every request is answered.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Effect, Hold, Shutdown, Slot, Supervisor, operations::Goal};
use crate::{
    machine::{DenyReason, Event, Response, State, StopCause},
    model::{ComponentId, Moment, OperationId, Origin, RunId},
    wire::{Intent, Verb},
};

/// A request about components.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// `Start`, `Stop`, `Restart` or `Kill`.
    pub verb: Verb,
    pub selection: Selection,
    /// Refused when this run has ended.
    pub if_run: Option<RunId>,
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Selection {
    All,
    Ids(Vec<String>),
}

/// The answer to a command, at once.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Applied(OperationId),
    /// Nothing to do; or it is on its way, and the operation ends with it.
    Redundant(Option<OperationId>),
    Denied(Denial),
}

/// Why a command was not taken; nothing has changed then.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Denial {
    #[error("no component is called \"{id}\"{}", nearest.as_ref().map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default())]
    Unknown { id: String, nearest: Option<String> },
    #[error("{id} has left the registry and is being stopped: it is not started any more")]
    Leaving { id: ComponentId },
    #[error("run {asked} of {id} has ended{}", now.map(|run| format!("; it is in run {run} now")).unwrap_or_default())]
    RunEnded { id: ComponentId, asked: RunId, now: Option<RunId> },
    #[error("{} is {hold}; nothing starts or restarts it before, unless it is released: s7supervisor release {id}", about(id, needed_by.as_ref()))]
    Held { id: ComponentId, hold: Hold, needed_by: Option<ComponentId> },
    #[error("{0}")]
    Machine(DenyReason),
    #[error("the Supervisor is shutting down: nothing is started any more")]
    ShuttingDown,
    #[error("{0} is not a command for components")]
    NotForComponents(Verb),
}

fn about(id: &ComponentId, needed_by: Option<&ComponentId>) -> String {
    match needed_by {
        Some(other) => format!("{other} depends on {id}, and {id}"),
        None => id.to_string(),
    }
}

impl Supervisor {
    /// Takes a command. The answer is immediate; what it leads to is in the effects, and in the
    /// operation.
    pub fn command(&mut self, now: Moment, command: Command, effects: &mut Vec<Effect>) -> Answer {
        match self.try_command(now, command, effects) {
            Ok(answer) => answer,
            Err(denial) => Answer::Denied(denial),
        }
    }

    /// The Supervisor's own start: operation 1, with every enabled component that nobody has
    /// stopped by hand. What an earlier Supervisor left in back-off, given up or on its way down
    /// goes on as it was.
    pub fn boot(
        &mut self,
        now: Moment,
        stopped_by_hand: &BTreeSet<ComponentId>,
        effects: &mut Vec<Effect>,
    ) -> OperationId {
        let wanted = |slot: &&Slot| {
            let entry = self.entry(**slot);
            let may_begin = match entry.machine.state() {
                State::Stopped
                | State::Waiting { .. }
                | State::Starting { .. }
                | State::Running { .. } => true,
                State::Stopping { .. }
                | State::Backoff { .. }
                | State::Exited
                | State::Failed { .. }
                | State::Unkillable { .. } => false,
            };
            entry.config().enabled && may_begin && !stopped_by_hand.contains(&entry.id)
        };
        let slots: Vec<Slot> = self.order.iter().filter(wanted).copied().collect();
        let origin = Origin::default();
        self.apply(now, Verb::Start, &slots, &[], &origin, &StopCause::Stop, effects).0
    }

    /// Stops everything in order; with `restart` all but what is held and runs: the next
    /// Supervisor takes that over. At the end comes [`Effect::AllGone`]. With `kill`, or asked a
    /// second time with it, at once.
    pub fn shut_down(
        &mut self,
        now: Moment,
        restart: bool,
        kill: bool,
        origin: &Origin,
        effects: &mut Vec<Effect>,
    ) -> OperationId {
        let verb = if kill { Verb::Kill } else { Verb::Stop };
        if let Some(shutdown) = &mut self.shutdown {
            let (operation, was_restart) = (shutdown.operation, shutdown.restart);
            shutdown.restart &= restart;
            if kill || (was_restart && !restart) {
                let slots = self.order.clone();
                self.apply(now, verb, &slots, &[], origin, &StopCause::Shutdown, effects);
            }
            return operation;
        }
        let (kept, slots): (Vec<Slot>, Vec<Slot>) =
            self.order.iter().partition(|&&slot| restart && !kill && self.outlives_restart(slot));
        // Before the stops, so that nothing starts in between.
        let operation = OperationId(0);
        self.shutdown = Some(Shutdown { operation, restart, told: true });
        let (operation, _) =
            self.apply(now, verb, &slots, &kept, origin, &StopCause::Shutdown, effects);
        self.shutdown = Some(Shutdown { operation, restart, told: false });
        self.finish_turn(now, effects);
        operation
    }

    fn try_command(
        &mut self,
        now: Moment,
        command: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, Denial> {
        let Command { verb, selection, if_run, origin } = command;
        let mut slots = self.select(&selection)?;
        let mut left_alone = Vec::new();
        if let (Some(asked), [slot]) = (if_run, &slots[..]) {
            let entry = self.entry(*slot);
            let run = entry.machine.state().run();
            if run != Some(asked) {
                return Err(Denial::RunEnded { id: entry.id.clone(), asked, now: run });
            }
        }
        match verb {
            Verb::Start | Verb::Restart => {
                if self.shutdown.is_some() {
                    return Err(Denial::ShuttingDown);
                }
                if let Some(&slot) = slots.iter().find(|&&slot| self.entry(slot).removed) {
                    return Err(Denial::Leaving { id: self.entry(slot).id.clone() });
                }
                left_alone = self.set_held_apart(verb, &selection, &mut slots)?;
                self.pull_in_dependencies(&selection, &mut slots)?;
            }
            Verb::Stop | Verb::Kill => {}
            Verb::Reload | Verb::Shutdown => return Err(Denial::NotForComponents(verb)),
        }
        let cause = if verb == Verb::Restart { StopCause::Restart } else { StopCause::Stop };
        let (operation, responses) =
            self.apply(now, verb, &slots, &left_alone, &origin, &cause, effects);
        if responses.contains(&Response::Applied) {
            return Ok(Answer::Applied(operation));
        }
        let denied = responses.iter().find_map(|response| match response {
            Response::Denied(reason) => Some(*reason),
            Response::Applied | Response::Redundant => None,
        });
        if let Some(reason) = denied {
            return Err(reason.into());
        }
        let under_way = self.operation_ended(operation) == Some(false);
        Ok(Answer::Redundant(under_way.then_some(operation)))
    }

    /// Steps every target, as one ordered operation that also tells of those that are held.
    #[expect(clippy::too_many_arguments, reason = "one caller for each kind of request")]
    pub(super) fn apply(
        &mut self,
        now: Moment,
        verb: Verb,
        slots: &[Slot],
        left_alone: &[Slot],
        origin: &Origin,
        cause: &StopCause,
        effects: &mut Vec<Effect>,
    ) -> (OperationId, Vec<Response>) {
        let operation = self.operations.next_id();
        let ids = slots.iter().map(|&slot| self.entry(slot).id.clone()).collect();
        effects.push(Effect::Asked { verb, ids, origin: origin.to_string(), operation });
        let goals = slots.iter().map(|&slot| (slot, self.goal(verb, slot)));
        let goals = goals.chain(left_alone.iter().map(|&slot| (slot, Goal::LeftAlone))).collect();
        self.open_operation(operation, verb, origin.to_string(), now, goals, effects);

        // Everybody takes his place in the order before anybody moves.
        for &slot in slots {
            match verb {
                Verb::Start => self.join_start_order(slot, operation),
                Verb::Restart => {
                    self.join_start_order(slot, operation);
                    if self.has_process(slot) {
                        self.join_stop_order(slot, operation);
                    }
                }
                Verb::Stop if self.has_process(slot) => self.join_stop_order(slot, operation),
                Verb::Stop | Verb::Kill | Verb::Reload | Verb::Shutdown => {}
            }
        }
        let mut ordered = slots.to_vec();
        ordered.sort_by_key(|&slot| self.entry(slot).next_config().start_priority);
        if matches!(verb, Verb::Stop | Verb::Restart | Verb::Kill) {
            ordered.reverse();
        }
        // Only those who ask for the first time are asked here; the rest waits at the gates.
        let asker = Arc::new(origin.clone());
        let mut responses = Vec::with_capacity(slots.len());
        for slot in ordered {
            let event = match verb {
                Verb::Start => Event::Start,
                Verb::Restart => Event::Restart(cause.clone()),
                Verb::Kill => Event::Kill,
                Verb::Stop | Verb::Reload | Verb::Shutdown => Event::Stop(cause.clone()),
            };
            let response = self.step(now, slot, event, effects);
            if response == Response::Applied {
                self.entry_mut(slot).asked_by = Arc::clone(&asker);
            }
            responses.push(response);
        }
        self.finish_turn(now, effects);
        (operation, responses)
    }

    pub(super) fn goal(&self, verb: Verb, slot: Slot) -> Goal {
        let machine = &self.entry(slot).machine;
        if self.forbidding(verb, slot).is_some() {
            return Goal::LeftAlone;
        }
        match verb {
            Verb::Restart => Goal::Running { after: machine.record().last_run },
            Verb::Start | Verb::Reload => match (machine.state().run(), machine.wish()) {
                // One whose stop has begun is not; a stop that is only asked for is withdrawn.
                (Some(run), Intent::Stopped) if machine.state().stop_asked().is_none() => {
                    Goal::Running { after: Some(run) }
                }
                (Some(_), _) => Goal::Running { after: None },
                (None, _) => Goal::Running { after: machine.record().last_run },
            },
            Verb::Stop | Verb::Kill | Verb::Shutdown => Goal::Gone,
        }
    }

    fn has_process(&self, slot: Slot) -> bool {
        self.entry(slot).machine.state().run().is_some()
    }

    pub(super) fn select(&self, selection: &Selection) -> Result<Vec<Slot>, Denial> {
        match selection {
            Selection::All => {
                Ok(self.order.iter().copied().filter(|&slot| !self.entry(slot).removed).collect())
            }
            Selection::Ids(ids) => {
                let mut slots = Vec::with_capacity(ids.len());
                for id in ids {
                    let slot = self.find(id).ok_or_else(|| self.unknown(id))?;
                    if !slots.contains(&slot) {
                        slots.push(slot);
                    }
                }
                Ok(slots)
            }
        }
    }

    /// The denial for an id that nobody has.
    pub fn unknown(&self, id: &str) -> Denial {
        let score = |name: &ComponentId| strsim::jaro_winkler(id, name);
        let nearest = self
            .index
            .keys()
            .max_by(|a, b| score(a).total_cmp(&score(b)).then_with(|| b.cmp(a)))
            .filter(|name| score(name) > 0.6)
            .map(ToString::to_string);
        Denial::Unknown { id: id.to_owned(), nearest }
    }

    /// A start that could only wait is of no use: what a target depends on and nobody wishes to
    /// run is started with it.
    fn pull_in_dependencies(
        &self,
        selection: &Selection,
        slots: &mut Vec<Slot>,
    ) -> Result<(), Denial> {
        let mut next = 0;
        while let Some(&slot) = slots.get(next) {
            next += 1;
            for dependency in self.dependencies(slot) {
                let entry = self.entry(dependency);
                let down = entry.machine.wish() == Intent::Stopped
                    || matches!(entry.machine.state(), State::Failed { .. });
                if down
                    && !entry.removed
                    && !entry.satisfies_dependents()
                    && !slots.contains(&dependency)
                {
                    // Nobody asked for it by name, and waiting for it would be in vain.
                    if entry.hold.is_some() {
                        if let Selection::Ids(_) = selection {
                            return self.held_denial(dependency, Some(slot)).map_or(Ok(()), Err);
                        }
                        continue;
                    }
                    slots.push(dependency);
                }
            }
        }
        Ok(())
    }

    /// Who is held is left alone where all are meant, and a reason to refuse where it is named.
    fn set_held_apart(
        &self,
        verb: Verb,
        selection: &Selection,
        slots: &mut Vec<Slot>,
    ) -> Result<Vec<Slot>, Denial> {
        let held: Vec<Slot> =
            slots.iter().copied().filter(|&slot| self.forbidding(verb, slot).is_some()).collect();
        let Some(&first) = held.first() else { return Ok(held) };
        if matches!(selection, Selection::Ids(_)) || held.len() == slots.len() {
            return self.held_denial(first, None).map_or(Ok(held), Err);
        }
        slots.retain(|slot| !held.contains(slot));
        Ok(held)
    }
}
