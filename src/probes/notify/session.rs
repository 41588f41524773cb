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
