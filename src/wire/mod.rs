//! The control API's words: what travels as JSON between the engine and every client.
//!
//! Serde types without behaviour, and how times are written ([`time`]). Names are settled (`docs/control-api.md`); a field may be
//! added, none is renamed or removed. Wall-clock times are RFC 3339 in UTC.

mod command;
mod details;
mod event;
mod explain;
mod history;
mod log;
mod problem;
mod status;
pub mod time;
mod trace;
mod update;

pub use command::{
    Acceptance, ComponentPlan, Operation, OperationState, Outcome, Progress, ReloadReport,
    UpgradeReport, Verb,
};
pub use details::{ComponentDetails, EnvironmentVariable, ProcessInfo};
pub use event::{EventKind, EventRecord, Severity};
pub use explain::{DossierRef, ExitRecord, Explanation};
pub use history::{History, HistoryPoint};
pub use log::{LogEntry, LogRecord, LogStream};
pub use problem::{Problem, ProblemCode};
pub use status::{
    ComponentState, ComponentStatus, ContainmentLevel, GuardianForm, GuardianStatus, Health, Hold,
    HoldReport, Intent, LastExit, Readiness, Status, SupervisorStatus,
};
pub use trace::{TraceLevel, TraceRecord};
pub use update::{Access, ComponentSample, Sample, Snapshot, Update, UpdateMessage};
