//! `GET /v1/status` and `s7supervisor status --json`: one object, stable.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Everything an operator sees at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub supervisor: SupervisorStatus,
    /// In the order of the registry.
    pub components: Vec<ComponentStatus>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SupervisorStatus {
    /// The engine: the process that supervises.
    pub pid: u32,
    /// The process that starts the engine again should it die; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardian_pid: Option<u32>,
    /// That process in more words; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardian: Option<GuardianStatus>,
    pub version: String,
    pub uptime_s: f64,
    /// Path of the registry file.
    pub registry: String,
    /// Grows by one with every registry that came into force, from 1.
    pub generation: u64,
    /// How often the program was replaced in this process.
    #[serde(default)]
    pub upgrades: u64,
    /// Per cent of one core over the last sample.
    pub cpu_percent: f64,
    /// Resident bytes of the Supervisor's own processes.
    pub memory_bytes: u64,
    /// How surely whole process trees are ended.
    pub containment: ContainmentLevel,
    /// The Supervisor is on its way out: everything is being stopped.
    pub shutting_down: bool,
}

/// The process that starts the engine again should it die.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GuardianStatus {
    pub pid: u32,
    pub form: GuardianForm,
    /// Since its own start: engines come and go meanwhile.
    pub uptime_s: f64,
}

/// How the guardian stands to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardianForm {
    /// The engine's parent: it reaps whoever ends while no engine lives.
    Parent,
    /// A child of the engine, which has replaced another guardian or shares its process with a console.
    /// Whoever ends while no engine lives is reaped by another.
    Beside,
}

/// The means by which a component's whole process tree is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContainmentLevel {
    /// One cgroup v2 per component: nothing escapes.
    Cgroup,
    /// Sessions, subreaper and remembered descendants: a determined daemon could escape.
    Subreaper,
    /// A Windows job object per component.
    JobObject,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentStatus {
    pub id: String,
    pub description: String,
    pub state: ComponentState,
    pub health: Health,
    /// What the last probe, or the component itself (`STATUS=`), said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_detail: Option<String>,
    /// The leader's pid; null where no process lives.
    pub pid: Option<u32>,
    /// The current run, or the last one; null before the first.
    pub run: Option<u64>,
    /// Since the start of the process; null where no process lives.
    pub uptime_s: Option<f64>,
    /// Per cent of one core over the last sample, of the whole tree.
    pub cpu_percent: Option<f64>,
    /// Resident bytes of the whole tree.
    pub memory_bytes: Option<u64>,
    /// Processes of the tree.
    pub processes: u32,
    /// Starts without request since the Supervisor (or an operator) last started it.
    pub restarts: u32,
    /// Restarts that operators asked for since it was last started; shown beside `restarts` as
    /// `2+1`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts_asked: u32,
    pub last_exit: Option<LastExit>,
    pub intent: Intent,
    /// What holds it back, in words: `is (starting)`.
    pub waiting_for: Option<String>,
    /// Seconds until the next attempt, while in back-off.
    pub next_attempt_s: Option<f64>,
    /// Which attempt in a row the current or next start is; 0 when stable.
    pub attempt: u32,
    pub enabled: bool,
    /// It is neither started nor restarted as long as this is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Why it failed or what went wrong last, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An operator's word that a component is neither started nor restarted for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// Who asked for it, in words.
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// RFC 3339, UTC.
    pub since: String,
    /// RFC 3339, UTC; none: until it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// The answer to `POST /v1/components/{id}/hold` and `/release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldReport {
    pub id: String,
    /// What is in force now; none: it is not held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// What was in force before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Hold>,
    /// How the component is now.
    pub state: ComponentState,
    /// What is not as it should be: the hold could not be stored, and does not outlive the
    /// Supervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// The state of a component. `stopped` means that its whole process tree is gone.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ComponentState {
    Stopped,
    Waiting,
    Starting,
    Running,
    Stopping,
    Backoff,
    Exited,
    Failed,
    Unkillable,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No health check is configured, or no process lives.
    #[default]
    None,
    /// Configured, and no verdict yet.
    Unknown,
    Ok,
    Failing,
}

/// What is wished for the component, apart from what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    Running,
    Stopped,
}

/// How the last run ended: one of `code` and `signal`, or neither where it is unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LastExit {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// RFC 3339, UTC.
    pub at: String,
    /// A core file was written.
    pub core: bool,
    /// Ended by the kernel's out-of-memory killer.
    pub oom: bool,
    /// A stop or restart had been asked for.
    pub expected: bool,
}

/// `GET /healthz` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    /// Ids of components that are wished to run and do not, or whose health fails.
    pub not_ready: Vec<String>,
}

impl ComponentStatus {
    /// Restarts by itself, and those that were asked for where there are any: `2`, `2+1`.
    pub fn restarts_in_words(&self) -> String {
        match self.restarts_asked {
            0 => self.restarts.to_string(),
            asked => format!("{}+{asked}", self.restarts),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl ComponentState {
    pub const ALL: [Self; 9] = [
        Self::Stopped,
        Self::Waiting,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Backoff,
        Self::Exited,
        Self::Failed,
        Self::Unkillable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Backoff => "backoff",
            Self::Exited => "exited",
            Self::Failed => "failed",
            Self::Unkillable => "unkillable",
        }
    }
}

impl fmt::Display for ComponentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Failing => "failing",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
