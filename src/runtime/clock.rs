//! The clocks: the one that decides, and the one that is shown.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::model::Moment;

/// A clock that differs by more was set; by less, it is only kept right.
const WAS_SET: Duration = Duration::from_millis(100);

/// Now, on the clock that decides.
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("the machine booted in the past");
    let nanos = u32::try_from(time.tv_nsec).expect("nanoseconds are below a thousand million");
    Moment::from_boot(Duration::new(seconds, nanos))
}

/// The wall time of a past moment, for display. A clock that was set meanwhile is believed; the same
/// moment is the same time to everybody until then.
pub fn wall(at: Moment) -> Timestamp {
    let since_boot = i64::try_from(at.since_boot().as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanosecond(i128::from(since_boot) + i128::from(boot()))
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Nanoseconds from 1970 to the boot. Kept, since two clocks are never read at once: each reading
/// would give another millisecond. Read anew where the clock was set.
fn boot() -> i64 {
    static KEPT: AtomicI64 = AtomicI64::new(i64::MIN);
    let kept = KEPT.load(Ordering::Relaxed);
    let mut best = (Duration::MAX, kept);
    for _ in 0..5 {
        let (before, wall, after) = (now(), Timestamp::now().as_nanosecond(), now());
        let took = after.since(before);
        if took < best.0 {
            let since_boot = i128::try_from(before.since_boot().as_nanos()).unwrap_or(0);
            best = (took, i64::try_from(wall - since_boot).unwrap_or(0));
        }
        if took < Duration::from_millis(1) {
            break;
        }
    }
    let differs = Duration::from_nanos(best.1.abs_diff(kept));
    if differs > WAS_SET.saturating_add(best.0) {
        KEPT.store(best.1, Ordering::Relaxed);
        return best.1;
    }
    kept
}

/// RFC 3339, UTC, in milliseconds.
pub fn rfc3339(at: Moment) -> String {
    format!("{:.3}", wall(at))
}

/// A number that is higher in each process than all that were counted from it in the ones before:
/// 2^20 for each second since 1970, so that nobody counts faster, and JSON keeps it exact.
pub fn number_base() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0) << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_one_time_to_everybody() {
        let at = now();
        let first = wall(at);
        assert!(Timestamp::now().duration_since(first).abs() < jiff::SignedDuration::from_secs(1));
        for _ in 0..100_000 {
            assert_eq!(wall(at), first);
        }
    }

    /// The clock can't be set here; but one that can be set has another reading.
    #[test]
    fn what_decides_is_the_monotonic_clock() {
        let reading = || {
            let time = clock_gettime(ClockId::Monotonic);
            Duration::new(
                time.tv_sec.unsigned_abs(),
                time.tv_nsec.unsigned_abs().try_into().unwrap_or(0),
            )
        };
        let (before, at, after) = (reading(), now(), reading());
        assert!(at >= Moment::from_boot(before) && at <= Moment::from_boot(after));
    }
}
