//! What a component's past tells: how it ended, how often, and whether it may try again.

use std::{collections::VecDeque, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::StopCause;
use crate::{
    model::{Exit, LastExit, Moment, RunId},
    registry::RestartPolicy,
};

/// How a run ended, or did not begin, without request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The leader ended by itself.
    Exited(Exit),
    /// The kernel's out-of-memory killer ended it, or a process of its tree without which it
    /// did not go on.
    OutOfMemory(Exit),
    /// The process could not be made; the text says at which stage and why.
    NotStarted(String),
    /// The readiness check failed for good, or took too long.
    NotReady(String),
    /// The health check failed.
    Unhealthy(String),
    /// A limit was passed; the text names it.
    OverLimit(String),
}

/// Why a component is *failed*.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailReason {
    /// More restarts than the policy allows.
    BudgetSpent { restarts: u32, window: Duration, last: Ended },
    /// The policy does not restart it.
    NotRestarted { last: Ended },
}

/// The past of one component. Bounded. What the journal keeps of it, another version may read:
/// fields are added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Ends without request since it was last stable, or started by an operator.
    pub failures_in_a_row: u32,
    /// The run that failed last had been stable before.
    pub was_stable: bool,
    /// Starts without request since an operator (or the Supervisor's start) started it.
    pub restarts: u32,
    /// Restarts that operators asked for since it was last started.
    pub restarts_asked: u32,
    /// When it was restarted, within the policy's window.
    recent: VecDeque<Moment>,
    pub last_run: Option<RunId>,
    pub last_exit: Option<LastExit>,
    /// What went wrong last, until it is running again.
    pub trouble: Option<Ended>,
    /// The last ends, newest first.
    pub exits: VecDeque<ExitEntry>,
}

/// One end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitEntry {
    pub run: RunId,
    pub exit: LastExit,
    pub cause: StopCause,
}

impl Record {
    /// Ends that are kept for `explain`.
    pub const EXITS_KEPT: usize = 10;
    /// A bound for the window's memory where the policy sets no limit.
    const RECENT_KEPT: usize = 64;

    /// An operator started it: the past does not count any more.
    pub fn forgive(&mut self) {
        self.failures_in_a_row = 0;
        self.restarts = 0;
        self.restarts_asked = 0;
        self.recent.clear();
        self.trouble = None;
    }

    /// An operator has it started anew: the past does not count any more, but for how often that
    /// was asked.
    pub fn forgive_for_restart(&mut self) {
        let asked = self.restarts_asked;
        self.forgive();
        self.restarts_asked = asked.saturating_add(1);
    }

    pub fn remember_exit(&mut self, run: RunId, exit: LastExit, cause: StopCause) {
        self.last_exit = Some(exit);
        self.exits.truncate(Self::EXITS_KEPT - 1);
        self.exits.push_front(ExitEntry { run, exit, cause });
    }

    /// Takes note of a failure of a run that had been `stable`, or not.
    pub fn count_failure(&mut self, ended: Ended, stable: bool) {
        if stable {
            self.failures_in_a_row = 0;
        }
        self.was_stable = stable;
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.trouble = Some(ended);
    }

    /// It ended by itself and well, and is left so.
    pub fn did_its_work(&mut self) {
        self.failures_in_a_row = 0;
        self.trouble = None;
    }

    /// Takes one restart from the budget, or tells that it is spent.
    pub fn take_restart(&mut self, now: Moment, policy: &RestartPolicy) -> bool {
        while self.recent.front().is_some_and(|&at| now.since(at) >= policy.window) {
            self.recent.pop_front();
        }
        if let Some(limit) = policy.max_restarts
            && self.recent.len() >= limit as usize
        {
            return false;
        }
        let kept = policy.max_restarts.map_or(Self::RECENT_KEPT, |limit| limit as usize);
        while self.recent.len() >= kept.max(1) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.restarts = self.restarts.saturating_add(1);
        true
    }

    /// The latest restarts without request that the policy counts.
    pub fn recent_restarts(&self) -> impl Iterator<Item = Moment> {
        self.recent.iter().copied()
    }
}

impl Ended {
    /// Whether the policy takes it for a success.
    pub fn is_success(&self, policy: &RestartPolicy) -> bool {
        matches!(self, Self::Exited(Exit::Code(code)) if policy.is_success(*code))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(exit) => match exit {
                Exit::Code(code) => write!(f, "it exited with {code}"),
                Exit::Signal { .. } => write!(f, "{exit} ended it"),
                Exit::Unknown => f.write_str("it ended, how is not known"),
            },
            Self::OutOfMemory(exit) if exit.is_kill() => {
                f.write_str("the kernel's out-of-memory killer ended it")
            }
            Self::OutOfMemory(exit) => write!(
                f,
                "the kernel's out-of-memory killer ended a process of its tree, and then {}",
                Self::Exited(*exit)
            ),
            Self::NotStarted(why)
            | Self::NotReady(why)
            | Self::Unhealthy(why)
            | Self::OverLimit(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BudgetSpent { restarts, window, last } => write!(
                f,
                "{last}; {restarts} restarts within {} s are all that the policy allows",
                window.as_secs_f64()
            ),
            Self::NotRestarted { last } => write!(f, "{last}; the policy does not restart it"),
        }
    }
}
