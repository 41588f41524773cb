//! s7supervisor: starts, watches, restarts and stops a set of processes that a
//! `SupervisorRegistry.xml` describes.
//!
//! The rooms and who may know whom are drawn in `docs/architecture.md`; the test
//! `tests/architecture.rs` holds the table.

pub mod console;
pub mod model;
pub mod registry;
pub mod runtime;
pub mod wire;
