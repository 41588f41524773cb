//! Who may go on now: the order among the members of one request, and dependencies at any time.

use std::collections::BTreeMap;

use super::{Slot, Supervisor};
use crate::{
    machine::{Context, Event, Response},
    model::{Moment, OperationId, RunId},
};

/// How many members of one request are still on their way, by priority.
#[derive(Debug, Default)]
pub(super) struct Group {
    starting: BTreeMap<i32, usize>,
    stopping: BTreeMap<i32, usize>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.starting.is_empty() && self.stopping.is_empty()
    }
}

fn enter(levels: &mut BTreeMap<i32, usize>, priority: i32) {
    *levels.entry(priority).or_default() += 1;
}

/// Takes one member out; tells whether its level is done.
fn leave(levels: &mut BTreeMap<i32, usize>, priority: i32) -> bool {
    let Some(count) = levels.get_mut(&priority) else { return false };
    *count -= 1;
    let done = *count == 0;
    if done {
        levels.remove(&priority);
    }
    done
}

impl Supervisor {
    pub(super) fn may_start(&self, slot: Slot) -> bool {
        self.shutdown.is_none()
            && self.missing_dependency(slot).is_none()
            && !self.waits_for_lower_priority(slot)
    }

    pub(super) fn may_stop(&self, slot: Slot) -> bool {
        let entry = self.entry(slot);
        let later_in_request = entry.stopping_in.is_some_and(|(request, priority)| {
            let group = self.groups.get(&request);
            group.is_some_and(|group| group.stopping.range(priority + 1..).next().is_some())
        });
        // A dependent that was asked in the same request goes first, even if its turn to be told
        // has not come yet.
        let dependent = entry.dependents.iter().any(|&slot| {
            let other = self.entry(slot);
            other.is_going_down() || other.stopping_in.is_some()
        });
        !later_in_request && !dependent
    }

    /// The first dependency that does not run.
    pub(super) fn missing_dependency(&self, slot: Slot) -> Option<Slot> {
        let dependencies = &self.entry(slot).config().depends_on;
        let slots = dependencies.iter().filter_map(|id| self.find(id));
        slots.into_iter().find(|&dependency| !self.entry(dependency).satisfies_dependents())
    }

    pub(super) fn waits_for_lower_priority(&self, slot: Slot) -> bool {
        self.entry(slot).starting_in.is_some_and(|(request, priority)| {
            let group = self.groups.get(&request);
            group.is_some_and(|group| group.starting.range(..priority).next().is_some())
        })
    }

    /// Makes a component a member of a request's order of starts. One that is on its way in an
    /// earlier request stays there, since others wait for it.
    pub(super) fn join_start_order(&mut self, slot: Slot, request: OperationId) {
        let priority = self.entry(slot).config().start_priority;
        let entry = self.entry_mut(slot);
        if entry.starting_in.is_none() {
            entry.starting_in = Some((request, priority));
            enter(&mut self.groups.entry(request).or_default().starting, priority);
        }
    }

    /// The same for the order of stops; the latest request counts.
    pub(super) fn join_stop_order(&mut self, slot: Slot, request: OperationId) {
        self.leave_stop_order(slot);
        let priority = self.entry(slot).config().start_priority;
        self.entry_mut(slot).stopping_in = Some((request, priority));
        enter(&mut self.groups.entry(request).or_default().stopping, priority);
    }

    fn leave_stop_order(&mut self, slot: Slot) {
        if let Some((request, priority)) = self.entry_mut(slot).stopping_in.take()
            && let Some(group) = self.groups.get_mut(&request)
        {
            self.gates_moved |= leave(&mut group.stopping, priority);
            if group.is_empty() {
                self.groups.remove(&request);
            }
        }
    }

    fn leave_start_order(&mut self, slot: Slot) {
        if let Some((request, priority)) = self.entry_mut(slot).starting_in.take()
            && let Some(group) = self.groups.get_mut(&request)
        {
            self.gates_moved |= leave(&mut group.starting, priority);
            if group.is_empty() {
                self.groups.remove(&request);
            }
        }
    }

    /// Brings the orders up to date with a component's state.
    pub(super) fn update_gates(&mut self, slot: Slot) {
        let entry = self.entry(slot);
        let (starting, going_down) = (entry.is_starting_up(), entry.is_going_down());
        let blocked = entry.is_blocked();
        if !starting {
            self.leave_start_order(slot);
        }
        if !going_down {
            self.leave_stop_order(slot);
        }
        if blocked {
            self.blocked.insert(slot);
        } else {
            self.blocked.remove(&slot);
        }
    }

    /// Lets everybody go on whose gate has opened, until nothing moves.
    pub(super) fn proceed_blocked(&mut self, now: Moment, effects: &mut Vec<super::Effect>) {
        while std::mem::take(&mut self.gates_moved) {
            for slot in self.blocked.iter().copied().collect::<Vec<_>>() {
                let open = match self.entry(slot).machine.state().stop_asked() {
                    Some(_) => self.may_stop(slot),
                    None => self.may_start(slot),
                };
                if open {
                    self.step(now, slot, Event::Proceed, effects);
                }
            }
        }
    }

    /// One event to one machine, with everything that follows from it but opened gates.
    pub(super) fn step(
        &mut self,
        now: Moment,
        slot: Slot,
        event: Event,
        effects: &mut Vec<super::Effect>,
    ) -> Response {
        let (may_start, may_stop) = (self.may_start(slot), self.may_stop(slot));
        let (next_run, chance) = (self.next_run, self.chance.draw());
        let restart_from = self.restart_from(now);
        let entry = self.entry_mut(slot);
        let config = std::sync::Arc::clone(entry.config());
        let config = &*config;
        let cx = Context { now, config, chance, next_run, may_start, may_stop, restart_from };
        let before = entry.machine.state().clone();
        let restarts = entry.machine.record().restarts;
        let mut wanted = Vec::new();
        let response = entry.machine.step(event, &cx, &mut wanted);
        if entry.machine.state().run() == Some(next_run) {
            self.next_run = RunId(next_run.0 + 1);
        }
        if self.entry(slot).machine.record().restarts > restarts {
            self.count_restart(now);
        }
        self.after_step(now, slot, &before, wanted, effects);
        response
    }

    /// The earliest moment of a restart without request that the governor allows.
    fn restart_from(&self, now: Moment) -> Moment {
        let Some(limit) = self.registry.config.starts_per_minute else { return now };
        let limit = limit as usize;
        if self.restarts.len() < limit {
            return now;
        }
        self.restarts[self.restarts.len() - limit].after(super::facts::GOVERNOR_WINDOW).max(now)
    }

    fn count_restart(&mut self, now: Moment) {
        let Some(limit) = self.registry.config.starts_per_minute else {
            self.restarts.clear();
            return;
        };
        // Those that the governor put off start at `restart_from`: that is what counts for the
        // next one.
        let at = self.restart_from(now);
        self.restarts.push_back(at);
        while self.restarts.len() > limit as usize {
            self.restarts.pop_front();
        }
    }
}
