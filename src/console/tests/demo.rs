//! A scripted host for tests: the facts of section 2's sketch, and what can happen to them.

use crate::wire::{
    ComponentState, ComponentStatus, Health, Intent, LogEntry, LogRecord, LogStream,
};

/// A component at rest.
pub fn status(id: &str, state: ComponentState) -> ComponentStatus {
    let lives = matches!(
        state,
        ComponentState::Running | ComponentState::Starting | ComponentState::Stopping
    );
    ComponentStatus {
        id: id.to_owned(),
        description: String::new(),
        state,
        health: Health::None,
        health_detail: None,
        pid: lives.then_some(4000),
        run: Some(1),
        uptime_s: lives.then_some(0.0),
        cpu_percent: lives.then_some(0.0),
        memory_bytes: lives.then_some(0),
        processes: u32::from(lives),
        restarts: 0,
        last_exit: None,
        intent: Intent::Running,
        waiting_for: None,
        next_attempt_s: None,
        attempt: 0,
        enabled: true,
        reason: None,
    }
}

pub fn record(seq: u64, at: &str, text: &str) -> LogRecord {
    let entry =
        LogEntry::Line { stream: LogStream::Out, run: 1, text: text.to_owned(), cut: false };
    LogRecord { seq, at: at.to_owned(), entry }
}

/// Line `second`, written in that second of 1970.
pub fn line_at(second: u64, text: &str) -> LogRecord {
    let at = jiff::Timestamp::from_second(i64::try_from(second).expect("small")).expect("in range");
    record(second, &at.to_string(), text)
}
