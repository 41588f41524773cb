//! What the world reports, and what follows from a machine's step.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use super::{Effect, Fact, Inherited, Left, Slot, Supervisor, Transition, hopes::Hopes};
use crate::{
    machine::{self, Adoption, Event, Record, State},
    model::{Moment, RunId},
    wire::{ComponentState, Health, Intent},
};

/// `startsPerMinute` counts over this time.
pub(super) const GOVERNOR_WINDOW: Duration = Duration::from_mins(1);

impl Supervisor {
    /// Takes a fact about a run.
    pub fn handle(&mut self, now: Moment, fact: Fact, effects: &mut Vec<Effect>) {
        let run = fact.run();
        let Some(&slot) = self.runs.get(&run) else {
            // A process that nobody waits for any more must not live on.
            if let Fact::Spawned { .. } = fact {
                effects.push(Effect::KillTree { run });
            }
            return;
        };
        let event = match fact {
            Fact::Spawned { run, process } => Event::Spawned { run, process },
            Fact::SpawnFailed { run, error } => Event::SpawnFailed { run, error },
            Fact::Exited { run, exit, oom, tree_gone } => {
                Event::Exited { run, exit, oom, tree_gone }
            }
            Fact::TreeGone { run } => Event::TreeGone { run },
            Fact::Ready { run } => Event::Ready { run },
            Fact::NotReady { run, why } => Event::NotReady { run, why },
            Fact::Unhealthy { run, why } => Event::Unhealthy { run, why },
            Fact::OverLimit { run, why } => Event::OverLimit { run, why },
            Fact::EvidenceGathered { run } => Event::EvidenceGathered { run },
            Fact::ExtendTimeout { run, by } => Event::ExtendTimeout { run, by },
            Fact::HealthChanged { run: _, health, detail } => {
                let state = self.entry(slot).machine.state();
                if !matches!(state, State::Starting { .. } | State::Running { .. }) {
                    // It is being ended: how well it is matters no more.
                    return;
                }
                let entry = self.entry_mut(slot);
                if health == Health::Ok {
                    entry.put_off = None;
                }
                entry.health = health;
                entry.health_detail = detail;
                return;
            }
            Fact::StatusText { run: _, text } => {
                self.entry_mut(slot).health_detail = Some(text);
                return;
            }
        };
        if self.entry_mut(slot).puts_off(&event) {
            return;
        }
        if let Event::Ready { .. } = event {
            self.entry_mut(slot).put_off = None;
        }
        self.step(now, slot, event, effects);
        self.finish_turn(now, effects);
    }

    /// Lets everything happen that is due.
    pub fn deadline_reached(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        loop {
            let due = self.deadlines.iter().take_while(|(moment, _)| *moment <= now);
            let mut due: Vec<(Moment, Slot)> = due.copied().collect();
            if due.is_empty() {
                break;
            }
            // Where the governor lets few through, those whom others wait for come first.
            due.sort_by_key(|&(moment, slot)| {
                let entry = self.entry(slot);
                let priority = entry.config().start_priority;
                (Reverse(entry.dependents.len()), priority, moment, slot)
            });
            for (moment, slot) in due {
                if !self.deadlines.contains(&(moment, slot)) {
                    continue;
                }
                self.step(now, slot, Event::DeadlineReached, effects);
                // A machine whose deadline passed without effect would be asked for ever.
                if self.deadlines.remove(&(moment, slot)) {
                    self.entry_mut(slot).deadline = None;
                }
            }
        }
        self.expire_holds(now, effects);
        while let Some(&(moment, slot)) = self.settling.first()
            && moment <= now
        {
            self.settling.pop_first();
            if self.entries[slot.0 as usize].is_some() {
                self.touched.insert(slot);
            }
        }
        self.finish_turn(now, effects);
    }

    /// Continues what an earlier Supervisor left, all of it in one turn. Before
    /// [`Supervisor::boot`]. Those that are not taken are given back: unknown components, and
    /// second runs; the caller ends them.
    pub fn adopt(
        &mut self,
        now: Moment,
        inherited: Vec<Inherited>,
        effects: &mut Vec<Effect>,
    ) -> Vec<Inherited> {
        let mut refused = Vec::new();
        // What ended meanwhile moves last: others may be needed for it to start again.
        let ended = |one: &Inherited| matches!(&one.left, Left::Run(run) if run.ended.is_some());
        let (last, first): (Vec<_>, Vec<_>) = inherited.into_iter().partition(ended);
        for one in first.into_iter().chain(last) {
            if let Left::Run(Adoption { run, .. }) = &one.left {
                self.next_run = self.next_run.max(RunId(run.0 + 1));
            }
            let Some(slot) = self.find(&one.id) else {
                refused.push(one);
                continue;
            };
            if *self.entry(slot).machine.state() != State::Stopped {
                refused.push(one);
                continue;
            }
            let Inherited { record, left, .. } = one;
            self.remember_restarts(now, &record);
            self.entry_mut(slot).machine.restore_record(record);
            let event = match left {
                Left::Run(adoption) => Event::Adopted(Box::new(adoption)),
                Left::Resting(resting) => Event::Resumed(resting),
            };
            self.step(now, slot, event, effects);
        }
        self.finish_turn(now, effects);
        refused
    }

    /// The governor counts what an earlier Supervisor restarted.
    fn remember_restarts(&mut self, now: Moment, record: &Record) {
        let Some(limit) = self.registry.config.starts_per_minute else { return };
        let recent = record.recent_restarts().filter(|&at| now.since(at) < GOVERNOR_WINDOW);
        self.restarts.extend(recent);
        self.restarts.make_contiguous().sort_unstable();
        while self.restarts.len() > limit as usize {
            self.restarts.pop_front();
        }
    }

    /// What every input ends with.
    pub(super) fn finish_turn(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.proceed_blocked(now, effects);
        let mut passed_on = BTreeSet::new();
        while !self.touched.is_empty() || self.hopes_moved {
            self.release_stranded();
            let mut affected = std::mem::take(&mut self.touched);
            // Who waits for others may have lost hope through them.
            if std::mem::take(&mut self.hopes_moved) {
                affected.extend(&self.waiting);
            }
            let mut hopes = Hopes::default();
            for slot in affected {
                self.evaluate(now, slot, &mut hopes, effects);
                // Those who wait for one who waits in vain wait in vain too.
                if self.waiting.contains(&slot)
                    && passed_on.insert(slot)
                    && self.is_lost(slot, &mut hopes)
                {
                    let dependents = &self.entry(slot).dependents;
                    let waiting = dependents.iter().filter(|other| self.waiting.contains(other));
                    let waiting: Vec<Slot> = waiting.copied().collect();
                    self.touched.extend(waiting);
                }
            }
            self.proceed_blocked(now, effects);
        }
        self.finish_shutdown(effects);
    }

    /// Everything that follows from one step of one machine.
    pub(super) fn after_step(
        &mut self,
        now: Moment,
        slot: Slot,
        before: &State,
        wanted: Vec<machine::Effect>,
        effects: &mut Vec<Effect>,
    ) {
        self.note_run(slot, before);
        for effect in wanted {
            let id = self.entry(slot).id.clone();
            effects.push(match effect {
                machine::Effect::Spawn { run } => Effect::Spawn { id, run },
                machine::Effect::RequestStop { run } => Effect::RequestStop { id, run },
                machine::Effect::RequestOrphansStop { run } => Effect::RequestOrphansStop { run },
                machine::Effect::GatherEvidence { run, ended } => {
                    Effect::GatherEvidence { id, run, ended }
                }
                machine::Effect::Crashed { run, process, ended } => {
                    Effect::Crashed { id, run, process, ended }
                }
                machine::Effect::KillTree { run } => Effect::KillTree { run },
                machine::Effect::StartProbes { run, ready_already } => {
                    Effect::StartProbes { id, run, ready_already }
                }
                machine::Effect::StopProbes { run } => Effect::StopProbes { run },
            });
        }
        let entry = self.entry(slot);
        let after = entry.machine.state();
        let (was, is) = (before.name(), after.name());
        if was != is || before.run() != after.run() {
            let transition = Transition {
                id: entry.id.clone(),
                run: after.run().or(before.run()),
                pid: after.process().map(|process| process.pid),
                from: was,
                to: is,
                reason: self.reason_of(slot),
            };
            effects.push(Effect::Transition(transition));
        }
        self.note_deadline(slot);
        self.update_gates(slot);
        self.touched.insert(slot);
        if before != self.entry(slot).machine.state() {
            self.recheck_around(slot);
        }
        if was != is {
            self.recount(was, is);
            let record = self.entry(slot).machine.record();
            let given_up = matches!(
                is,
                ComponentState::Failed | ComponentState::Stopped | ComponentState::Unkillable
            );
            // Only those who wait for a gate can lose hope through others.
            if given_up || record.failures_in_a_row >= super::operations::PATIENCE {
                self.hopes_moved |= !self.waiting.is_empty();
            }
        }
        self.forget_if_removed(now, slot, effects);
    }

    fn recount(&mut self, was: ComponentState, is: ComponentState) {
        let before = self.tally.entry(was).or_default();
        *before = before.saturating_sub(1);
        *self.tally.entry(is).or_default() += 1;
    }

    /// Keeps the map of runs, and what belongs to a run alone.
    fn note_run(&mut self, slot: Slot, before: &State) {
        let after = self.entry(slot).machine.state().run();
        if before.run() == after {
            return;
        }
        if let Some(run) = before.run() {
            self.runs.remove(&run);
        }
        let entry = self.entry_mut(slot);
        entry.health_detail = None;
        entry.put_off = None;
        entry.take_next_config();
        let configured = entry.config().health.is_some();
        entry.health = match after {
            Some(_) if configured => Health::Unknown,
            Some(_) | None => Health::None,
        };
        if let Some(run) = after {
            self.runs.insert(run, slot);
        }
    }

    fn note_deadline(&mut self, slot: Slot) {
        let deadline = self.entry(slot).machine.state().deadline();
        let entry = self.entry_mut(slot);
        if entry.deadline == deadline {
            return;
        }
        if let Some(old) = std::mem::replace(&mut entry.deadline, deadline) {
            self.deadlines.remove(&(old, slot));
        }
        if let Some(new) = deadline {
            self.deadlines.insert((new, slot));
        }
    }

    fn forget_if_removed(&mut self, now: Moment, slot: Slot, effects: &mut Vec<Effect>) {
        let entry = self.entry(slot);
        let gone = entry.machine.state().run().is_none();
        if !entry.removed || !gone || entry.machine.wish() == Intent::Running {
            return;
        }
        let id = entry.id.clone();
        self.evaluate(now, slot, &mut Hopes::default(), effects);
        self.close_targets(slot, effects);
        self.recheck_around(slot);
        self.drop_hold(slot);
        self.unlink(slot);
        self.index.remove(&id);
        self.order.retain(|&other| other != slot);
        self.recheck.remove(&slot);
        self.touched.remove(&slot);
        if let Some(entry) = self.entries[slot.0 as usize].take() {
            let count = self.tally.entry(entry.machine.state().name()).or_default();
            *count = count.saturating_sub(1);
        }
        self.free.push(slot);
        effects.push(Effect::Removed { id });
    }

    fn finish_shutdown(&mut self, effects: &mut Vec<Effect>) {
        let Some(shutdown) = self.shutdown.as_mut().filter(|shutdown| !shutdown.told) else {
            return;
        };
        let restart = shutdown.restart;
        let mut left = Vec::new();
        for &slot in self.runs.values() {
            let entry = self.entries[slot.0 as usize].as_ref().expect("a run belongs to an entry");
            match entry.machine.state() {
                _ if restart && entry.outlives_restart() => {}
                State::Unkillable { .. } => left.push(entry.id.clone()),
                _ => return,
            }
        }
        left.sort_unstable();
        shutdown.told = true;
        effects.push(Effect::AllGone { restart, left });
    }
}

impl Fact {
    /// The run that it is about.
    pub fn run(&self) -> RunId {
        match self {
            Self::Spawned { run, .. }
            | Self::SpawnFailed { run, .. }
            | Self::Exited { run, .. }
            | Self::TreeGone { run }
            | Self::Ready { run }
            | Self::NotReady { run, .. }
            | Self::Unhealthy { run, .. }
            | Self::OverLimit { run, .. }
            | Self::EvidenceGathered { run }
            | Self::ExtendTimeout { run, .. }
            | Self::HealthChanged { run, .. }
            | Self::StatusText { run, .. } => *run,
        }
    }
}
