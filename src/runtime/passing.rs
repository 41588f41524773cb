//! Descriptors that go over to the program that replaces us.

use std::{
    collections::BTreeMap,
    fmt,
    os::fd::{AsRawFd as _, BorrowedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{guardian::DescriptorStore, process};

/// A store for the moment of an upgrade. It makes no copies, which thousands of components would
/// pay for all their lives: what it is given is left open where it is, so its owner must keep
/// it until the program is replaced, or this is called off.
pub(super) struct Passing {
    /// Names and numbers; none once it was called off.
    open: Mutex<Option<BTreeMap<String, i32>>>,
}

impl Passing {
    pub fn new() -> Self {
        Self { open: Mutex::new(Some(BTreeMap::new())) }
    }

    fn open(&self) -> MutexGuard<'_, Option<BTreeMap<String, i32>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes over.
    pub fn numbers(&self) -> Vec<(String, i32)> {
        self.open().iter().flatten().map(|(name, number)| (name.clone(), *number)).collect()
    }

    /// Nothing goes over, nor what a thread gives that was late.
    pub fn call_off(&self) {
        let mut open = self.open();
        *open = None;
        process::close_on_exec();
    }
}

impl DescriptorStore for Passing {
    fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) {
        let mut open = self.open();
        // Where it cannot be left open the successor does without.
        if let Some(open) = &mut *open
            && process::leave_open(descriptor, true).is_ok()
        {
            open.insert(name.to_owned(), descriptor.as_raw_fd());
        }
    }

    fn forget(&self, name: &str) {
        if let Some(open) = &mut *self.open() {
            open.remove(name);
        }
    }
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Passing").field(&self.open().as_ref().map(BTreeMap::len)).finish()
    }
}
