//! Descriptors that go over to the program that replaces us.

use std::{
    collections::BTreeMap,
    fmt,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{guardian::DescriptorStore, process};

/// A store in our own process: a copy of everything that is kept, for the day of an upgrade.
#[derive(Default)]
pub(super) struct Passing {
    kept: Mutex<BTreeMap<String, OwnedFd>>,
}

impl Passing {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, OwnedFd>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of what is kept by this name.
    pub fn copy(&self, name: &str) -> Option<OwnedFd> {
        self.kept().get(name)?.try_clone().ok()
    }

    /// Has everything go over, or not; the names with their numbers.
    pub fn leave_open(&self, open: bool) -> std::io::Result<Vec<(String, i32)>> {
        let kept = self.kept();
        for descriptor in kept.values() {
            process::leave_open(descriptor.as_fd(), open)?;
        }
        Ok(kept.iter().map(|(name, it)| (name.clone(), it.as_raw_fd())).collect())
    }
}

impl DescriptorStore for Passing {
    fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) {
        // No descriptors left: the successor does without.
        if let Ok(copy) = descriptor.try_clone_to_owned() {
            self.kept().insert(name.to_owned(), copy);
        }
    }

    fn forget(&self, name: &str) {
        self.kept().remove(name);
    }
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Passing").field(&self.kept().len()).finish()
    }
}
