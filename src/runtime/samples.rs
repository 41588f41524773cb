//! CPU and memory, sampled when somebody asks, never on the engine's thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{clock, status::Usages};
use crate::{
    model::{Moment, RunId},
    sampler::{ProcessUsage, Sampler, Source, Usage},
};

/// Figures this fresh are given again.
const FRESH: Duration = Duration::from_millis(900);

/// While many start, each question would find a run without figures: this often at most is
/// everything looked at again for that.
const AT_MOST: Duration = Duration::from_millis(100);

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
            let known = |run| last.trees.contains_key(run);
            let age = now.since(last.at);
            age < FRESH && (age < AT_MOST || trees.iter().all(|(run, _)| known(run)))
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

    /// What a run used when it was looked at last, and how long ago that is.
    pub fn last(&self, run: RunId) -> Option<(Duration, Usage)> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let last = inner.last.as_ref()?;
        Some((clock::now().since(last.at), *last.trees.get(&run)?))
    }

    /// Keeps nothing open until the next sample, which costs a little more then.
    pub fn close_files(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.sampler.close_files();
    }

    /// Open descriptors of the trees of the last sample. Blocks, and costs as much as a sample.
    pub fn open_files(&self) -> HashMap<RunId, u32> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.sampler.open_files().into_iter().collect()
    }

    /// Every process of one tree. Blocks: for the blocking pool.
    pub fn inspect(&self, run: RunId, source: &Source) -> Vec<ProcessUsage> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.sampler.inspect(run, source, clock::now())
    }
}
