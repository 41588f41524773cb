//! Where the new process finds its three streams: descriptors with low numbers that are kept for it.
//!
//! A new process gets a copy of the whole table of descriptors, and `exec` closes one after the
//! other: with 1,000 components that are 5,000, and a third of what a start costs. So the
//! child shares our table at first and takes a copy of its lowest part alone, up to these
//! places, which `close_range` does in one step.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{Mode, OFlags},
    io::{DupFlags, dup3, fcntl_dupfd_cloexec},
};

/// Three places, all above 2 and close-on-exec; the null device is in each that is not in use.
struct Kept {
    null: OwnedFd,
    output: [OwnedFd; 2],
}

/// The places of a launch.
pub(super) struct Places(Option<Kept>);

/// Those that no launch uses. A start can hang in its exec, so nobody waits for the places of
/// another: where none are left, new ones are made.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// More are closed.
const MOST_KEPT: usize = 8;

/// Makes places for so many launches at once, while few descriptors are open: the higher they are,
/// the more a new process has to copy.
pub fn reserve_places(count: usize) -> io::Result<()> {
    let mut kept = kept();
    while kept.len() < count.min(MOST_KEPT) {
        kept.push(Kept::new()?);
    }
    Ok(())
}

fn kept() -> MutexGuard<'static, Vec<Kept>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lowest(kept: &mut Vec<Kept>) -> Option<Kept> {
    let numbers = kept.iter().map(|one| one.null.as_raw_fd());
    let (index, _) = numbers.enumerate().min_by_key(|(_, number)| *number)?;
    Some(kept.swap_remove(index))
}

impl Places {
    /// Puts these two streams into place.
    pub fn fill(stdout: BorrowedFd<'_>, stderr: BorrowedFd<'_>) -> io::Result<Self> {
        let found = lowest(&mut kept()).map_or_else(Kept::new, Ok)?;
        let mut places = Self(Some(found));
        if let Some(kept) = &mut places.0 {
            dup3(stdout, &mut kept.output[0], DupFlags::CLOEXEC)?;
            dup3(stderr, &mut kept.output[1], DupFlags::CLOEXEC)?;
        }
        Ok(places)
    }

    /// For standard input, output and error.
    pub fn numbers(&self) -> [RawFd; 3] {
        self.0.as_ref().map_or([-1; 3], |kept| {
            [kept.null.as_raw_fd(), kept.output[0].as_raw_fd(), kept.output[1].as_raw_fd()]
        })
    }

    /// The first number that the new process has no use for, nor for anything above.
    pub fn end(&self) -> u32 {
        self.numbers().into_iter().max().map_or(u32::MAX, |last| last.cast_unsigned() + 1)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let Some(mut places) = self.0.take() else { return };
        let Kept { null, output: [out, err] } = &mut places;
        // A stream must not be held beyond its component. What cannot be emptied is closed.
        if dup3(&*null, out, DupFlags::CLOEXEC).is_ok()
            && dup3(&*null, err, DupFlags::CLOEXEC).is_ok()
        {
            let mut kept = kept();
            if kept.len() < MOST_KEPT {
                kept.push(places);
            }
        }
    }
}

impl Kept {
    fn new() -> io::Result<Self> {
        let opened = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let place = || fcntl_dupfd_cloexec(&opened, 3);
        Ok(Self { null: place()?, output: [place()?, place()?] })
    }
}
