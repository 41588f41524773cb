//! Reading a component's log, as records in the order of their writing.
//!
//! A [`Reader`] goes from place to place: what it has given out ends at a place, and the next
//! step gives what ends behind it. It holds no lock and no place in a queue between two steps, so
//! nobody ever waits for a reader, however slow; each step does a bounded piece of work and is
//! meant for a thread that may block.

mod cursor;
mod filter;
mod history;
mod merged;
mod reader;
mod shelf;
mod stamp;
mod text;

#[cfg(test)]
mod tests;

pub use filter::Query;
pub use merged::Merged;
pub use reader::Reader;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more to read at once.
    More,
    /// Everything that was written so far is read.
    CaughtUp,
    /// Nothing that could come is wanted any more.
    Over,
}
