//! The clocks: the one that decides, and the one that is shown.

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

use crate::model::Moment;

/// Now, on the clock that decides.
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("the machine booted in the past");
    let nanos = u32::try_from(time.tv_nsec).expect("nanoseconds are below a thousand million");
    Moment::from_boot(std::time::Duration::new(seconds, nanos))
}

/// The wall time of a past moment, for display. A clock that was set meanwhile is believed.
pub fn wall(at: Moment) -> Timestamp {
    let ago = SignedDuration::try_from(now().since(at)).unwrap_or(SignedDuration::ZERO);
    Timestamp::now().checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH)
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

    /// The clock can't be set here; but one that can be set has another reading.
    #[test]
    fn what_decides_is_the_monotonic_clock() {
        let reading = || {
            let time = clock_gettime(ClockId::Monotonic);
            std::time::Duration::new(
                time.tv_sec.unsigned_abs(),
                time.tv_nsec.unsigned_abs().try_into().unwrap_or(0),
            )
        };
        let (before, at, after) = (reading(), now(), reading());
        assert!(at >= Moment::from_boot(before) && at <= Moment::from_boot(after));
    }
}
