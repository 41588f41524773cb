//! Which of our child processes are leaders, whose exit somebody waits for, and which are
//! orphans that came to us as their subreaper.
//!
//! One list for the process, because the kernel's list of children is one for the process, too.
//! A leader is on it from before anybody could see it end until its exit was read.

#![expect(unsafe_code, reason = "waitid, because rustix does not tell whose status it is")]

use std::{
    collections::{HashMap, hash_map::Entry},
    mem::MaybeUninit,
    os::fd::BorrowedFd,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::retry_on_intr,
    process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid},
};

use super::family::own_children;

/// With a count: a pid may be given to a new leader before the old one's reaper has said so.
static LEADERS: LazyLock<Mutex<HashMap<i32, u32>>> = LazyLock::new(Mutex::default);

/// Held for reading from before a process is created until it is on the list. std's lock lets
/// the blocking part of a start (the kernel reading the program) hold up nobody but the reaper,
/// which does not wait for it.
static STARTS: RwLock<()> = RwLock::new(());

/// Held while a child is reaped, and while the list of our children is read.
static REAPING: Mutex<()> = Mutex::new(());

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

/// Those that are no leaders.
pub(super) fn others(mut pids: Vec<i32>) -> Vec<i32> {
    let leaders = leaders();
    pids.retain(|pid| !leaders.contains_key(pid));
    pids
}

/// Reaps ended orphans that came to us; how many.
///
/// Never touches a process that has a [`Child`](super::Child), nor one that `is_ours` claims
/// (processes of an earlier program image, before they are adopted). Never waits: while a start
/// is under way it does nothing, and `None` asks to be called again. Ended leaders are better reaped
/// before: behind one of them the whole list of children is gone through.
pub fn reap_orphans(is_ours: impl FnMut(i32) -> bool) -> Option<usize> {
    let Ok(_no_start_under_way) = STARTS.try_write() else { return None };
    Some(reap_all(is_ours))
}

fn reap_all(mut is_ours: impl FnMut(i32) -> bool) -> usize {
    let mut reaped = 0;
    // The kernel shows the same zombie until it is reaped, so behind a leader that nobody has
    // asked about yet the list of children has to be gone through instead.
    while let Some(pid) = first_zombie() {
        if contains(pid) || is_ours(pid) {
            return reaped
                + own_children()
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
    reap_now(&WaitId::Pid(pid)).ok().flatten().is_some()
}

/// The status of a child that has ended, which is no more afterwards. Does not wait.
pub(super) fn reap_now(id: &WaitId<'_>) -> rustix::io::Result<Option<WaitIdStatus>> {
    let _alone = REAPING.lock().unwrap_or_else(PoisonError::into_inner);
    retry_on_intr(|| waitid(id.clone(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG))
}

/// Waits for a child that is about to end, and reaps it.
pub(super) fn reap_at_end(pidfd: BorrowedFd<'_>) -> rustix::io::Result<Option<WaitIdStatus>> {
    let mut descriptors = [PollFd::new(&pidfd, PollFlags::IN)];
    retry_on_intr(|| poll(&mut descriptors, None))?;
    reap_now(&WaitId::PidFd(pidfd))
}

/// Looks at the list of our children while nothing is taken from it.
///
/// The kernel finds its way in the list by the last process that it told, or else by counting:
/// a child that is reaped meanwhile makes it leave out another one.
pub(super) fn undisturbed<T>(look: impl FnOnce() -> T) -> T {
    let _alone = REAPING.lock().unwrap_or_else(PoisonError::into_inner);
    look()
}
