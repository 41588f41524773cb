//! What happens to a component, in each of its states.

use std::time::Duration;

use super::{
    Context, Effect, Ended, Live, Machine, Process, Response, State, StopCause, StopPhase,
    ending::begin_stop,
    step::{KILL_PATIENCE, ORPHAN_PATIENCE},
};
use crate::model::Exit;

impl Machine {
    pub(super) fn spawned(
        &mut self,
        process: Process,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Response {
        match &mut self.state {
            State::Starting { live, deadline } if live.process.is_none() => {
                live.process = Some(process);
                let run = live.run;
                effects.push(Effect::StartProbes { run, ready_already: false });
                if cx.config.ready.is_none() {
                    if cx.config.start_delay.is_zero() {
                        return self.became_ready(cx);
                    }
                    *deadline = Some(process.started.after(cx.config.start_delay));
                }
                Response::Applied
            }
            State::Stopping { run, process: slot, phase, .. } => {
                let StopPhase::AwaitingSpawn { kill } = *phase else { return Response::Redundant };
                *slot = Some(process);
                *phase = begin_stop(*run, kill, cx, effects);
                Response::Applied
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed { .. }
            | State::Unkillable { .. } => Response::Redundant,
        }
    }

    pub(super) fn spawn_failed(
        &mut self,
        error: String,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Response {
        match &self.state {
            State::Starting { live, .. } if live.process.is_none() => {
                let ended = Ended::NotStarted(error);
                self.count_failure(ended.clone(), cx);
                self.run_ended(ended, cx, effects)
            }
            // What was to be ended never came to be.
            State::Stopping { process: None, cause, .. } => {
                let cause = cause.clone();
                self.settle(cause, cx, effects);
                Response::Applied
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

    pub(super) fn leader_exited(
        &mut self,
        exit: Exit,
        oom: bool,
        tree_gone: bool,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Response {
        match &mut self.state {
            State::Starting { live, .. } | State::Running { live, .. } => {
                let Some(process) = live.process else { return Response::Redundant };
                let run = live.run;
                let cause = match live.asked.take() {
                    Some(asked) => asked,
                    None if oom => self.count_failure(Ended::OutOfMemory(exit), cx),
                    None => self.count_failure(Ended::Exited(exit), cx),
                };
                if let StopCause::Failure(ended) = &cause
                    && !ended.is_success(&cx.config.restart)
                {
                    effects.push(Effect::Crashed { run, process, ended: ended.clone() });
                }
                effects.push(Effect::StopProbes { run });
                self.remember_exit(run, process, exit, oom, cause.clone(), cx);
                if tree_gone {
                    self.settle(cause, cx, effects);
                } else {
                    effects.push(Effect::RequestOrphansStop { run });
                    let patience = cx.config.stop.timeout.min(ORPHAN_PATIENCE);
                    let deadline = cx.now.after(patience);
                    let phase = StopPhase::Polite { deadline };
                    let process = Some(process);
                    self.state = State::Stopping { run, process, cause, phase, leader: Some(exit) };
                }
                Response::Applied
            }
            State::Stopping { run, process: Some(process), cause, phase, leader } => {
                if leader.is_some() {
                    return Response::Redundant;
                }
                *leader = Some(exit);
                let (run, process, cause, phase) = (*run, *process, cause.clone(), *phase);
                self.remember_exit(run, process, exit, oom, cause.clone(), cx);
                if tree_gone {
                    self.settle(cause, cx, effects);
                } else {
                    match phase {
                        StopPhase::Polite { .. } => {
                            effects.push(Effect::RequestOrphansStop { run });
                        }
                        StopPhase::Evidence { .. } => {
                            effects.push(Effect::RequestOrphansStop { run });
                            let patience = cx.config.stop.timeout.min(ORPHAN_PATIENCE);
                            let deadline = cx.now.after(patience);
                            if let State::Stopping { phase, .. } = &mut self.state {
                                *phase = StopPhase::Polite { deadline };
                            }
                        }
                        StopPhase::Killing { .. } | StopPhase::AwaitingSpawn { .. } => {}
                    }
                }
                Response::Applied
            }
            State::Unkillable { run, process, cause, leader } => {
                if leader.is_some() {
                    return Response::Redundant;
                }
                *leader = Some(exit);
                let (run, process, cause) = (*run, *process, cause.clone());
                self.remember_exit(run, process, exit, oom, cause.clone(), cx);
                if tree_gone {
                    self.settle(cause, cx, effects);
                }
                Response::Applied
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Stopping { process: None, .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed { .. } => Response::Redundant,
        }
    }

    pub(super) fn tree_gone(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
        match &self.state {
            State::Stopping { process: Some(_), cause, leader: Some(_), .. }
            | State::Unkillable { cause, leader: Some(_), .. } => {
                let cause = cause.clone();
                self.settle(cause, cx, effects);
                Response::Applied
            }
            // The leader's own end is still to come, and it tells whether the tree is gone.
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

    pub(super) fn became_ready(&mut self, cx: &Context<'_>) -> Response {
        match &self.state {
            State::Starting { live, .. } if live.process.is_some() => {
                self.record.trouble = None;
                self.state = State::Running { live: live.clone(), since: cx.now };
                Response::Applied
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

    /// It lives, but is of no use: it is ended, and the policy takes over.
    pub(super) fn broke(
        &mut self,
        ended: Ended,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Response {
        match &self.state {
            State::Starting { live, .. } | State::Running { live, .. } => {
                let cause = match live.asked.clone() {
                    Some(asked) => asked,
                    None => self.count_failure(ended, cx),
                };
                self.end_broken(cause, cx, effects);
                Response::Applied
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed { .. }
            | State::Unkillable { .. } => Response::Redundant,
        }
    }

    /// A polite stop is prolonged, never shortened; a kill is not put off. (A wait for readiness
    /// by `notify` is prolonged where it is kept.)
    pub(super) fn asks_for_time(&mut self, by: Duration, cx: &Context<'_>) -> Response {
        match &mut self.state {
            State::Stopping { phase: StopPhase::Polite { deadline }, leader: None, .. } => {
                *deadline = (*deadline).max(cx.now.after(by));
                Response::Applied
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

    pub(super) fn evidence_gathered(
        &mut self,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Response {
        if self.end_evidence(false, cx, effects) { Response::Applied } else { Response::Redundant }
    }

    pub(super) fn deadline_reached(
        &mut self,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Response {
        if self.state.deadline().is_none_or(|deadline| cx.now < deadline) {
            return Response::Redundant;
        }
        match &mut self.state {
            State::Starting { .. } => self.became_ready(cx),
            // Others were restarted meanwhile: the governor puts it off again.
            State::Backoff { until } if cx.restart_from > cx.now => {
                *until = cx.restart_from;
                Response::Applied
            }
            State::Backoff { .. } => {
                self.begin(cx, effects);
                Response::Applied
            }
            State::Stopping { run, process, cause, phase, leader } => {
                match (*phase, *process) {
                    (StopPhase::Evidence { .. }, _) => {
                        *phase = begin_stop(*run, false, cx, effects);
                    }
                    (StopPhase::Polite { .. }, _) => {
                        *phase = StopPhase::Killing { deadline: cx.now.after(KILL_PATIENCE) };
                        effects.push(Effect::KillTree { run: *run });
                    }
                    (StopPhase::Killing { .. }, Some(process)) => {
                        let (run, cause, leader) = (*run, cause.clone(), *leader);
                        self.state = State::Unkillable { run, process, cause, leader };
                    }
                    (StopPhase::Killing { .. } | StopPhase::AwaitingSpawn { .. }, _) => {}
                }
                Response::Applied
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Running { .. }
            | State::Exited
            | State::Failed { .. }
            | State::Unkillable { .. } => Response::Redundant,
        }
    }

    /// What a start waits for may be another thing now.
    pub(super) fn reconfigured(&mut self, cx: &Context<'_>) -> Response {
        match &mut self.state {
            State::Starting { live: Live { process: Some(process), .. }, deadline } => {
                *deadline = match cx.config.ready {
                    Some(_) => None,
                    None => Some(process.started.after(cx.config.start_delay)),
                };
                Response::Applied
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
}
