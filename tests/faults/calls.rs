//! The system calls that can be made to fail, and how the kernel would have each of them fail.

use libc::c_long;

/// Where a call says what it is about.
#[derive(Debug, Clone, Copy)]
pub enum About {
    /// The argument with this number is a path.
    Path(usize),
    /// The argument with this number is a descriptor.
    Descriptor(usize),
    Nothing,
}

/// How a call can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is not made; this is its `errno`.
    Fails(i32),
    /// It is made for half of its bytes.
    Half,
}

/// One system call.
#[derive(Debug)]
pub struct Call {
    pub name: &'static str,
    pub number: c_long,
    pub about: About,
    /// What can become of it where it stands in this program. `EAGAIN` is none of a descriptor that an
    /// epoll watches: the kernel would tell of its readiness again, and nobody tells of a made-up one.
    pub effects: &'static [Effect],
}

use About::{Descriptor, Nothing, Path};
use Effect::{Fails, Half};
use libc::{
    EAGAIN, ECONNABORTED, EINTR, EIO, EMFILE, ENFILE, ENOBUFS, ENOLCK, ENOMEM, ENOSPC, SYS_accept4,
    SYS_clone, SYS_clone3, SYS_close_range, SYS_connect, SYS_epoll_create1, SYS_epoll_ctl,
    SYS_epoll_pwait, SYS_eventfd2, SYS_execve, SYS_fallocate, SYS_fcntl, SYS_fdatasync, SYS_flock,
    SYS_fsync, SYS_ftruncate, SYS_getdents64, SYS_memfd_create, SYS_mkdirat, SYS_mknodat, SYS_mmap,
    SYS_openat, SYS_pidfd_open, SYS_pipe2, SYS_ppoll, SYS_pread64, SYS_pwrite64, SYS_read,
    SYS_recvfrom, SYS_recvmsg, SYS_renameat2, SYS_sendmsg, SYS_sendto, SYS_socket, SYS_socketpair,
    SYS_statx, SYS_unlinkat, SYS_waitid, SYS_write, SYS_writev,
};

const fn call(
    name: &'static str,
    number: c_long,
    about: About,
    effects: &'static [Effect],
) -> Call {
    Call { name, number, about, effects }
}

const NO_DESCRIPTOR: &[Effect] = &[Fails(EMFILE), Fails(ENFILE), Fails(ENOMEM)];
const DISK: &[Effect] = &[Fails(EIO), Fails(ENOSPC)];
const WRITTEN: &[Effect] = &[Fails(ENOSPC), Fails(EIO), Fails(EINTR), Half];
const READ: &[Effect] = &[Fails(EIO), Fails(EINTR), Half];
const SENT: &[Effect] = &[Fails(EINTR), Fails(ENOBUFS), Half];
const INTERRUPTED: &[Effect] = &[Fails(EINTR)];

/// All of them. `fcntl` stands for the duplication of a descriptor, `mmap` for shared mappings.
pub const CALLS: &[Call] = &[
    call(
        "openat",
        SYS_openat,
        Path(1),
        &[Fails(EMFILE), Fails(ENOSPC), Fails(EIO), Fails(ENFILE), Fails(ENOMEM), Fails(EINTR)],
    ),
    call("mknodat", SYS_mknodat, Path(1), DISK),
    call("mkdirat", SYS_mkdirat, Path(1), DISK),
    call("unlinkat", SYS_unlinkat, Path(1), DISK),
    call("renameat2", SYS_renameat2, Path(1), DISK),
    call("statx", SYS_statx, Path(1), &[Fails(EIO), Fails(ENOMEM)]),
    call("execve", SYS_execve, Path(0), &[Fails(ENOMEM), Fails(EAGAIN), Fails(EIO)]),
    call("getdents64", SYS_getdents64, Descriptor(0), &[Fails(EIO)]),
    call("ftruncate", SYS_ftruncate, Descriptor(0), DISK),
    call("fallocate", SYS_fallocate, Descriptor(0), &[Fails(ENOSPC), Fails(EINTR)]),
    call("fsync", SYS_fsync, Descriptor(0), DISK),
    call("fdatasync", SYS_fdatasync, Descriptor(0), DISK),
    call("flock", SYS_flock, Descriptor(0), &[Fails(EINTR), Fails(ENOLCK)]),
    call("read", SYS_read, Descriptor(0), READ),
    call("pread64", SYS_pread64, Descriptor(0), READ),
    call("write", SYS_write, Descriptor(0), WRITTEN),
    call("writev", SYS_writev, Descriptor(0), WRITTEN),
    call("pwrite64", SYS_pwrite64, Descriptor(0), WRITTEN),
    call("mmap", SYS_mmap, Nothing, &[Fails(ENOMEM)]),
    call("clone", SYS_clone, Nothing, &[Fails(EAGAIN), Fails(ENOMEM)]),
    call("clone3", SYS_clone3, Nothing, &[Fails(EAGAIN), Fails(ENOMEM)]),
    call("pidfd_open", SYS_pidfd_open, Nothing, NO_DESCRIPTOR),
    call("pipe2", SYS_pipe2, Nothing, NO_DESCRIPTOR),
    call("fcntl", SYS_fcntl, Descriptor(0), &[Fails(EMFILE)]),
    call("memfd_create", SYS_memfd_create, Nothing, NO_DESCRIPTOR),
    call("epoll_create1", SYS_epoll_create1, Nothing, NO_DESCRIPTOR),
    call("eventfd2", SYS_eventfd2, Nothing, NO_DESCRIPTOR),
    call("epoll_ctl", SYS_epoll_ctl, Descriptor(2), &[Fails(ENOMEM), Fails(ENOSPC)]),
    call("epoll_pwait", SYS_epoll_pwait, Descriptor(0), INTERRUPTED),
    call("ppoll", SYS_ppoll, Nothing, INTERRUPTED),
    call("waitid", SYS_waitid, Nothing, INTERRUPTED),
    call("socket", SYS_socket, Nothing, NO_DESCRIPTOR),
    call("socketpair", SYS_socketpair, Nothing, NO_DESCRIPTOR),
    call("connect", SYS_connect, Descriptor(0), &[Fails(ENOMEM), Fails(EAGAIN)]),
    call(
        "accept4",
        SYS_accept4,
        Descriptor(0),
        &[Fails(EMFILE), Fails(ENFILE), Fails(ENOMEM), Fails(EINTR), Fails(ECONNABORTED)],
    ),
    call("sendto", SYS_sendto, Descriptor(0), SENT),
    call("sendmsg", SYS_sendmsg, Descriptor(0), &[Fails(EINTR), Fails(ENOBUFS)]),
    call("recvfrom", SYS_recvfrom, Descriptor(0), &[Fails(EINTR), Fails(ENOMEM), Half]),
    call("recvmsg", SYS_recvmsg, Descriptor(0), &[Fails(EINTR), Fails(ENOMEM)]),
    call("close_range", SYS_close_range, Nothing, &[Fails(ENOMEM), Fails(EMFILE)]),
    #[cfg(target_arch = "x86_64")]
    call("mkdir", libc::SYS_mkdir, Path(0), DISK),
    #[cfg(target_arch = "x86_64")]
    call("unlink", libc::SYS_unlink, Path(0), DISK),
    #[cfg(target_arch = "x86_64")]
    call("rename", libc::SYS_rename, Path(0), DISK),
    call("renameat", libc::SYS_renameat, Path(1), DISK),
    #[cfg(target_arch = "x86_64")]
    call("epoll_wait", libc::SYS_epoll_wait, Descriptor(0), INTERRUPTED),
    #[cfg(target_arch = "x86_64")]
    call("poll", libc::SYS_poll, Nothing, &[Fails(EINTR), Fails(ENOMEM)]),
    call("wait4", libc::SYS_wait4, Nothing, INTERRUPTED),
];

/// What needs room on a disk.
pub const NEED_ROOM: &[&str] = &[
    "mknodat",
    "mkdirat",
    "mkdir",
    "renameat2",
    "renameat",
    "rename",
    "fallocate",
    "write",
    "writev",
    "pwrite64",
];

impl Effect {
    pub fn name(self) -> String {
        match self {
            Half => "half".to_owned(),
            Fails(errno) => {
                let text = std::io::Error::from_raw_os_error(errno).to_string();
                text.split(" (os").next().unwrap_or_default().to_owned()
            }
        }
    }
}
