//! Tests of the room as a whole, and what they share.

mod budgets;
mod demo;
mod links;
mod logs;
mod prompts;
#[cfg(unix)]
mod pty;
mod screens;
mod sizes;
mod styles;
mod table;

pub use demo::{line_at, record, status};
