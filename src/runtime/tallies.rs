//! What is counted for the metrics: starts, ends, CPU time and how late the loop is.
//!
//! Counted from the start of this Supervisor process; a component's restart changes none of it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{clock, driver::Driver};
use crate::{
    machine::{Ended, StopCause},
    metrics::Histogram,
    model::{ComponentId, Exit, Moment, RunId},
    registry::RestartPolicy,
    wire::EventKind,
};

#[derive(Default)]
pub(super) struct Tallies {
    pub components: HashMap<ComponentId, Tally>,
    /// Events by kind; those who tell them share the driver.
    pub events: RefCell<BTreeMap<&'static str, u64>>,
    /// How late the loop came to what was due.
    pub delays: Histogram,
    /// What the loop sleeps for.
    pub due: Cell<Option<Moment>>,
}

/// One component's.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub starts: u64,
    /// Starts without request.
    pub restarts: u64,
    /// What the component's own count was, which an operator's start sets back.
    known_restarts: u32,
    /// None: it never ended.
    pub exits: Option<Box<[u64; Cause::ALL.len()]>>,
    /// CPU time of the runs that have ended.
    pub ended_cpu: Duration,
}

/// Why a run ended, in the words of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Requested,
    Success,
    Failure,
    Signal,
    OutOfMemory,
    Limit,
    NotReady,
    Unhealthy,
    Unknown,
}

impl Cause {
    pub const ALL: [(Self, &str); 9] = [
        (Self::Requested, "requested"),
        (Self::Success, "success"),
        (Self::Failure, "failure"),
        (Self::Signal, "signal"),
        (Self::OutOfMemory, "out_of_memory"),
        (Self::Limit, "limit"),
        (Self::NotReady, "not_ready"),
        (Self::Unhealthy, "unhealthy"),
        (Self::Unknown, "unknown"),
    ];

    fn of(stop: Option<&StopCause>, exit: Exit, oom: bool, policy: Option<&RestartPolicy>) -> Self {
        match stop {
            Some(StopCause::Failure(Ended::OverLimit(_))) => Self::Limit,
            Some(StopCause::Failure(Ended::NotReady(_))) => Self::NotReady,
            Some(StopCause::Failure(Ended::Unhealthy(_))) => Self::Unhealthy,
            Some(cause) if cause.is_expected() => Self::Requested,
            _ if oom => Self::OutOfMemory,
            _ => match exit {
                Exit::Code(code) if policy.is_some_and(|policy| policy.is_success(code)) => {
                    Self::Success
                }
                Exit::Code(_) => Self::Failure,
                Exit::Signal { .. } => Self::Signal,
                Exit::Unknown => Self::Unknown,
            },
        }
    }
}

impl Tallies {
    fn of(&mut self, id: &ComponentId) -> &mut Tally {
        if !self.components.contains_key(id) {
            self.components.insert(id.clone(), Tally::default());
        }
        self.components.get_mut(id).expect("it was put there")
    }

    pub fn count_event(&self, kind: EventKind) {
        *self.events.borrow_mut().entry(kind.as_str()).or_default() += 1;
    }

    /// The loop has woken up.
    pub fn observe_delay(&mut self, now: Moment) {
        if let Some(due) = self.due.take().filter(|due| *due <= now) {
            self.delays.observe(now.since(due).as_secs_f64());
        }
    }
}

impl Driver {
    pub fn count_start(&mut self, id: &ComponentId) {
        let restarts = self.supervisor.component(id).map_or(0, |view| view.restarts);
        let tally = self.tallies.of(id);
        tally.starts += 1;
        tally.restarts += u64::from(restarts.saturating_sub(tally.known_restarts));
        tally.known_restarts = restarts;
    }

    /// The leader of a run has ended; before the supervisor hears of it.
    pub fn count_exit(&mut self, id: &ComponentId, run: RunId, exit: Exit, oom: bool) {
        let policy = self.supervisor.config(id).map(|config| &*config.restart);
        let cause = Cause::of(self.supervisor.stop_cause(run), exit, oom, policy);
        let place = Cause::ALL.iter().position(|(known, _)| *known == cause);
        if let Some(place) = place {
            self.tallies.of(id).exits.get_or_insert_default()[place] += 1;
        }
    }

    /// What a run that is gone has used.
    pub fn count_cpu(&mut self, id: &ComponentId, used: Duration) {
        self.tallies.of(id).ended_cpu += used;
    }

    /// What the loop is about to sleep for.
    pub fn note_due(&self, due: Option<Moment>) {
        self.tallies.due.set(due.filter(|due| *due > clock::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_one_cause() {
        let policy = RestartPolicy::default();
        let killed = Exit::Signal { signal: 9, core: false };
        let cause =
            |stop: Option<StopCause>, exit, oom| Cause::of(stop.as_ref(), exit, oom, Some(&policy));
        let over = StopCause::Failure(Ended::OverLimit("too much".to_owned()));
        assert_eq!(cause(None, Exit::Code(0), false), Cause::Success);
        assert_eq!(cause(None, Exit::Code(3), false), Cause::Failure);
        assert_eq!(cause(None, killed, false), Cause::Signal);
        assert_eq!(cause(None, killed, true), Cause::OutOfMemory);
        assert_eq!(
            cause(Some(over), Exit::Signal { signal: 15, core: false }, false),
            Cause::Limit
        );
        assert_eq!(cause(Some(StopCause::Stop), killed, false), Cause::Requested);
    }

    #[test]
    fn only_what_came_too_late_is_a_delay() {
        let second = |s| Moment::from_boot(Duration::from_secs(s));
        let mut tallies = Tallies::default();
        tallies.due.set(Some(second(10)));
        tallies.observe_delay(second(9));
        assert_eq!(tallies.delays, Histogram::default());
        tallies.due.set(Some(second(10)));
        tallies.observe_delay(second(11));
        let mut expected = Histogram::default();
        expected.observe(1.0);
        assert_eq!(tallies.delays, expected);
    }
}
