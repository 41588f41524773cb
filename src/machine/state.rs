//! What a component is doing. Data lives in the state that owns it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Ended, FailReason};
use crate::{
    model::{Exit, Moment, RunId},
    wire::ComponentState,
};

/// The state of one component.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// No process of it lives, and none is wished.
    Stopped,
    /// Wished to run; a gate is closed.
    Waiting { since: Moment },
    /// A start is under way: the process is being made, or is not ready yet.
    Starting {
        live: Live,
        /// When `startDelay` has passed; none while the spawn is under way, or with a readiness
        /// check.
        deadline: Option<Moment>,
    },
    /// Alive and ready.
    Running { live: Live, since: Moment },
    /// Being ended; whatever is left of its tree is awaited.
    Stopping {
        run: RunId,
        process: Option<Process>,
        cause: StopCause,
        phase: StopPhase,
        /// How the leader ended, once it has.
        leader: Option<Exit>,
    },
    /// Ended without request; the next attempt is at `until`.
    Backoff { until: Moment },
    /// Ended by itself, and the policy leaves it so.
    Exited,
    /// Given up; an operator has to look.
    Failed { reason: FailReason },
    /// Killed, yet not gone (uninterruptible sleep, say). Nothing is started beside it.
    Unkillable { run: RunId, process: Process, cause: StopCause, leader: Option<Exit> },
}

/// A run that is wished for and is, or is about to be, alive.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    pub run: RunId,
    /// None while the spawn is under way.
    pub process: Option<Process>,
    /// A stop was asked for and waits for its turn in the order.
    pub asked: Option<StopCause>,
}

/// The leader of a run's process tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    pub started: Moment,
}

/// Why a run is being ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// A stop was asked for.
    Stop,
    /// A restart was asked for.
    Restart,
    /// A kill was asked for.
    Kill,
    /// The registry changed.
    Reload,
    /// The Supervisor ends.
    Shutdown,
    /// It failed on its own: its leader ended, it was not ready in time, or is unhealthy.
    Failure(Ended),
}

/// How far the ending of a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopPhase {
    /// The process is still being made; it is ended as soon as it is known.
    AwaitingSpawn { kill: bool },
    /// It hangs or is broken, and what it is doing is written down before it is asked to end: at
    /// `deadline` at the latest.
    Evidence { deadline: Moment },
    /// Asked politely; killed at `deadline`.
    Polite { deadline: Moment },
    /// Killed; unkillable at `deadline`.
    Killing { deadline: Moment },
}

impl State {
    /// The state's name for clients.
    pub fn name(&self) -> ComponentState {
        match self {
            Self::Stopped => ComponentState::Stopped,
            Self::Waiting { .. } => ComponentState::Waiting,
            Self::Starting { .. } => ComponentState::Starting,
            Self::Running { .. } => ComponentState::Running,
            Self::Stopping { .. } => ComponentState::Stopping,
            Self::Backoff { .. } => ComponentState::Backoff,
            Self::Exited => ComponentState::Exited,
            Self::Failed { .. } => ComponentState::Failed,
            Self::Unkillable { .. } => ComponentState::Unkillable,
        }
    }

    /// The run that is alive, or whose end is awaited.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Starting { live, .. } | Self::Running { live, .. } => Some(live.run),
            Self::Stopping { run, .. } | Self::Unkillable { run, .. } => Some(*run),
            Self::Stopped
            | Self::Waiting { .. }
            | Self::Backoff { .. }
            | Self::Exited
            | Self::Failed { .. } => None,
        }
    }

    /// The leader, as long as it is not known to have ended.
    pub fn process(&self) -> Option<Process> {
        match self {
            Self::Starting { live, .. } | Self::Running { live, .. } => live.process,
            Self::Stopping { process, leader: None, .. } => *process,
            Self::Unkillable { process, leader: None, .. } => Some(*process),
            Self::Stopping { .. }
            | Self::Unkillable { .. }
            | Self::Stopped
            | Self::Waiting { .. }
            | Self::Backoff { .. }
            | Self::Exited
            | Self::Failed { .. } => None,
        }
    }

    /// When the state changes by itself.
    pub fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Starting { deadline, .. } => *deadline,
            Self::Stopping { phase, .. } => match phase {
                StopPhase::AwaitingSpawn { .. } => None,
                StopPhase::Evidence { deadline }
                | StopPhase::Polite { deadline }
                | StopPhase::Killing { deadline } => Some(*deadline),
            },
            Self::Backoff { until } => Some(*until),
            Self::Stopped
            | Self::Waiting { .. }
            | Self::Running { .. }
            | Self::Exited
            | Self::Failed { .. }
            | Self::Unkillable { .. } => None,
        }
    }

    /// A stop has been asked for that waits for its turn.
    pub fn stop_asked(&self) -> Option<&StopCause> {
        match self {
            Self::Starting { live, .. } | Self::Running { live, .. } => live.asked.as_ref(),
            _ => None,
        }
    }
}

impl StopCause {
    /// Whether somebody asked for it, so that the end is no failure.
    pub fn is_expected(&self) -> bool {
        !matches!(self, Self::Failure(_))
    }
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop => f.write_str("a stop was asked for"),
            Self::Restart => f.write_str("a restart was asked for"),
            Self::Kill => f.write_str("a kill was asked for"),
            Self::Reload => f.write_str("the registry changed"),
            Self::Shutdown => f.write_str("the Supervisor ended"),
            Self::Failure(ended) => ended.fmt(f),
        }
    }
}
