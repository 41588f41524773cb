//! `summary.json`: stable names, fields are added and never renamed.

use serde::{Deserialize, Serialize};

use crate::model::{ComponentId, Exit, RunId, signal_name};

/// The format of `summary.json`.
pub(super) const VERSION: u32 = 1;

/// What an operator asks first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub version: u32,
    pub id: ComponentId,
    pub description: String,
    pub run: RunId,
    pub pid: Option<u32>,
    /// When the failure showed: RFC 3339, UTC.
    pub at: String,
    pub cause: Cause,
    /// How the leader ended; none: it had not ended yet when this was written.
    pub exit: Option<ExitFacts>,
    /// How long the run had lasted when the failure showed.
    pub lasted_s: Option<f64>,
    /// Failures in a row, this one included.
    pub attempt: u32,
    /// Restarts without request so far.
    pub restarts: u32,
    /// What the last check said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_check: Option<String>,
    /// What followed, in words: "the next attempt is in 2.0 s".
    pub followed_by: String,
    /// Ends shortly before this one that have no dossier of their own.
    pub left_out: u64,
    /// What could not be found out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// As it was started, without its secrets.
    pub command: Vec<String>,
    pub working_directory: String,
    pub registry: RegistryFacts,
    pub supervisor: SupervisorFacts,
}

/// Why it ended, by name and in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub kind: CauseKind,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// The leader ended by itself.
    Exit,
    OutOfMemory,
    NotReady,
    Unhealthy,
    /// Its watchdog fell silent.
    Watchdog,
    Limit,
    #[serde(other)]
    Other,
}

/// As the kernel told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_name: Option<String>,
    /// A core file was written.
    pub core: bool,
    /// The kernel's out-of-memory killer had a hand in it.
    pub oom: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryFacts {
    pub file: String,
    pub generation: u64,
    /// Changes with everything that the component is started with.
    pub fingerprint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorFacts {
    pub version: String,
    pub pid: u32,
}

impl Summary {
    pub const VERSION: u32 = VERSION;
}

impl ExitFacts {
    pub fn of(exit: Exit, oom: bool) -> Self {
        let (code, signal, dumped) = match exit {
            Exit::Code(code) => (Some(code), None, false),
            Exit::Signal { signal, core } => (None, Some(signal), core),
            Exit::Unknown => (None, None, false),
        };
        let name = signal.and_then(signal_name).map(str::to_owned);
        Self { code, signal, signal_name: name, core: dumped, oom }
    }
}
