//! What differs between operating systems: the pipes, and waiting for all of them at once.
//!
//! Each system has one file with the items that are named below.

#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub use unix::{Owner, WriteEnd};
#[cfg(unix)]
pub(super) use unix::{
    Pipe, PipeIdentity, Poller, Ready, Waker, lower_priority, make_private_folder, open_pipe,
    ready_for_writing, remove_pipe, reopen_pipe, target_of_our_link,
};
