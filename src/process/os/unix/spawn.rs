//! Starting a process: everything that can fail or allocate happens before the clone, the rest
//! in the child with async-signal-safe calls alone (`in_child.rs`).

#![expect(unsafe_code, reason = "the child shares our memory until it executes its program")]

use std::{
    ffi::{CString, OsStr, OsString, c_void},
    io, iter,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{Mode, OFlags},
    process::{WaitId, WaitIdOptions},
};

use super::{
    Child, Tree,
    account::Credentials,
    clone::{self, Way},
    in_child::{self, Report},
    leaders, own,
};
use crate::process::{Launch, SpawnError, SpawnStage};

/// Starts a process; returns when it executes its program, or when a step before that failed.
///
/// Blocks for as long as the kernel takes to open the program (a dead network drive!), so it
/// belongs on a thread of its own. The process leads a session of its own, has the null device
/// as its input, default signal dispositions, an empty signal mask, no descriptor beyond its
/// three streams, and belongs to `tree`, whose leader it becomes.
pub fn spawn(launch: &Launch, tree: Option<&mut Tree>) -> Result<Child, SpawnError> {
    spawn_by(launch, tree, Way::best())
}

pub(super) fn spawn_by(
    launch: &Launch,
    tree: Option<&mut Tree>,
    way: Way,
) -> Result<Child, SpawnError> {
    let prepared = Prepared::new(launch, tree.as_deref())?;
    let child = prepared.start(way).map_err(|failure| explain(launch, tree.as_deref(), failure))?;
    if let Some(tree) = tree {
        tree.lead(&child);
    }
    Ok(child)
}

/// Whether a process can be put into this cgroup: one is, and ends at once.
pub(super) fn can_join(cgroup: &OwnedFd) -> io::Result<()> {
    let prepared = Prepared::probe(cgroup)?;
    let child = prepared.start(Way::best()).map_err(|failure| failure.error)?;
    child.wait()
}

/// Held while a child changes its user, one at a time: that makes the memory which we share with
/// it "not dumpable", which is what keeps that user from attaching to it. Undone afterwards.
static SWITCHING: Mutex<()> = Mutex::new(());

/// A launch in the form that the child needs: C strings, numbers, descriptors above 2.
///
/// The pointers in `argv` and `envp` point into the heap blocks of `_texts`.
pub(super) struct Prepared {
    /// The program's paths in the order in which they are tried; none: end at once.
    pub candidates: Vec<CString>,
    pub argv: Vec<*const libc::c_char>,
    pub envp: Vec<*const libc::c_char>,
    pub working_directory: CString,
    /// Standard input, output and error; -1: left alone.
    pub streams: [RawFd; 3],
    pub open_files: Option<libc::rlimit>,
    pub core: Option<libc::rlimit>,
    pub nice: Option<i32>,
    pub oom_score_adjust: Option<CString>,
    pub credentials: Option<Credentials>,
    pub umask: Option<u32>,
    /// `cgroup.procs` of the tree, for a child that was not born in it.
    pub cgroup_procs: Option<OwnedFd>,
    cgroup: Option<OwnedFd>,
    _texts: Vec<CString>,
    _streams: Vec<OwnedFd>,
}

/// A failure in the terms of the child.
struct Failure {
    stage: SpawnStage,
    error: io::Error,
}

impl Failure {
    /// The kernel would not make the process this way, or not in that cgroup.
    fn is_of_birth(&self) -> bool {
        self.stage == SpawnStage::Tree
            || self.stage == SpawnStage::Clone && clone::is_refusal(&self.error)
    }
}

impl Prepared {
    fn new(launch: &Launch, tree: Option<&Tree>) -> Result<Self, SpawnError> {
        let program = launch.executable.display();
        let unfit =
            |error: io::Error| SpawnError::new(SpawnStage::Request, program.to_string(), error);
        let candidates = candidates(launch).map_err(unfit)?;
        let arguments = iter::once(launch.executable.as_os_str())
            .chain(launch.arguments.iter().map(OsString::as_os_str))
            .map(c_string)
            .collect::<io::Result<Vec<_>>>()
            .map_err(unfit)?;
        let marker = tree.map(Tree::marker);
        let environment = marker
            .iter()
            .map(|(name, value)| assignment(OsStr::new(name), value))
            .chain(launch.environment.iter().map(|(name, value)| assignment(name, value)))
            .collect::<io::Result<Vec<_>>>()
            .map_err(unfit)?;
        let credentials = Credentials::resolve(launch.user.as_deref(), launch.group.as_deref())?;

        let streams = own_streams(launch)
            .map_err(|error| SpawnError::new(SpawnStage::Streams, program.to_string(), error))?;
        let cgroup = tree
            .and_then(Tree::cgroup)
            .map(|cgroup| cgroup.try_clone_to_owned())
            .transpose()
            .map_err(|error| SpawnError::new(SpawnStage::Tree, program.to_string(), error))?;
        let limits = &launch.limits;
        Ok(Self {
            candidates,
            argv: pointers(&arguments),
            envp: pointers(&environment),
            working_directory: c_string(launch.working_directory.as_os_str()).map_err(unfit)?,
            streams: [streams[0].as_raw_fd(), streams[1].as_raw_fd(), streams[2].as_raw_fd()],
            open_files: limits.open_files.map(both).or_else(own::original_open_files),
            core: limits.core.map(both),
            nice: limits.nice,
            oom_score_adjust: limits
                .oom_score_adjust
                .map(|score| c_string(score.to_string()))
                .transpose()
                .map_err(unfit)?,
            credentials,
            umask: launch.umask,
            cgroup_procs: None,
            cgroup,
            _texts: arguments.into_iter().chain(environment).collect(),
            _streams: streams.into(),
        })
    }

    /// A process that ends at once, in `cgroup`.
    fn probe(cgroup: &OwnedFd) -> io::Result<Self> {
        Ok(Self {
            candidates: Vec::new(),
            argv: vec![ptr::null()],
            envp: vec![ptr::null()],
            working_directory: c_string("/")?,
            streams: [-1; 3],
            open_files: None,
            core: None,
            nice: None,
            oom_score_adjust: None,
            credentials: None,
            umask: None,
            cgroup_procs: None,
            cgroup: Some(cgroup.try_clone()?),
            _texts: Vec::new(),
            _streams: Vec::new(),
        })
    }

    fn start(mut self, way: Way) -> Result<Child, Failure> {
        let switches_user = self.credentials.is_some();
        let _one = switches_user.then(|| SWITCHING.lock().unwrap_or_else(PoisonError::into_inner));
        let dumpable = switches_user.then(own::is_dumpable);

        // No orphan is reaped until the new pid is known to be a leader's.
        let gate = leaders::spawning();
        let answer = self.attempt(way);
        let answer = match answer {
            // Refused at birth, so nothing ran: now it is to join its cgroup by itself.
            Err(failure) if way == Way::Clone3 && failure.is_of_birth() => {
                self.attempt(Way::Legacy)
            }
            answer => answer,
        };
        if dumpable == Some(true) {
            own::set_dumpable();
        }
        let cloned = answer?;
        let start_time = super::start_time(cloned.pid).ok().flatten().unwrap_or_default();
        Ok(Child::started(cloned.pid, start_time, cloned.pidfd, &gate))
    }

    fn attempt(&mut self, way: Way) -> Result<clone::Cloned, Failure> {
        if way == Way::Legacy {
            self.open_cgroup_procs()?;
        }
        let report = Report::default();
        let context = in_child::Context { prepared: self, report: &report };
        let argument: *const in_child::Context<'_> = &raw const context;
        let cgroup = self.cgroup.as_ref().map(AsFd::as_fd).filter(|_| way == Way::Clone3);
        let mask = block_all_signals();
        // SAFETY: signals are blocked; `in_child::run` keeps the promises that `vfork_into`
        // asks for, and its argument outlives it, because this thread is suspended meanwhile.
        let answer = unsafe {
            clone::vfork_into(in_child::run, argument.cast_mut().cast::<c_void>(), cgroup, way)
        };
        restore_signals(mask);
        match answer {
            Err(error) => {
                let in_tree = matches!(
                    error.raw_os_error(),
                    Some(libc::EACCES | libc::EBUSY | libc::ENODEV | libc::EOPNOTSUPP)
                );
                let stage = if in_tree && self.cgroup.is_some() {
                    SpawnStage::Tree
                } else {
                    SpawnStage::Clone
                };
                Err(Failure { stage, error })
            }
            Ok(cloned) => match report.read() {
                None => Ok(cloned),
                Some((stage, errno)) => {
                    // It is ending: leave no zombie of it. It cannot be anybody else's to reap.
                    let id = WaitId::PidFd(cloned.pidfd.as_fd());
                    let _ended = rustix::io::retry_on_intr(|| {
                        rustix::process::waitid(id.clone(), WaitIdOptions::EXITED)
                    });
                    Err(Failure { stage, error: io::Error::from_raw_os_error(errno) })
                }
            },
        }
    }

    fn open_cgroup_procs(&mut self) -> Result<(), Failure> {
        let Some(cgroup) = &self.cgroup else { return Ok(()) };
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let procs = rustix::fs::openat(cgroup, "cgroup.procs", flags, Mode::empty())
            .map_err(|error| Failure { stage: SpawnStage::Tree, error: error.into() })?;
        self.cgroup_procs = Some(procs);
        Ok(())
    }
}

/// The paths that `execvp` would try.
fn candidates(launch: &Launch) -> io::Result<Vec<CString>> {
    let program = launch.executable.as_os_str();
    if program.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program)?]);
    }
    // Entries are relative to the folder that the child has changed to; an empty one is it.
    std::env::split_paths(search_path(launch))
        .map(|folder| c_string(Path::new(".").join(folder).join(program)))
        .collect()
}

fn search_path(launch: &Launch) -> &OsStr {
    let path = launch.environment.iter().find(|(name, _)| name == "PATH");
    path.map_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"), |(_, value)| value.as_os_str())
}

/// The null device and the launch's two ends, all above 2 so that none is overwritten before it
/// is copied into place.
fn own_streams(launch: &Launch) -> io::Result<[OwnedFd; 3]> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let above = |stream: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(stream, 3);
    Ok([above(null.as_fd())?, above(launch.stdout.as_fd())?, above(launch.stderr.as_fd())?])
}

fn c_string(text: impl AsRef<OsStr>) -> io::Result<CString> {
    CString::new(text.as_ref().as_bytes()).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{error} in {}", text.as_ref().display()),
        )
    })
}

fn assignment(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut text = name.to_owned();
    text.push("=");
    text.push(value);
    c_string(text)
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// The same value as soft and hard limit.
fn both(value: u64) -> libc::rlimit {
    libc::rlimit { rlim_cur: value, rlim_max: value }
}

/// Raw, because glibc's wrapper keeps two signals of its own open.
fn block_all_signals() -> u64 {
    let all = u64::MAX;
    let mut before = 0_u64;
    // SAFETY: both masks are of the kernel's size, eight bytes.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const all,
            &raw mut before,
            size_of::<u64>(),
        )
    };
    before
}

fn restore_signals(mask: u64) {
    // SAFETY: as above; nothing is asked back.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            ptr::null::<u64>(),
            size_of::<u64>(),
        )
    };
}

/// Puts the child's stage and number into words.
fn explain(launch: &Launch, tree: Option<&Tree>, failure: Failure) -> SpawnError {
    let program = || launch.executable.display().to_string();
    let number = |value: Option<String>| value.unwrap_or_default();
    let limits = &launch.limits;
    let Failure { stage, error } = failure;
    let denied = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
    let (what, hint) = match stage {
        SpawnStage::Request
        | SpawnStage::Account
        | SpawnStage::Clone
        | SpawnStage::Session
        | SpawnStage::Streams => (program(), None),
        SpawnStage::Tree => {
            let folder = tree.and_then(Tree::folder).map(|folder| folder.display().to_string());
            (folder.unwrap_or_else(program), None)
        }
        SpawnStage::OpenFiles => (
            number(limits.open_files.map(|value| value.to_string())),
            denied.then_some("only root can raise the hard limit"),
        ),
        SpawnStage::Core => (
            number(limits.core.map(|value| value.to_string())),
            denied.then_some("only root can raise the hard limit"),
        ),
        SpawnStage::Nice => (
            number(limits.nice.map(|value| value.to_string())),
            denied.then_some("only root can lower it"),
        ),
        SpawnStage::OomScore => (
            number(limits.oom_score_adjust.map(|value| value.to_string())),
            denied.then_some("only root can lower it"),
        ),
        SpawnStage::Group => (
            launch.group.clone().unwrap_or_default(),
            denied.then_some("the Supervisor must run as root for that"),
        ),
        SpawnStage::User => (
            launch.user.clone().unwrap_or_default(),
            denied.then_some("the Supervisor must run as root for that"),
        ),
        SpawnStage::WorkingDirectory => (launch.working_directory.display().to_string(), None),
        SpawnStage::Exec => explain_exec(launch, &error),
    };
    SpawnError::new(stage, what, error).hint(hint)
}

fn explain_exec(launch: &Launch, error: &io::Error) -> (String, Option<&'static str>) {
    let program = launch.executable.display();
    let bare = !launch.executable.as_os_str().as_bytes().contains(&b'/');
    if bare && matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EACCES)) {
        let path = search_path(launch).display();
        return (format!("{program} (looked up on PATH {path})"), None);
    }
    let file = launch.working_directory.join(&launch.executable);
    let hint = match error.raw_os_error() {
        Some(libc::ENOEXEC) => Some("a script needs #! and its interpreter in the first line"),
        Some(libc::ENOENT) if file.exists() => {
            Some("the file is there, but not the interpreter or loader that it names")
        }
        Some(libc::EACCES) if file.is_dir() => Some("it is a folder"),
        _ => None,
    };
    (program.to_string(), hint)
}
