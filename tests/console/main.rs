//! The console as an operator has it: the real binary in a real terminal, whose other end is here.
//!
//! Assertions are on the screen as a terminal shows it (vt100), never on the bytes; each wait ends
//! with what the screen shows, or fails with the screen as it is.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests stand outside of the engine: they start programs and look at the clock"
)]

#[expect(dead_code, reason = "the harness is shared: the acceptance tests use all of it")]
#[path = "../support/mod.rs"]
mod support;
mod terminal;

mod attached;
mod endings;
mod hostile;
mod operator;
mod plain;
mod together;
mod upgrades;
