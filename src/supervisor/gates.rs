//! Who may go on now: the order among the members of one request, and dependencies at any time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Slot, Supervisor};
use crate::{
    machine::{Context, Event, Response, State},
    model::{Moment, OperationId, RunId},
};

/// The members of one request that are still on their way, by priority.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Group {
    pub starting: Levels,
    pub stopping: Levels,
}

pub(super) type Levels = BTreeMap<i32, BTreeSet<Slot>>;

impl Group {
    pub fn is_empty(&self) -> bool {
        self.starting.is_empty() && self.stopping.is_empty()
    }
}

fn enter(levels: &mut Levels, priority: i32, slot: Slot) {
    levels.entry(priority).or_default().insert(slot);
}

/// Takes one member out; tells whether its level is done.
fn leave(levels: &mut Levels, priority: i32, slot: Slot) -> bool {
    let Some(members) = levels.get_mut(&priority) else { return false };
    members.remove(&slot);
    let done = members.is_empty();
    if done {
        levels.remove(&priority);
    }
    done
}

fn keep(set: &mut BTreeSet<Slot>, slot: Slot, belongs: bool) {
    if belongs {
        set.insert(slot);
    } else {
        set.remove(&slot);
    }
}

impl Supervisor {
    pub(super) fn may_start(&self, slot: Slot) -> bool {
        self.shutdown.is_none()
            && self.entry(slot).hold.is_none()
            && self.missing_dependency(slot).is_none()
            && !self.waits_for_lower_priority(slot)
    }

    pub(super) fn may_stop(&self, slot: Slot) -> bool {
        let entry = self.entry(slot);
        if entry.restart_is_held() {
            return false;
        }
        let later_in_request = entry.stopping_in.is_some_and(|(request, priority)| {
            let group = self.groups.get(&request);
            group.is_some_and(|group| group.stopping.range(priority + 1..).next().is_some())
        });
        // A dependent that was asked in the same request goes first, even if its turn to be told
        // has not come yet.
        let dependent = self.dependents_in_order(slot).any(|other| {
            let other = self.entry(other);
            other.is_going_down() || other.stopping_in.is_some()
        });
        !later_in_request && !dependent
    }

    /// Dependents that stop before it. One that has left the registry may contradict the
    /// priorities of the present one; those count then, else two would wait for one another.
    pub(super) fn dependents_in_order(&self, slot: Slot) -> impl Iterator<Item = Slot> {
        let entry = self.entry(slot);
        let priority = entry.next_config().start_priority;
        let dependents = entry.dependents.iter().copied();
        dependents.filter(move |&other| self.entry(other).next_config().start_priority >= priority)
    }

    /// The first dependency that does not run.
    pub(super) fn missing_dependency(&self, slot: Slot) -> Option<Slot> {
        self.dependencies(slot).find(|&dependency| !self.entry(dependency).satisfies_dependents())
    }

    /// Those that its next run depends on.
    pub(super) fn dependencies(&self, slot: Slot) -> impl Iterator<Item = Slot> {
        self.entry(slot).next_config().depends_on.iter().filter_map(|id| self.find(id))
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
        let priority = self.entry(slot).next_config().start_priority;
        let entry = self.entry_mut(slot);
        if entry.starting_in.is_none() {
            entry.starting_in = Some((request, priority));
            enter(&mut self.groups.entry(request).or_default().starting, priority, slot);
        }
    }

    /// The same for the order of stops; the latest request counts.
    pub(super) fn join_stop_order(&mut self, slot: Slot, request: OperationId) {
        self.leave_stop_order(slot);
        let priority = self.entry(slot).next_config().start_priority;
        self.entry_mut(slot).stopping_in = Some((request, priority));
        enter(&mut self.groups.entry(request).or_default().stopping, priority, slot);
    }

    /// Keeps the places in the orders where the registry gave it another priority.
    pub(super) fn refresh_places(&mut self, slot: Slot) {
        let entry = self.entry(slot);
        let priority = entry.next_config().start_priority;
        let (starting, stopping) = (entry.starting_in, entry.stopping_in);
        if let Some((request, _)) = starting.filter(|&(_, old)| old != priority) {
            self.leave_start_order(slot);
            self.join_start_order(slot, request);
        }
        if let Some((request, _)) = stopping.filter(|&(_, old)| old != priority) {
            self.join_stop_order(slot, request);
        }
    }

    fn leave_stop_order(&mut self, slot: Slot) {
        if let Some((request, priority)) = self.entry_mut(slot).stopping_in.take()
            && let Some(group) = self.groups.get_mut(&request)
        {
            if leave(&mut group.stopping, priority, slot)
                && let Some(next) = group.stopping.last_entry()
            {
                self.recheck.extend(next.get());
            }
            if group.is_empty() {
                self.groups.remove(&request);
            }
        }
    }

    pub(super) fn leave_start_order(&mut self, slot: Slot) {
        if let Some((request, priority)) = self.entry_mut(slot).starting_in.take()
            && let Some(group) = self.groups.get_mut(&request)
        {
            if leave(&mut group.starting, priority, slot)
                && let Some(next) = group.starting.first_entry()
            {
                self.recheck.extend(next.get());
            }
            if group.is_empty() {
                self.groups.remove(&request);
            }
        }
    }

    /// After a component moved: those whose gate that may open, and itself.
    pub(super) fn recheck_around(&mut self, slot: Slot) {
        let around: Vec<Slot> = {
            let entry = self.entry(slot);
            self.dependencies(slot).chain(entry.dependents.iter().copied()).chain([slot]).collect()
        };
        self.recheck.extend(around.into_iter().filter(|other| self.blocked.contains(other)));
    }

    /// Brings the orders up to date with a component's state.
    pub(super) fn update_gates(&mut self, slot: Slot) {
        let entry = self.entry(slot);
        let (starting, going_down) = (entry.is_starting_up(), entry.is_going_down());
        let blocked = entry.is_blocked();
        let waiting = matches!(entry.machine.state(), State::Waiting { .. });
        if !starting {
            self.leave_start_order(slot);
        }
        if !going_down {
            self.leave_stop_order(slot);
        }
        keep(&mut self.blocked, slot, blocked);
        keep(&mut self.waiting, slot, waiting);
    }

    /// Lets everybody go on whose gate has opened, until nothing moves.
    pub(super) fn proceed_blocked(&mut self, now: Moment, effects: &mut Vec<super::Effect>) {
        while let Some(slot) = self.recheck.pop_first() {
            if !self.blocked.contains(&slot) {
                continue;
            }
            #[cfg(test)]
            self.work.set(self.work.get() + 1);
            let open = match self.entry(slot).machine.state().stop_asked() {
                Some(_) => self.may_stop(slot),
                None => self.may_start(slot),
            };
            if open {
                self.step(now, slot, Event::Proceed, effects);
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
        let restarts = matches!(event, Event::Restart(_));
        let may_stop = may_stop && !(restarts && self.entry(slot).hold.is_some());
        let (next_run, chance) = (self.next_run, self.chance.draw());
        let restart_from = self.restart_from(now);
        let entry = self.entry_mut(slot);
        let config = std::sync::Arc::clone(entry.config());
        let config = &*config;
        let cx = Context { now, config, chance, next_run, may_start, may_stop, restart_from };
        let before = entry.machine.state().clone();
        let mut wanted = Vec::new();
        let response = entry.machine.step(event, &cx, &mut wanted);
        if entry.machine.state().run() == Some(next_run) {
            self.next_run = RunId(next_run.0 + 1);
        }
        let entry = self.entry_mut(slot);
        let begun = entry.machine.state().run() == Some(next_run);
        // What an operator starts begins with a clean record, and is not counted.
        let unasked = entry.machine.record().trouble.is_some();
        entry.governed = matches!(entry.machine.state(), State::Backoff { until }
            if restart_from > now && *until == restart_from);
        if begun && unasked {
            self.count_restart(now);
        }
        self.after_step(now, slot, &before, wanted, effects);
        response
    }

    /// The earliest moment of a restart without request that the governor allows.
    fn restart_from(&self, now: Moment) -> Moment {
        let Some(limit) = self.registry.config.starts_per_minute else { return now };
        let oldest = self.restarts.len().checked_sub(limit as usize);
        match oldest.and_then(|index| self.restarts.get(index)) {
            Some(at) => at.after(super::facts::GOVERNOR_WINDOW).max(now),
            None => now,
        }
    }

    fn count_restart(&mut self, now: Moment) {
        let Some(limit) = self.registry.config.starts_per_minute else {
            self.restarts.clear();
            return;
        };
        self.restarts.push_back(now);
        while self.restarts.len() > limit as usize {
            self.restarts.pop_front();
        }
    }
}
