//! The Supervisor's own trace log for a client: what memory holds of it, then what comes.
//!
//! Pulled as [`log_feed`](super::log_feed) is. What is older stands in the files, which whoever
//! may use the socket can read by himself.

use std::{sync::OnceLock, time::Duration};

use tokio::sync::watch;

use super::clock;
use crate::{
    logs::{Line, Logs, Source},
    wire::{self, TraceLevel, TraceRecord},
};

/// Lines of a piece: copied while the engine waits, so they are few.
const PIECE: usize = 500;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The shortest time between two looks at what comes.
const PACE: Duration = Duration::from_millis(100);

/// Which events of the trace log.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceRequest {
    /// Only what comes after this event.
    pub after: Option<u64>,
    /// Of that the newest so many.
    pub tail: Option<u64>,
    /// Go on with what comes.
    pub follow: bool,
}

/// The answer to a [`TraceRequest`]: NDJSON.
pub struct TraceFeed {
    logs: Logs,
    /// Sequence number of the next line, as the ring counts.
    next: u64,
    begun: bool,
    follow: bool,
    changes: watch::Receiver<u64>,
}

impl TraceFeed {
    pub(super) fn new(logs: Logs, request: TraceRequest) -> Self {
        // Before anything is read, so that nothing falls between past and present.
        let changes = logs.changes();
        let after = request.after.map_or(0, |after| after.saturating_sub(base()));
        let end = logs.supervisor_since(u64::MAX, 0).next;
        // Numbers that this process has not reached are of a clock that was set back: everything.
        let after = if after < end { after } else { 0 };
        let tail = request.tail.map_or(0, |tail| end.saturating_sub(tail));
        let next = (after + 1).max(tail);
        Self { logs, next, begun: false, follow: request.follow, changes }
    }

    /// The next piece: whole lines, or an empty one as a sign of life; `None` at the end, which
    /// comes when everything was read, or when `closing` is ready and what was there is read.
    pub async fn next(&mut self, closing: impl Future<Output = ()>) -> Option<Vec<u8>> {
        tokio::pin!(closing);
        let keep_alive = tokio::time::sleep(KEEP_ALIVE);
        tokio::pin!(keep_alive);
        loop {
            self.changes.borrow_and_update();
            if let Some(piece) = self.read() {
                return Some(piece);
            }
            if !self.follow {
                return None;
            }
            tokio::select! {
                // The log is held here: its end does not come before ours.
                _changed = self.changes.changed() => tokio::time::sleep(PACE).await,
                () = &mut closing => {
                    self.follow = false;
                }
                () = &mut keep_alive => return Some(b"\n".to_vec()),
            }
        }
    }

    fn read(&mut self) -> Option<Vec<u8>> {
        let batch = self.logs.supervisor_since(self.next, PIECE);
        let mut text = Vec::new();
        let mut tell = |record: &TraceRecord| {
            // Writing plain data to memory cannot fail.
            let _ = serde_json::to_writer(&mut text, record);
            text.push(b'\n');
        };
        if std::mem::replace(&mut self.begun, true) && batch.gap > 0 {
            tell(&TraceRecord {
                seq: base() + self.next,
                at: wire::time::format(
                    batch.lines.first().map_or_else(Default::default, |line| line.at),
                ),
                level: TraceLevel::Warn,
                target: "logs".to_owned(),
                text: format!(
                    "{} events came faster than they were read; the file has them",
                    batch.gap
                ),
            });
        }
        self.next = batch.next;
        batch.lines.iter().for_each(|line| tell(&record(line)));
        (!text.is_empty()).then_some(text)
    }
}

impl std::fmt::Debug for TraceFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceFeed").field("next", &self.next).finish_non_exhaustive()
    }
}

/// What the numbers of this process are counted from.
fn base() -> u64 {
    static BASE: OnceLock<u64> = OnceLock::new();
    *BASE.get_or_init(clock::number_base)
}

/// `2026-11-22T14:03:07.123+01:00 WARN  process: killed what was left pids=3`, taken apart.
fn record(line: &Line) -> TraceRecord {
    let seq = base() + line.sequence;
    let text = String::from_utf8_lossy(&line.text);
    let told = |level, target: &str, text: &str, at| TraceRecord {
        seq,
        at: wire::time::format(at),
        level,
        target: target.to_owned(),
        text: text.to_owned(),
    };
    let parts = || {
        let (stamp, rest) = text.split_once(' ')?;
        let at = stamp.parse().ok()?;
        let (level, rest) = rest.split_at_checked(5)?;
        let level = match level {
            "ERROR" => TraceLevel::Error,
            "WARN " => TraceLevel::Warn,
            "INFO " => TraceLevel::Info,
            "DEBUG" => TraceLevel::Debug,
            "TRACE" => TraceLevel::Trace,
            _ => return None,
        };
        let (target, text) = rest.trim_start().split_once(':')?;
        Some(told(level, target, text.trim_start(), at))
    };
    match line.source {
        // The log's own word that it lost some.
        Source::Supervisor => told(TraceLevel::Warn, "logs", &text, line.at),
        Source::Out | Source::Err => {
            // A line that was longer than a ring keeps goes on in the next.
            parts().unwrap_or_else(|| told(TraceLevel::Info, "…", &text, line.at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(source: Source, text: &str) -> TraceRecord {
        let at = "2026-11-22T13:05:00Z".parse().expect("a time");
        record(&Line {
            sequence: 7,
            position: 700,
            at,
            source,
            run: None,
            mark: None,
            text: text.into(),
            end: crate::logs::End::Newline,
        })
    }

    #[test]
    fn a_line_is_taken_apart_into_what_it_was_made_of() {
        let told = line(
            Source::Out,
            "2026-11-22T14:03:07.123+01:00 WARN  process: killed: what was left pids=3",
        );
        assert_eq!((told.at.as_str(), told.level), ("2026-11-22T13:03:07.123Z", TraceLevel::Warn));
        assert_eq!((&*told.target, &*told.text), ("process", "killed: what was left pids=3"));
        assert_eq!(told.seq, base() + 7);
        let rest = line(Source::Out, "the rest of a long one");
        assert_eq!((rest.level, &*rest.text), (TraceLevel::Info, "the rest of a long one"));
        let lost = line(Source::Supervisor, "12 events were dropped: too many at once");
        assert_eq!((lost.level, lost.at.as_str()), (TraceLevel::Warn, "2026-11-22T13:05:00.000Z"));
    }
}
