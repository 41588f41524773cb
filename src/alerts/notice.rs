//! One thing worth telling somebody who is not looking.

use serde::Serialize;

use crate::wire::{ComponentState, Health};

/// A notice. Its names are settled: receivers read them (`docs/notifications.md`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// None: it is about the Supervisor itself.
    pub component: Option<String>,
    pub kind: NoticeKind,
    /// What happened the last time, in words.
    pub text: String,
    /// When, the last time; RFC 3339, UTC.
    pub at: String,
    /// The number of that event.
    pub seq: u64,
    /// The component's state just after it.
    pub state: Option<ComponentState>,
    /// How often it happened since the last message.
    pub count: u32,
    /// When it happened the first time since then.
    pub first_at: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// It does not run and is not tried again.
    Failed,
    /// It runs or ran and does not do what it is for.
    Unhealthy,
    /// It was restarted too often.
    Restarts,
    /// It has been well for a while after one of these.
    Recovered,
    /// The Supervisor itself was gone for a while.
    Supervisor,
    /// Nothing happened: somebody tries whether messages arrive.
    Test,
}

impl NoticeKind {
    /// What is said of a component: "ps failed".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unhealthy => "unhealthy",
            Self::Restarts => "restarts too often",
            Self::Recovered => "recovered",
            Self::Supervisor => "was restarted",
            Self::Test => "is tried",
        }
    }

    /// The worst comes first in a message.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Failed => 0,
            Self::Supervisor => 1,
            Self::Unhealthy => 2,
            Self::Restarts => 3,
            Self::Recovered => 4,
            Self::Test => 5,
        }
    }
}

/// How a component stands at an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub state: ComponentState,
    pub health: Health,
    /// Starts without request, as `status` counts them.
    pub restarts: u32,
    /// An operator holds it.
    pub held: bool,
}
