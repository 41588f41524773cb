//! Starting a process: what can fail or allocate happens before (`prepare.rs`), the rest in the
//! child with async-signal-safe calls alone (`in_child.rs`); what failed there comes back here.

#![expect(unsafe_code, reason = "the child shares our memory until it executes its program")]

use std::{
    ffi::c_void,
    io,
    os::fd::{AsFd, OwnedFd},
    ptr,
    sync::{Mutex, PoisonError},
};

use rustix::fs::{Mode, OFlags};

use super::{
    Child, Tree,
    clone::{self, Way},
    explain::explain,
    in_child::{self, Report},
    leaders, own,
    prepare::{Joining, Prepared},
};
use crate::{
    model::Exit,
    process::{Launch, SpawnError, SpawnStage},
};

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
    mut tree: Option<&mut Tree>,
    way: Way,
) -> Result<Child, SpawnError> {
    let prepared = Prepared::new(launch, tree.as_deref_mut())?;
    let child = prepared.start(way).map_err(|failure| explain(launch, tree.as_deref(), failure))?;
    if let Some(tree) = tree {
        tree.lead(&child);
    }
    Ok(child)
}

/// Whether a process that comes into this cgroup this way lives to its own end: one is made that
/// ends at once.
pub(super) fn can_join(cgroup: OwnedFd, joining: Joining) -> io::Result<bool> {
    let prepared = Prepared::probe(cgroup, joining)?;
    let child = prepared.start(Way::best()).map_err(|failure| failure.error)?;
    Ok(child.wait()? == Exit::Code(in_child::NOT_EXECUTED))
}

/// Held while a child changes its user, one at a time: that makes the memory which we share with
/// it "not dumpable", which is what keeps that user from attaching to it. Undone afterwards.
static SWITCHING: Mutex<()> = Mutex::new(());

/// A failure in the terms of the child.
pub(super) struct Failure {
    pub stage: SpawnStage,
    pub error: io::Error,
}

impl Failure {
    /// The kernel would not make the process this way, or not in that cgroup.
    fn is_of_birth(&self) -> bool {
        self.stage == SpawnStage::Tree
            || self.stage == SpawnStage::Clone && clone::is_refusal(&self.error)
    }
}

impl Prepared {
    fn start(mut self, way: Way) -> Result<Child, Failure> {
        let switches_user = self.credentials.is_some();
        let _one = switches_user.then(|| SWITCHING.lock().unwrap_or_else(PoisonError::into_inner));
        let dumpable = switches_user.then(own::is_dumpable);

        // No orphan is reaped until the new pid is known to be a leader's.
        let gate = leaders::spawning();
        let answer = match self.attempt(way, self.joining) {
            // Refused at birth, so nothing ran: now it is to join its cgroup by itself.
            Err(failure) if way == Way::Clone3 && failure.is_of_birth() => {
                self.attempt(Way::Legacy, Joining::ByWriting)
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

    fn attempt(&mut self, way: Way, joining: Joining) -> Result<clone::Cloned, Failure> {
        let at_birth = way == Way::Clone3 && joining == Joining::AtBirth;
        if !at_birth {
            self.open_cgroup_procs()?;
        }
        let report = Report::default();
        // Only what is done at once in one go may be shared: see `places.rs`.
        let shared_from = self.unneeded.filter(|_| at_birth);
        let context = in_child::Context { prepared: self, shared_from, report: &report };
        let argument: *const in_child::Context<'_> = &raw const context;
        let cgroup = self.cgroup.as_ref().map(AsFd::as_fd).filter(|_| at_birth);
        let mask = block_all_signals();
        // SAFETY: signals are blocked; `in_child::run` keeps the promises that `vfork_into`
        // asks for, and its argument outlives it, because this thread is suspended meanwhile.
        let answer = unsafe {
            let entry = in_child::run;
            let argument = argument.cast_mut().cast::<c_void>();
            clone::vfork_into(entry, argument, cgroup, shared_from.is_some(), way)
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
                    let _ended = leaders::reap_at_end(cloned.pidfd.as_fd());
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
