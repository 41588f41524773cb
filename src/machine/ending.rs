//! How a run begins and ends, and what follows from its end: the policy.

use super::{
    Context, Effect, Ended, FailReason, Live, Machine, Process, Response, State, StopCause,
    StopPhase,
    backoff::{delay_before, delay_before_attempt},
    step::{EVIDENCE_PATIENCE, KILL_PATIENCE},
};
use crate::{
    model::{Exit, LastExit, RunId},
    registry::RestartWhen,
    wire::Intent,
};

impl Machine {
    /// Starts a run, or waits for the gate. Only where no process of it lives.
    pub(super) fn begin(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) {
        if !cx.may_start {
            self.state = State::Waiting { since: cx.now };
            return;
        }
        let run = cx.next_run;
        self.record.last_run = Some(run);
        let live = Live { run, process: None, asked: None };
        self.state = State::Starting { live, deadline: None };
        effects.push(Effect::Spawn { run });
    }

    /// Begins to end the live run.
    pub(super) fn end_live(
        &mut self,
        cause: StopCause,
        kill: bool,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let (State::Starting { live, .. } | State::Running { live, .. }) = &self.state else {
            return;
        };
        let (run, process) = (live.run, live.process);
        let phase = if process.is_some() {
            effects.push(Effect::StopProbes { run });
            begin_stop(run, kill, cx, effects)
        } else {
            StopPhase::AwaitingSpawn { kill }
        };
        self.state = State::Stopping { run, process, cause, phase, leader: None };
    }

    /// Begins to end a live run that is broken: what it is doing comes first.
    pub(super) fn end_broken(
        &mut self,
        cause: StopCause,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let (State::Starting { live, .. } | State::Running { live, .. }) = &self.state else {
            return;
        };
        let (StopCause::Failure(ended), Some(process)) = (&cause, live.process) else {
            return self.end_live(cause, false, cx, effects);
        };
        let run = live.run;
        effects.push(Effect::StopProbes { run });
        effects.push(Effect::GatherEvidence { run, ended: ended.clone() });
        let phase = StopPhase::Evidence { deadline: cx.now.after(EVIDENCE_PATIENCE) };
        self.state = State::Stopping { run, process: Some(process), cause, phase, leader: None };
    }

    /// Evidence is there, or nobody waits for it any more: the stop itself begins.
    pub(super) fn end_evidence(
        &mut self,
        kill: bool,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let State::Stopping { run, phase, .. } = &mut self.state else { return false };
        let StopPhase::Evidence { .. } = phase else { return false };
        *phase = begin_stop(*run, kill, cx, effects);
        true
    }

    pub(super) fn remember_exit(
        &mut self,
        run: RunId,
        process: Process,
        exit: Exit,
        oom: bool,
        cause: StopCause,
        cx: &Context<'_>,
    ) {
        let expected = cause.is_expected();
        let lasted = cx.now.since(process.started);
        let exit = LastExit { exit, at: cx.now, lasted, oom, expected };
        self.record.remember_exit(run, exit, cause);
    }

    /// Takes note of a failure at the moment it shows; the cause that follows from it.
    pub(super) fn count_failure(&mut self, ended: Ended, cx: &Context<'_>) -> StopCause {
        // Only the time since it was ready is service: one that never gets ready is not stable,
        // however long it takes.
        let stable = match &self.state {
            State::Running { since, .. } => cx.now.since(*since) >= cx.config.restart.reset_after,
            State::Stopped
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed { .. }
            | State::Unkillable { .. } => false,
        };
        self.record.count_failure(ended.clone(), stable);
        StopCause::Failure(ended)
    }

    /// The whole tree is gone: on to what is wished.
    pub(super) fn settle(&mut self, cause: StopCause, cx: &Context<'_>, effects: &mut Vec<Effect>) {
        match cause {
            StopCause::Failure(ended) => {
                self.run_ended(ended, cx, effects);
            }
            StopCause::Stop
            | StopCause::Restart
            | StopCause::Kill
            | StopCause::Reload
            | StopCause::Shutdown => self.settle_as_wished(cx, effects),
        }
    }

    pub(super) fn settle_as_wished(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) {
        match self.wish {
            Intent::Running => self.begin(cx, effects),
            Intent::Stopped => self.state = State::Stopped,
        }
    }

    /// A run ended, or did not begin, without request: the policy decides.
    pub(super) fn run_ended(
        &mut self,
        ended: Ended,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Response {
        if self.wish == Intent::Stopped {
            self.state = State::Stopped;
            return Response::Applied;
        }
        let policy = &cx.config.restart;
        let success = ended.is_success(policy);
        let restarted = match policy.when {
            RestartWhen::Always => true,
            RestartWhen::OnFailure => !success,
            RestartWhen::Never => false,
        };
        if !restarted {
            self.state = if success {
                self.record.did_its_work();
                State::Exited
            } else {
                State::Failed { reason: FailReason::NotRestarted { last: ended } }
            };
            return Response::Applied;
        }
        if !self.record.take_restart(cx.now, policy) {
            let restarts = policy.max_restarts.unwrap_or_default();
            let reason = FailReason::BudgetSpent { restarts, window: policy.window, last: ended };
            self.state = State::Failed { reason };
            return Response::Applied;
        }
        let record = &self.record;
        let delay = match ended {
            Ended::NotStarted(_) => {
                delay_before_attempt(policy, record.failures_in_a_row, cx.chance)
            }
            _ => delay_before(policy, record.failures_in_a_row, record.was_stable, cx.chance),
        };
        let until = cx.now.after(delay).max(cx.restart_from);
        if until <= cx.now {
            self.begin(cx, effects);
        } else {
            self.state = State::Backoff { until };
        }
        Response::Applied
    }
}

/// Sends the first request of a stop; the phase that follows.
pub(super) fn begin_stop(
    run: RunId,
    kill: bool,
    cx: &Context<'_>,
    effects: &mut Vec<Effect>,
) -> StopPhase {
    if kill || cx.config.stop.timeout.is_zero() {
        effects.push(Effect::KillTree { run });
        StopPhase::Killing { deadline: cx.now.after(KILL_PATIENCE) }
    } else {
        effects.push(Effect::RequestStop { run });
        StopPhase::Polite { deadline: cx.now.after(cx.config.stop.timeout) }
    }
}
