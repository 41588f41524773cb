//! Creating a process that shares our memory until it executes its program.
//!
//! `CLONE_VM | CLONE_VFORK` copies no page tables, so a start costs the same whatever the
//! Supervisor's size. `clone3` puts the child into its cgroup at birth, so that nothing it does
//! can happen outside. Where `clone3` is refused (old kernels, seccomp filters that cannot look
//! into its arguments) the C library's `clone` does all but the cgroup, which the child then
//! joins by itself before anything else.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::{
    cell::Cell,
    ffi::c_void,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

/// What the child executes; it must never return.
pub(super) type Entry = extern "C" fn(*mut c_void) -> !;

/// A process just created.
pub(super) struct Cloned {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// How to create processes; tests and measurements take the slow way on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Clone3,
    Legacy,
}

/// Set once `clone3` was answered with ENOSYS: it will never be otherwise in this process.
static CLONE3_IS_MISSING: AtomicBool = AtomicBool::new(false);

impl Way {
    pub(super) fn best() -> Self {
        let here = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
        if here && !CLONE3_IS_MISSING.load(Ordering::Relaxed) { Self::Clone3 } else { Self::Legacy }
    }
}

/// The kernel's `struct clone_args`, version 2 (Linux 5.7).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Runs `entry(argument)` in a new process, born in `cgroup` where [`Way::Clone3`] is taken; returns
/// when that has executed a program or ended. With `shares_descriptors` (by that way alone) what
/// it opens and closes is opened and closed here, until it leaves our table.
///
/// # Safety
/// `entry` runs in our memory on a stack of [`Stack::SIZE`] bytes while this thread is
/// suspended: it may call nothing but async-signal-safe functions, must not panic, allocate or
/// touch locks, and must end by `execve` or `_exit`. `argument` must suit it. Signals must be
/// blocked, or a handler would run twice over the same memory.
pub(super) unsafe fn vfork_into(
    entry: Entry,
    argument: *mut c_void,
    cgroup: Option<BorrowedFd<'_>>,
    shares_descriptors: bool,
    way: Way,
) -> io::Result<Cloned> {
    let stack = Stack::take()?;
    // SAFETY: passed on from our caller; the stack lives until the child has left it.
    let answer = unsafe {
        match way {
            Way::Clone3 => clone3(entry, argument, &stack, cgroup, shares_descriptors),
            Way::Legacy => legacy_clone(entry, argument, &stack),
        }
    };
    stack.keep();
    if let Err(error) = &answer
        && error.raw_os_error() == Some(libc::ENOSYS)
    {
        CLONE3_IS_MISSING.store(true, Ordering::Relaxed);
    }
    answer
}

/// Whether the other way may still do it: ENOSYS and EPERM are what seccomp filters answer,
/// E2BIG and EINVAL kernels before 5.7.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    let refusals = [libc::ENOSYS, libc::EPERM, libc::E2BIG, libc::EINVAL];
    error.raw_os_error().is_some_and(|number| refusals.contains(&number))
}

/// # Safety
/// See [`vfork_into`].
unsafe fn clone3(
    entry: Entry,
    argument: *mut c_void,
    stack: &Stack,
    cgroup: Option<BorrowedFd<'_>>,
    shares_descriptors: bool,
) -> io::Result<Cloned> {
    let mut pidfd: i32 = -1;
    let mut flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
    if shares_descriptors {
        flags |= libc::CLONE_FILES;
    }
    let mut arguments = CloneArgs {
        flags: u64::from(flags.cast_unsigned()),
        pidfd: (&raw mut pidfd).addr() as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: stack.usable().addr() as u64,
        stack_size: Stack::SIZE as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: the arguments are valid, the kernel writes `pidfd` while it is in scope, and the
    // child gets a stack of its own; the rest is our caller's promise.
    let answer = unsafe { raw_clone3(&raw const arguments, entry, argument) };
    if answer < 0 {
        return Err(io::Error::from_raw_os_error(i32::try_from(-answer).unwrap_or(libc::EINVAL)));
    }
    // SAFETY: the kernel made this descriptor for us alone.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = i32::try_from(answer).map_err(io::Error::other)?;
    Ok(Cloned { pid, pidfd })
}

/// # Safety
/// See [`vfork_into`].
#[cfg(target_arch = "x86_64")]
unsafe fn raw_clone3(arguments: *const CloneArgs, entry: Entry, argument: *mut c_void) -> i64 {
    let answer: i64;
    // SAFETY: in the parent only the declared registers change. The child starts at the same
    // instruction with all registers but rax and rsp; it calls `entry`, which never returns. Its
    // stack is 16-byte aligned before the call, as the ABI wants it.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp", // the outermost frame, for debuggers and unwinders
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => answer,
            in("rdi") arguments,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") entry,
            in("r13") argument,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    answer
}

/// # Safety
/// See [`vfork_into`].
#[cfg(target_arch = "aarch64")]
unsafe fn raw_clone3(arguments: *const CloneArgs, entry: Entry, argument: *mut c_void) -> i64 {
    let answer: i64;
    // SAFETY: as on x86-64: in the parent only x0 changes, the child never returns from `entry`.
    unsafe {
        std::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr", // the outermost frame
            "mov x30, xzr",
            "mov x0, x10",
            "blr x9",
            "brk #1",
            "2:",
            inlateout("x0") arguments => answer,
            in("x1") size_of::<CloneArgs>(),
            in("x8") libc::SYS_clone3,
            in("x9") entry,
            in("x10") argument,
        );
    }
    answer
}

/// Never called: [`Way::best`] is `Legacy` here.
///
/// # Safety
/// None needed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn raw_clone3(_: *const CloneArgs, _: Entry, _: *mut c_void) -> i64 {
    -i64::from(libc::ENOSYS)
}

/// # Safety
/// See [`vfork_into`].
unsafe fn legacy_clone(entry: Entry, argument: *mut c_void, stack: &Stack) -> io::Result<Cloned> {
    extern "C" fn enter(argument: *mut c_void) -> i32 {
        // SAFETY: `legacy_clone` passes exactly this.
        let (entry, argument) = unsafe { *argument.cast::<(Entry, *mut c_void)>() };
        entry(argument)
    }
    let mut pidfd: i32 = -1;
    let mut call = (entry, argument);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: the stack grows downwards from its aligned end; CLONE_PIDFD stores the descriptor
    // where CLONE_PARENT_SETTID would store the pid; the rest is our caller's promise.
    let pid =
        unsafe { libc::clone(enter, stack.end(), flags, (&raw mut call).cast(), &raw mut pidfd) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor for us alone.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned { pid, pidfd })
}

/// The child's stack, with a guard page below it. Each thread keeps one for its next child.
struct Stack {
    base: *mut c_void,
}

thread_local! {
    static KEPT: Cell<Option<Stack>> = const { Cell::new(None) };
}

impl Stack {
    const SIZE: usize = 64 * 1024;
    /// As large as the largest page size in use (arm64 with 64 KiB pages).
    const GUARD: usize = 64 * 1024;

    fn take() -> io::Result<Self> {
        KEPT.take().map_or_else(Self::new, Ok)
    }

    /// The child has left it.
    fn keep(self) {
        KEPT.set(Some(self));
    }

    fn new() -> io::Result<Self> {
        let length = Self::GUARD + Self::SIZE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a fresh anonymous mapping; pages are made only when they are touched.
        let base = unsafe { libc::mmap(ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { base };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the upper part of the mapping made above.
        if unsafe { libc::mprotect(stack.usable(), Self::SIZE, protection) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    fn usable(&self) -> *mut c_void {
        self.base.wrapping_byte_add(Self::GUARD)
    }

    fn end(&self) -> *mut c_void {
        self.base.wrapping_byte_add(Self::GUARD + Self::SIZE)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping; CLONE_VFORK held us until the child had left it.
        unsafe { libc::munmap(self.base, Self::GUARD + Self::SIZE) };
    }
}
