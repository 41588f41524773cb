//! What outlives a Supervisor that was killed: the journal and the file of holds, as the driver
//! writes them.

use std::collections::BTreeMap;

use crate::{
    machine::Process,
    model::{ComponentId, RunId},
    supervisor::{Hold, HoldChange},
};

/// What is known of one component.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remembered {
    pub run: Option<RunId>,
    pub process: Option<Process>,
    /// What it was started with.
    pub arguments: Vec<String>,
    pub restarts: u32,
    pub ready: bool,
    pub stopped_by_hand: bool,
}

#[derive(Debug, Clone)]
pub struct Memory {
    pub next_run: RunId,
    pub components: BTreeMap<ComponentId, Remembered>,
    pub holds: BTreeMap<ComponentId, Hold>,
}

impl Memory {
    pub fn new() -> Self {
        Self { next_run: RunId(1), components: BTreeMap::new(), holds: BTreeMap::new() }
    }

    fn of_run(&mut self, id: &ComponentId, run: RunId) -> Option<&mut Remembered> {
        self.components.get_mut(id).filter(|one| one.run == Some(run))
    }

    pub fn starting(&mut self, id: &ComponentId, run: RunId) {
        self.next_run = self.next_run.max(RunId(run.0 + 1));
        let one = Remembered { run: Some(run), ..Remembered::default() };
        self.components.insert(id.clone(), one);
    }

    pub fn started(
        &mut self,
        id: &ComponentId,
        run: RunId,
        process: Process,
        arguments: &[String],
        restarts: u32,
    ) {
        if let Some(one) = self.of_run(id, run) {
            one.process = Some(process);
            one.arguments = arguments.to_vec();
            one.restarts = restarts;
        }
    }

    pub fn ready(&mut self, id: &ComponentId, run: RunId) {
        if let Some(one) = self.of_run(id, run) {
            one.ready = true;
        }
    }

    pub fn gone(&mut self, id: &ComponentId, run: RunId) {
        if let Some(one) = self.of_run(id, run) {
            let stopped_by_hand = one.stopped_by_hand;
            *one = Remembered { stopped_by_hand, ..Remembered::default() };
        }
    }

    pub fn stopped_by_hand(&mut self, id: &ComponentId, stopped: bool) {
        self.components.entry(id.clone()).or_default().stopped_by_hand = stopped;
    }

    pub fn hold_changed(&mut self, id: &ComponentId, change: &HoldChange) {
        match change {
            HoldChange::Held(hold) => drop(self.holds.insert(id.clone(), hold.clone())),
            HoldChange::Released { .. } | HoldChange::Expired => drop(self.holds.remove(id)),
        }
    }

    /// Everything has ended in order.
    pub fn close(&mut self) {
        self.components.retain(|_, one| {
            one.stopped_by_hand = false;
            one.run.is_some()
        });
    }
}
