//! The words that every room uses: who a component is, which run of it, when, how it ended,
//! and who asked.
//!
//! Plain data without I/O, clocks or policy. Everything here is cheap to clone, because it
//! travels through every channel of the program.

mod exit;
mod id;
mod moment;
mod origin;
pub mod secret;
mod shared;

pub use exit::{Exit, LastExit, signal_name};
pub use id::{ComponentId, InvalidComponentId, OperationId, RunId};
pub use moment::{Moment, in_words};
pub use origin::{Origin, Via};
pub use shared::Shared;
