//! The same functions for each system.

#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub use unix::{is_jvm_that_dumps, stacks};
