//! `GET /v1/components/{id}/logs`: what a component wrote, one JSON object a line, with the
//! starts and ends of its runs and the losses standing in their places.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One entry of a component's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogRecord {
    /// Grows with every entry of this component (not by one), over restarts of the Supervisor
    /// too: where the entry ends in everything that the component ever wrote.
    pub seq: u64,
    /// RFC 3339, UTC, with milliseconds: when it was read from the pipe.
    pub at: String,
    #[serde(flatten)]
    pub entry: LogEntry,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum LogEntry {
    /// A line without its line end. Bytes that are no UTF-8 stand as U+FFFD; escape sequences
    /// are kept as they were written, so whoever shows it must sanitise it.
    Line {
        stream: LogStream,
        run: u64,
        text: String,
        /// The line was longer than the cap and its rest was dropped.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cut: bool,
    },
    /// A run began here.
    Start { run: u64, pid: u32 },
    /// A run ended here; `text` in words: "exit 1", "SIGSEGV (core)", then what follows:
    /// "restart 4/10".
    Exit {
        run: u64,
        text: String,
        /// A stop or restart had been asked for, or the exit counts as a success.
        expected: bool,
    },
    /// Lines that are missing here because somebody did not keep up.
    Dropped { lines: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    Out,
    Err,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_flat_object() {
        let record = LogRecord {
            seq: 7,
            at: "2026-11-23T14:26:30.342Z".to_owned(),
            entry: LogEntry::Line {
                stream: LogStream::Err,
                run: 3,
                text: "hello".to_owned(),
                cut: false,
            },
        };
        let json = serde_json::to_string(&record).expect("plain data");
        assert_eq!(
            json,
            r#"{"seq":7,"at":"2026-11-23T14:26:30.342Z","kind":"line","stream":"err","run":3,"text":"hello"}"#
        );
        assert_eq!(serde_json::from_str::<LogRecord>(&json).expect("reads back"), record);
    }
}
