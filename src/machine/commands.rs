//! What is asked of a component, in each of its states: answered at once.

use super::{
    Context, DenyReason, Effect, Machine, Response, State, StopCause, StopPhase,
    step::KILL_PATIENCE,
};
use crate::wire::Intent;

impl Machine {
    pub(super) fn start(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
        match &mut self.state {
            State::Stopped | State::Exited | State::Failed { .. } | State::Backoff { .. } => {
                self.wish = Intent::Running;
                self.record.forgive();
                self.begin(cx, effects);
                Response::Applied
            }
            State::Starting { live, .. } | State::Running { live, .. } => {
                if self.wish == Intent::Running {
                    return Response::Redundant;
                }
                // The stop had not had its turn yet, and is withdrawn.
                self.wish = Intent::Running;
                live.asked = None;
                Response::Applied
            }
            State::Waiting { .. } => Response::Redundant,
            State::Stopping { cause, .. } => {
                if self.wish == Intent::Running && cause.is_expected() {
                    return Response::Redundant;
                }
                self.record.forgive();
                self.begin_anew_when_gone(StopCause::Restart);
                Response::Applied
            }
            State::Unkillable { .. } => Response::Denied(DenyReason::Unkillable),
        }
    }

    pub(super) fn stop(
        &mut self,
        cause: StopCause,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let wished_already = self.wish == Intent::Stopped;
        self.wish = Intent::Stopped;
        match &mut self.state {
            State::Stopped => Response::Redundant,
            State::Waiting { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed { .. } => {
                self.state = State::Stopped;
                Response::Applied
            }
            State::Starting { live, .. } | State::Running { live, .. } => {
                let asked_already = live.asked.is_some() && wished_already;
                live.asked = Some(cause);
                // Asked again and alone, its turn may come at once.
                let moved = self.proceed(cx, effects) == Response::Applied;
                if asked_already && !moved { Response::Redundant } else { Response::Applied }
            }
            State::Stopping { .. } | State::Unkillable { .. } => {
                // Who asks does not wait for evidence.
                if self.end_evidence(false, cx, effects) {
                    return Response::Applied;
                }
                if wished_already { Response::Redundant } else { Response::Applied }
            }
        }
    }

    pub(super) fn restart(
        &mut self,
        cause: StopCause,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Response {
        match &mut self.state {
            State::Stopped | State::Exited | State::Failed { .. } | State::Backoff { .. } => {
                self.start(cx, effects)
            }
            // It starts anew as soon as it may.
            State::Waiting { .. } => Response::Redundant,
            State::Starting { live, .. } | State::Running { live, .. } => {
                // Asked a second time before its turn came, it is the same restart; a stop whose turn
                // has not come was none.
                if live.asked.is_none() || self.wish == Intent::Stopped {
                    self.record.forgive_for_restart();
                }
                self.wish = Intent::Running;
                live.asked = Some(cause);
                self.proceed(cx, effects);
                Response::Applied
            }
            State::Stopping { cause: present, .. } => {
                // Asked a second time while the first is under way, it is the same restart.
                if self.wish == Intent::Stopped || !present.is_expected() {
                    self.record.forgive_for_restart();
                }
                self.begin_anew_when_gone(cause);
                self.end_evidence(false, cx, effects);
                Response::Applied
            }
            State::Unkillable { .. } => Response::Denied(DenyReason::Unkillable),
        }
    }

    pub(super) fn kill(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
        self.wish = Intent::Stopped;
        match &mut self.state {
            State::Stopped => Response::Redundant,
            State::Waiting { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed { .. } => {
                self.state = State::Stopped;
                Response::Applied
            }
            State::Starting { .. } | State::Running { .. } => {
                self.end_live(StopCause::Kill, true, cx, effects);
                Response::Applied
            }
            State::Stopping { run, phase, .. } => {
                match phase {
                    StopPhase::AwaitingSpawn { kill } => *kill = true,
                    StopPhase::Evidence { .. } | StopPhase::Polite { .. } => {
                        *phase = StopPhase::Killing { deadline: cx.now.after(KILL_PATIENCE) };
                        effects.push(Effect::KillTree { run: *run });
                    }
                    // Killed again, but an impatient operator does not put the verdict off.
                    StopPhase::Killing { .. } => effects.push(Effect::KillTree { run: *run }),
                }
                Response::Applied
            }
            State::Unkillable { run, .. } => {
                effects.push(Effect::KillTree { run: *run });
                Response::Applied
            }
        }
    }

    pub(super) fn proceed(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
        match &mut self.state {
            // Released together, those who failed start as the governor lets them.
            State::Waiting { .. }
                if cx.may_start && self.record.trouble.is_some() && cx.restart_from > cx.now =>
            {
                self.state = State::Backoff { until: cx.restart_from };
                Response::Applied
            }
            State::Waiting { .. } if cx.may_start => {
                self.begin(cx, effects);
                Response::Applied
            }
            State::Starting { live, .. } | State::Running { live, .. } if cx.may_stop => {
                match live.asked.take() {
                    Some(cause) => {
                        self.end_live(cause, false, cx, effects);
                        Response::Applied
                    }
                    None => Response::Redundant,
                }
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed { .. }
            | State::Unkillable { .. } => Response::Redundant,
        }
    }

    /// An operator wants it again while it is being ended: the policy has no say in that.
    pub(super) fn begin_anew_when_gone(&mut self, asked: StopCause) {
        self.wish = Intent::Running;
        if let State::Stopping { cause, .. } = &mut self.state
            && let StopCause::Failure(ended) = cause
        {
            self.record.trouble = Some(ended.clone());
            *cause = asked;
        }
    }
}
