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
