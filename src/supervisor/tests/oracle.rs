//! What must hold at every moment, computed anew from the machines alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    machine::State,
    model::OperationId,
    supervisor::{Slot, Supervisor, gates::Group},
};

impl Supervisor {
    /// Compares every index with the entries, after any input.
    pub(in crate::supervisor) fn assert_consistent(&self) {
        let mut runs = BTreeMap::new();
        let mut deadlines = BTreeSet::new();
        let mut hold_ends = BTreeSet::new();
        let mut blocked = BTreeSet::new();
        let mut groups: BTreeMap<OperationId, Group> = BTreeMap::new();
        let mut free = BTreeSet::new();
        let mut tally = BTreeMap::new();
        for (position, entry) in self.entries.iter().enumerate() {
            let slot = Slot(u32::try_from(position).expect("few entries"));
            let Some(entry) = entry else {
                free.insert(slot);
                continue;
            };
            assert_eq!(self.index.get(&entry.id), Some(&slot), "index of {}", entry.id);
            let state = entry.machine.state();
            *tally.entry(state.name()).or_insert(0_usize) += 1;
            if let Some(run) = state.run() {
                assert!(runs.insert(run, slot).is_none(), "run {run} belongs to two");
                assert!(run < self.next_run, "run {run} is given out once");
            } else {
                assert!(!entry.has_next_config(), "{} keeps an old configuration", entry.id);
                assert!(!entry.removed || state.run().is_some(), "{} is not forgotten", entry.id);
            }
            assert_eq!(entry.deadline, state.deadline(), "deadline of {}", entry.id);
            let ends = entry.hold.as_ref().and_then(|hold| hold.until.as_ref());
            hold_ends.extend(ends.map(|until| (until.at, slot)));
            if entry.put_off.is_some() {
                assert!(entry.hold.is_some() && state.run().is_some(), "{} puts off", entry.id);
            }
            deadlines.extend(state.deadline().map(|at| (at, slot)));
            if entry.is_blocked() {
                blocked.insert(slot);
            }
            if let Some((request, priority)) = entry.starting_in {
                assert!(entry.is_starting_up(), "{} holds a place it left", entry.id);
                let group = groups.entry(request).or_default();
                group.starting.entry(priority).or_default().insert(slot);
            }
            if let Some((request, priority)) = entry.stopping_in {
                assert!(entry.is_going_down(), "{} holds a place it left", entry.id);
                let group = groups.entry(request).or_default();
                group.stopping.entry(priority).or_default().insert(slot);
            }
            let mut dependents: Vec<Slot> = entry.dependents.clone();
            dependents.sort_unstable();
            let expected: Vec<Slot> = (0..self.entries.len())
                .map(|position| Slot(u32::try_from(position).expect("few entries")))
                .filter(|&other| {
                    self.entries[other.0 as usize]
                        .as_ref()
                        .is_some_and(|other| other.next_config().depends_on.contains(&entry.id))
                })
                .collect();
            assert_eq!(dependents, expected, "dependents of {}", entry.id);
        }
        assert_eq!(
            self.runs.iter().map(|(&run, &slot)| (run, slot)).collect::<BTreeMap<_, _>>(),
            runs
        );
        assert_eq!(self.deadlines, deadlines);
        assert_eq!(self.hold_ends, hold_ends);
        assert_eq!(self.blocked, blocked);
        let waits =
            |slot: &Slot| matches!(self.entry(*slot).machine.state(), State::Waiting { .. });
        assert_eq!(self.waiting, blocked.iter().copied().filter(waits).collect());
        assert_eq!(self.groups, groups);
        let counted = self.tally.iter().filter(|(_, count)| **count > 0);
        let counted: BTreeMap<_, _> = counted.map(|(&state, &count)| (state, count)).collect();
        assert_eq!(counted, tally, "components of each state");
        assert_eq!(self.free.iter().copied().collect::<BTreeSet<_>>(), free);
        assert_eq!(self.order.len() + free.len(), self.entries.len());
        assert!(self.recheck.is_empty() && self.touched.is_empty() && !self.hopes_moved);
        self.assert_nothing_forgotten();
        self.assert_operations();
    }

    /// Nobody stands at an open gate.
    fn assert_nothing_forgotten(&self) {
        for &slot in &self.blocked {
            let entry = self.entry(slot);
            let open = match entry.machine.state().stop_asked() {
                Some(_) => self.may_stop(slot),
                None => self.may_start(slot),
            };
            assert!(!open, "{} stands at an open gate: {:?}", entry.id, entry.machine.state());
        }
    }

    fn assert_operations(&self) {
        let mut awaited = BTreeMap::new();
        for entry in self.entries.iter().flatten() {
            for one in &entry.awaited_by {
                awaited.insert((one.operation, one.position), entry.id.clone());
            }
        }
        for (id, pending) in self.operations.pending() {
            assert_eq!(self.operation_ended(id), Some(pending.is_empty()), "operation {id}");
            for (position, name) in pending {
                assert_eq!(awaited.remove(&(id, position)), Some(name), "operation {id}");
            }
        }
        assert!(awaited.is_empty(), "ended, and yet awaited: {awaited:?}");
    }
}
