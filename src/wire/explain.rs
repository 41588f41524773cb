//! `GET /v1/components/{id}/explain`: why a component is in its state.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ComponentStatus, LastExit};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    pub status: ComponentStatus,
    /// One sentence an operator would say: "failed: exited with 1 five times within 10 s".
    pub summary: String,
    /// What is wished, and who wished it: "running (asked by root (cli))".
    pub intent: String,
    /// What stands between the wish and the fact; none where they agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocker: Option<String>,
    /// Attempts in a row so far.
    pub attempt: u32,
    /// Restarts allowed within the window; none: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_restarts: Option<u32>,
    /// The window in seconds.
    pub window_s: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_s: Option<f64>,
    /// Newest first, at most 10.
    pub exits: Vec<ExitRecord>,
    /// What it wrote last, sanitised for a terminal.
    pub last_lines: Vec<String>,
    /// What to do next, where there is something to do.
    pub advice: Vec<String>,
    /// The latest dossiers, newest first, at most 5: folders with what is known of an end that
    /// nobody asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dossiers: Vec<DossierRef>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DossierRef {
    /// The folder.
    pub path: String,
    /// RFC 3339, UTC: when the failure showed.
    pub at: String,
    pub run: u64,
    /// Why it ended, in words.
    pub what: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExitRecord {
    pub run: u64,
    pub exit: LastExit,
    /// How long the run had lasted.
    pub lasted_s: f64,
    /// Why it ended, in words: "exited by itself", "stop asked by root (cli)".
    pub cause: String,
}
