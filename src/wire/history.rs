//! `GET /v1/components/{id}/history?from&to&step`: CPU, memory and state over time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ComponentState;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct History {
    pub id: String,
    /// Start of the first step: RFC 3339, UTC.
    pub from: String,
    /// Seconds that one point stands for.
    pub step_s: f64,
    /// Oldest first, without holes: a step that nobody measured is a point of nulls.
    pub points: Vec<HistoryPoint>,
}

/// One step: the highest values that were measured in it, so that a short peak is not lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPoint {
    /// Per cent of one core.
    pub cpu_percent: Option<f64>,
    pub memory_bytes: Option<u64>,
    /// The state at the end of the step.
    pub state: Option<ComponentState>,
}
