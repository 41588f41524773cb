//! Where the new process finds its three streams: descriptors with low numbers that are kept for it.
//!
//! A new process gets a copy of the whole table of descriptors, and `exec` closes one after the
//! other: with 1,000 components that are 5,000, and a third of what a start costs. So the
//! child shares our table at first and takes a copy of its lowest part alone, up to these
//! places, which `close_range` does in one step.

use std::{
    cell::Cell,
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
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

/// The places of this thread, while a launch uses them.
pub(super) struct Places(Option<Kept>);

thread_local! {
    // A start can hang in its exec, and then no other thread may have to wait for its places.
    static KEPT: Cell<Option<Kept>> = const { Cell::new(None) };
}

impl Places {
    /// Puts these two streams into place.
    pub fn fill(stdout: BorrowedFd<'_>, stderr: BorrowedFd<'_>) -> io::Result<Self> {
        let kept = KEPT.take().map_or_else(Kept::new, Ok)?;
        let mut places = Self(Some(kept));
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
        let Some(mut kept) = self.0.take() else { return };
        let Kept { null, output: [out, err] } = &mut kept;
        // A stream must not be held beyond its component. What cannot be emptied is closed.
        if dup3(&*null, out, DupFlags::CLOEXEC).is_ok()
            && dup3(&*null, err, DupFlags::CLOEXEC).is_ok()
        {
            KEPT.set(Some(kept));
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
