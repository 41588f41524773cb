//! What the new process does between its birth and its program.
//!
//! It runs on a small stack in the *parent's* memory: no allocation, no locks, no panics (so no
//! indexing and no arithmetic that could overflow), nothing but system calls. Whatever fails is
//! written to the report, which the parent reads when this process is gone.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::{cell::Cell, ffi::c_void, os::fd::AsRawFd, ptr};

use super::{account::Credentials, prepare::Prepared};
use crate::process::SpawnStage;

/// The exit code of a child that executed nothing, as shells have it.
pub(super) const NOT_EXECUTED: i32 = 127;

/// Where the child tells what failed. Not atomic: the parent is suspended while it is written.
#[derive(Default)]
pub(super) struct Report {
    failure: Cell<Option<(SpawnStage, i32)>>,
}

impl Report {
    pub(super) fn read(&self) -> Option<(SpawnStage, i32)> {
        // SAFETY: the cell lives in this frame; the read must not be merged with an earlier
        // one, because another process wrote it meanwhile.
        unsafe { ptr::read_volatile(self.failure.as_ptr()) }
    }
}

pub(super) struct Context<'a> {
    pub prepared: &'a Prepared,
    /// The parent's table of descriptors is shared; it is to be left, and of the copy nothing is
    /// needed from here on.
    pub shared_from: Option<u32>,
    pub report: &'a Report,
}

/// The child's whole life, up to its program.
pub(super) extern "C" fn run(argument: *mut c_void) -> ! {
    // SAFETY: `spawn.rs` passes a context that outlives this process's use of our memory.
    let context = unsafe { &*argument.cast::<Context<'_>>() };
    let failure = match context.shared_from.map_or(Ok(()), leave_table) {
        Ok(()) => prepare_and_execute(context.prepared),
        Err(errno) => Some((SpawnStage::Clone, errno)),
    };
    if let Some(failure) = failure {
        context.report.failure.set(Some(failure));
    }
    // SAFETY: ends this process without running anything of the parent's.
    unsafe { libc::_exit(NOT_EXECUTED) }
}

/// Before anything is changed in it.
fn leave_table(unneeded: u32) -> Result<(), i32> {
    // SAFETY: takes numbers.
    let answer = unsafe {
        libc::syscall(libc::SYS_close_range, unneeded, u32::MAX, libc::CLOSE_RANGE_UNSHARE)
    };
    check(answer == 0).ok_or_else(errno)
}

/// Returns only when something failed, or when there is no program to execute.
fn prepare_and_execute(prepared: &Prepared) -> Option<(SpawnStage, i32)> {
    match steps(prepared) {
        Err(stage) => Some((stage, errno())),
        Ok(()) => execute(prepared).map(|errno| (SpawnStage::Exec, errno)),
    }
}

fn steps(prepared: &Prepared) -> Result<(), SpawnStage> {
    reset_dispositions();
    // First of all, so that nothing happens outside of the tree.
    if let Some(procs) = &prepared.cgroup_procs {
        // SAFETY: "0" is this process; the descriptor is open.
        check(unsafe { libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) } == 1)
            .ok_or(SpawnStage::Tree)?;
    }
    if prepared.candidates.is_empty() {
        return Ok(());
    }
    // SAFETY: takes nothing.
    check(unsafe { libc::setsid() } >= 0).ok_or(SpawnStage::Session)?;
    connect_streams(&prepared.streams)?;
    set_limits(prepared)?;
    if let Some(credentials) = &prepared.credentials {
        switch_user(credentials)?;
    }
    if let Some(mask) = prepared.umask {
        // SAFETY: cannot fail; the mask is this process's alone without CLONE_FS.
        unsafe { libc::umask(mask) };
    }
    // As the component's user: a folder that it cannot enter is an error of its own.
    // SAFETY: a C string that outlives the call.
    check(unsafe { libc::chdir(prepared.working_directory.as_ptr()) } == 0)
        .ok_or(SpawnStage::WorkingDirectory)
}

/// All to default, the ignored ones too: exec would keep those. Handlers must be gone before the
/// mask is emptied, for they would run in the parent's memory.
fn reset_dispositions() {
    /// The kernel's `struct sigaction`; all zero is `SIG_DFL`.
    const DEFAULT: [u64; 4] = [0; 4];
    const HIGHEST_SIGNAL: i32 = 64;
    for signal in 1..=HIGHEST_SIGNAL {
        // Raw: glibc's wrapper refuses its two own signals. SIGKILL and SIGSTOP answer EINVAL.
        // SAFETY: the structure is readable and as large as any architecture's.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
    }
}

fn connect_streams(streams: &[i32; 3]) -> Result<(), SpawnStage> {
    for (target, &source) in (0..).zip(streams) {
        // SAFETY: open descriptors above 2; dup2 clears close-on-exec of the copy.
        check(unsafe { libc::dup2(source, target) } >= 0).ok_or(SpawnStage::Streams)?;
    }
    // Everything of ours is close-on-exec already; this holds for libraries' descriptors, too.
    // ENOSYS (Linux before 5.11) leaves it at that.
    // SAFETY: takes numbers.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Ok(())
}

fn set_limits(prepared: &Prepared) -> Result<(), SpawnStage> {
    let limit = |resource, value: &Option<libc::rlimit>| match value {
        // SAFETY: the structure is readable.
        Some(value) => check(unsafe { libc::setrlimit(resource, ptr::from_ref(value)) } == 0),
        None => Some(()),
    };
    limit(libc::RLIMIT_CORE, &prepared.core).ok_or(SpawnStage::Core)?;
    if let Some(nice) = prepared.nice {
        // SAFETY: takes numbers; 0 is this process.
        check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } == 0)
            .ok_or(SpawnStage::Nice)?;
    }
    if let Some(score) = &prepared.oom_score_adjust {
        // The kernel keeps this from reaching the parent, whose memory we share, because we are
        // its vfork child.
        // SAFETY: C strings that outlive the calls; the descriptor is ours.
        let written = unsafe {
            let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
            let length = score.count_bytes();
            file >= 0
                && libc::write(file, score.as_ptr().cast(), length).cast_unsigned() == length
                && libc::close(file) == 0
        };
        check(written).ok_or(SpawnStage::OomScore)?;
    }
    // Last: until exec we hold copies of all that the parent has open, so with a low limit
    // nothing could be opened any more.
    limit(libc::RLIMIT_NOFILE, &prepared.open_files).ok_or(SpawnStage::OpenFiles)
}

/// Raw system calls: glibc's wrappers would change the parent's threads, too.
fn switch_user(credentials: &Credentials) -> Result<(), SpawnStage> {
    let Credentials { user, group, groups, blame } = credentials;
    // SAFETY: the list is readable for its length; the others take numbers.
    unsafe {
        check(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) == 0)
            .ok_or(*blame)?;
        if let Some(group) = *group {
            check(libc::syscall(libc::SYS_setresgid, group, group, group) == 0).ok_or(*blame)?;
        }
        if let Some(user) = *user {
            check(libc::syscall(libc::SYS_setresuid, user, user, user) == 0)
                .ok_or(SpawnStage::User)?;
        }
    }
    Ok(())
}

/// Tries the candidates as `execvp` does; the error number that says most.
fn execute(prepared: &Prepared) -> Option<i32> {
    if prepared.candidates.is_empty() {
        return None;
    }
    let none = 0_u64;
    // SAFETY: a mask of the kernel's size. All dispositions are default by now.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            ptr::null_mut::<u64>(),
            size_of::<u64>(),
        )
    };
    let mut answer = libc::ENOENT;
    for program in &prepared.candidates {
        // SAFETY: the lists are null-terminated and point to C strings that outlive the call.
        unsafe { libc::execve(program.as_ptr(), prepared.argv.as_ptr(), prepared.envp.as_ptr()) };
        match errno() {
            libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
            // Perhaps a later folder has one that may be executed; if not, this says why.
            libc::EACCES => answer = libc::EACCES,
            other => return Some(other),
        }
    }
    Some(answer)
}

fn check(succeeded: bool) -> Option<()> {
    succeeded.then_some(())
}

fn errno() -> i32 {
    // SAFETY: this thread's errno, which the child shares with the suspended parent's.
    unsafe { *libc::__errno_location() }
}
