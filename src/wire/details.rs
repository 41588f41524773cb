//! `GET /v1/components/{id}/details`: how a component is launched, and its live process tree.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentDetails {
    pub id: String,
    /// Executable and arguments as they are passed, but for what looks like a secret in them:
    /// `***` stands for that, here and in the processes' commands.
    pub command: Vec<String>,
    pub working_directory: String,
    /// What the registry adds to the environment, by name.
    pub environment: Vec<EnvironmentVariable>,
    pub depends_on: Vec<String>,
    /// Those that depend on it.
    pub needed_by: Vec<String>,
    pub start_priority: i32,
    /// In words: "always, at most 10 restarts in 600 s".
    pub restart_policy: String,
    /// In words: "SIGTERM, killed after 60 s".
    pub stop_policy: String,
    /// In words, none where no check is configured: `http http://127.0.0.1:8080/ every 5 s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_check: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<String>,
    /// The user it runs as; none: the Supervisor's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Read at each start for more of the environment; its content does not travel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_file: Option<String>,
    /// In words: "memory at most 1024 MiB".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// The log file that is written now.
    pub log_file: String,
    /// The leader first, then children after their parents.
    pub processes: Vec<ProcessInfo>,
}

/// A secret's value never leaves the engine: it travels as null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentVariable {
    pub name: String,
    /// None: a secret.
    pub value: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessInfo {
    pub pid: u32,
    /// Its parent's pid; the leader's parent is not of the tree.
    pub parent: u32,
    pub command: String,
    /// Per cent of one core since somebody looked last, or since its start.
    pub cpu_percent: Option<f64>,
    pub memory_bytes: Option<u64>,
    #[serde(default)]
    pub threads: u32,
    /// Open descriptors; null where the Supervisor may not look.
    #[serde(default)]
    pub open_files: Option<u32>,
}
