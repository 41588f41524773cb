//! What one engine leaves to the next.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{depot::Depot, link::Link, vault::Vault};
use crate::model::{Exit, Moment};

/// Keeps descriptors for the next engine, by name.
///
/// Neither call waits, and neither fails: what could not be kept is only missed by a successor.
pub trait DescriptorStore: Send + Sync {
    /// Keeps a copy; one of the same name is replaced. Names have at most 96 bytes, and no
    /// newline.
    fn keep(&self, name: &str, descriptor: BorrowedFd<'_>);
    fn forget(&self, name: &str);
}

/// The guardian as a store; there may be none, and it may change. Clones are the same.
#[derive(Clone, Default)]
pub struct Stores {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    guardian: Option<Arc<Link>>,
    /// Of an engine that does without a guardian, and is who the service manager listens to.
    own: Option<Vault>,
}

impl Stores {
    /// Of an engine that is to have no guardian: it tells the service manager's store itself, if there
    /// is one, which has what the engine before had.
    pub fn alone<'a>(inherited: impl Iterator<Item = &'a Kept>) -> Self {
        let stores = Self::default();
        if let Some(depot) = Depot::from_environment() {
            let copy = |kept: &Kept| {
                let descriptor = kept.descriptor.try_clone().ok()?;
                Some(Kept { name: kept.name.clone(), descriptor })
            };
            let kept = inherited.filter(|kept| Depot::takes(&kept.name)).filter_map(copy).collect();
            stores.shared().own = Some(Vault::beside(Some(depot), kept));
        }
        stores
    }

    /// A message for the service manager; false: there is no way to it from here.
    pub fn say(&self, text: &str) -> bool {
        self.shared().own.as_mut().is_some_and(|own| own.say(text.as_bytes()))
    }

    /// The service manager is behind: how long to wait before [`settle`](Self::settle).
    pub fn pause(&self) -> Option<Duration> {
        self.shared().own.as_ref().and_then(Vault::pause)
    }

    /// Says to the service manager what there is room for.
    pub fn settle(&self) {
        if let Some(own) = &mut self.shared().own {
            own.settle();
        }
    }

    /// The engine ends in order: nothing is to be kept any more, as far as there is room to say so.
    pub fn clear(&self) {
        if let Some(own) = &mut self.shared().own {
            own.clear();
        }
    }

    /// From now on this is the guardian. It knows of nothing yet.
    pub fn set_guardian(&self, link: Option<Arc<Link>>) {
        self.shared().guardian = link;
    }

    /// Forgets many at the end, when nothing is kept any more.
    pub fn forget_all(&self, names: &[String]) {
        if let Some(guardian) = &self.shared().guardian {
            guardian.forget_all(names);
        }
    }

    pub fn guardian(&self) -> Option<Arc<Link>> {
        self.shared().guardian.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DescriptorStore for Stores {
    fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) {
        let mut shared = self.shared();
        if let Some(guardian) = &shared.guardian {
            guardian.keep(name, descriptor);
        }
        if let Some(own) = &mut shared.own
            && Depot::takes(name)
            && let Ok(copy) = descriptor.try_clone_to_owned()
        {
            own.keep(name, copy);
        }
    }

    fn forget(&self, name: &str) {
        let mut shared = self.shared();
        if let Some(guardian) = &shared.guardian {
            guardian.forget(name);
        }
        if let Some(own) = &mut shared.own {
            own.forget(name);
        }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

/// A descriptor that an earlier engine had kept.
#[derive(Debug)]
pub struct Kept {
    pub name: String,
    /// Close-on-exec.
    pub descriptor: OwnedFd,
}

/// How a process ended that was not the engine's to reap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub pid: i32,
    /// As `/proc` told it before the reaping; `None` where it could not be read.
    pub start_time: Option<u64>,
    pub exit: Exit,
}

/// How the engine before this one ended, when it did not end in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    pub exit: Exit,
    pub at: Moment,
}

/// Everything that comes from earlier engines, but for what they wrote into the runtime folder.
/// Empty for the first one.
#[derive(Debug, Default)]
pub struct Inheritance {
    pub kept: Vec<Kept>,
    pub ends: Vec<End>,
    pub death: Option<Death>,
    /// Everything had been asked to end: that goes on.
    pub stopping: bool,
}

impl Inheritance {
    /// The newest descriptor of this name.
    pub fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let at = self.kept.iter().rposition(|kept| kept.name == name)?;
        Some(self.kept.swap_remove(at).descriptor)
    }
}

/// Ends that were told, for those who come to ask: the newest few thousand.
#[derive(Debug, Default)]
pub struct Ends {
    by_pid: HashMap<i32, End>,
    order: VecDeque<i32>,
}

impl Ends {
    /// More than may end while one engine follows another.
    const MOST: usize = 4_096;

    pub fn note(&mut self, end: End) {
        if self.by_pid.insert(end.pid, end).is_none() {
            self.order.push_back(end.pid);
        }
        while self.order.len() > Self::MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.by_pid.remove(&oldest);
            }
        }
    }

    /// How this process ended, as far as somebody told.
    pub fn of(&self, pid: i32, start_time: u64) -> Option<Exit> {
        let end = self.by_pid.get(&pid)?;
        end.start_time.is_none_or(|known| known == start_time).then_some(end.exit)
    }
}

impl FromIterator<End> for Ends {
    fn from_iter<T: IntoIterator<Item = End>>(ends: T) -> Self {
        let mut all = Self::default();
        ends.into_iter().for_each(|end| all.note(end));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_that_of_one_process_not_of_a_number() {
        let end = |start_time, code| End { pid: 7, start_time, exit: Exit::Code(code) };
        let ends: Ends = [end(Some(100), 1), end(Some(200), 2)].into_iter().collect();
        assert_eq!(ends.of(7, 200), Some(Exit::Code(2)));
        assert_eq!(ends.of(7, 100), None, "the pid was given anew");
        assert_eq!(ends.of(8, 200), None);
        let unread: Ends = [end(None, 3)].into_iter().collect();
        assert_eq!(unread.of(7, 1), Some(Exit::Code(3)));
    }

    #[test]
    fn the_number_of_ends_is_bounded() {
        let mut ends = Ends::default();
        for pid in 1..=10_000 {
            ends.note(End { pid, start_time: None, exit: Exit::Code(0) });
        }
        assert_eq!(ends.by_pid.len(), Ends::MOST);
        assert_eq!((ends.of(1, 1), ends.of(10_000, 1)), (None, Some(Exit::Code(0))));
    }

    #[test]
    fn the_newest_of_one_name_is_taken() {
        let open = |name: &str| Kept {
            name: name.to_owned(),
            descriptor: std::fs::File::open("/dev/null").expect("it is there").into(),
        };
        let kept = vec![open("lock"), open("tcp"), open("lock")];
        let mut inheritance = Inheritance { kept, ..Inheritance::default() };
        assert!(inheritance.take("lock").is_some() && inheritance.take("lock").is_some());
        assert!(inheritance.take("lock").is_none());
        assert_eq!(inheritance.kept.len(), 1);
    }
}
