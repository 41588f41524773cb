//! One check: asks once, under a time limit, and tells what was answered.

mod command;
mod http;
mod resolve;
mod tcp;

use std::time::Duration;

pub use command::{CommandEnd, CommandError, CommandRequest, Commands};
pub(super) use resolve::Resolver;

/// What one check found. The text names what was asked and what was answered; it stays the same
/// as long as the answer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub ok: bool,
    pub detail: String,
}
