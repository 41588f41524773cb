//! Verbs, and what became of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ComponentState;

/// What can be asked of components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Start,
    Stop,
    Restart,
    Kill,
    Reload,
    Shutdown,
}

/// The answer to a request, at once: 202 (with the operation to follow), or 200 `redundant`.
/// A denied request is a [`Problem`](super::Problem) with status 409.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Acceptance {
    /// Asked for; `operation` ends when it is done.
    Applied { operation: u64 },
    /// Nothing to do: it is so already (or on its way, then `operation` is the one under way).
    Redundant {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operation: Option<u64>,
    },
}

/// The answer to `POST /v1/upgrade`: the new program takes over now, in the same process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeReport {
    /// The version that runs.
    pub from: String,
    /// The version that follows.
    pub to: String,
    /// Path of the new binary.
    pub binary: String,
    /// Of the engine; it stays the same.
    pub pid: u32,
    /// How often this process had been upgraded before.
    pub upgrades: u64,
}

/// `GET /v1/operations/{n}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    pub id: u64,
    pub verb: Verb,
    /// Who asked, in words.
    pub origin: String,
    pub state: OperationState,
    /// Seconds since it was asked for.
    pub age_s: f64,
    /// One entry for each component that it concerns.
    pub components: Vec<Progress>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    Pending,
    /// Every component reached what was asked for.
    Done,
    /// At least one did not; its `detail` says why.
    Failed,
}

/// How far one component of an operation has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    pub id: String,
    pub outcome: Outcome,
    pub state: ComponentState,
    pub pid: Option<u32>,
    /// While pending what it waits for; afterwards why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pending,
    Done,
    Failed,
    /// A later command of the opposite sense took its place.
    Superseded,
    /// It is held, and was left alone; `detail` says by whom, and until when.
    Held,
}

/// The answer to `POST /v1/reload` (with `?dry_run=true`: what it would do).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReloadReport {
    /// The registry's generation after the reload.
    pub generation: u64,
    pub added: Vec<ComponentPlan>,
    pub removed: Vec<ComponentPlan>,
    /// These restart.
    pub changed: Vec<ComponentPlan>,
    /// These take new values over without a restart.
    pub updated: Vec<ComponentPlan>,
    pub unchanged: Vec<String>,
    /// Changes of `<config>` that need a restart of the Supervisor.
    pub needs_supervisor_restart: Vec<String>,
    /// Warnings of the registry, rendered.
    pub warnings: Vec<String>,
    /// The operation that carries it out; none where nothing is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComponentPlan {
    pub id: String,
    /// Names of the elements that differ.
    pub differences: Vec<String>,
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Kill => "kill",
            Self::Reload => "reload",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
