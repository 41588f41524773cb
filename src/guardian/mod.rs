//! What outlives the engine: descriptors, ends of processes, and the process that keeps them.
//!
//! The engine supervises; the *guardian* supervises the engine. It does so little that it has
//! hardly a reason to fail: it holds copies of descriptors, reaps who falls to it, and starts the
//! engine again when that dies.
//!
//! ```text
//!   guardian ──fork──► engine ──► components
//!      ▲  socket pair    │
//!      └─── keep, forget ┘      the engine dies: components fall to the guardian, which reaps
//!          ends, signals ──►    them, and forks the next engine with all that was kept
//! ```
//!
//! Three things pass from one engine to the next, whoever carries them (a guardian, systemd's
//! descriptor store, our own `exec`):
//!
//! * [`Kept`] descriptors, each with a name. The engine hands them over through a
//!   [`DescriptorStore`], which never blocks it, and takes them back from its [`Inheritance`]:
//!   `lock`, `control` and `tcp` (listeners), `out.ID` and `err.ID` (the read ends of FIFOs), and
//!   `pid.ID.RUN` (pidfds), `notify.ID.RUN` (where components say how they are). The guardian passes them on to systemd's store, if there is one. A store that lost one costs nothing but what it was for.
//! * [`End`]s of processes that somebody else reaped, with their exact status.
//! * How the engine before [ended](Death), if it did not end in order.
//!
//! A guardian that dies is replaced by the engine, which cannot make itself a parent, but a child
//! that waits for its death: `s7supervisor run --guard=beside`. An engine that shares its process with a
//! console has no other from the start. Should that engine die, the child's children go on as usual.
//!
//! This room owns the guardian and its language with the engine. It knows no policy of
//! components.

mod budget;
mod depot;
mod guard;
mod inheritance;
mod link;
mod service;
mod socket;
mod successor;
mod vault;
mod word;

pub use depot::passed_by_manager;
pub use guard::{Guarded, Role, guard, guard_beside};
pub use inheritance::{Death, DescriptorStore, End, Ends, Inheritance, Kept, Stores};
pub use link::{Link, News};
pub use service::ServiceSocket;
pub use successor::{Successor, receive as receive_estate};

/// Names under which descriptors are kept.
pub mod name {
    use crate::model::{ComponentId, RunId};

    /// `supervisor.lock`, locked.
    pub const LOCK: &str = "lock";
    /// The listener of the control socket.
    pub const CONTROL: &str = "control";
    /// The listener of the TCP port.
    pub const TCP: &str = "tcp";

    /// The notify socket of a run.
    pub fn notify(id: &ComponentId, run: RunId) -> String {
        format!("notify.{id}.{run}")
    }

    /// The pidfd of a run's leader.
    pub fn pid(id: &ComponentId, run: RunId) -> String {
        format!("pid.{id}.{run}")
    }
}
