//! Every element and attribute that a registry can hold, and where.
//!
//! The one table of names: unknown ones are told from it, and a test holds the schema and the
//! reference to it. What the values mean is decided elsewhere.

mod check;
mod table;

pub(super) use check::check;
pub(super) use table::{SUPERVISOR, Shape};
