//! Whether it is worth waiting for a component, and who holds it up.
//!
//! A caller is told at once what an operator has to know; the component itself goes on as its
//! policy says.

use std::collections::HashMap;

use super::{Slot, Supervisor, operations::PATIENCE};
use crate::{
    machine::State,
    model::{Moment, OperationId},
    wire::Intent,
};

/// What was found out in one turn about those who wait; each is looked at once.
#[derive(Debug, Default)]
pub(super) struct Hopes {
    known: HashMap<Slot, Hope>,
    /// The first hopeless member in a request's order of starts.
    first_of: HashMap<OperationId, Option<(i32, Slot)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hope {
    /// It may still come, or is there.
    Good,
    /// It is the trouble itself.
    Lost,
    /// It waits for this one, who is without hope.
    LostFor(Slot),
}

/// A chain of those who wait for one another is followed so far in words.
const CHAIN: usize = 4;

impl Supervisor {
    /// Why nobody should wait for a component to run, if so.
    pub(super) fn hopeless(&self, now: Moment, slot: Slot, hopes: &mut Hopes) -> Option<String> {
        let mut culprit = slot;
        let mut chain = Vec::new();
        while let Hope::LostFor(other) = self.hope(culprit, hopes) {
            if chain.contains(&other) {
                break;
            }
            chain.push(other);
            culprit = other;
        }
        if self.hope(culprit, hopes) != Hope::Lost {
            return None;
        }
        let mut text = String::new();
        for (depth, &other) in chain.iter().enumerate() {
            if depth < CHAIN || depth + 1 == chain.len() {
                text.push_str("it waits for ");
                text.push_str(&self.entry(other).id);
                text.push_str(": ");
            }
        }
        text += &self.own_trouble(now, culprit);
        Some(text)
    }

    pub(super) fn is_lost(&self, slot: Slot, hopes: &mut Hopes) -> bool {
        self.hope(slot, hopes) != Hope::Good
    }

    /// Takes those out of the order of starts who wait for somebody that nobody wishes to run:
    /// they must not hold up the rest.
    pub(super) fn release_stranded(&mut self) {
        let mut known = HashMap::new();
        let candidates: Vec<Slot> = if self.hopes_moved {
            self.waiting.iter().copied().collect()
        } else {
            self.touched.intersection(&self.waiting).copied().collect()
        };
        for slot in candidates {
            if self.entry(slot).starting_in.is_some() && self.is_stranded(slot, &mut known) {
                self.leave_start_order(slot);
            }
        }
    }

    /// Waits for a dependency that will not run until somebody asks for it.
    fn is_stranded(&self, slot: Slot, known: &mut HashMap<Slot, bool>) -> bool {
        if let Some(&stranded) = known.get(&slot) {
            return stranded;
        }
        #[cfg(test)]
        self.work.set(self.work.get() + 1);
        known.insert(slot, false); // Ends a cycle, should there be one.
        let stranded = matches!(self.entry(slot).machine.state(), State::Waiting { .. })
            && self.dependencies(slot).any(|dependency| {
                self.is_down_for_good(dependency) || self.is_stranded(dependency, known)
            });
        known.insert(slot, stranded);
        stranded
    }

    fn is_down_for_good(&self, slot: Slot) -> bool {
        let machine = &self.entry(slot).machine;
        let held = self.entry(slot).hold.is_some();
        match machine.state() {
            State::Waiting { .. } | State::Backoff { .. } => held,
            State::Failed { .. } | State::Unkillable { .. } => true,
            State::Stopped => machine.wish() == Intent::Stopped,
            State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Exited => false,
        }
    }

    fn hope(&self, slot: Slot, hopes: &mut Hopes) -> Hope {
        if let Some(&hope) = hopes.known.get(&slot) {
            return hope;
        }
        #[cfg(test)]
        self.work.set(self.work.get() + 1);
        hopes.known.insert(slot, Hope::Good); // Ends a cycle, should there be one.
        let hope = self.look_for_hope(slot, hopes);
        hopes.known.insert(slot, hope);
        hope
    }

    fn look_for_hope(&self, slot: Slot, hopes: &mut Hopes) -> Hope {
        let entry = self.entry(slot);
        let record = entry.machine.record();
        let out_of_patience = record.failures_in_a_row >= PATIENCE;
        match entry.machine.state() {
            State::Backoff { .. } if out_of_patience => Hope::Lost,
            State::Starting { .. } if out_of_patience && record.trouble.is_some() => Hope::Lost,
            State::Waiting { .. } | State::Backoff { .. } if entry.hold.is_some() => Hope::Lost,
            State::Starting { .. } | State::Running { .. } if entry.restart_is_held() => Hope::Lost,
            State::Waiting { .. } => {
                let lost = self.dependencies(slot).find(|&other| {
                    !self.entry(other).satisfies_dependents()
                        && self.hope(other, hopes) != Hope::Good
                });
                match lost.or_else(|| self.hopeless_before(slot, hopes)) {
                    Some(other) => Hope::LostFor(other),
                    None => Hope::Good,
                }
            }
            _ if self.is_down_for_good(slot) => Hope::Lost,
            State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed { .. }
            | State::Unkillable { .. } => Hope::Good,
        }
    }

    /// A hopeless member of its request whose priority comes first.
    ///
    /// The first such member never is one because of priority, so the members can be looked
    /// through in their order, once for each request.
    fn hopeless_before(&self, slot: Slot, hopes: &mut Hopes) -> Option<Slot> {
        let (request, priority) = self.entry(slot).starting_in?;
        if !hopes.first_of.contains_key(&request) {
            hopes.first_of.insert(request, None);
            let levels = self.groups.get(&request).map(|group| &group.starting)?;
            let mut members = levels
                .iter()
                .flat_map(|(&level, members)| members.iter().map(move |&member| (level, member)));
            let first = members.find(|&(_, member)| self.hope(member, hopes) != Hope::Good);
            hopes.first_of.insert(request, first);
        }
        let (level, member) = hopes.first_of.get(&request).copied().flatten()?;
        (level < priority).then_some(member)
    }

    fn own_trouble(&self, now: Moment, slot: Slot) -> String {
        let entry = self.entry(slot);
        let why = self.reason_of(slot).unwrap_or_default();
        let failures = entry.machine.record().failures_in_a_row;
        if let Some(hold) = &entry.hold {
            return format!("it is {hold}");
        }
        match entry.machine.state() {
            State::Stopped => "it is stopped".to_owned(),
            State::Backoff { until } => {
                let wait = until.since(now).as_secs_f64();
                format!("{why}, {failures} times in a row; the next attempt is in {wait:.1} s")
            }
            State::Starting { .. } => {
                format!("{why}, {failures} times in a row; it is being tried again")
            }
            State::Waiting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Exited
            | State::Failed { .. }
            | State::Unkillable { .. } => why,
        }
    }
}
