//! Time as an argument: the pure rooms are told what time it is, they never ask.

use std::{ops::Sub, time::Duration};

use serde::{Deserialize, Serialize};

/// A point on the machine's monotonic clock (`CLOCK_MONOTONIC`: time since boot), so that a
/// moment keeps its meaning when the engine restarts within one boot.
///
/// Wall time is for display only and lives outside the pure rooms.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Moment(Duration);

impl Moment {
    pub const fn from_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// The moment `duration` later; the furthest possible one when that overflows.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long it is from `earlier` until this moment; zero when it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// A duration as people say it: "0.4 s", "12 s", "3 m 20 s", "5 h 12 m", "3 d 4 h".
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let words = |seconds| in_words(Duration::from_secs_f64(seconds));
        let read = [0.04, 9.96, 59.9, 61.0, 3_600.0, 90_000.0].map(words);
        assert_eq!(read, ["0.0 s", "10.0 s", "59 s", "1 m 1 s", "1 h 0 m", "1 d 1 h"]);
    }
}
