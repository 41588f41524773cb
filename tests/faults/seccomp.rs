//! The kernel's side of the injection: a filter that stops chosen system calls and asks us
//! (`SECCOMP_RET_USER_NOTIF`), and the two calls by which we hear and answer.

#![expect(
    unsafe_code,
    reason = "seccomp has no safe wrapper; three calls into the kernel, and the product needs none"
)]

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use libc::{c_long, seccomp_notif, seccomp_notif_resp, sock_filter, sock_fprog};

/// What seccomp calls the architecture that this is compiled for.
const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };

// Offsets in `seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// The lower half of the fourth argument: `mmap`'s flags.
const FOURTH_ARGUMENT: u32 = 16 + 3 * 8;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Puts the filter on the calling thread: it, and whoever it starts, ask before each of `calls`.
///
/// Of `mmap`, only shared mappings ask. A listener that is closed makes the calls fail with
/// `ENOSYS`, so it has to live as long as they do.
pub fn install(calls: &[c_long]) -> io::Result<OwnedFd> {
    let statement = |code: u16, k: u32| sock_filter { code, jt: 0, jf: 0, k };
    let jump = |code: u16, k: u32, jt: u8, jf: u8| sock_filter { code, jt, jf, k };
    let (ask, allow) = (libc::SECCOMP_RET_USER_NOTIF, libc::SECCOMP_RET_ALLOW);
    let mut filter = vec![
        statement(LOAD, ARCH),
        jump(IF_EQUAL, ARCHITECTURE, 1, 0),
        statement(RETURN, allow),
        statement(LOAD, NUMBER),
    ];
    for &call in calls {
        let number = u32::try_from(call).expect("numbers of calls are small");
        if call == libc::SYS_mmap {
            let shared = u32::try_from(libc::MAP_SHARED).expect("a bit");
            filter.extend([
                jump(IF_EQUAL, number, 0, 4),
                statement(LOAD, FOURTH_ARGUMENT),
                jump(IF_SET, shared, 0, 1),
                statement(RETURN, ask),
                statement(RETURN, allow),
            ]);
        } else {
            filter.extend([jump(IF_EQUAL, number, 0, 1), statement(RETURN, ask)]);
        }
    }
    filter.push(statement(RETURN, allow));
    let program = sock_fprog {
        len: filter.len().try_into().expect("a short filter"),
        filter: filter.as_mut_ptr(),
    };
    // Without it a filter is for root alone; nothing here gains privileges by a program anyway.
    // SAFETY: no memory is passed.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // Killable: once we have heard of a call, signals do not have it made anew.
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: the program and its filter outlive the call, which copies them.
    let made = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = made.try_into().expect("a descriptor is small");
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The next call that asks; an error `ENOENT` where its caller was killed meanwhile.
pub fn receive(listener: &OwnedFd) -> io::Result<seccomp_notif> {
    // SAFETY: plain numbers, for which zero is a value; the kernel wants them zeroed.
    let mut asked: seccomp_notif = unsafe { mem::zeroed() };
    // SAFETY: the structure is the one that this request fills.
    let result = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(asked) }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// The kernel makes it, as if nobody had asked.
    Continue,
    /// It is not made; its caller is told this.
    Fails(i32),
    /// We have made it; its caller is told this result.
    Done(i64),
}

/// Answers; an error where the caller is gone.
pub fn answer(listener: &OwnedFd, id: u64, answer: Answer) -> io::Result<()> {
    let (val, error, flags) = match answer {
        Answer::Continue => (0, 0, 1), // SECCOMP_USER_NOTIF_FLAG_CONTINUE
        Answer::Fails(errno) => (0, -errno, 0),
        Answer::Done(result) => (result, 0, 0),
    };
    let mut response = seccomp_notif_resp { id, val, error, flags };
    // SAFETY: the structure is the one that this request reads.
    let result = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
