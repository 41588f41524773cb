//! For any bytes: the file of events.

use std::fs;

use super::{EventLog, Query, Written, read};
use crate::wire::{EventKind, EventRecord};

/// Numbers only grow, also over what was found; and a new event is found again behind it.
pub(crate) fn log(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("Supervisor.log");
    fs::write(folder.path().join("Supervisor-events.jsonl"), bytes).expect("written");
    let (log, error) = EventLog::open(&base);
    assert!(error.is_none(), "{error:?}");
    let all = || {
        let mut numbers = Vec::new();
        read(&log, &Query::default(), |event| {
            numbers.push(event.seq);
            true
        })
        .expect("readable");
        numbers
    };
    assert!(all().is_sorted_by(|a, b| a < b));
    let event = log.append(EventRecord {
        seq: 0,
        at: "2026-11-22T12:00:00.000Z".to_owned(),
        component: None,
        run: None,
        kind: EventKind::Command,
        text: "a new one".to_owned(),
        origin: None,
    });
    let last = all();
    assert!(last.is_sorted_by(|a, b| a < b));
    assert_eq!(last.last(), Some(&event.seq), "before it is written");
    assert!(matches!(log.write(), Written::All));
    assert_eq!(all(), last, "and behind");
}
