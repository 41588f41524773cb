//! Our own process: put in order at the start, started again in the background, replaced in
//! place.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io, mem,
    os::{
        fd::{BorrowedFd, FromRawFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
    ptr,
    sync::OnceLock,
    time::Duration,
};

use rustix::io::FdFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::{Child, spawn, stat::TICKS_PER_SECOND};
use crate::{
    process::{Launch, SpawnError, SpawnStage},
    registry::Limits,
};

/// What [`hygiene`] changed, as it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// The limit of open files where it was raised; every child gets it back.
    pub open_files: Option<Rlimit>,
    /// Our own binary. Remembered, because a binary that was replaced has no path any more.
    pub executable: Option<PathBuf>,
}

static ORIGINAL: OnceLock<Original> = OnceLock::new();

/// Puts our own process in order: once, first thing in `main`, before there are threads.
///
/// Every inherited descriptor beyond the standard streams is closed on exec; the soft limit of
/// open files is the hard one (at most 2^20); `SIGPIPE` is ignored; `SIGCHLD` is not (ignored,
/// it would make the kernel reap our children, and their exits be lost); no signal is blocked.
pub fn hygiene() -> &'static Original {
    close_on_exec();
    // SAFETY: valid arguments; there is no other thread yet.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let mut none = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
    ORIGINAL.get_or_init(|| Original {
        open_files: raise_open_files(),
        executable: std::env::current_exe().ok(),
    })
}

/// No descriptor beyond the standard streams goes over to another program from now on.
pub fn close_on_exec() {
    // ENOSYS before Linux 5.11: then a component sees what we inherited.
    // SAFETY: takes numbers.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Has the kernel make its table of our descriptors long enough for so many, while there is one
/// thread: with more of them each doubling later waits for all processors to have seen the new one
/// (`synchronize_rcu`, 5 to 15 ms). Takes 8 bytes of the kernel's memory for each.
pub fn reserve_descriptors(count: usize) {
    let highest = i32::try_from(count).unwrap_or(i32::MAX);
    // More than are allowed, or there is no such descriptor: then it grows as it is filled.
    let _closed_again = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), highest);
}

/// The limit as it was, if it could be raised: the soft one to the hard one, and where the kernel
/// lets us (`CAP_SYS_RESOURCE`) a low hard one to what thousands of components take.
fn raise_open_files() -> Option<Rlimit> {
    const HIGHEST: u64 = 1 << 20;
    const PLENTY: u64 = 1 << 16;
    let before = getrlimit(Resource::Nofile);
    let soft = before.current?;
    if let Some(hard) = before.maximum.filter(|&hard| hard < PLENTY) {
        let text = fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
        let most = text.trim().parse().map_or(hard, |most: u64| most.min(PLENTY));
        let raised = Rlimit { current: Some(most), maximum: Some(most) };
        if most > hard && setrlimit(Resource::Nofile, raised).is_ok() {
            return Some(before);
        }
    }
    let wanted = before.maximum.unwrap_or(HIGHEST).min(HIGHEST);
    let raised = Rlimit { current: Some(wanted), ..before };
    (soft < wanted && setrlimit(Resource::Nofile, raised).is_ok()).then_some(before)
}

/// A descriptor that whoever started us has left open for us, close-on-exec from now on. Ask for
/// each number once.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: takes numbers; fails where no such descriptor is open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and as it was inherited nothing here owns it yet.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// What the service manager passed to this process (`sd_listen_fds(3)`), with the names that it has for
/// it; close-on-exec from now on. Once, before there are threads: nobody we start is to take that
/// for its own.
pub fn take_passed() -> Vec<(String, OwnedFd)> {
    const FIRST: i32 = 3;
    let text = |name| std::env::var(name).ok();
    let (count, pid, names) = (text("LISTEN_FDS"), text("LISTEN_PID"), text("LISTEN_FDNAMES"));
    let threads = super::stat::Stat::of(std::process::id().cast_signed()).ok().flatten();
    if threads.is_some_and(|stat| stat.threads == 1) {
        for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES"] {
            // SAFETY: there is no other thread that could read the environment.
            unsafe { std::env::remove_var(name) };
        }
    }
    if pid.and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
        return Vec::new();
    }
    let count: i32 = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    let names = names.unwrap_or_default();
    let names = names.split(':').chain(std::iter::repeat("unknown"));
    let numbers = FIRST..FIRST.saturating_add(count);
    let passed = numbers.zip(names);
    passed.filter_map(|(number, name)| Some((name.to_owned(), inherited(number).ok()?))).collect()
}

/// Stopping a program from its terminal must not stop us, for that would stop more than a screen:
/// `SIGTSTP`, `SIGTTIN` and `SIGTTOU` are ignored from now on. Components get the defaults back.
pub fn ignore_job_control() {
    // SAFETY: valid arguments.
    unsafe {
        libc::signal(libc::SIGTSTP, libc::SIG_IGN);
        libc::signal(libc::SIGTTIN, libc::SIG_IGN);
        libc::signal(libc::SIGTTOU, libc::SIG_IGN);
    }
}

/// Leaves the terminal for good: a session of our own, no input, our output in `output` (appended
/// to) or nowhere.
///
/// A process that leads its group stays in its session; it keeps the terminal then, but does
/// nothing with it.
pub fn leave_terminal(output: Option<&Path>) -> io::Result<()> {
    let _leads_a_group = rustix::process::setsid();
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let output = match output {
        Some(path) => &OpenOptions::new().append(true).create(true).open(path)?,
        None => &nothing,
    };
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(output)?;
    rustix::stdio::dup2_stderr(output)?;
    Ok(())
}

/// What a child's limit of open files is to be, where we raised our own.
pub(super) fn original_open_files() -> Option<libc::rlimit> {
    let before = ORIGINAL.get()?.open_files.as_ref()?;
    let now = getrlimit(Resource::Nofile).maximum.unwrap_or(libc::RLIM_INFINITY);
    let hard = before.maximum.unwrap_or(libc::RLIM_INFINITY).min(now);
    let soft = before.current.unwrap_or(libc::RLIM_INFINITY).min(hard);
    Some(libc::rlimit { rlim_cur: soft, rlim_max: hard })
}

/// Starts this same binary in the background: a session of its own, no input, its output in
/// `output` (appended to) or nowhere.
pub fn spawn_detached(arguments: &[OsString], output: Option<&Path>) -> Result<Child, SpawnError> {
    let failed = |what: &Path, error| {
        SpawnError::new(SpawnStage::Streams, what.display().to_string(), error)
    };
    let target = output.unwrap_or(Path::new("/dev/null"));
    let stdout = OpenOptions::new()
        .append(true)
        .create(true)
        .open(target)
        .map_err(|error| failed(target, error))?;
    let stderr = stdout.try_clone().map_err(|error| failed(target, error))?;
    spawn_beside(arguments, stdout.into(), stderr.into())
}

/// Starts this same binary as a process of its own session, with `socket` as its standard output:
/// it finds it there by [`socket_of_output`].
pub fn spawn_beside(
    arguments: &[OsString],
    socket: OwnedFd,
    stderr: OwnedFd,
) -> Result<Child, SpawnError> {
    let launch = Launch {
        executable: executable(),
        arguments: arguments.to_vec(),
        environment: std::env::vars_os().collect(),
        working_directory: PathBuf::from("."),
        user: None,
        group: None,
        umask: None,
        limits: Limits::default(),
        stdout: socket,
        stderr,
    };
    spawn(&launch, None)
}

/// What was given to us as our standard output, which is our standard error from now on.
pub fn socket_of_output() -> io::Result<OwnedFd> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(socket)
}

/// Replaces this program by the binary that now is where ours was: same pid, same children.
/// Returns only on failure.
pub fn execute_self(arguments: &[OsString]) -> io::Error {
    execute(&executable(), arguments)
}

/// Replaces this program by another: same pid, same children. Returns only on failure.
///
/// Descriptors without close-on-exec go over; the signal mask is emptied, handlers are gone and
/// the limit of open files is as it was before [`hygiene`], which the new program does again.
pub fn execute(executable: &Path, arguments: &[OsString]) -> io::Error {
    let mut command = Command::new(executable);
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    let raised = getrlimit(Resource::Nofile);
    if let Some(before) = ORIGINAL.get().and_then(|original| original.open_files) {
        let _stays_raised = setrlimit(Resource::Nofile, before);
    }
    let error = command.args(arguments).exec();
    let _stays_low = setrlimit(Resource::Nofile, raised);
    // std had set it back to its default for the new program.
    // SAFETY: valid arguments.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    error
}

/// The path of our own binary, where by now another one may stand.
pub fn executable() -> PathBuf {
    let remembered = ORIGINAL.get().and_then(|original| original.executable.clone());
    let path = remembered.or_else(|| std::env::current_exe().ok());
    let path = path.unwrap_or_else(|| "/proc/self/exe".into());
    // So the kernel calls one that was replaced before we asked.
    let bytes = path.as_os_str().as_encoded_bytes();
    match bytes.strip_suffix(b" (deleted)") {
        Some(bytes) => PathBuf::from(std::ffi::OsStr::from_bytes(bytes)),
        None => path,
    }
}

/// The version of this program, as it tells others.
pub fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        tests_wish("version").unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned())
    })
}

/// What a test wants this binary to be otherwise: a line `NAME VALUE` in the file `BINARY.wish`
/// beside it. In debug builds alone.
pub fn tests_wish(name: &str) -> Option<String> {
    if !cfg!(debug_assertions) {
        return None;
    }
    let mut path = executable().into_os_string();
    path.push(".wish");
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.to_owned())
}

/// Bytes in memory, to be left to the program that replaces us.
pub fn memory_file(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    use io::{Seek as _, Write as _};
    let descriptor = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = fs::File::from(descriptor);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// Whether a descriptor goes over to the program that replaces us.
pub fn leave_open(descriptor: BorrowedFd<'_>, open: bool) -> io::Result<()> {
    let flags = if open { FdFlags::empty() } else { FdFlags::CLOEXEC };
    Ok(rustix::io::fcntl_setfd(descriptor, flags)?)
}

/// Identifies this boot of the machine: pids and start times mean something within it only.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// When a process started, in clock ticks since boot; `None`: there is no such process.
pub fn start_time(pid: i32) -> io::Result<Option<u64>> {
    Ok(super::stat::Stat::of(pid)?.map(|stat| stat.start_time))
}

/// How long ago this process started; `None`: there is no such process.
pub fn age(pid: i32) -> io::Result<Option<Duration>> {
    let Some(started) = start_time(pid)? else { return Ok(None) };
    // The clock of start times goes on while the machine sleeps.
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0));
    let started = Duration::from_millis(started * (1_000 / TICKS_PER_SECOND));
    Ok(Some(now.saturating_sub(started)))
}

/// Whether our memory may be dumped, and be read by other processes of our user.
pub(super) fn is_dumpable() -> bool {
    matches!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::Dumpable))
}

pub(super) fn set_dumpable() {
    let _cosmetic = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
}
