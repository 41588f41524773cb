//! Every call that changes a supervisor, as data: for a record of them, and for its replay.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Command, Effect, Fact, Hold, Inherited, Supervisor};
use crate::{
    model::{ComponentId, Moment, Origin},
    registry::Registry,
};

/// One call. What it answered is in the effects, as far as it changed anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    RestoreHold {
        id: String,
        hold: Hold,
    },
    /// Numbers that go on from a program before, in this process.
    CountOn {
        generation: u64,
        last_operation: u64,
    },
    Adopt {
        inherited: Vec<Inherited>,
    },
    Boot {
        stopped_by_hand: BTreeSet<ComponentId>,
    },
    Fact(Fact),
    Deadline,
    Command(Command),
    Hold {
        id: String,
        hold: Hold,
    },
    Release {
        id: String,
        origin: Origin,
    },
    Reload {
        registry: Arc<Registry>,
        origin: Origin,
    },
    ShutDown {
        restart: bool,
        kill: bool,
        origin: Origin,
    },
}

impl Supervisor {
    /// Takes one input; answers are of no interest here.
    pub fn take(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::RestoreHold { id, hold } => {
                self.restore_hold(&id, hold);
            }
            Input::CountOn { generation, last_operation } => {
                self.count_on(generation, last_operation);
            }
            Input::Adopt { inherited } => {
                self.adopt(now, inherited, effects);
            }
            Input::Boot { stopped_by_hand } => {
                self.boot(now, &stopped_by_hand, effects);
            }
            Input::Fact(fact) => self.handle(now, fact, effects),
            Input::Deadline => self.deadline_reached(now, effects),
            Input::Command(command) => {
                self.command(now, command, effects);
            }
            Input::Hold { id, hold } => {
                let _answer = self.hold(now, &id, hold, effects);
            }
            Input::Release { id, origin } => {
                let _answer = self.release(now, &id, &origin, effects);
            }
            Input::Reload { registry, origin } => {
                self.reload(now, &registry, &origin, effects);
            }
            Input::ShutDown { restart, kill, origin } => {
                self.shut_down(now, restart, kill, &origin, effects);
            }
        }
    }
}
