//! Phases and jitter, so that many checks of one interval spread over it instead of beating
//! together.
//!
//! Deterministic: a seed and the component's id decide, so a run can be repeated in a test, and
//! each component keeps its phase over restarts.

use std::time::Duration;

use crate::model::ComponentId;

use super::ProbeKind;

/// The chance of one probe.
#[derive(Debug, Clone)]
pub struct Spread {
    /// Where in the interval this probe stands, in [0, 1).
    phase: f64,
    rng: fastrand::Rng,
}

impl Spread {
    /// Readiness is awaited by others, so its first check comes within this time.
    const READY_WITHIN: Duration = Duration::from_millis(250);

    pub fn new(seed: u64, id: &ComponentId, kind: ProbeKind) -> Self {
        let mut hash = crc32fast::Hasher::new();
        hash.update(&seed.to_le_bytes());
        hash.update(id.as_bytes());
        hash.update(&[kind as u8]);
        let mut rng = fastrand::Rng::with_seed(seed.rotate_left(32) ^ u64::from(hash.finalize()));
        Self { phase: rng.f64(), rng }
    }

    /// From the moment a probe may begin to its first check: less than one interval.
    pub fn first(&self, kind: ProbeKind, interval: Duration) -> Duration {
        match kind {
            ProbeKind::Ready => interval.min(Self::READY_WITHIN).mul_f64(self.phase),
            ProbeKind::Health => interval.mul_f64(self.phase),
        }
    }

    /// From the end of one check to the start of the next: the interval, give or take this share.
    pub fn next(&mut self, interval: Duration, jitter: f64) -> Duration {
        interval.mul_f64(1.0 + jitter.clamp(0.0, 1.0) * (2.0 * self.rng.f64() - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn spread(n: u32) -> Spread {
        let id = ComponentId::new(&format!("worker-{n}")).expect("a good id");
        Spread::new(7, &id, ProbeKind::Health)
    }

    /// When 1,000 components that start at once ask for the first time, in tenths of an interval.
    #[test]
    fn a_thousand_probes_spread_evenly_over_the_interval() {
        let mut tenths = [0_u32; 10];
        for n in 0..1000 {
            let share = spread(n).first(ProbeKind::Health, INTERVAL).as_secs_f64() / 10.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 9")]
            let tenth = (share * 10.0) as usize;
            tenths[tenth] += 1;
        }
        assert!(tenths.iter().all(|count| (70..=135).contains(count)), "{tenths:?}");
    }

    #[test]
    fn intervals_vary_a_little_around_what_was_asked_for() {
        let mut spread = spread(1);
        let intervals: Vec<_> =
            (0..100).map(|_| spread.next(INTERVAL, 0.05).as_secs_f64()).collect();
        assert!(intervals.iter().all(|seconds| (9.5..=10.5).contains(seconds)));
        assert!(intervals.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 0.1));
        let mean = intervals.iter().sum::<f64>() / 100.0;
        assert!((9.9..=10.1).contains(&mean), "{mean}");
    }

    #[test]
    fn as_much_as_the_registry_says() {
        let mut spread = spread(1);
        assert_eq!(spread.next(INTERVAL, 0.0), INTERVAL);
        let intervals: Vec<_> =
            (0..100).map(|_| spread.next(INTERVAL, 0.5).as_secs_f64()).collect();
        assert!(intervals.iter().all(|seconds| (5.0..=15.0).contains(seconds)));
        assert!(intervals.iter().any(|seconds| (*seconds - 10.0).abs() > 2.0));
    }

    #[test]
    fn a_component_keeps_its_phase() {
        assert_eq!(
            spread(3).first(ProbeKind::Health, INTERVAL),
            spread(3).first(ProbeKind::Health, INTERVAL),
        );
    }

    #[test]
    fn readiness_is_not_kept_waiting() {
        let longest = Duration::from_millis(250);
        assert!((0..1000).all(|n| spread(n).first(ProbeKind::Ready, INTERVAL) < longest));
    }
}
