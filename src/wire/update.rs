//! `GET /v1/updates`: the stream that keeps a console true.
//!
//! Server-sent events. The event's name is the message's `type`, its `id` is `seq`, its data is
//! the JSON of an [`UpdateMessage`]. First comes a snapshot, then what changes. A reader that
//! reconnects with `Last-Event-ID` goes on where it was as long as the engine remembers;
//! otherwise it is told a `gap` and then gets a fresh snapshot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ComponentStatus, EventRecord, LogRecord, Status};

/// One message of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpdateMessage {
    /// Grows by one with every message of this Supervisor process, whoever reads.
    pub seq: u64,
    #[serde(flatten)]
    pub update: Update,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Update {
    /// Everything: it replaces what the reader knew. Sent first, after a gap, and when another
    /// registry has come into force.
    Snapshot(Box<Snapshot>),
    /// A component changed in anything but its measured numbers.
    Component {
        component: Box<ComponentStatus>,
    },
    /// The measured numbers of one tick, of the components that have any.
    Sample(Sample),
    Event {
        event: EventRecord,
    },
    /// New entries of a component's log; only of those that the reader asked for
    /// (`?logs=ID,ID`).
    Log {
        id: String,
        records: Vec<LogRecord>,
    },
    /// The reader was too slow, or away for too long: so many messages are lost. A snapshot
    /// follows.
    Gap {
        missed: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// The name of the machine.
    pub host: String,
    /// What the reader may do.
    pub access: Access,
    pub status: Status,
    /// For each component that depends on others: those others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<String, Vec<String>>,
    /// The latest events, oldest first, at most 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    Full,
    ReadOnly,
}

/// Numbers of one tick of the sampler.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sample {
    /// RFC 3339, UTC.
    pub at: String,
    /// The Supervisor itself.
    pub cpu_percent: f64,
    pub memory_bytes: u64,
    pub components: Vec<ComponentSample>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentSample {
    pub id: String,
    /// The run that was measured: a sample of an old run is not shown for a new one.
    pub run: u64,
    pub cpu_percent: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub processes: u32,
}

impl Update {
    /// The name of the server-sent event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Snapshot(_) => "snapshot",
            Self::Component { .. } => "component",
            Self::Sample(_) => "sample",
            Self::Event { .. } => "event",
            Self::Log { .. } => "log",
            Self::Gap { .. } => "gap",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_in_json_is_the_name_of_the_server_sent_event() {
        for update in [
            Update::Sample(Sample::default()),
            Update::Log { id: "ps".to_owned(), records: Vec::new() },
            Update::Gap { missed: 3 },
        ] {
            let message = UpdateMessage { seq: 9, update };
            let json = serde_json::to_value(&message).expect("plain data");
            assert_eq!(json["type"], message.update.name());
            assert_eq!(json["seq"], 9);
            let back: UpdateMessage = serde_json::from_value(json).expect("reads back");
            assert_eq!(back, message);
        }
    }
}
