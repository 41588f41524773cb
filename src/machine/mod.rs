//! One component: its state, what may happen to it, and what is to be done about it.
//!
//! ```text
//!             start               spawned            ready / startDelay
//!  stopped ────────► waiting ──► starting ─────────────────────────► running
//!     ▲                 ▲           │ exit, not ready                 │ exit, unhealthy
//!     │                 │ retry     ▼                                 ▼
//!     │              backoff ◄── (policy) ──► exited / failed     stopping ──► (tree gone)
//!     └──────────────── stop: accepted in every state, answered at once ──────┘
//! ```
//!
//! [`Machine::step`] is total: every event has an answer in every state, and an event that names
//! another run than the current one changes nothing. *Stopped* means that the whole process tree
//! is gone; a tree that survives the kill is *unkillable* and is never started a second time.
//!
//! Knows the component's policy. Knows neither clocks (time is in the [`Context`]), nor I/O, nor
//! other components (their gates are in the [`Context`] too).

mod backoff;
mod commands;
mod ending;
mod facts;
mod record;
mod resume;
mod state;
mod step;
#[cfg(test)]
mod tests;

pub use backoff::{delay_before, delay_before_attempt};
pub use record::{Ended, ExitEntry, FailReason, Record};
pub use resume::{Adoption, EndedMeanwhile, Resting, StopUnderWay};
pub use state::{Live, Process, State, StopCause, StopPhase};
pub use step::{Context, DenyReason, Effect, Event, Machine, Response};
