//! How long to wait before the next attempt.

use std::time::Duration;

/// The longest wait for a host that may come back at any time.
const CEILING: Duration = Duration::from_secs(5);
const FLOOR: Duration = Duration::from_millis(500);
/// Ceiling of the first wait; it doubles with each attempt.
const FIRST: Duration = Duration::from_millis(800);
/// For what hardly becomes better by itself. Logins that fail must not come often either: some
/// hosts ban whoever tries so.
const SLOW: Duration = Duration::from_secs(30);

/// Doubling waits from half a second to five.
#[derive(Debug, Default)]
pub(super) struct Delays {
    attempts: u32,
}

impl Delays {
    /// `chance` from 0 to 1 spreads the attempts of many consoles that lost the same host.
    pub(super) fn next(&mut self, chance: f64) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.attempts.min(8));
        self.attempts = self.attempts.saturating_add(1);
        spread(doubled.min(CEILING), chance).max(FLOOR)
    }

    /// The host was well for a while.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// The wait after a refusal.
pub(super) fn slow(chance: f64) -> Duration {
    spread(SLOW, chance)
}

/// From 60 % of `longest` to all of it.
fn spread(longest: Duration, chance: f64) -> Duration {
    longest.mul_f64(1.0 - 0.4 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_half_a_second_to_five_and_never_leave_that_range() {
        for chance in [0.0, 0.3, 1.0] {
            let mut delays = Delays::default();
            let waits: Vec<Duration> = (0..50).map(|_| delays.next(chance)).collect();
            assert!(waits.iter().all(|wait| (FLOOR..=CEILING).contains(wait)), "{waits:?}");
            assert!(waits.is_sorted(), "{waits:?}");
            assert!(waits[0] <= Duration::from_millis(800) && waits[49] >= CEILING.mul_f64(0.59));
            delays.reset();
            assert_eq!(delays.next(chance), waits[0]);
        }
        let mut delays = Delays::default();
        assert_ne!(delays.next(0.1), Delays::default().next(0.2), "they are spread");
    }
}
