//! What a process needs that keeps another one alive: to fork, to be told of signals, to reap
//! whoever falls to it.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::{
    ffi::CStr,
    io,
    mem::{self, MaybeUninit},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicI32, Ordering},
};

use super::stat::Stat;

/// Which of the two we are after a [`fork`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    Child,
    /// With the child's pid.
    Parent(i32),
}

/// Makes a copy of this process. Refused where there is another thread: the copy would not have
/// it, but whatever it has locked.
pub fn fork() -> io::Result<Fork> {
    let threads = Stat::of(std::process::id().cast_signed())?.map_or(0, |stat| stat.threads);
    if threads != 1 {
        let text = format!("cannot copy a process of {threads} threads");
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    // SAFETY: this is the only thread, so the copy is whole.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Signals that are read instead of being delivered.
#[derive(Debug)]
pub struct SignalInbox {
    descriptor: OwnedFd,
}

impl SignalInbox {
    /// From now on these are kept for [`next`](Self::next).
    pub fn open(signals: &[i32]) -> io::Result<Self> {
        // SAFETY: valid arguments; the set is filled before it is read.
        let descriptor = unsafe {
            let mut set = mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in signals {
                libc::sigaddset(&raw mut set, *signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel made this descriptor for us alone.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }

    /// The next one, if one has come.
    pub fn next(&self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the structure is writable for its size; all zero is a valid value of it.
        let signal = unsafe {
            let read = libc::read(self.descriptor.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (read.cast_unsigned() == size).then(|| info.assume_init().ssi_signo)
        };
        signal.and_then(|signal| i32::try_from(signal).ok())
    }
}

impl AsFd for SignalInbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Every signal is delivered again, as to a new process.
pub fn unblock_signals() {
    // SAFETY: valid arguments.
    unsafe {
        let mut none = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// A child that has ended, and was reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    pub pid: i32,
    /// `None` where it could not be read.
    pub start_time: Option<u64>,
    /// The wait status, see [`exit_of_status`](super::exit_of_status).
    pub status: i32,
}

/// Reaps one child that has ended, whosever it was. For a process that holds no
/// [`Child`](super::Child): those would miss their ends.
pub fn reap_any() -> Option<Reaped> {
    let peek = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the structure is writable.
    again(|| unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), peek) }).ok()?;
    // SAFETY: all zero is a valid value of it, and its pid stays 0 where there is nothing to tell.
    let pid = Some(unsafe { info.assume_init().si_pid() }).filter(|&pid| pid != 0)?;
    // While it is a zombie its number is its own.
    let start_time = Stat::of(pid).ok().flatten().map(|stat| stat.start_time);
    let mut status = 0;
    // SAFETY: the number is writable.
    let reaped = again(|| unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) }).ok()?;
    (reaped == pid).then_some(Reaped { pid, start_time, status })
}

/// Makes a call anew for as long as a signal interrupts it: its caller was told once, by a signal, that
/// there is something to reap, and would not ask again.
fn again(mut call: impl FnMut() -> i32) -> io::Result<i32> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What `ps` calls this process.
pub fn set_name(name: &CStr) {
    let _cosmetic = rustix::thread::set_name(name);
}

/// From now on orphans of our descendants become our children.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// A process group of our own: signals of a terminal do not come here any more.
pub fn own_group() {
    let _leads_one_already = rustix::process::setpgid(None, None);
}

/// The process that keeps this one alive; 0: none.
static GUARDIAN: AtomicI32 = AtomicI32::new(0);

/// Tells the rest of this room who keeps us alive: it belongs to us, and orphans may be its
/// children.
pub fn set_guardian(pid: Option<u32>) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
    GUARDIAN.store(pid, Ordering::Relaxed);
}

/// See [`set_guardian`].
pub(super) fn guardian() -> Option<i32> {
    Some(GUARDIAN.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
}
