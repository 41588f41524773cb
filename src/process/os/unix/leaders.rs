//! Which of our child processes are leaders, whose exit somebody waits for, and which are
//! orphans that came to us as their subreaper.
//!
//! One list for the process, because the kernel's list of children is one for the process, too.
//! A leader is on it from before anybody could see it end until its exit was read.

#![expect(unsafe_code, reason = "waitid, because rustix does not tell whose status it is")]

use std::{
    collections::{HashMap, hash_map::Entry},
    mem::MaybeUninit,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

use rustix::{
    io::retry_on_intr,
    process::{Pid, WaitId, WaitIdOptions, waitid},
};

/// With a count: a pid may be given to a new leader before the old one's reaper has said so.
static LEADERS: LazyLock<Mutex<HashMap<i32, u32>>> = LazyLock::new(Mutex::default);

/// Held for reading from before a process is created until it is on the list. std's lock lets
/// the blocking part of a start (the kernel reading the program) hold up nobody but the reaper,
/// which does not wait for it.
static STARTS: RwLock<()> = RwLock::new(());

/// Proof that no orphan is being reaped meanwhile.
pub(super) struct Gate {
    _reader: RwLockReadGuard<'static, ()>,
}

pub(super) fn spawning() -> Gate {
    Gate { _reader: STARTS.read().unwrap_or_else(PoisonError::into_inner) }
}

fn leaders() -> MutexGuard<'static, HashMap<i32, u32>> {
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn add(pid: i32) {
    *leaders().entry(pid).or_default() += 1;
}

pub(super) fn remove(pid: i32) {
    if let Entry::Occupied(mut entry) = leaders().entry(pid) {
        match entry.get().checked_sub(1) {
            None | Some(0) => drop(entry.remove()),
            Some(left) => *entry.get_mut() = left,
        }
    }
}

pub(super) fn contains(pid: i32) -> bool {
    leaders().contains_key(&pid)
}

/// Reaps ended orphans that came to us; how many.
///
/// Never touches a process that has a [`Child`](super::Child), nor one that `is_ours` claims
/// (processes of an earlier program image, before they are adopted). Never waits: while a start
/// is under way it does nothing, and the next call makes up for it.
pub fn reap_orphans(mut is_ours: impl FnMut(i32) -> bool) -> usize {
    let Ok(_no_start_under_way) = STARTS.try_write() else { return 0 };
    let mut reaped = 0;
    // The kernel shows the same zombie until it is reaped, so behind a leader that nobody has
    // asked about yet the list of children has to be gone through instead.
    while let Some(pid) = first_zombie() {
        if contains(pid) || is_ours(pid) {
            return reaped
                + children()
                    .into_iter()
                    .filter(|&pid| !contains(pid) && !is_ours(pid) && reap(pid))
                    .count();
        }
        if !reap(pid) {
            return reaped;
        }
        reaped += 1;
    }
    reaped
}

/// An ended child of ours, without reaping it.
fn first_zombie() -> Option<i32> {
    let peek = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the structure is writable; all zero is a valid value of it, and its pid stays 0
    // where there is nothing to tell.
    unsafe {
        (libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), peek) == 0)
            .then(|| info.assume_init().si_pid())
            .filter(|&pid| pid != 0)
    }
}

fn reap(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else { return false };
    let now = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    retry_on_intr(|| waitid(WaitId::Pid(pid), now)).ok().flatten().is_some()
}

/// Our direct children, living and ended.
pub(super) fn children() -> Vec<i32> {
    super::family::children_of("self")
}
