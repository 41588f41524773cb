//! How a component goes on that an earlier Supervisor left: with its process, or with what was
//! decided about it.
//!
//! Nothing begins anew: a back-off ends when it was to end, a budget that was spent stays spent,
//! what was given up stays so, and a stop that had begun is carried through.

use serde::{Deserialize, Serialize};

use super::{
    Context, Effect, FailReason, Live, Machine, Process, Response, State, StopCause, StopPhase,
    ending::begin_stop, step::KILL_PATIENCE,
};
use crate::{
    model::{Exit, Moment, RunId},
    wire::Intent,
};

/// A run of an earlier Supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adoption {
    pub run: RunId,
    pub process: Process,
    /// When it became ready; none: it was still starting.
    pub ready: Option<Moment>,
    /// What was wished of it last.
    pub wish: Intent,
    /// It was being ended.
    pub stopping: Option<StopUnderWay>,
    /// It ended, and its tree with it, while nobody could act on that.
    pub ended: Option<EndedMeanwhile>,
}

/// A stop that an earlier Supervisor began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopUnderWay {
    pub cause: StopCause,
    pub phase: StopPhase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedMeanwhile {
    pub exit: Exit,
    pub oom: bool,
}

/// What an earlier Supervisor had decided about a component of which nothing lives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resting {
    #[default]
    Stopped,
    /// Wished to run: for a gate, or its start had not come about.
    Waiting,
    Backoff {
        until: Moment,
    },
    Exited,
    Failed {
        reason: FailReason,
    },
}

impl Resting {
    /// What is to be remembered of a state without a run.
    pub fn of(state: &State) -> Option<Self> {
        match state {
            State::Stopped => Some(Self::Stopped),
            State::Waiting { .. } => Some(Self::Waiting),
            State::Backoff { until } => Some(Self::Backoff { until: *until }),
            State::Exited => Some(Self::Exited),
            State::Failed { reason } => Some(Self::Failed { reason: reason.clone() }),
            State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Unkillable { .. } => None,
        }
    }
}

impl StopUnderWay {
    /// What is to be remembered of a stop under way.
    pub fn of(state: &State) -> Option<Self> {
        match state {
            State::Stopping { cause, phase, .. } => {
                Some(Self { cause: cause.clone(), phase: *phase })
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed { .. }
            | State::Unkillable { .. } => None,
        }
    }
}

impl Machine {
    pub(super) fn adopted(
        &mut self,
        adoption: Adoption,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let State::Stopped = self.state else { return Response::Redundant };
        let Adoption { run, process, ready, wish, stopping, ended } = adoption;
        self.wish = wish;
        self.record.last_run = Some(run);
        if let Some(StopUnderWay { cause, phase }) = stopping {
            let phase =
                if ended.is_some() { phase } else { resumed_phase(phase, run, cx, effects) };
            let process = Some(process);
            self.state = State::Stopping { run, process, cause, phase, leader: None };
        } else {
            // A stop was asked for, and nothing was done about it yet.
            let asked = (wish == Intent::Stopped).then_some(StopCause::Stop);
            let live = Live { run, process: Some(process), asked };
            if ended.is_none() {
                effects.push(Effect::StartProbes { run, ready_already: ready.is_some() });
            }
            let delay = cx.config.ready.is_none().then_some(cx.config.start_delay);
            let deadline = delay.map(|delay| process.started.after(delay));
            self.state = match ready {
                Some(since) => State::Running { live, since },
                None => State::Starting { live, deadline },
            };
        }
        match ended {
            Some(EndedMeanwhile { exit, oom }) => self.leader_exited(exit, oom, true, cx, effects),
            None => Response::Applied,
        }
    }

    pub(super) fn resumed(&mut self, resting: Resting, cx: &Context<'_>) -> Response {
        let State::Stopped = self.state else { return Response::Redundant };
        self.state = match resting {
            Resting::Stopped => return Response::Redundant,
            Resting::Waiting => State::Waiting { since: cx.now },
            Resting::Backoff { until } => State::Backoff { until },
            Resting::Exited => State::Exited,
            Resting::Failed { reason } => State::Failed { reason },
        };
        self.wish = Intent::Running;
        Response::Applied
    }
}

/// A polite request that was made is not made again; a kill is, since it harms nobody twice.
fn resumed_phase(
    phase: StopPhase,
    run: RunId,
    cx: &Context<'_>,
    effects: &mut Vec<Effect>,
) -> StopPhase {
    match phase {
        StopPhase::Polite { .. } => phase,
        StopPhase::AwaitingSpawn { kill } => begin_stop(run, kill, cx, effects),
        StopPhase::Evidence { .. } => begin_stop(run, false, cx, effects),
        StopPhase::Killing { .. } => {
            effects.push(Effect::KillTree { run });
            StopPhase::Killing { deadline: cx.now.after(KILL_PATIENCE) }
        }
    }
}
