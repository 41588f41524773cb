//! CPU, memory and state of the components over time.
//!
//! ```text
//!   sample ──► Recorder ─┬─► seconds   3 min, in memory, only while somebody watches
//!    (1 Hz watched,      ├─► tens      1 h of rows of 10 s, in files, only while somebody watches
//!     else 1 a minute)   └─► minutes  24 h of rows of a minute, in files, always
//!
//!   query ◄── rows of all three, the finest that there is for each step
//! ```
//!
//! A row holds what differs from the row before it, so that components which do nothing cost
//! nothing; each segment (a file, or a block of memory) begins from nothing and can be read alone.
//! Files are appended to with one write a row, checked by a checksum, and outlive the Supervisor.
//! A file that ends torn, is damaged or is of another version is read as far as it goes.
//!
//! This room knows rows and files. When to sample is decided elsewhere. Everything here may wait
//! for a disk: it is for the blocking pool.

mod codec;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod query;
mod recorder;
mod tier;

#[cfg(test)]
mod tests;

pub use query::{MOST_POINTS, Query};
pub use recorder::{Change, Reading, Recorder, Usage};

use crate::wire::ComponentState;

/// One component at one time, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figure {
    /// None: it is not in the registry any more.
    state: Option<ComponentState>,
    /// None: nothing of it lived, or nobody measured it.
    usage: Option<Amounts>,
}

/// In units that are short to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amounts {
    /// Tenths of a per cent of one core.
    cpu: u32,
    /// KiB.
    memory: u64,
    processes: u32,
}

impl Amounts {
    /// The higher of each.
    fn max(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            processes: self.processes.max(other.processes),
        }
    }
}

impl Figure {
    /// The highest amounts, and the later state.
    fn and_then(self, later: Self) -> Self {
        let usage = match (self.usage, later.usage) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        Self { state: later.state, usage }
    }
}
