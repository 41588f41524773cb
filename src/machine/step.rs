//! The transitions: what an event does in each state.

use std::{fmt, time::Duration};

use super::{
    Ended, FailReason, Live, Process, Record, State, StopCause, StopPhase, backoff::delay_before,
};
use crate::{
    model::{Exit, LastExit, Moment, RunId},
    registry::{Component, RestartWhen},
    wire::Intent,
};

/// How long a killed tree may take to be gone before it is called unkillable.
pub const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What is left of a tree whose leader ended by itself gets at most this long for a polite end,
/// since the service is down meanwhile.
pub const ORPHAN_PATIENCE: Duration = Duration::from_secs(5);

/// One component: state, wish and past.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    state: State,
    wish: Intent,
    record: Record,
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
    /// A process of an earlier Supervisor was taken over; `ready` if it had been running.
    Adopted {
        run: RunId,
        process: Process,
        ready: bool,
    },
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

    /// Continues the counters of an earlier Supervisor.
    pub fn restore_record(&mut self, restarts: u32, last_run: Option<RunId>) {
        self.record.restarts = restarts;
        self.record.last_run = last_run;
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
            Event::Adopted { run, process, ready } => self.adopted(run, process, ready, cx, effects),
            Event::Spawned { run, .. }
            | Event::SpawnFailed { run, .. }
            | Event::Exited { run, .. }
            | Event::TreeGone { run }
            | Event::Ready { run }
            | Event::NotReady { run, .. }
            | Event::Unhealthy { run, .. }
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
        }
    }

    // ---- commands -------------------------------------------------------------------------

    fn start(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
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
                self.begin_anew_when_gone(StopCause::Restart);
                Response::Applied
            }
            State::Unkillable { .. } => Response::Denied(DenyReason::Unkillable),
        }
    }

    fn stop(&mut self, cause: StopCause, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
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
                if wished_already {
                    Response::Redundant
                } else {
                    Response::Applied
                }
            }
        }
    }

    fn restart(
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
                self.wish = Intent::Running;
                self.record.forgive();
                live.asked = Some(cause);
                self.proceed(cx, effects);
                Response::Applied
            }
            State::Stopping { .. } => {
                self.begin_anew_when_gone(cause);
                Response::Applied
            }
            State::Unkillable { .. } => Response::Denied(DenyReason::Unkillable),
        }
    }

    fn kill(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
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
                    StopPhase::Polite { .. } => {
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

    fn proceed(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
        match &mut self.state {
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
    fn begin_anew_when_gone(&mut self, asked: StopCause) {
        self.wish = Intent::Running;
        self.record.forgive();
        if let State::Stopping { cause, .. } = &mut self.state
            && let StopCause::Failure(ended) = cause
        {
            self.record.trouble = Some(ended.clone());
            *cause = asked;
        }
    }

    // ---- facts ----------------------------------------------------------------------------

    fn spawned(
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

    fn spawn_failed(
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

    fn leader_exited(
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
                    None => self.count_failure(Ended::Exited(exit), cx),
                };
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
                } else if let StopPhase::Polite { .. } = phase {
                    effects.push(Effect::RequestOrphansStop { run });
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

    fn tree_gone(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
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

    fn became_ready(&mut self, cx: &Context<'_>) -> Response {
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
    fn broke(&mut self, ended: Ended, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
        match &self.state {
            State::Starting { live, .. } | State::Running { live, .. } => {
                let cause = match live.asked.clone() {
                    Some(asked) => asked,
                    None => self.count_failure(ended, cx),
                };
                self.end_live(cause, false, cx, effects);
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

    fn adopted(
        &mut self,
        run: RunId,
        process: Process,
        ready: bool,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Response {
        let State::Stopped = self.state else { return Response::Redundant };
        self.wish = Intent::Running;
        self.record.last_run = Some(run);
        let live = Live { run, process: Some(process), asked: None };
        effects.push(Effect::StartProbes { run, ready_already: ready });
        self.state = if ready {
            // Ready since when is not known; it was alive and well long before us.
            State::Running { live, since: process.started }
        } else if cx.config.ready.is_some() {
            State::Starting { live, deadline: None }
        } else {
            let deadline = Some(process.started.after(cx.config.start_delay));
            State::Starting { live, deadline }
        };
        Response::Applied
    }

    fn deadline_reached(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
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
    fn reconfigured(&mut self, cx: &Context<'_>) -> Response {
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

    // ---- shared steps ---------------------------------------------------------------------

    /// Starts a run, or waits for the gate. Only where no process of it lives.
    fn begin(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) {
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
    fn end_live(
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

    fn remember_exit(
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
    fn count_failure(&mut self, ended: Ended, cx: &Context<'_>) -> StopCause {
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
    fn settle(&mut self, cause: StopCause, cx: &Context<'_>, effects: &mut Vec<Effect>) {
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

    fn settle_as_wished(&mut self, cx: &Context<'_>, effects: &mut Vec<Effect>) {
        match self.wish {
            Intent::Running => self.begin(cx, effects),
            Intent::Stopped => self.state = State::Stopped,
        }
    }

    /// A run ended, or did not begin, without request: the policy decides.
    fn run_ended(&mut self, ended: Ended, cx: &Context<'_>, effects: &mut Vec<Effect>) -> Response {
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
        let delay = delay_before(policy, record.failures_in_a_row, record.was_stable, cx.chance);
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
fn begin_stop(run: RunId, kill: bool, cx: &Context<'_>, effects: &mut Vec<Effect>) -> StopPhase {
    if kill || cx.config.stop.timeout.is_zero() {
        effects.push(Effect::KillTree { run });
        StopPhase::Killing { deadline: cx.now.after(KILL_PATIENCE) }
    } else {
        effects.push(Effect::RequestStop { run });
        StopPhase::Polite { deadline: cx.now.after(cx.config.stop.timeout) }
    }
}
