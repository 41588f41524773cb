//! Dossiers: what is known of an end that nobody asked for, kept as a folder of plain files.
//!
//! ```text
//!  logs/dossiers/ps-20261127T190505Z-run12/
//!     summary.json      how it ended and why, who or what it was, under which registry
//!     output.log        the last lines of that run
//!     neighbours.log    what the others wrote around that time
//!     resources.json    CPU, memory, processes, threads and descriptors as they were last known
//!     processes.txt     its processes, and the states of all components
//!     stacks.txt        where its threads were, where it was ended because it hung
//!     threads-PID.txt   the thread dump of a JVM that was ended because it hung
//! ```
//!
//! Owns the files, their bounds (count, bytes, and in a crash loop the first and the latest), and
//! the reading of `/proc` for evidence. Does not own: when one is made, and what goes into it (the
//! runtime's). Everything here may wait for a disk or a kernel lock: it belongs on the blocking
//! pool.

mod os;
mod store;
mod summary;
#[cfg(test)]
mod tests;

pub use os::{is_jvm_that_dumps, stacks};
pub use store::{Bounds, Index, Known, Store};
pub use summary::{Cause, CauseKind, ExitFacts, RegistryFacts, Summary, SupervisorFacts};

/// What is to be kept of one end.
#[derive(Debug, Clone, PartialEq)]
pub struct Dossier {
    pub summary: Summary,
    /// Names and contents of the other files; cut at [`Bounds::file`].
    pub files: Vec<(String, Vec<u8>)>,
    /// The dossier of the end before in the same crash loop, to be replaced by this one.
    pub replaces: Option<std::path::PathBuf>,
}
