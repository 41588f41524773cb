//! Linux: clone, pidfds, cgroups and `/proc`.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use crate::{
    model::{ComponentId, Exit, RunId},
    process::{Delivery, Launch, Level, Notice, Signal, SpawnError, SpawnStage},
};

/// One end of a stream of a process.
pub type Endpoint = OwnedFd;

/// Starts a process; returns when it executes its program, or when a step before failed.
pub fn spawn(launch: &Launch, tree: Option<&mut Tree>) -> Result<Child, SpawnError> {
    let _ = (launch, tree);
    Err(SpawnError::new(SpawnStage::Clone, "", io::ErrorKind::Unsupported.into()))
}

/// A process that we started or adopted. Dropping it does not end the process.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    start_time: u64,
    pidfd: OwnedFd,
}

impl Child {
    pub fn pid(&self) -> i32 {
        self.pid
    }
    /// Clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub fn start_time(&self) -> u64 {
        self.start_time
    }
    pub fn signal(&self, signal: Signal) -> io::Result<Delivery> {
        let _ = signal;
        Err(io::ErrorKind::Unsupported.into())
    }
    /// How it ended; `None` while it lives. Works for processes of another parent, too.
    pub fn reap(&self) -> io::Result<Option<Exit>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// `None`: that process is gone (the pid is free, or another's).
    pub fn adopt(pid: i32, start_time: u64) -> io::Result<Option<Self>> {
        let _ = (pid, start_time);
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// How whole trees are known; chosen once at start. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Containment {
    level: Level,
    reason: Option<String>,
}

/// A component folder that was populated already at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub component: ComponentId,
    pub pids: Vec<i32>,
}

impl Containment {
    /// `name` is unique to the runtime folder. `forced` takes that level (for tests).
    pub fn probe(name: &str, forced: Option<Level>) -> Self {
        let _ = name;
        Self { level: forced.unwrap_or(Level::Subreaper), reason: None }
    }
    pub fn level(&self) -> Level {
        self.level
    }
    /// Why it is not the best level.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
    /// The tree of a run that is about to start (or is adopted).
    pub fn tree(&self, component: &ComponentId, run: RunId) -> io::Result<Tree> {
        let _ = (component, run);
        Err(io::ErrorKind::Unsupported.into())
    }
    pub fn leftovers(&self) -> Vec<Leftover> {
        Vec::new()
    }
    /// Ends descendants of ours that belong to no component any more; how many.
    pub fn sweep(&self) -> usize {
        0
    }
    /// Removes our own empty folders.
    pub fn remove(self) {}
}

/// The process tree of one run: the leader and all that it started.
#[derive(Debug)]
pub struct Tree {
    folder: Option<PathBuf>,
}

impl Tree {
    /// Makes an adopted process its leader; `spawn` does so by itself.
    pub fn lead(&mut self, leader: &Child) {
        let _ = leader;
    }
    /// The cgroup's folder, for the sampler.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }
    /// Ends all of it with `SIGKILL`. Returns when that is asked for, not when it is done.
    pub fn kill(&mut self) -> io::Result<()> {
        Ok(())
    }
    /// Sends to every member; how many got it.
    pub fn signal(&mut self, signal: Signal) -> io::Result<usize> {
        let _ = signal;
        Ok(0)
    }
    pub fn is_empty(&mut self) -> bool {
        true
    }
    pub fn members(&mut self) -> Vec<i32> {
        Vec::new()
    }
}

/// One pollable descriptor for all ends of processes and trees.
#[derive(Debug)]
pub struct Watcher {
    epoll: OwnedFd,
}

impl Watcher {
    pub fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Tokens are below 2^63.
    pub fn add_child(&mut self, child: &Child, token: u64) -> io::Result<()> {
        let _ = (child, token);
        Ok(())
    }
    /// True where a notice will come; false where the tree must be asked (`is_empty`).
    pub fn add_tree(&mut self, tree: &Tree, token: u64) -> io::Result<bool> {
        let _ = (tree, token);
        Ok(false)
    }
    pub fn remove_child(&mut self, child: &Child) {
        let _ = child;
    }
    pub fn remove_tree(&mut self, token: u64) {
        let _ = token;
    }
    /// Takes what is there, without waiting.
    pub fn poll(&mut self, notices: &mut Vec<Notice>) -> io::Result<()> {
        let _ = notices;
        Ok(())
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// What [`hygiene`] changed, as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Original {
    /// The soft limit of open files; children get it back.
    pub open_files: Option<u64>,
}

/// Puts our own process in order; once, first thing in `main`.
pub fn hygiene() -> Original {
    Original { open_files: None }
}

/// Reaps ended orphans that came to us, never a component's leader; how many.
pub fn reap_orphans(is_ours: impl FnMut(i32) -> bool) -> usize {
    let _ = is_ours;
    0
}

/// Starts this same binary in a session of its own; returns its pid.
pub fn spawn_detached(arguments: &[OsString], output: Option<&Path>) -> Result<Child, SpawnError> {
    let _ = (arguments, output);
    Err(SpawnError::new(SpawnStage::Clone, "", io::ErrorKind::Unsupported.into()))
}

/// Replaces this program by the same binary, in place: same pid. Returns only on failure.
pub fn execute_self(arguments: &[OsString]) -> io::Error {
    let _ = arguments;
    io::ErrorKind::Unsupported.into()
}

/// Identifies this boot of the machine.
pub fn boot_id() -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Start time of a process in clock ticks since boot; `None`: no such process.
pub fn start_time(pid: i32) -> io::Result<Option<u64>> {
    let _ = pid;
    Err(io::ErrorKind::Unsupported.into())
}

pub fn user_name(uid: u32) -> Option<String> {
    let _ = uid;
    None
}

/// The number of a user by name or number.
pub fn user_id(name: &str) -> io::Result<Option<u32>> {
    let _ = name;
    Err(io::ErrorKind::Unsupported.into())
}

/// The number of a group by name or number.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    let _ = name;
    Err(io::ErrorKind::Unsupported.into())
}
