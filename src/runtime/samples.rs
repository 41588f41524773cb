//! CPU and memory, sampled when somebody asks, never on the engine's thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{clock, status::Usages};
use crate::{
    model::{Moment, RunId},
    sampler::{Sampler, Source, Usage},
};

/// Figures this fresh are given again.
const FRESH: Duration = Duration::from_millis(900);

/// The sampler and what it saw last. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Samples {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    sampler: Sampler,
    last: Option<Sample>,
}

/// One look at everything.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    pub at: Moment,
    pub own: Usage,
    pub trees: Arc<Usages>,
}

impl Samples {
    /// Figures of these trees. Blocks: for the blocking pool.
    pub fn take(&self, trees: &[(RunId, Source)]) -> Sample {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        let fresh = inner.last.as_ref().filter(|last| {
            now.since(last.at) < FRESH && trees.iter().all(|(run, _)| last.trees.contains_key(run))
        });
        if let Some(sample) = fresh {
            return sample.clone();
        }
        let usages = inner.sampler.sample(trees, now).into_iter().collect();
        let own = inner.sampler.own(now);
        let sample = Sample { at: now, own, trees: Arc::new(usages) };
        inner.last = Some(sample.clone());
        sample
    }
}
