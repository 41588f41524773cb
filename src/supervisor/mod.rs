//! All components together: what is wished, in which order, and what came of it.
//!
//! A core without clock and without I/O: [`Supervisor::command`] and [`Supervisor::handle`] take
//! an input and the moment, and fill a list of [`Effect`]s for the driver;
//! [`Supervisor::next_deadline`] tells when to call [`Supervisor::deadline_reached`].
//!
//! Rules that hold at every moment (the tests of this room check them after every step):
//! * a component has at most one run, and a run belongs to one component;
//! * after a stop nothing starts without a start;
//! * a wish and a fact are apart: commands change wishes, only facts change states;
//! * every operation ends.
//!
//! Order: components that were asked for in one request start by priority, and at any time after
//! those that they depend on; a component that failed for good opens the gate of its priority,
//! not that of its dependents. Components that are stopped in one request stop the other way. A
//! crash restart waits for dependencies only, since an outage has to be short. A component whose
//! dependency nobody wishes to run is stranded: it waits, and holds up nobody but its dependents.

mod commands;
mod entry;
mod explain;
mod facts;
mod gates;
mod holds;
mod hopes;
mod input;
mod operations;
mod reload;
#[cfg(test)]
mod simulation;
mod snapshot;
mod succession;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    machine::{self, Adoption, Ended, Process, Record, Resting},
    model::{ComponentId, Exit, Moment, OperationId, RunId},
    registry::{Component, Registry},
    wire::{ComponentState, Verb},
};

pub use commands::{Answer, Command, Denial, Selection};
pub use explain::Explain;
pub use holds::{Hold, HoldChange, Until};
pub use input::Input;
pub use operations::{OperationView, TargetView};
pub use reload::ReloadPlan;
pub use snapshot::ComponentView;

use entry::Entry;
use gates::Group;
use operations::Operations;

/// What the world reports. Facts about runs that have ended are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    Spawned {
        run: RunId,
        process: Process,
    },
    SpawnFailed {
        run: RunId,
        error: String,
    },
    Exited {
        run: RunId,
        exit: Exit,
        oom: bool,
        tree_gone: bool,
    },
    TreeGone {
        run: RunId,
    },
    Ready {
        run: RunId,
    },
    NotReady {
        run: RunId,
        why: String,
    },
    Unhealthy {
        run: RunId,
        why: String,
    },
    /// It uses more than a limit allows; `why` names the limit.
    OverLimit {
        run: RunId,
        why: String,
    },
    /// What a broken run was doing is written down.
    EvidenceGathered {
        run: RunId,
    },
    /// A health check's verdict, or what the component says of itself.
    HealthChanged {
        run: RunId,
        health: crate::wire::Health,
        detail: Option<String>,
    },
    /// The component asked for so much time from now on (`EXTEND_TIMEOUT_USEC`).
    ExtendTimeout {
        run: RunId,
        by: Duration,
    },
    /// A check's answer that changed no verdict, or what the component says of itself.
    StatusText {
        run: RunId,
        text: String,
    },
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Spawn {
        id: ComponentId,
        run: RunId,
    },
    RequestStop {
        id: ComponentId,
        run: RunId,
    },
    RequestOrphansStop {
        run: RunId,
    },
    KillTree {
        run: RunId,
    },
    /// Write down what a broken run is doing, before it is ended; [`Fact::EvidenceGathered`]
    /// answers, and whoever stops or kills it does not wait for that.
    GatherEvidence {
        id: ComponentId,
        run: RunId,
        ended: Ended,
    },
    /// A run ended by itself, and not well: what is known of that is to be kept.
    Crashed {
        id: ComponentId,
        run: RunId,
        process: Process,
        ended: Ended,
    },
    StartProbes {
        id: ComponentId,
        run: RunId,
        ready_already: bool,
    },
    StopProbes {
        run: RunId,
    },
    /// A component changed its state: for the log, the events and the journal.
    Transition(Transition),
    /// A command came in and was applied.
    Asked {
        verb: Verb,
        ids: Vec<ComponentId>,
        origin: String,
        operation: OperationId,
    },
    OperationEnded {
        id: OperationId,
    },
    /// A component is held, or is not any more.
    HoldChanged {
        id: ComponentId,
        change: HoldChange,
    },
    /// The registry has new values for a component that goes on.
    Reconfigured {
        id: ComponentId,
    },
    /// A component left the registry and its tree is gone.
    Removed {
        id: ComponentId,
    },
    /// A shutdown has come to its end; `left` could not be ended.
    AllGone {
        restart: bool,
        left: Vec<ComponentId>,
    },
}

/// A change of state.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    pub id: ComponentId,
    pub run: Option<RunId>,
    pub pid: Option<u32>,
    pub from: ComponentState,
    pub to: ComponentState,
    /// Why, where it is not obvious.
    pub reason: Option<String>,
}

/// Position of a component inside the supervisor; reused after a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Slot(u32);

/// A component of an earlier Supervisor, to be continued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inherited {
    pub id: ComponentId,
    pub record: Record,
    pub left: Left,
}

/// How an earlier Supervisor left a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Left {
    /// With a run: it lives, or its end was not acted on.
    Run(Adoption),
    Resting(Resting),
}

/// All components of one registry.
#[derive(Debug)]
pub struct Supervisor {
    registry: Arc<Registry>,
    generation: u64,
    entries: Vec<Option<Entry>>,
    /// Slots whose component left.
    free: Vec<Slot>,
    index: HashMap<ComponentId, Slot>,
    /// The registry's order, removed ones that still live at the end.
    order: Vec<Slot>,
    runs: HashMap<RunId, Slot>,
    next_run: RunId,
    deadlines: BTreeSet<(Moment, Slot)>,
    /// When operations look again at components that have just come up.
    settling: BTreeSet<(Moment, Slot)>,
    /// When holds expire.
    hold_ends: BTreeSet<(Moment, Slot)>,
    operations: Operations,
    /// Members of one request that wait for one another.
    groups: BTreeMap<OperationId, Group>,
    /// Components whose next step waits for a gate.
    blocked: BTreeSet<Slot>,
    /// Those of `blocked` that wait to start.
    waiting: BTreeSet<Slot>,
    /// Those of `blocked` whose gate may have opened.
    recheck: BTreeSet<Slot>,
    /// Components that moved in this turn: their operations are looked at when it ends.
    touched: BTreeSet<Slot>,
    /// Components that may look different since [`Supervisor::take_changed`] was called last.
    changed: Vec<Slot>,
    /// How many components are in each state.
    tally: BTreeMap<ComponentState, usize>,
    /// Something happened that may make it hopeless to wait for others.
    hopes_moved: bool,
    /// When components were restarted without request, within the last minute.
    restarts: VecDeque<Moment>,
    chance: Chance,
    shutdown: Option<Shutdown>,
    /// Gates and hopes that were looked at: what a turn costs, without a clock.
    #[cfg(test)]
    work: std::cell::Cell<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Shutdown {
    operation: OperationId,
    restart: bool,
    told: bool,
}

impl Supervisor {
    /// A supervisor over `registry` with nothing running; `first_run` is above every run of
    /// earlier Supervisors, `seed` feeds the jitter.
    pub fn new(registry: &Arc<Registry>, first_run: RunId, seed: u64) -> Self {
        let mut supervisor = Self {
            registry: Arc::clone(registry),
            generation: 1,
            entries: Vec::with_capacity(registry.components.len()),
            free: Vec::new(),
            index: HashMap::with_capacity(registry.components.len()),
            order: Vec::with_capacity(registry.components.len()),
            runs: HashMap::with_capacity(registry.components.len()),
            next_run: first_run,
            deadlines: BTreeSet::new(),
            settling: BTreeSet::new(),
            hold_ends: BTreeSet::new(),
            operations: Operations::default(),
            groups: BTreeMap::new(),
            blocked: BTreeSet::new(),
            waiting: BTreeSet::new(),
            recheck: BTreeSet::new(),
            touched: BTreeSet::new(),
            changed: Vec::new(),
            tally: BTreeMap::new(),
            hopes_moved: false,
            restarts: VecDeque::new(),
            chance: Chance(seed),
            shutdown: None,
            #[cfg(test)]
            work: std::cell::Cell::new(0),
        };
        for component in &registry.components {
            supervisor.add_entry(Arc::clone(component.arc()));
        }
        supervisor.link_dependents();
        supervisor
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.is_some()
    }

    /// The configuration that a component's present run lives under; with none, its next one.
    pub fn config(&self, id: &str) -> Option<&Arc<Component>> {
        self.find(id).map(|slot| self.entry(slot).config())
    }

    /// The component that a run belongs to, while it is awaited or alive.
    pub fn component_of(&self, run: RunId) -> Option<&ComponentId> {
        self.runs.get(&run).map(|&slot| &self.entry(slot).id)
    }

    /// Components that may look different since this was called last: never too few.
    pub fn take_changed(&mut self) -> Vec<ComponentId> {
        let mut ids = Vec::with_capacity(self.changed.len());
        for slot in std::mem::take(&mut self.changed) {
            // One that left is told of by an effect.
            if let Some(entry) = &mut self.entries[slot.0 as usize] {
                entry.changed = false;
                ids.push(entry.id.clone());
            }
        }
        ids
    }

    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Components that wait for others: what they say of that changes with the others.
    pub fn blocked(&self) -> impl Iterator<Item = &ComponentId> {
        self.blocked.iter().map(|&slot| &self.entry(slot).id)
    }

    /// For each component that depends on others: those others.
    pub fn dependencies_by_id(&self) -> BTreeMap<String, Vec<String>> {
        let entries = self.order.iter().map(|&slot| self.entry(slot));
        let depending = entries.filter(|entry| !entry.config().depends_on.is_empty());
        depending
            .map(|entry| {
                let others = entry.config().depends_on.iter().map(ToString::to_string);
                (entry.id.to_string(), others.collect())
            })
            .collect()
    }

    /// How many components there are, and how many of them in this state.
    pub fn count(&self, state: ComponentState) -> (usize, usize) {
        (self.order.len(), self.tally.get(&state).copied().unwrap_or(0))
    }

    /// Whether a run's process, should it end now, ends because somebody asked for it.
    pub fn is_end_expected(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|&slot| self.entry(slot).is_going_down())
    }

    /// When something is due by itself.
    pub fn next_deadline(&self) -> Option<Moment> {
        let first = |set: &BTreeSet<(Moment, Slot)>| set.first().map(|&(moment, _)| moment);
        [first(&self.deadlines), first(&self.settling), first(&self.hold_ends)]
            .into_iter()
            .flatten()
            .min()
    }

    fn find(&self, id: &str) -> Option<Slot> {
        self.index.get(id).copied()
    }

    fn entry(&self, slot: Slot) -> &Entry {
        self.entries[slot.0 as usize].as_ref().expect("a slot in use holds an entry")
    }

    /// Whoever changes an entry may change how it looks.
    fn entry_mut(&mut self, slot: Slot) -> &mut Entry {
        let entry = self.entries[slot.0 as usize].as_mut().expect("a slot in use holds an entry");
        if !std::mem::replace(&mut entry.changed, true) {
            self.changed.push(slot);
        }
        entry
    }

    fn add_entry(&mut self, config: Arc<Component>) -> Slot {
        let id = config.id.clone();
        let entry = Entry::new(config);
        let position = if let Some(Slot(free)) = self.free.pop() {
            self.entries[free as usize] = Some(entry);
            free as usize
        } else {
            self.entries.push(Some(entry));
            self.entries.len() - 1
        };
        let slot = Slot(u32::try_from(position).expect("a registry holds fewer than 2^32"));
        self.index.insert(id, slot);
        self.order.push(slot);
        *self.tally.entry(ComponentState::Stopped).or_default() += 1;
        slot
    }

    /// Tells every component who depends on it.
    fn link_dependents(&mut self) {
        for &slot in &self.order.clone() {
            self.entry_mut(slot).dependents.clear();
        }
        for &slot in &self.order.clone() {
            self.link(slot);
        }
    }

    /// Enters a component with those that it depends on.
    fn link(&mut self, slot: Slot) {
        for dependency in self.dependencies(slot).collect::<BTreeSet<_>>() {
            self.entry_mut(dependency).dependents.push(slot);
        }
    }

    fn unlink(&mut self, slot: Slot) {
        for dependency in self.dependencies(slot).collect::<BTreeSet<_>>() {
            self.entry_mut(dependency).dependents.retain(|&other| other != slot);
        }
    }
}

/// A small generator (splitmix64): chance has to be repeatable, not unpredictable.
#[derive(Debug, Clone)]
struct Chance(u64);

impl Chance {
    /// From 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl From<machine::DenyReason> for Denial {
    fn from(reason: machine::DenyReason) -> Self {
        Self::Machine(reason)
    }
}
