//! Processes: start one, signal it, learn how it ended, and end its whole tree.
//!
//! This room owns everything that is asked of the kernel about processes. It holds no policy:
//! when to start, how long to wait and what an exit means is decided elsewhere.
//!
//! ```text
//!   Launch ──► spawn() ──► Child (pid, pidfd, start time) ──► signal(), reap()
//!                 ▲          │
//!   Containment ──► Tree ◄───┘  kill(), is_empty(), members(): the leader and all it started
//!                   │
//!   Watcher ◄───────┴── one pollable descriptor that tells which of them ended
//! ```
//!
//! A process is never addressed by its bare number: signals go through pidfds, and a pid that
//! comes from elsewhere is believed only together with its start time.
//!
//! What differs between operating systems is below `os/`, with the same names in every file.

mod launch;
mod os;
mod signal;

pub use launch::{Launch, SpawnError, SpawnStage};
pub use os::{
    Child, Containment, Endpoint, KernelLog, MARKER, Original, Prospects, Tree, Watcher, age,
    belongs_to, boot_id, close_on_exec, executable, execute, execute_self, exit_of_status,
    give_back, group_id, hygiene, identity, ignore_job_control, inherited, is_clock_synchronized,
    leave_open, leave_terminal, memory_file, prospects, readable, reap_orphans,
    reserve_descriptors, reserve_places, socket_of_output, spawn, spawn_beside, spawn_detached,
    start_time, take_passed, tests_wish, use_one_heap, user_id, user_name, version,
};
#[cfg(unix)]
pub use os::{
    Fork, Reaped, SharedBytes, SharedMemory, SharedWords, SignalInbox, become_subreaper, fork,
    own_group, reap_any, set_guardian, set_name, unblock_signals,
};
#[cfg(unix)]
pub(crate) use os::{children_of, members_below, numbers, own_orphans, stat};
pub use signal::{Delivery, Signal};

use crate::model::{ComponentId, RunId};

/// The means by which a component's whole process tree is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// One cgroup v2 per component: nothing escapes.
    Cgroup,
    /// Sessions, subreaper and remembered descendants: a determined daemon could escape.
    Subreaper,
    /// A Windows job object per component.
    JobObject,
}

/// A bound of a component that nobody keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbounded {
    /// The element of the registry: `limits/cpu`.
    pub element: &'static str,
    pub reason: String,
}

/// How a whole process tree ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TreeEnd {
    /// CPU time of all that ever were in it, where somebody counts that by tree.
    pub used: Option<std::time::Duration>,
}

/// A component whose processes were found at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub component: ComponentId,
    pub pids: Vec<i32>,
}

/// A process that carries the mark of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    pub component: ComponentId,
    pub run: RunId,
    pub pid: i32,
    pub start_time: u64,
    /// It leads its session, as every leader of a run does.
    pub leads: bool,
}

/// What a [`Watcher`] saw. The token is the one it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notice {
    /// The process ended (or was reaped by its own parent): ask [`Child::reap`].
    Exited { token: u64 },
    /// The tree is empty: no process of it lives.
    TreeEmpty { token: u64 },
}
