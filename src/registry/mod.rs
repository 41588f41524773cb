//! `SupervisorRegistry.xml`: from bytes to a typed, validated [`Registry`], or to all the
//! problems in it.
//!
//! Knows the file; knows neither processes nor time.

mod model;

pub use model::{
    Check, Component, Config, Leftovers, Limits, Notify, NotifyTarget, Output, Probe, Registry,
    RestartPolicy, RestartWhen, StopPolicy, StopSignal, Timestamps, TraceLevel,
};
