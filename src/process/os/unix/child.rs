//! One process, held by its pidfd.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
    process::{Pid, PidfdFlags, WaitId, WaitIdStatus, pidfd_open, pidfd_send_signal},
};

use super::{
    leaders, pidfd_info,
    stat::{Stat, TICKS_PER_SECOND},
};
use crate::{
    model::Exit,
    process::{Delivery, Signal},
};

/// A process that we started or adopted: a component's leader.
///
/// Its pid is not reused while it is held unreaped, and its signals go through the pidfd, so
/// they never reach another process. Dropping it ends nothing; should it have ended already, it
/// is reaped with the orphans.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    start_time: u64,
    pidfd: OwnedFd,
    /// Still on the list of leaders.
    is_listed: AtomicBool,
}

impl Child {
    /// A process just created; the gate keeps it from being reaped as an orphan meanwhile.
    pub(super) fn started(
        pid: i32,
        start_time: u64,
        pidfd: OwnedFd,
        _gate: &leaders::Gate,
    ) -> Self {
        Self::listed(pid, start_time, pidfd)
    }

    fn listed(pid: i32, start_time: u64, pidfd: OwnedFd) -> Self {
        leaders::add(pid);
        Self { pid, start_time, pidfd, is_listed: AtomicBool::new(true) }
    }

    fn unlist(&self) {
        if self.is_listed.swap(false, Ordering::Relaxed) {
            leaders::remove(self.pid);
        }
    }

    /// Takes a process over that an earlier Supervisor started. `None`: it is gone, its pid is
    /// free or another's by now. The times count from boot, so compare the boot id before.
    pub fn adopt(pid: i32, start_time: u64) -> io::Result<Option<Self>> {
        let Some(pidfd) = open(pid)? else { return Ok(None) };
        // The pidfd is of whoever has the pid now; only the start time says who that is.
        match Stat::of(pid)? {
            Some(stat) if stat.start_time == start_time => {
                Ok(Some(Self::listed(pid, start_time, pidfd)))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// A process of an earlier engine, by the pidfd that was kept for us: it may have ended, and
    /// been reaped by another. As [`adopt`](Self::adopt) where that pidfd is another's.
    pub fn held(pid: i32, start_time: u64, pidfd: OwnedFd) -> io::Result<Option<Self>> {
        let is_its_own = match pid_of(&pidfd) {
            // Nobody has that number in the pidfd's place; who has it now is somebody else.
            Some(-1) => Stat::of(pid)?.is_none_or(|stat| stat.start_time != start_time),
            Some(held) => held == pid,
            // Without /proc there is no adoption either.
            None => true,
        };
        if is_its_own {
            return Ok(Some(Self::listed(pid, start_time, pidfd)));
        }
        Self::adopt(pid, start_time)
    }

    /// CPU time of it and of those descendants that were waited for. To be asked before it is
    /// reaped; zero when nothing is known any more.
    pub fn used_with_descendants(&self) -> Duration {
        let stat = Stat::of(self.pid).ok().flatten();
        let ours = stat.filter(|stat| stat.start_time == self.start_time);
        let ticks = ours.map_or(0, |stat| stat.ticks + stat.children_ticks);
        Duration::from_millis(ticks * (1_000 / TICKS_PER_SECOND))
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Clock ticks from boot to its start: field 22 of `/proc/PID/stat`.
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    pub fn signal(&self, signal: Signal) -> io::Result<Delivery> {
        // Asked before, because the signal itself may end it; and because the kernel takes
        // signals to a zombie, and forgets them.
        if self.has_ended()? {
            return Ok(Delivery::AlreadyGone);
        }
        match pidfd_send_signal(&self.pidfd, signal.into()) {
            Ok(()) => Ok(Delivery::Delivered),
            Err(Errno::SRCH) => Ok(Delivery::AlreadyGone),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks it to end, also where it is stopped: then it cannot handle the signal. The kernel takes
    /// both to a zombie, and forgets them.
    pub fn ask_to_end(&self, signal: Signal) -> io::Result<()> {
        for signal in [signal, Signal::Cont] {
            match pidfd_send_signal(&self.pidfd, signal.into()) {
                Ok(()) => {}
                Err(Errno::SRCH) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// How it ended, and its zombie is gone then; `None` while it lives.
    ///
    /// Ask once it is `Some`: a second call on a process that was our child finds nothing and
    /// answers [`Exit::Unknown`], unless the kernel still remembers (Linux 6.15). For a process
    /// with another parent the answer is as exact as the kernel allows.
    pub fn reap(&self) -> io::Result<Option<Exit>> {
        let exit = match leaders::reap_now(&WaitId::PidFd(self.pidfd.as_fd())) {
            Ok(status) => status.as_ref().map(exit_of),
            Err(Errno::CHILD) => self.exit_of_stranger()?,
            Err(error) => return Err(error.into()),
        };
        if exit.is_some() {
            self.unlist();
        }
        Ok(exit)
    }

    /// Waits for a process that ends at once, and reaps it.
    pub(super) fn wait(&self) -> io::Result<Exit> {
        let status = leaders::reap_at_end(self.pidfd.as_fd())?;
        self.unlist();
        Ok(status.as_ref().map_or(Exit::Unknown, exit_of))
    }

    /// A process whose parent is another: the guardian, init, or nobody any more.
    fn exit_of_stranger(&self) -> io::Result<Option<Exit>> {
        let state = self.poll()?;
        if state.is_empty() {
            return Ok(None);
        }
        if let Some(status) = pidfd_info::exit_status(self.pidfd.as_fd()) {
            return Ok(Some(exit_of_status(status)));
        }
        if !state.contains(PollFlags::HUP) {
            // Not reaped yet, so its line is still there, if we may read that field.
            let found = Stat::with_exit_status(self.pid)?;
            let found = found.filter(|(stat, _)| stat.start_time == self.start_time);
            if let Some((_, status)) = found.filter(|(stat, _)| stat.is_dead()) {
                let is_readable = status != 0 || may_inspect(self.pid);
                return Ok(Some(if is_readable { exit_of_status(status) } else { Exit::Unknown }));
            }
            // It was reaped between the two looks: what the kernel did not tell before, it knows
            // now.
            if let Some(status) = pidfd_info::exit_status(self.pidfd.as_fd()) {
                return Ok(Some(exit_of_status(status)));
            }
        }
        Ok(Some(Exit::Unknown))
    }

    pub fn lives(&self) -> bool {
        self.has_ended().is_ok_and(|has_ended| !has_ended)
    }

    fn has_ended(&self) -> io::Result<bool> {
        Ok(!self.poll()?.is_empty())
    }

    /// `IN`: it has ended. `HUP`: it was reaped, too (Linux 6.9).
    fn poll(&self) -> io::Result<PollFlags> {
        let mut descriptors = [PollFd::new(&self.pidfd, PollFlags::IN)];
        retry_on_intr(|| poll(&mut descriptors, Some(&Timespec::default())))?;
        let [descriptor] = descriptors;
        Ok(descriptor.revents())
    }
}

impl AsFd for Child {
    /// The pidfd.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.unlist();
    }
}

/// Whose pidfd it is; -1: of one that was reaped.
fn pid_of(pidfd: &OwnedFd) -> Option<i32> {
    if let Some(pid) = pidfd_info::pid(pidfd.as_fd()) {
        return Some(pid);
    }
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
}

/// A pidfd of whoever has this pid now; `None`: nobody.
pub(super) fn open(pid: i32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        // EINVAL: it is a thread by now, not a process.
        Err(Errno::SRCH | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether `/proc` tells us the exit status of a zombie, rather than a zero.
fn may_inspect(pid: i32) -> bool {
    let user = rustix::process::geteuid().as_raw();
    user == 0 || fs::metadata(format!("/proc/{pid}")).is_ok_and(|file| file.uid() == user)
}

fn exit_of(status: &WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal { signal, core: status.dumped() },
        (None, None) => Exit::Unknown,
    }
}

/// From a wait status as `wait4` gives it.
pub fn exit_of_status(status: i32) -> Exit {
    match status & 0x7f {
        0 => Exit::Code((status >> 8) & 0xff),
        signal => Exit::Signal { signal, core: status & 0x80 != 0 },
    }
}
