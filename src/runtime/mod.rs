//! The driver: takes inputs from the world, calls the supervisor, performs its effects,
//! publishes what came of it, keeps the journal.

mod handle;

pub use handle::{Handle, Message, Request, Targets};
