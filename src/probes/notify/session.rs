//! What a run has said so far over the notification protocol, and what it still owes: pure.
//!
//! ```text
//!  readiness:  awaited ──READY=1──► passed          watchdog:  idle ──(run is ready)──► due at T
//!                 │ deadline            ▲                       WATCHDOG=1: T = now + interval
//!                 └──► late ──READY=1───┘                       T passed: silent, until WATCHDOG=1
//!                                                              STOPPING=1, WATCHDOG_USEC=0: off
//! ```

use std::time::Duration;

use crate::{
    model::Moment,
    probes::{Finding, ProbeKind, text::seconds},
};

use super::message::{Message, Watchdog};

/// The protocol's state of one run.
#[derive(Debug)]
pub(in crate::probes) struct Session {
    readiness: Readiness,
    watchdog: Dog,
    /// Longest silence between two `WATCHDOG=1`.
    interval: Duration,
    /// Silence before it does not count.
    lenient_until: Moment,
    reloading: bool,
    stopping: bool,
    status: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    /// Not this session's affair: checked by other means, not at all, or taken over as ready.
    NotOurs,
    Awaited {
        until: Moment,
        whole_wait: Duration,
    },
    Late,
    Passed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dog {
    /// None configured, or turned off by the component.
    Off,
    /// The run is not ready yet.
    Idle,
    /// `alive`: it has been heard of, so the verdict is good.
    Due { at: Moment, alive: bool },
    /// It fell silent, and that was told.
    Silent,
}

type Found = (ProbeKind, Finding);

impl Session {
    /// A longer extension is taken for this one: a day.
    const LONGEST_EXTENSION: Duration = Duration::from_hours(24);

    /// A session of a process that started at `started`. `readiness`: how long it may take until
    /// `READY=1`, where that is what is waited for. `watchdog`: the longest silence, where that is
    /// the health check.
    pub fn new(
        started: Moment,
        readiness: Option<Duration>,
        watchdog: Option<(Duration, Duration)>,
    ) -> Self {
        let readiness = readiness.map_or(Readiness::NotOurs, |whole_wait| Readiness::Awaited {
            until: started.after(whole_wait),
            whole_wait,
        });
        let (interval, start_period) = watchdog.unwrap_or_default();
        Self {
            readiness,
            watchdog: if watchdog.is_some() { Dog::Idle } else { Dog::Off },
            interval,
            lenient_until: started.after(start_period),
            reloading: false,
            stopping: false,
            status: None,
        }
    }

    /// The run has become ready, by whichever check: its watchdog counts from now on.
    pub fn became_ready(&mut self, now: Moment) {
        if self.watchdog == Dog::Idle {
            let at = now.after(self.interval).max(self.lenient_until);
            self.watchdog = Dog::Due { at, alive: false };
        }
    }

    /// When [`Session::expire`] has something to say, if nothing comes before.
    pub fn deadline(&self) -> Option<Moment> {
        let readiness = match self.readiness {
            Readiness::Awaited { until, .. } => Some(until),
            Readiness::NotOurs | Readiness::Late | Readiness::Passed => None,
        };
        let watchdog = match self.watchdog {
            Dog::Due { at, .. } => Some(at),
            Dog::Off | Dog::Idle | Dog::Silent => None,
        };
        readiness.into_iter().chain(watchdog).min()
    }

    /// Time has passed and nothing came.
    pub fn expire(&mut self, now: Moment) -> Vec<Found> {
        let mut found = Vec::new();
        if let Readiness::Awaited { until, whole_wait } = self.readiness
            && until <= now
        {
            self.readiness = Readiness::Late;
            let detail = format!("not ready: no READY=1 within {}", seconds(whole_wait));
            found.push((ProbeKind::Ready, Finding::Failed { detail }));
        }
        if let Dog::Due { at, .. } = self.watchdog
            && at <= now
        {
            self.watchdog = Dog::Silent;
            let detail = format!("watchdog: no WATCHDOG=1 for {}", seconds(self.interval));
            found.push((ProbeKind::Health, Finding::Failed { detail }));
        }
        found
    }

    /// Takes what the component said. `MAINPID` is left to the caller, who knows its processes.
    pub fn take(&mut self, now: Moment, message: Message) -> Vec<Found> {
        let mut found = Vec::new();
        if message.ready {
            self.ready(now, &mut found);
        }
        if message.reloading && !self.reloading {
            self.reloading = true;
            found.push((ProbeKind::Health, Finding::Reloading));
        }
        if let Some(interval) = message.watchdog_interval {
            self.set_interval(now, interval);
        }
        match message.watchdog {
            Some(Watchdog::Alive) => self.alive(now, &mut found),
            Some(Watchdog::Trigger) => self.triggered(&mut found),
            None => {}
        }
        if let Some(extension) = message.extend_timeout {
            let extension = extension.min(Self::LONGEST_EXTENSION);
            if let Readiness::Awaited { until, whole_wait } = &mut self.readiness {
                let extended = now.after(extension).max(*until);
                *whole_wait += extended.since(*until);
                *until = extended;
            }
            found.push((ProbeKind::Health, Finding::ExtendTimeout(extension)));
        }
        if message.stopping && !self.stopping {
            self.stopping = true;
            // Who is on its way out has other things to do; the stop has a deadline of its own.
            self.watchdog = Dog::Off;
            found.push((ProbeKind::Health, Finding::Stopping));
        }
        if let Some(errno) = message.errno {
            found.push((ProbeKind::Health, Finding::Errno(errno)));
        }
        for name in message.malformed {
            let refused = format!("notify: the value of {name} makes no sense");
            found.push((ProbeKind::Health, Finding::Refused(refused)));
        }
        if message.status.is_some() && message.status != self.status {
            self.status.clone_from(&message.status);
            found.extend(message.status.map(|text| (ProbeKind::Health, Finding::Status(text))));
        }
        found
    }

    /// Whether readiness was this session's affair and has been told.
    pub fn is_ready(&self) -> bool {
        self.readiness == Readiness::Passed
    }

    fn ready(&mut self, now: Moment, found: &mut Vec<Found>) {
        match self.readiness {
            Readiness::Awaited { .. } | Readiness::Late => {
                self.readiness = Readiness::Passed;
                self.became_ready(now);
                let detail = "ready: READY=1".to_owned();
                found.push((ProbeKind::Ready, Finding::Passed { detail }));
            }
            Readiness::NotOurs | Readiness::Passed => {}
        }
        if self.reloading {
            self.reloading = false;
            found.push((ProbeKind::Health, Finding::Reloaded));
        }
    }

    fn alive(&mut self, now: Moment, found: &mut Vec<Found>) {
        let was_good = match self.watchdog {
            Dog::Off | Dog::Idle => return,
            Dog::Due { alive, .. } => alive,
            Dog::Silent => false,
        };
        let at = now.after(self.interval).max(self.lenient_until);
        self.watchdog = Dog::Due { at, alive: true };
        if !was_good {
            let detail = "watchdog: WATCHDOG=1".to_owned();
            found.push((ProbeKind::Health, Finding::Passed { detail }));
        }
    }

    fn triggered(&mut self, found: &mut Vec<Found>) {
        match self.watchdog {
            Dog::Off | Dog::Silent => {}
            Dog::Idle | Dog::Due { .. } => {
                self.watchdog = Dog::Silent;
                let detail = "watchdog: triggered by the component itself (WATCHDOG=trigger)";
                found.push((ProbeKind::Health, Finding::Failed { detail: detail.to_owned() }));
            }
        }
    }

    /// 0 and the largest number turn the watchdog off.
    fn set_interval(&mut self, now: Moment, interval: Duration) {
        if interval.is_zero() || interval == Duration::from_micros(u64::MAX) {
            self.watchdog = Dog::Off;
            return;
        }
        self.interval = interval;
        if let Dog::Due { at, .. } = &mut self.watchdog {
            *at = now.after(interval).max(self.lenient_until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(1000 + seconds))
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What the session finds in this datagram, as text.
    fn say(session: &mut Session, second: u64, datagram: &str) -> Vec<String> {
        told(session.take(at(second), parse(datagram.as_bytes())))
    }

    fn told(found: Vec<Found>) -> Vec<String> {
        found.into_iter().map(|(kind, finding)| format!("{kind:?} {finding:?}")).collect()
    }

    #[test]
    fn ready_in_time() {
        let mut session = Session::new(at(0), Some(secs(10)), None);
        assert_eq!(session.deadline(), Some(at(10)));
        assert_eq!(say(&mut session, 3, "STATUS=loading"), ["Health Status(\"loading\")"]);
        let passed = "Ready Passed { detail: \"ready: READY=1\" }";
        assert_eq!(say(&mut session, 9, "READY=1\nSTATUS=loading"), [passed]);
        assert!(session.is_ready());
        assert_eq!(session.deadline(), None);
        assert!(say(&mut session, 11, "READY=1").is_empty());
    }

    #[test]
    fn not_ready_in_time_is_told_once_and_can_still_be_mended() {
        let mut session = Session::new(at(0), Some(secs(10)), None);
        assert!(session.expire(at(9)).is_empty());
        let failed = "Ready Failed { detail: \"not ready: no READY=1 within 10 s\" }";
        assert_eq!(told(session.expire(at(10))), [failed]);
        assert_eq!(session.deadline(), None);
        assert!(session.expire(at(11)).is_empty());
        assert_eq!(say(&mut session, 12, "READY=1").len(), 1);
    }

    #[test]
    fn a_wait_is_extended_but_never_shortened() {
        let mut session = Session::new(at(0), Some(secs(10)), None);
        assert_eq!(say(&mut session, 8, "EXTEND_TIMEOUT_USEC=1000000").len(), 1);
        assert_eq!(session.deadline(), Some(at(10)));
        let _ = say(&mut session, 9, "EXTEND_TIMEOUT_USEC=30000000");
        assert_eq!(session.deadline(), Some(at(39)));
        let failed = "Ready Failed { detail: \"not ready: no READY=1 within 39 s\" }";
        assert_eq!(told(session.expire(at(39))), [failed]);
    }

    #[test]
    fn the_watchdog_counts_from_readiness_on() {
        let mut session = Session::new(at(0), None, Some((secs(10), secs(0))));
        assert_eq!(session.deadline(), None);
        assert!(say(&mut session, 1, "WATCHDOG=1").is_empty());
        session.became_ready(at(50));
        assert_eq!(session.deadline(), Some(at(60)));
        let passed = "Health Passed { detail: \"watchdog: WATCHDOG=1\" }";
        assert_eq!(say(&mut session, 55, "WATCHDOG=1"), [passed]);
        assert!(say(&mut session, 64, "WATCHDOG=1").is_empty());
        assert!(session.expire(at(73)).is_empty());
        let failed = "Health Failed { detail: \"watchdog: no WATCHDOG=1 for 10 s\" }";
        assert_eq!(told(session.expire(at(74))), [failed]);
        assert_eq!(session.deadline(), None);
        assert_eq!(say(&mut session, 80, "WATCHDOG=1"), [passed]);
    }

    #[test]
    fn ready_by_notify_arms_the_watchdog_after_the_start_period() {
        let mut session = Session::new(at(0), Some(secs(60)), Some((secs(10), secs(30))));
        let _ = say(&mut session, 5, "READY=1");
        assert_eq!(session.deadline(), Some(at(30)));
        let _ = say(&mut session, 25, "WATCHDOG=1");
        assert_eq!(session.deadline(), Some(at(35)));
    }

    #[test]
    fn a_component_may_trigger_its_watchdog_change_it_or_turn_it_off() {
        let mut session = Session::new(at(0), None, Some((secs(10), secs(0))));
        session.became_ready(at(0));
        let _ = say(&mut session, 1, "WATCHDOG_USEC=2000000");
        assert_eq!(session.deadline(), Some(at(3)));
        assert!(say(&mut session, 2, "WATCHDOG=trigger")[0].contains("WATCHDOG=trigger"));
        let _ = say(&mut session, 3, "WATCHDOG_USEC=0");
        assert_eq!(session.deadline(), None);
        assert!(say(&mut session, 4, "WATCHDOG=1").is_empty());
    }

    #[test]
    fn one_that_is_stopping_owes_no_sign_of_life() {
        let mut session = Session::new(at(0), None, Some((secs(10), secs(0))));
        session.became_ready(at(0));
        assert_eq!(say(&mut session, 1, "STOPPING=1"), ["Health Stopping"]);
        assert_eq!(session.deadline(), None);
        assert!(say(&mut session, 2, "STOPPING=1").is_empty());
    }

    #[test]
    fn a_reload_ends_with_ready() {
        let mut session = Session::new(at(0), None, None);
        assert_eq!(say(&mut session, 1, "RELOADING=1\nMONOTONIC_USEC=5"), ["Health Reloading"]);
        assert_eq!(say(&mut session, 2, "READY=1"), ["Health Reloaded"]);
        assert!(say(&mut session, 3, "READY=1").is_empty());
    }

    #[test]
    fn a_status_is_told_when_it_changes() {
        let mut session = Session::new(at(0), None, None);
        let counts = ["a", "a", "b", "b", "a"]
            .map(|status| say(&mut session, 1, &format!("STATUS={status}")).len());
        assert_eq!(counts, [1, 0, 1, 0, 1]);
    }

    #[test]
    fn no_number_of_a_component_is_too_large() {
        let mut session = Session::new(at(0), Some(secs(10)), Some((secs(10), secs(0))));
        let huge = format!("EXTEND_TIMEOUT_USEC={0}\nWATCHDOG_USEC={1}", u64::MAX, u64::MAX - 1);
        let _ = say(&mut session, 1, &huge);
        assert_eq!(session.deadline(), Some(at(1).after(Duration::from_hours(24))));
        let _ = say(&mut session, 2, "READY=1");
        assert!(session.deadline().is_some());
    }
}
