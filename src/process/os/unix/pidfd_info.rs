//! `PIDFD_GET_INFO`: what the kernel remembers of a process after its end (Linux 6.15).

#![expect(unsafe_code, reason = "an ioctl that rustix does not know")]

use std::os::fd::BorrowedFd;

use rustix::ioctl::{Updater, ioctl, opcode};

/// The kernel's `struct pidfd_info`, version 0.
#[repr(C)]
#[derive(Debug, Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    /// pid, tgid, ppid, then real, effective, saved and file-system user and group.
    identities: [u32; 11],
    exit_status: i32,
}

const GET_INFO: rustix::ioctl::Opcode = opcode::read_write::<PidfdInfo>(0xff, 11);
const MASK_PID: u64 = 1 << 0;
const MASK_EXIT: u64 = 1 << 3;

/// Whose pidfd it is; `None`: it was reaped, or the kernel does not tell this way (Linux 6.13).
pub(super) fn pid(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let info = ask(pidfd, MASK_PID)?;
    let [_pid, thread_group, ..] = info.identities;
    i32::try_from(thread_group).ok().filter(|&pid| pid > 0)
}

/// The wait status of a process that was reaped, by whomever; `None` where the kernel does not
/// (or not yet) know.
pub(super) fn exit_status(pidfd: BorrowedFd<'_>) -> Option<i32> {
    ask(pidfd, MASK_EXIT).map(|info| info.exit_status)
}

fn ask(pidfd: BorrowedFd<'_>, what: u64) -> Option<PidfdInfo> {
    let mut info = PidfdInfo { mask: what, ..PidfdInfo::default() };
    // SAFETY: this opcode reads and writes a structure of this layout and size.
    let answer = unsafe { ioctl(pidfd, Updater::<GET_INFO, PidfdInfo>::new(&mut info)) };
    // The kernel sets the bits of what it filled in.
    (answer.is_ok() && info.mask & what != 0).then_some(info)
}
