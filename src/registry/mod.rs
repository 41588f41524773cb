//! `SupervisorRegistry.xml`: from bytes to a typed, validated [`Registry`], or to all the
//! problems in it.
//!
//! ```text
//! bytes ─► tree ─► vocabulary ─► settings ─► profiles ─► assemble ─► validate ─► Registry
//!          (well-formed)  (names)   (tokens)   (decoded once)  (merged)   (as a whole)
//!            └───────────────┴──────────┴───────────┴──────────────┴───────────┘
//!                                   Problems ─► Diagnostics
//! ```
//!
//! No part stops at the first problem: each tells what it finds, puts a default in its place
//! and goes on. Knows the file; knows neither processes nor time. Only [`load`] touches a disk.

mod address;
mod assemble;
mod command_line;
mod config;
mod decode;
mod diagnostics;
mod load;
mod model;
mod notify;
mod part;
mod probe;
mod profiles;
mod settings;
mod source;
mod tree;
mod validate;
mod vocabulary;

pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use load::{LoadError, Loaded, MAX_SIZE, Sources, load, parse};
pub use model::{
    Check, Component, Config, Forward, HeaderMatch, Leftovers, Limits, MailTarget, MailTls, Notify,
    NotifyTarget, Output, Probe, Registry, RestartPolicy, RestartWhen, StopPolicy, StopSignal,
    Timestamps, TraceLevel,
};
