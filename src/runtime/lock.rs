//! One Supervisor per registry: a lock that the kernel gives back when its holder dies.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use crate::process::stat::Stat;

/// Where the holder is dead, a thread of it that is on its way out, or a process that it was just
/// making, may have its descriptors for a moment longer.
const LOOKS: u32 = 50;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Held as long as the Supervisor lives; close-on-exec, so no component inherits it.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Why the lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// By this pid, where the holder has written it.
    Held {
        pid: Option<u32>,
    },
    Io(io::Error),
}

impl Lock {
    /// The lock's name in the runtime folder.
    pub const NAME: &str = "supervisor.lock";

    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(Self::NAME))
            .map_err(LockError::Io)?;
        for _ in 0..LOOKS {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Self::of(file),
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Err(LockError::Io(error.into())),
            }
            let pid = holder(&mut file);
            if !pid.is_some_and(is_gone) {
                return Err(LockError::Held { pid });
            }
            #[expect(clippy::disallowed_methods, reason = "nothing is supervised yet")]
            std::thread::sleep(BETWEEN_LOOKS);
        }
        Err(LockError::Held { pid: holder(&mut file) })
    }

    /// The lock as the engine before us held it; taken anew where it is not that of this folder.
    pub fn inherit(folder: &Path, descriptor: OwnedFd) -> Result<Self, LockError> {
        let file = File::from(descriptor);
        let identity = |file: std::fs::Metadata| (file.dev(), file.ino());
        let held = file.metadata().map(identity);
        let there = std::fs::metadata(folder.join(Self::NAME)).map(identity);
        if held.is_err() || held.ok() != there.ok() {
            return Self::take(folder);
        }
        // It is held all the same, and components wait for somebody to look after them.
        if let Err(error) = tell_holder(&file) {
            tracing::warn!(%error, "the lock does not say who holds it");
        }
        Ok(Self { file })
    }

    /// The file is locked: it says by whom.
    fn of(file: File) -> Result<Self, LockError> {
        tell_holder(&file).map_err(LockError::Io)?;
        Ok(Self { file })
    }
}

/// Writes who we are, in place: a full disk has room for what is there already.
fn tell_holder(file: &File) -> io::Result<()> {
    let line = format!("{:<10}\n", std::process::id());
    file.write_all_at(line.as_bytes(), 0)?;
    // Somebody else's hand made it longer.
    if file.metadata()?.len() > line.len() as u64 {
        file.set_len(line.len() as u64)
    } else {
        Ok(())
    }
}

/// Who holds it, as far as that was written.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// It is dead, though one of its threads may still be on its way out, with its descriptors.
fn is_gone(pid: u32) -> bool {
    let stat = i32::try_from(pid).ok().map(Stat::of);
    match stat {
        Some(Ok(stat)) => stat.is_none_or(|stat| matches!(stat.state, b'Z' | b'X')),
        Some(Err(_)) | None => false,
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
