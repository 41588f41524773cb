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
    /// Intervals vary by this share to both sides.
    const JITTER: f64 = 0.05;
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

    /// From the end of one check to the start of the next: the interval within 5 %.
    pub fn next(&mut self, interval: Duration) -> Duration {
        interval.mul_f64(1.0 + Self::JITTER * (2.0 * self.rng.f64() - 1.0))
    }
}
