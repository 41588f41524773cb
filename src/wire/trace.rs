//! `GET /v1/supervisor/logs`: the Supervisor's own trace log, one JSON object a line.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One event of the Supervisor's trace log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceRecord {
    /// Grows with every event; those of a later Supervisor process are higher.
    pub seq: u64,
    /// RFC 3339, UTC, with milliseconds.
    pub at: String,
    pub level: TraceLevel,
    /// The part of the program that tells it: `process`, `probes`, a library.
    pub target: String,
    /// The message and its fields. Harmless: control characters are escaped.
    pub text: String,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TraceLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
