//! The control API's words: what travels as JSON between the engine and every client.
//!
//! Serde types without behaviour. Names are settled (`docs/control-api.md`); a field may be
//! added, none is renamed or removed. Wall-clock times are RFC 3339 in UTC.

mod command;
mod explain;
mod problem;
mod status;

pub use command::{
    Acceptance, ComponentPlan, Operation, OperationState, Outcome, Progress, ReloadReport, Verb,
};
pub use explain::{ExitRecord, Explanation};
pub use problem::{Problem, ProblemCode};
pub use status::{
    ComponentState, ComponentStatus, ContainmentLevel, Health, Intent, LastExit, Readiness, Status,
    SupervisorStatus,
};
