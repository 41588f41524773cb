//! How often a component has failed, as somebody counts who watches it: for the back-off, the
//! budget, and the verdicts *failed* and *exited*.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::{
    machine::{Ended, Resting, State, StopCause, StopUnderWay},
    model::{Exit, Moment},
    registry::{Component, RestartWhen},
    supervisor::{Fact, Inherited, Left, Transition, entry::Entry},
    wire::{ComponentState, Health, Intent},
};

/// Chance takes at most this share of a delay away.
const LEAST: f64 = 0.8;

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four things to remember, each of its own")]
pub struct Past {
    /// What its present or last run lives under.
    pub config: Option<Arc<Component>>,
    pub running_since: Option<Moment>,
    /// Its next start was asked for by hand.
    pub asked: bool,
    failures: u32,
    stable: bool,
    last: Option<Ended>,
    /// A verdict that waits for the end of a hold.
    put_off: Option<Ended>,
    /// When it was decided that it starts again unasked.
    decisions: VecDeque<Moment>,
    /// The start that follows from the last decision comes after this.
    earliest: Option<Moment>,
    /// What was counted before was counted under another policy.
    new_policy: bool,
    /// It ended while no Supervisor lived.
    unseen: bool,
}

impl Past {
    /// What an earlier Supervisor left: nothing begins anew.
    pub fn inherited(one: &Inherited, config: Option<Arc<Component>>) -> Self {
        let mut past = Self {
            config,
            failures: one.record.failures_in_a_row,
            stable: one.record.was_stable,
            last: one.record.trouble.clone(),
            decisions: one.record.recent_restarts().collect(),
            // Another registry may be in force.
            new_policy: true,
            ..Self::default()
        };
        match &one.left {
            Left::Resting(Resting::Backoff { until }) => past.earliest = Some(*until),
            Left::Resting(_) => {}
            Left::Run(adoption) => {
                past.running_since = adoption.ready;
                match &adoption.stopping {
                    Some(StopUnderWay { cause: StopCause::Failure(ended), .. }) => {
                        past.last = Some(ended.clone());
                    }
                    Some(_) => past.asked = true,
                    None => {}
                }
                if let (Some(end), None) = (adoption.ended, &adoption.stopping) {
                    // Whether it had been stable is seen by nobody but the supervisor.
                    (past.stable, past.failures) = (true, 1);
                    let ended = if end.oom { Ended::OutOfMemory } else { Ended::Exited };
                    past.last = Some(ended(end.exit));
                }
                past.unseen = adoption.ended.is_some();
            }
        }
        past
    }

    /// An operator had it started.
    pub fn forgive(&mut self) {
        self.failures = 0;
        self.decisions.clear();
        self.earliest = None;
        self.new_policy = false;
    }

    /// Another registry comes into force.
    pub fn policy_may_change(&mut self) {
        self.decisions.clear();
        self.earliest = None;
        self.new_policy = true;
    }

    /// Its hold ends, and with it the wait of a verdict.
    pub fn released(&mut self, entry: Option<&Entry>, now: Moment) {
        let state = entry.map(|entry| entry.machine.state());
        let broken = matches!(state, Some(State::Stopping { cause, .. }) if !cause.is_expected());
        if let Some(verdict) = self.put_off.take().filter(|_| broken) {
            self.count(verdict, now);
        }
    }

    fn count(&mut self, ended: Ended, now: Moment) {
        let Some(config) = &self.config else { return };
        let stable = |at| now.since(at) >= config.restart.reset_after;
        self.stable = self.running_since.is_some_and(stable);
        self.failures = if self.stable { 1 } else { self.failures + 1 };
        self.last = Some(ended);
    }

    /// A fact about its run comes in.
    pub fn hear(&mut self, entry: &Entry, fact: &Fact, now: Moment) {
        let asked = match entry.machine.state() {
            State::Starting { live, .. } | State::Running { live, .. } => live.asked.is_some(),
            _ => return,
        };
        let waits = entry.hold.is_some() && entry.machine.wish() == Intent::Running;
        let born = entry.machine.state().process().is_some();
        let ended = match fact {
            Fact::Exited { exit, oom: true, .. } if born => Ended::OutOfMemory(*exit),
            Fact::Exited { exit, .. } if born => Ended::Exited(*exit),
            Fact::SpawnFailed { error, .. } if !born => Ended::NotStarted(error.clone()),
            Fact::NotReady { why, .. } => Ended::NotReady(why.clone()),
            Fact::Unhealthy { why, .. } => Ended::Unhealthy(why.clone()),
            Fact::OverLimit { why, .. } => Ended::OverLimit(why.clone()),
            Fact::Ready { .. } | Fact::HealthChanged { health: Health::Ok, .. } => {
                self.put_off = None;
                return;
            }
            _ => return,
        };
        let verdict =
            matches!(ended, Ended::NotReady(_) | Ended::Unhealthy(_) | Ended::OverLimit(_));
        if waits && verdict {
            self.put_off = Some(ended);
        } else if !asked {
            self.count(ended, now);
        }
    }

    /// It changes its state.
    pub fn moves(
        &mut self,
        one: &Transition,
        entry: Option<&Entry>,
        now: Moment,
        limit: Option<u32>,
    ) {
        use ComponentState::{
            Backoff, Exited, Failed, Running, Starting, Stopped, Stopping, Unkillable, Waiting,
        };
        if one.to == Running && one.from == Starting {
            self.running_since = Some(now);
        }
        let Some(config) = self.config.clone() else { return };
        let policy = &config.restart;
        let unseen = std::mem::take(&mut self.unseen);
        let was_alive = unseen || matches!(one.from, Starting | Running | Stopping | Unkillable);
        if was_alive && matches!(one.to, Starting | Backoff | Waiting) && !self.asked {
            if one.to == Starting && one.from != Stopping && one.run.is_none() {
                return;
            }
            self.decide(&config, now);
            if one.to == Backoff
                && limit.is_none()
                && let Some(State::Backoff { until }) = entry.map(|entry| entry.machine.state())
                && let Some(earliest) = self.earliest
            {
                let delay = until.since(now);
                assert!(*until >= earliest, "{}: back-off of {delay:?} only", one.id);
                let longest = policy.max_delay.max(Duration::from_secs(1));
                assert!(delay <= longest, "{}: back-off of {delay:?}", one.id);
            }
        }
        if one.from == Stopped && !unseen {
            // So it was left by an earlier Supervisor.
            return;
        }
        let success = self.last.as_ref().is_some_and(
            |last| matches!(last, Ended::Exited(Exit::Code(code)) if policy.is_success(*code)),
        );
        if one.to == Failed {
            let spent = self.within(now, policy.window);
            let allowed = policy.max_restarts.map(|limit| limit as usize);
            let fair = match policy.when {
                RestartWhen::Never => !success,
                RestartWhen::Always => allowed.is_some_and(|allowed| spent >= allowed),
                RestartWhen::OnFailure => {
                    !success && allowed.is_some_and(|allowed| spent >= allowed)
                }
            };
            assert!(
                fair || self.new_policy,
                "{} is given up after {spent} of {allowed:?} restarts",
                one.id
            );
        }
        if one.to == Exited {
            assert!(success && policy.when != RestartWhen::Always, "{} is left ended", one.id);
        }
    }

    fn within(&self, now: Moment, window: Duration) -> usize {
        self.decisions.iter().filter(|&&at| now.since(at) < window).count()
    }

    fn decide(&mut self, config: &Component, now: Moment) {
        let policy = &config.restart;
        self.decisions.push_back(now);
        if self.decisions.len() > 64 {
            self.decisions.pop_front();
        }
        let count = self.within(now, policy.window);
        if let Some(limit) = policy.max_restarts {
            let id = &config.id;
            assert!(count <= limit as usize, "{id}: {count} restarts, {limit} are allowed");
        }
        let doublings = i32::try_from(self.failures.saturating_sub(1)).unwrap_or(30).min(30);
        // Without a process nothing is tried again at once.
        let was_made = !matches!(self.last, Some(Ended::NotStarted(_)));
        let (delay, max_delay) = if was_made || !policy.delay.is_zero() {
            (policy.delay, policy.max_delay)
        } else {
            (Duration::from_millis(100), Duration::from_secs(1))
        };
        let full = delay.as_secs_f64() * 2_f64.powi(doublings);
        let full = full.min(max_delay.as_secs_f64());
        let least = if self.stable { 0.0 } else { full * LEAST };
        // Rounding is not what this is about.
        let least = Duration::from_secs_f64(least).saturating_sub(Duration::from_micros(1));
        self.earliest = Some(now.after(least));
    }

    /// It is started; whether that is a restart that nobody asked for.
    pub fn starts(&mut self, now: Moment) -> bool {
        let unasked = !std::mem::take(&mut self.asked);
        if let Some(earliest) = self.earliest.take() {
            assert!(!unasked || now >= earliest, "started {:?} too early", earliest.since(now));
        }
        (self.running_since, self.put_off) = (None, None);
        unasked && self.failures > 0
    }
}
