//! Another registry comes into force: only what differs is touched.

use std::sync::Arc;

use super::{Effect, Slot, Supervisor, operations::Goal};
use crate::{
    machine::{Event, State, StopCause},
    model::{ComponentId, Moment, OperationId, Origin},
    plan::{Difference, config_differences, difference},
    registry::Registry,
    wire::{Intent, Verb},
};

/// What a reload does, or would do.
#[derive(Debug, Clone, PartialEq)]
pub struct ReloadPlan {
    pub difference: Difference,
    /// Elements of `<config>` that only a restart of the Supervisor takes over.
    pub needs_supervisor_restart: Vec<&'static str>,
}

impl Supervisor {
    /// What `new` would change.
    pub fn plan_reload(&self, new: &Registry) -> ReloadPlan {
        ReloadPlan {
            difference: difference(&self.registry, new),
            needs_supervisor_restart: config_differences(&self.registry.config, &new.config),
        }
    }

    /// Puts `new` into force. Removed components stop; changed ones restart, unless nobody
    /// wishes them to run; added ones start if they are enabled; updated ones take their new
    /// values over as they run. The operation is none where no component has to move.
    pub fn reload(
        &mut self,
        now: Moment,
        new: &Arc<Registry>,
        origin: &Origin,
        effects: &mut Vec<Effect>,
    ) -> (ReloadPlan, Option<OperationId>) {
        let plan = self.plan_reload(new);
        self.generation += 1;
        self.registry = Arc::clone(new);

        let removed = self.slots_of(plan.difference.removed.iter());
        for &slot in &removed {
            self.entry_mut(slot).removed = true;
        }
        let mut starting = Vec::new();
        let mut restarting = Vec::new();
        let mut updated_slots = Vec::new();
        for component in &new.components {
            let config = Arc::clone(component.arc());
            let Some(slot) = self.find(&component.id) else {
                let slot = self.add_entry(config);
                if component.enabled {
                    starting.push(slot);
                }
                continue;
            };
            let returned = std::mem::take(&mut self.entry_mut(slot).removed);
            let changed = plan.difference.changed.iter().any(|one| one.id == component.id);
            let updated = plan.difference.updated.iter().any(|one| one.id == component.id);
            let entry = self.entry_mut(slot);
            if returned {
                // It had been removed, and its old tree is still on its way out.
                entry.reconfigure(config, false);
                if component.enabled && entry.machine.state().stop_asked().is_some() {
                    restarting.push(slot);
                } else if component.enabled {
                    starting.push(slot);
                }
            } else if changed {
                entry.reconfigure(config, false);
                if entry.machine.wish() == Intent::Running {
                    restarting.push(slot);
                }
            } else if updated {
                entry.reconfigure(config, true);
                updated_slots.push(slot);
                effects.push(Effect::Reconfigured { id: component.id.clone() });
            } else {
                entry.renew(config);
            }
        }
        self.order_as(new);
        self.link_dependents();
        for slot in self.order.clone() {
            self.refresh_places(slot);
        }
        for slot in updated_slots {
            self.step(now, slot, Event::Reconfigured, effects);
        }
        // Dependencies may have changed for components that wait.
        self.recheck.extend(&self.blocked);
        self.hopes_moved = true;
        if self.shutdown.is_some() {
            starting.clear();
            restarting.clear();
        }
        let operation =
            self.move_for_reload(now, &removed, &starting, &restarting, origin, effects);
        self.finish_turn(now, effects);
        (plan, operation)
    }

    fn move_for_reload(
        &mut self,
        now: Moment,
        removed: &[Slot],
        starting: &[Slot],
        restarting: &[Slot],
        origin: &Origin,
        effects: &mut Vec<Effect>,
    ) -> Option<OperationId> {
        if removed.is_empty() && starting.is_empty() && restarting.is_empty() {
            return None;
        }
        let operation = self.operations.next_id();
        let ids = [removed, starting, restarting].concat();
        let ids = ids.iter().map(|&slot| self.entry(slot).id.clone()).collect();
        effects.push(Effect::Asked {
            verb: Verb::Reload,
            ids,
            origin: origin.to_string(),
            operation,
        });
        let mut goals: Vec<(Slot, Goal)> = removed.iter().map(|&slot| (slot, Goal::Gone)).collect();
        goals.extend(starting.iter().map(|&slot| (slot, self.goal(Verb::Start, slot))));
        // Those that are held restart when the hold ends; nobody waits for that.
        goals.extend(restarting.iter().map(|&slot| (slot, self.goal(Verb::Restart, slot))));
        self.open_operation(operation, Verb::Reload, origin.to_string(), now, goals, effects);

        for &slot in removed.iter().chain(restarting) {
            let entry = self.entry(slot);
            let kept = entry.hold.is_some() && !entry.removed;
            if entry.machine.state().run().is_some() && !kept {
                self.join_stop_order(slot, operation);
            }
        }
        for &slot in starting.iter().chain(restarting) {
            self.join_start_order(slot, operation);
        }
        let asker = Arc::new(origin.clone());
        for (slots, event) in [
            (removed, Event::Stop(StopCause::Reload)),
            (restarting, Event::Restart(StopCause::Reload)),
            (starting, Event::Start),
        ] {
            for &slot in slots {
                // A removed one that had no process is forgotten at once.
                if self.entries[slot.0 as usize].is_none() {
                    continue;
                }
                self.entry_mut(slot).asked_by = Arc::clone(&asker);
                self.step(now, slot, event.clone(), effects);
            }
        }
        Some(operation)
    }

    fn slots_of<'a>(&self, ids: impl Iterator<Item = &'a ComponentId>) -> Vec<Slot> {
        ids.filter_map(|id| self.find(id)).collect()
    }

    /// The registry's order; what has left it and still lives comes last.
    fn order_as(&mut self, registry: &Registry) {
        let mut order = self.slots_of(registry.components.iter().map(|component| &component.id));
        let leaving = self.order.iter().copied().filter(|slot| !order.contains(slot));
        let leaving: Vec<Slot> = leaving.collect();
        order.extend(leaving);
        self.order = order;
    }

    /// Whether a component that was removed has come to its end.
    pub fn is_leaving(&self, id: &str) -> bool {
        self.find(id).is_some_and(|slot| {
            let entry = self.entry(slot);
            entry.removed && !matches!(entry.machine.state(), State::Stopped)
        })
    }
}
