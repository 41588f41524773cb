//! Tests of the room as a whole, and what they share.

mod demo;

pub use demo::{line_at, record, status};
