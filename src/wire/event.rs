//! `GET /v1/events`: what happened, to whom, and who asked for it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One line of the journal of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventRecord {
    /// Grows by one with every event over the whole life of a runtime folder.
    pub seq: u64,
    /// RFC 3339, UTC, with milliseconds.
    pub at: String,
    /// The component that it is about; none: the Supervisor itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The run of that component, where one is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
    pub kind: EventKind,
    /// The event in words: "exit 1 after 12 s, restart 3/10 in 0.4 s".
    pub text: String,
    /// Who asked for it, in words; none where nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// What an event is about. A reader meets kinds newer than itself as `other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Somebody asked for something.
    Command,
    Waiting,
    Starting,
    Running,
    Stopping,
    Stopped,
    /// A process ended as it was asked to, or as it may.
    Exited,
    /// A process ended without request, and not well.
    Crashed,
    Backoff,
    Failed,
    Unkillable,
    Healthy,
    Unhealthy,
    /// An operator held a component: it is neither started nor restarted for a while.
    Held,
    /// A hold was released, or has expired.
    Released,
    /// A limit was passed and led to a restart.
    Limit,
    /// A process of an earlier Supervisor was taken over.
    Adopted,
    /// The registry was read again.
    Reload,
    /// Output that could not be kept or shown.
    Dropped,
    /// The Supervisor itself: start, end, upgrade.
    Supervisor,
    #[serde(other)]
    Other,
}

/// How loudly an event is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Info,
    Warning,
    Error,
}

impl EventKind {
    pub const ALL: [Self; 21] = [
        Self::Command,
        Self::Waiting,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Exited,
        Self::Crashed,
        Self::Backoff,
        Self::Failed,
        Self::Unkillable,
        Self::Healthy,
        Self::Unhealthy,
        Self::Held,
        Self::Released,
        Self::Limit,
        Self::Adopted,
        Self::Reload,
        Self::Dropped,
        Self::Supervisor,
        Self::Other,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Exited => "exited",
            Self::Crashed => "crashed",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
            Self::Unkillable => "unkillable",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Held => "held",
            Self::Released => "released",
            Self::Limit => "limit",
            Self::Adopted => "adopted",
            Self::Reload => "reload",
            Self::Dropped => "dropped",
            Self::Supervisor => "supervisor",
            Self::Other => "other",
        }
    }

    pub fn severity(self) -> Severity {
        match self {
            Self::Failed | Self::Unkillable => Severity::Error,
            Self::Crashed | Self::Backoff | Self::Unhealthy | Self::Limit | Self::Dropped => {
                Severity::Warning
            }
            Self::Command
            | Self::Waiting
            | Self::Starting
            | Self::Running
            | Self::Stopping
            | Self::Stopped
            | Self::Exited
            | Self::Healthy
            | Self::Held
            | Self::Released
            | Self::Adopted
            | Self::Reload
            | Self::Supervisor
            | Self::Other => Severity::Info,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_reads_the_same_in_json_and_in_words() {
        for kind in EventKind::ALL {
            let json = serde_json::to_string(&kind).expect("a unit variant has a name");
            assert_eq!(json, format!("\"{kind}\""));
        }
    }

    #[test]
    fn a_kind_of_a_newer_supervisor_is_read_as_other() {
        let kind: EventKind = serde_json::from_str("\"teleported\"").expect("unknown kinds pass");
        assert_eq!(kind, EventKind::Other);
    }
}
