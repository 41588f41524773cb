//! One file or folder per operating system, each with the same functions and types.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::*;
