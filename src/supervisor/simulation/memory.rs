//! What outlives a Supervisor that was killed: the journal and the file of holds, as the driver
//! writes them.

use std::collections::BTreeMap;

use crate::{
    machine::{Process, Record, Resting, State, StopUnderWay},
    model::{ComponentId, Exit, RunId},
    supervisor::{Hold, HoldChange},
};

/// What is known of one component.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remembered {
    pub run: Option<RunId>,
    pub process: Option<Process>,
    /// What it was started with.
    pub arguments: Vec<String>,
    pub ready: Option<crate::model::Moment>,
    pub stopping: Option<StopUnderWay>,
    pub ended: Option<(Exit, bool)>,
    pub stopped_by_hand: bool,
    pub resting: Option<Resting>,
    pub record: Record,
}

impl Remembered {
    fn end_run(&mut self) {
        self.run = None;
        self.process = None;
        self.ready = None;
        self.stopping = None;
        self.ended = None;
    }

    /// What was decided about it, where it has no run.
    pub fn rest(&self) -> Resting {
        match &self.resting {
            _ if self.stopped_by_hand => Resting::Stopped,
            Some(known) => known.clone(),
            None if self.run.is_some() => Resting::Waiting,
            None => Resting::Stopped,
        }
    }
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

    fn of(&mut self, id: &ComponentId) -> &mut Remembered {
        self.components.entry(id.clone()).or_default()
    }

    fn of_run(&mut self, id: &ComponentId, run: RunId) -> Option<&mut Remembered> {
        self.components.get_mut(id).filter(|one| one.run == Some(run))
    }

    pub fn starting(&mut self, id: &ComponentId, run: RunId, record: &Record) {
        self.next_run = self.next_run.max(RunId(run.0 + 1));
        let one = self.of(id);
        one.end_run();
        one.run = Some(run);
        one.resting = None;
        one.record = record.clone();
    }

    pub fn started(
        &mut self,
        id: &ComponentId,
        run: RunId,
        process: Process,
        arguments: &[String],
    ) {
        if let Some(one) = self.of_run(id, run) {
            one.process = Some(process);
            one.arguments = arguments.to_vec();
            one.record.last_run = Some(run);
        }
    }

    /// What a change of state leaves for a successor.
    pub fn moved(&mut self, id: &ComponentId, record: &Record, state: &State) {
        if let State::Running { live, since } = state {
            if let Some(one) = self.of_run(id, live.run) {
                one.ready = one.ready.or(Some(*since));
                one.record.trouble = None;
            }
        } else if let State::Stopping { run, .. } = state {
            if let Some(one) = self.of_run(id, *run) {
                one.stopping = StopUnderWay::of(state);
                one.record = record.clone();
            }
        } else if let Some(resting) = Resting::of(state) {
            if resting == Resting::Stopped && !self.components.contains_key(id) {
                return;
            }
            let one = self.of(id);
            one.end_run();
            one.resting = Some(resting);
            one.record = record.clone();
        }
    }

    /// The leader ended; what follows is not decided yet.
    pub fn ended(&mut self, id: &ComponentId, run: RunId, exit: Exit, oom: bool) {
        if let Some(one) = self.of_run(id, run) {
            one.ended = Some((exit, oom));
        }
    }

    pub fn gone(&mut self, id: &ComponentId, run: RunId) {
        if let Some(one) = self.of_run(id, run) {
            one.end_run();
        }
        self.forget_if_empty(id);
    }

    pub fn stopped_by_hand(&mut self, id: &ComponentId, stopped: bool) {
        self.of(id).stopped_by_hand = stopped;
        self.forget_if_empty(id);
    }

    fn forget_if_empty(&mut self, id: &ComponentId) {
        if self.components.get(id) == Some(&Remembered::default()) {
            self.components.remove(id);
        }
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
