//! The words of the machine (events, effects, context, answers), and where each event goes.

use std::{fmt, time::Duration};

use super::{Adoption, Ended, Process, Record, Resting, State, StopCause};
use crate::{
    model::{Exit, Moment, RunId},
    registry::Component,
    wire::Intent,
};

/// How long a killed tree may take to be gone before it is called unkillable.
pub const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How long a broken component may live on for the sake of evidence. The service is down or
/// wrong meanwhile.
pub const EVIDENCE_PATIENCE: Duration = Duration::from_secs(3);

/// What is left of a tree whose leader ended by itself gets at most this long for a polite end,
/// since the service is down meanwhile.
pub const ORPHAN_PATIENCE: Duration = Duration::from_secs(5);

/// One component: state, wish and past.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    pub(super) state: State,
    pub(super) wish: Intent,
    pub(super) record: Record,
}

/// What may happen to a component.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    // Commands.
    Start,
    Stop(StopCause),
    Restart(StopCause),
    Kill,
    /// A gate may have opened: go on with what is wished, if the context allows it.
    Proceed,

    // Facts; each names its run.
    Spawned {
        run: RunId,
        process: Process,
    },
    SpawnFailed {
        run: RunId,
        error: String,
    },
    /// The leader ended; `tree_gone` tells whether anything else of its tree lives.
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
    /// It uses more than its limits allow.
    OverLimit {
        run: RunId,
        why: String,
    },
    /// What it was doing is written down, as far as that was possible.
    EvidenceGathered {
        run: RunId,
    },
    /// It asks for so much time from now on.
    ExtendTimeout {
        run: RunId,
        by: Duration,
    },
    /// A process of an earlier Supervisor was taken over, or its end was learned of.
    Adopted(Box<Adoption>),
    /// An earlier Supervisor left it like this, with no process of it alive.
    Resumed(Resting),
    /// Time has passed.
    DeadlineReached,
    /// The context's configuration has new values that the present run goes on under.
    Reconfigured,
}

/// What the world has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Spawn {
        run: RunId,
    },
    /// Write down what it is doing; [`Event::EvidenceGathered`] answers.
    GatherEvidence {
        run: RunId,
        ended: Ended,
    },
    /// Its leader ended by itself, and not well: what is known of that is to be kept.
    Crashed {
        run: RunId,
        process: Process,
        ended: Ended,
    },
    /// The polite way: the stop command, or the stop signal to the leader.
    RequestStop {
        run: RunId,
    },
    /// The stop signal to whatever outlived the leader.
    RequestOrphansStop {
        run: RunId,
    },
    KillTree {
        run: RunId,
    },
    StartProbes {
        run: RunId,
        ready_already: bool,
    },
    StopProbes {
        run: RunId,
    },
}

/// What the machine has to know of the moment.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub now: Moment,
    pub config: &'a Component,
    /// From 0 to 1, for jitter.
    pub chance: f64,
    /// The number of the next run; taken when a `Spawn` comes out.
    pub next_run: RunId,
    /// Nothing stands before its start.
    pub may_start: bool,
    /// It is its turn in the order of stops.
    pub may_stop: bool,
    /// No restart without request before this moment (the governor of all restarts).
    pub restart_from: Moment,
}

/// The answer to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    Applied,
    /// It is so already, or on its way.
    Redundant,
    Denied(DenyReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyReason {
    /// The old process cannot be ended; a second one is never started beside it.
    Unkillable,
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unkillable => f.write_str(
                "its old process was killed but does not go away, and a second one is never \
                 started beside it; look at it with `ps -o stat,wchan -p PID`",
            ),
        }
    }
}

impl Event {
    /// Whether somebody asked for it, as opposed to facts and to the passing of time.
    pub fn is_command(&self) -> bool {
        matches!(self, Self::Start | Self::Stop(_) | Self::Restart(_) | Self::Kill)
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    pub fn new() -> Self {
        Self { state: State::Stopped, wish: Intent::Stopped, record: Record::default() }
    }

    /// A machine in any state, for the table of the tests.
    #[cfg(test)]
    pub(super) fn at(state: State, wish: Intent) -> Self {
        Self { state, wish, record: Record::default() }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn wish(&self) -> Intent {
        self.wish
    }

    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Continues the past that an earlier Supervisor wrote down.
    pub fn restore_record(&mut self, record: Record) {
        self.record = record;
    }

    /// Takes one event; total in state × event.
    pub fn step(&mut self, event: Event, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
        match event {
            Event::Start => self.start(cx, effects),
            Event::Stop(cause) => self.stop(cause, cx, effects),
            Event::Restart(cause) => self.restart(cause, cx, effects),
            Event::Kill => self.kill(cx, effects),
            Event::Proceed => self.proceed(cx, effects),
            Event::DeadlineReached => self.deadline_reached(cx, effects),
            Event::Reconfigured => self.reconfigured(cx),
            Event::Adopted(adoption) => self.adopted(*adoption, cx, effects),
            Event::Resumed(resting) => self.resumed(resting, cx),
            Event::Spawned { run, .. }
            | Event::SpawnFailed { run, .. }
            | Event::Exited { run, .. }
            | Event::TreeGone { run }
            | Event::Ready { run }
            | Event::NotReady { run, .. }
            | Event::Unhealthy { run, .. }
            | Event::OverLimit { run, .. }
            | Event::EvidenceGathered { run }
            | Event::ExtendTimeout { run, .. }
                // The one place where news of old runs end.
                if self.state.run() != Some(run) =>
            {
                Response::Redundant
            }
            Event::Spawned { run: _, process } => self.spawned(process, cx, effects),
            Event::SpawnFailed { run: _, error } => self.spawn_failed(error, cx, effects),
            Event::Exited { run: _, exit, oom, tree_gone } => {
                self.leader_exited(exit, oom, tree_gone, cx, effects)
            }
            Event::TreeGone { run: _ } => self.tree_gone(cx, effects),
            Event::Ready { run: _ } => self.became_ready(cx),
            Event::NotReady { run: _, why } => self.broke(Ended::NotReady(why), cx, effects),
            Event::Unhealthy { run: _, why } => self.broke(Ended::Unhealthy(why), cx, effects),
            Event::ExtendTimeout { run: _, by } => self.asks_for_time(by, cx),
            Event::EvidenceGathered { run: _ } => self.evidence_gathered(cx, effects),
            Event::OverLimit { run: _, why } => self.broke(Ended::OverLimit(why), cx, effects),
        }
    }
}
