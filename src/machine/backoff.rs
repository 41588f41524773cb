//! How long to wait before the next attempt.

use std::time::Duration;

use crate::registry::RestartPolicy;

/// The part of a delay that chance may take away, so that components that failed together do
/// not try again together.
const JITTER: f64 = 0.2;

/// The delay before the next attempt after `failures` ends in a row (1 for the first).
///
/// `delay` × 2^(failures − 1), at most `max_delay`, less up to a fifth by `chance` (0 to 1).
/// Zero where the policy's delay is zero, and after a run that had been `stable`.
pub fn delay_before(policy: &RestartPolicy, failures: u32, stable: bool, chance: f64) -> Duration {
    if stable || policy.delay.is_zero() {
        return Duration::ZERO;
    }
    let doublings = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX).min(64);
    let seconds = policy.delay.as_secs_f64() * 2_f64.powi(doublings);
    let bounded = seconds.min(policy.max_delay.as_secs_f64());
    Duration::from_secs_f64(bounded * (1.0 - JITTER * chance.clamp(0.0, 1.0)))
}

/// Where there was no process at all, trying again at once meets the same want (of descriptors,
/// memory, a file), and would keep the whole Supervisor busy: these bound such attempts where the policy
/// knows no delay.
const ATTEMPT_DELAY: Duration = Duration::from_millis(100);
const LONGEST_ATTEMPT_DELAY: Duration = Duration::from_secs(1);

/// As [`delay_before`], after attempts that made no process: never zero.
pub fn delay_before_attempt(policy: &RestartPolicy, failures: u32, chance: f64) -> Duration {
    if !policy.delay.is_zero() {
        return delay_before(policy, failures, false, chance);
    }
    let (delay, max_delay) = (ATTEMPT_DELAY, LONGEST_ATTEMPT_DELAY);
    let bounded = RestartPolicy { delay, max_delay, ..policy.clone() };
    delay_before(&bounded, failures, false, chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum() {
        let policy = RestartPolicy::default();
        let delays: Vec<_> =
            [1, 2, 3, 4, 11, 200].map(|n| delay_before(&policy, n, false, 0.0)).to_vec();
        let expected = [100, 200, 400, 800, 60_000, 60_000].map(Duration::from_millis).to_vec();
        assert_eq!(delays, expected);
    }

    #[test]
    fn chance_shortens_a_delay_by_at_most_a_fifth() {
        let policy = RestartPolicy::default();
        assert_eq!(delay_before(&policy, 1, false, 1.0), Duration::from_millis(80));
    }

    #[test]
    fn an_attempt_that_made_no_process_is_never_repeated_at_once() {
        let policy = RestartPolicy::default();
        assert_eq!(delay_before_attempt(&policy, 3, 0.0), Duration::from_millis(400));
        let eager = RestartPolicy { delay: Duration::ZERO, ..policy };
        let delays = [1, 2, 5, 200].map(|n| delay_before_attempt(&eager, n, 0.0)).to_vec();
        assert_eq!(delays, [100, 200, 1_000, 1_000].map(Duration::from_millis).to_vec());
    }

    #[test]
    fn a_stable_component_and_a_delay_of_zero_wait_for_nothing() {
        let policy = RestartPolicy::default();
        assert_eq!(delay_before(&policy, 1, true, 0.0), Duration::ZERO);
        let eager = RestartPolicy { delay: Duration::ZERO, ..policy };
        assert_eq!(delay_before(&eager, 9, false, 0.5), Duration::ZERO);
    }
}
