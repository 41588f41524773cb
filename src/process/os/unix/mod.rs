//! Linux: clone, pidfds, cgroups and `/proc`.

mod account;
mod adjustment;
mod belonging;
mod cgroup;
mod child;
mod clone;
mod controllers;
mod descent;
mod explain;
mod family;
mod guard;
mod in_child;
mod kernel_log;
mod leaders;
mod memory;
mod own;
mod pidfd_info;
mod places;
mod prepare;
mod prospects;
mod readiness;
mod shared;
mod spawn;
pub(crate) mod stat;
mod tree;
mod watcher;

#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;

pub use account::{group_id, identity, user_id, user_name};
pub use adjustment::is_clock_synchronized;
pub use belonging::belongs_to;
pub(crate) use cgroup::members_below;
pub use child::{Child, exit_of_status};
pub(crate) use family::{children_of, numbers, own_orphans};
pub use guard::{
    Fork, Reaped, SignalInbox, become_subreaper, fork, own_group, reap_any, set_guardian, set_name,
    unblock_signals,
};
pub use kernel_log::KernelLog;
pub use leaders::reap_orphans;
pub use memory::{give_back, use_one_heap};
pub use own::{
    Original, age, boot_id, close_on_exec, executable, execute, execute_self, hygiene,
    ignore_job_control, inherited, leave_open, leave_terminal, memory_file, reserve_descriptors,
    socket_of_output, spawn_beside, spawn_detached, start_time, take_passed, tests_wish, version,
};
pub use places::reserve_places;
pub use prospects::{Prospects, prospects};
pub use readiness::readable;
pub use shared::{SharedBytes, SharedMemory, SharedWords};
pub use spawn::spawn;
pub use tree::{Containment, MARKER, Tree};
pub use watcher::Watcher;

use super::super::Signal;

/// One end of a stream of a process.
pub type Endpoint = OwnedFd;

impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Term => Self::TERM,
            Signal::Int => Self::INT,
            Signal::Quit => Self::QUIT,
            Signal::Hup => Self::HUP,
            Signal::Usr1 => Self::USR1,
            Signal::Usr2 => Self::USR2,
            Signal::Kill => Self::KILL,
            Signal::Stop => Self::STOP,
            Signal::Cont => Self::CONT,
        }
    }
}
