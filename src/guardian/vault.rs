//! What the guardian holds for the next engine: descriptors by name, and the newest ends.

use std::{
    collections::{HashMap, VecDeque},
    os::fd::OwnedFd,
    time::Duration,
};

use rustix::fs::fstat;

use super::{
    depot::Depot,
    inheritance::{Inheritance, Kept},
    link::end,
};
use crate::process::Reaped;

/// Descriptors at most: a few for each of some thousands of components.
const MOST_KEPT: usize = 32 << 10;
/// Longer ones are nobody's.
const LONGEST_NAME: usize = 96;
/// Ends at most; the oldest go.
const MOST_ENDS: usize = 4_096;

#[derive(Debug, Default)]
pub struct Vault {
    kept: HashMap<Box<str>, OwnedFd>,
    /// The service manager's store, which is to have the same.
    depot: Option<Depot>,
    ends: VecDeque<Reaped>,
    /// So many of the newest ends were not told to the engine yet.
    untold: usize,
}

impl Vault {
    /// One that tells the service manager's store, if there is one, which has `passed` already.
    pub fn beside(depot: Option<Depot>, passed: Vec<Kept>) -> Self {
        let mut vault = Self { depot, ..Self::default() };
        for Kept { name, descriptor } in passed {
            if let Some(depot) = &mut vault.depot {
                depot.has(&name);
            }
            vault.kept.insert(name.into(), descriptor);
        }
        vault.settle();
        vault
    }

    pub fn keep(&mut self, name: &str, descriptor: OwnedFd) {
        let before = self.kept.get(name);
        let fits = name.len() <= LONGEST_NAME && self.kept.len() < MOST_KEPT;
        if !fits && before.is_none() {
            return;
        }
        if let Some(depot) = &mut self.depot {
            match before {
                Some(before) if !is_same(before, &descriptor) => depot.replaced(name),
                _ => depot.keep(name),
            }
        }
        self.kept.insert(name.into(), descriptor);
        self.settle();
    }

    pub fn forget(&mut self, name: &str) {
        self.kept.remove(name);
        if let Some(depot) = &mut self.depot {
            depot.forget(name);
        }
        self.settle();
    }

    /// Tells the service manager; false: there is no way to it from here.
    pub fn say(&mut self, text: &[u8]) -> bool {
        let Some(depot) = &mut self.depot else { return false };
        depot.say(text);
        self.settle();
        true
    }

    /// Says to the service manager what there is room for. Nothing waits.
    pub fn settle(&mut self) {
        if let Some(depot) = &mut self.depot {
            depot.settle(&self.kept);
        }
    }

    /// The manager is behind: how long to wait before the next attempt.
    pub fn pause(&self) -> Option<Duration> {
        self.depot.as_ref().and_then(Depot::pause)
    }

    pub fn note(&mut self, reaped: Reaped) {
        if self.ends.len() == MOST_ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back(reaped);
        self.untold = (self.untold + 1).min(self.ends.len());
    }

    /// The oldest end that was not told yet.
    pub fn next_untold(&self) -> Option<Reaped> {
        self.ends.get(self.ends.len() - self.untold).copied()
    }

    pub fn told(&mut self) {
        self.untold = self.untold.saturating_sub(1);
    }

    /// An engine begins with all ends, so none is to be told to it.
    pub fn all_told(&mut self) {
        self.untold = 0;
    }

    pub fn kept(&self) -> impl Iterator<Item = (&str, &OwnedFd)> {
        self.kept.iter().map(|(name, descriptor)| (&**name, descriptor))
    }

    pub fn clear(&mut self) {
        self.kept.clear();
        self.kept.shrink_to_fit();
        if let Some(depot) = &mut self.depot {
            depot.forget_all();
        }
        self.settle();
    }

    /// In the engine's process, which has a copy of everything.
    pub fn into_inheritance(self) -> Inheritance {
        let kept = self.kept.into_iter();
        Inheritance {
            kept: kept
                .map(|(name, descriptor)| Kept { name: name.into_string(), descriptor })
                .collect(),
            ends: self.ends.into_iter().map(end).collect(),
            ..Inheritance::default()
        }
    }
}

/// Whether one serves as well as the other: both lead to the same pipe, socket or process. Before
/// Linux 6.9 all pidfds are one file, but those of one name are of one run.
fn is_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let identity = |of| fstat(of).map(|stat| (stat.st_dev, stat.st_ino));
    identity(one).is_ok_and(|one| identity(other) == Ok(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaped(pid: i32) -> Reaped {
        Reaped { pid, start_time: Some(1), status: 0 }
    }

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("it is there").into()
    }

    #[test]
    fn each_end_is_told_once_and_all_are_left_to_the_next_engine() {
        let mut vault = Vault::default();
        assert_eq!(vault.next_untold(), None);
        vault.note(reaped(1));
        vault.note(reaped(2));
        assert_eq!(vault.next_untold(), Some(reaped(1)));
        vault.told();
        assert_eq!(vault.next_untold(), Some(reaped(2)));
        vault.told();
        assert_eq!(vault.next_untold(), None);
        vault.note(reaped(3));
        assert_eq!(vault.next_untold(), Some(reaped(3)));
        let pids: Vec<i32> = vault.into_inheritance().ends.iter().map(|end| end.pid).collect();
        assert_eq!(pids, [1, 2, 3]);
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let mut vault = Vault::default();
        for pid in 1..10_000 {
            vault.note(reaped(pid));
        }
        assert_eq!(vault.ends.len(), MOST_ENDS);
        assert_eq!(vault.next_untold(), Some(reaped(10_000 - 4_096)));
        vault.keep(&"x".repeat(97), null());
        vault.keep("lock", null());
        vault.keep("lock", null());
        assert_eq!(vault.kept().count(), 1);
        vault.forget("lock");
        assert_eq!(vault.kept().count(), 0);
    }
}
