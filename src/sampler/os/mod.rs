//! One file per operating system, each with a `Meter`: `new(Source)`, `alone(pid)`,
//! `is_of(&Source)` and `read(now)`.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(super) use unix::*;
