//! Who comes before whom: priorities among those who were asked for together, and dependents
//! before those whom they depend on when they are stopped.

use std::collections::{BTreeMap, BTreeSet};

use super::oracle::All;
use crate::{
    machine::State,
    model::{ComponentId, OperationId},
    registry::Registry,
    supervisor::{Slot, Supervisor, Transition},
    wire::{ComponentState, Intent, Verb},
};

#[derive(Debug, Default)]
pub struct Order {
    /// The request in which a component is on its way up, and its priority.
    up: BTreeMap<ComponentId, (OperationId, i32)>,
    /// The same for the way down.
    down: BTreeMap<ComponentId, (OperationId, i32)>,
    /// The only one that the present request names.
    alone: Option<ComponentId>,
}

fn priority(registry: &Registry, supervisor: &Supervisor, id: &ComponentId) -> i32 {
    let registered = registry.components.iter().find(|one| one.id == *id);
    let known = || supervisor.config(id).map(|config| config.start_priority);
    registered.map(|one| one.start_priority).or_else(known).unwrap_or(0)
}

impl Order {
    pub fn asked(
        &mut self,
        supervisor: &Supervisor,
        verb: Verb,
        ids: &[ComponentId],
        operation: OperationId,
        registry: &Registry,
        before: &All,
    ) {
        self.alone = (ids.len() == 1).then(|| ids[0].clone());
        for id in ids {
            let place = (operation, priority(registry, supervisor, id));
            let registered = registry.components.iter().any(|one| one.id == *id);
            let held = before.get(id).is_some_and(|one| one.held);
            let had_run = before.get(id).is_some_and(|one| one.run.is_some());
            let up =
                matches!(verb, Verb::Start | Verb::Restart) || (verb == Verb::Reload && registered);
            if up {
                self.up.entry(id.clone()).or_insert(place);
            }
            let down = matches!(verb, Verb::Stop | Verb::Restart)
                || (verb == Verb::Reload && !(registered && held));
            if down && had_run {
                self.down.insert(id.clone(), place);
            }
        }
    }

    pub fn reloaded(&mut self, new: &Registry) {
        for component in &new.components {
            for places in [&mut self.up, &mut self.down] {
                if let Some((_, priority)) = places.get_mut(&component.id) {
                    *priority = component.start_priority;
                }
            }
        }
    }

    /// Whoever has arrived, or cannot, leaves.
    pub fn after(&mut self, supervisor: &Supervisor) {
        self.up.retain(|id, _| is_on_its_way_up(supervisor, id));
        self.down.retain(|id, _| is_on_its_way_down(supervisor, id));
        self.alone = None;
    }

    pub fn check_start(&self, supervisor: &Supervisor, id: &ComponentId) {
        let Some(&(request, priority)) = self.up.get(id) else { return };
        for (other, &(its_request, its_priority)) in &self.up {
            if its_request == request && its_priority < priority {
                let up = is_on_its_way_up(supervisor, other);
                assert!(!up, "{id} ({priority}) starts before {other} ({its_priority})");
            }
        }
    }

    pub fn check_stop(&self, supervisor: &Supervisor, one: &Transition) {
        let asked = one.reason.as_deref().is_some_and(|why| why.ends_with("was asked for"));
        // One that is taken over on its way down has had its turn.
        let begins = one.to == ComponentState::Stopping && one.from != ComponentState::Stopped;
        if !begins || !asked || one.pid.is_none() {
            return;
        }
        let Some(slot) = supervisor.find(&one.id) else { return };
        for component in &supervisor.registry.components {
            let Some(other) = supervisor.find(&component.id) else { continue };
            let other = supervisor.entry(other);
            let depends = component.depends_on.contains(&one.id);
            let alive = matches!(other.machine.state(), State::Stopping { .. })
                && other.machine.wish() == Intent::Stopped;
            let alone = self.alone.as_ref() == Some(&one.id);
            assert!(!depends || !alive || alone, "{} stops before {}", one.id, other.id);
        }
        let own = supervisor.entry(slot);
        if own.removed {
            return;
        }
        let Some(&(request, priority)) = self.down.get(&one.id) else { return };
        for (other, &(its_request, its_priority)) in &self.down {
            if its_request == request && its_priority > priority {
                let down = is_on_its_way_down(supervisor, other);
                assert!(!down, "{} ({priority}) stops before {other} ({its_priority})", one.id);
            }
        }
    }
}

fn is_on_its_way_up(supervisor: &Supervisor, id: &ComponentId) -> bool {
    let Some(slot) = supervisor.find(id) else { return false };
    let entry = supervisor.entry(slot);
    let state = entry.machine.state();
    let held = entry.hold.is_some() && !matches!(state, State::Starting { .. });
    if entry.machine.wish() == Intent::Stopped || held {
        return false;
    }
    match state {
        State::Waiting { .. } => !is_stranded(supervisor, slot, &mut BTreeSet::new()),
        State::Starting { .. } | State::Backoff { .. } | State::Stopping { .. } => true,
        State::Running { live, .. } => live.asked.is_some(),
        State::Stopped | State::Exited | State::Failed { .. } | State::Unkillable { .. } => false,
    }
}

fn is_on_its_way_down(supervisor: &Supervisor, id: &ComponentId) -> bool {
    let Some(slot) = supervisor.find(id) else { return false };
    let entry = supervisor.entry(slot);
    let wished = entry.machine.wish() == Intent::Running;
    match entry.machine.state() {
        State::Starting { live, .. } | State::Running { live, .. } => {
            live.asked.is_some() && !(entry.hold.is_some() && wished)
        }
        State::Stopping { cause, .. } => cause.is_expected() || !wished,
        _ => false,
    }
}

/// It waits for somebody who will not come by himself.
fn is_stranded(supervisor: &Supervisor, slot: Slot, path: &mut BTreeSet<Slot>) -> bool {
    if !path.insert(slot) {
        return false;
    }
    let entry = supervisor.entry(slot);
    let State::Waiting { .. } = entry.machine.state() else { return false };
    entry.next_config().depends_on.iter().filter_map(|id| supervisor.find(id)).any(|other| {
        let it = supervisor.entry(other);
        let down = match it.machine.state() {
            State::Waiting { .. } | State::Backoff { .. } => it.hold.is_some(),
            State::Failed { .. } | State::Unkillable { .. } => true,
            State::Stopped => it.machine.wish() == Intent::Stopped,
            _ => false,
        };
        down || is_stranded(supervisor, other, path)
    })
}
