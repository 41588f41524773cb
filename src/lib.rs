//! s7supervisor: starts, watches, restarts and stops a set of processes that a
//! `SupervisorRegistry.xml` describes.
//!
//! The rooms and who may know whom are drawn in `docs/architecture.md`; the test
//! `tests/architecture.rs` holds the table.

pub mod alerts;
pub mod cli;
pub mod client;
pub mod console;
pub mod control;
pub mod courier;
pub mod demo;
pub mod doctor;
pub mod dossier;
pub mod events;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod guardian;
pub mod history;
pub mod logs;
pub mod machine;
pub mod metrics;
pub mod model;
pub mod plan;
pub mod premises;
pub mod probes;
pub mod process;
pub mod registry;
pub mod runtime;
pub mod sampler;
pub mod supervisor;
pub mod updates;
pub mod wire;
