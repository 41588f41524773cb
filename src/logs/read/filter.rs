//! What of a log is wanted, and how it is told.

use jiff::{SignedDuration, Timestamp};
use regex::bytes::Regex;

use super::super::line::{End, Line, Mark, Source, Stream};
use crate::{
    model::RunId,
    wire::{self, LogEntry, LogRecord, LogStream},
};

/// What of a log is wanted. Conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Until this time.
    pub until: Option<Timestamp>,
    /// Only lines that match.
    pub grep: Option<Regex>,
    /// Only lines of this stream.
    pub stream: Option<Stream>,
    /// Only what comes after this record.
    pub after: Option<u64>,
    /// Of all that, the newest so many lines, with the starts and ends among them.
    pub tail: Option<u64>,
}

/// A record with its time in full.
pub(super) type Timed = (Timestamp, LogRecord);

/// One record before anybody decided that it is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// Where it ends: its number.
    pub position: u64,
    pub at: Timestamp,
    pub what: What<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What<'a> {
    /// `slack`: how much later than `at` it may have been written.
    Line {
        stream: Stream,
        run: u64,
        text: &'a [u8],
        cut: bool,
        slack: SignedDuration,
    },
    Start {
        run: u64,
        pid: u32,
    },
    Exit {
        run: u64,
        text: &'a str,
        expected: bool,
    },
    Dropped {
        lines: u64,
    },
}

impl Query {
    /// The record, if it is wanted. Of starts and ends nothing is said to whoever searches.
    pub(super) fn take(&self, seen: &Seen<'_>) -> Option<Timed> {
        self.wants(seen).then(|| (seen.at, record(seen)))
    }

    /// Whether it is one of those that `tail` counts.
    pub(super) fn counts(&self, seen: &Seen<'_>) -> bool {
        matches!(seen.what, What::Line { .. }) && self.wants(seen)
    }

    pub(super) fn wants(&self, seen: &Seen<'_>) -> bool {
        let latest = match seen.what {
            What::Line { slack, .. } => seen.at.saturating_add(slack),
            _ => Ok(seen.at),
        };
        if self.since.is_some_and(|since| latest.is_ok_and(|latest| latest < since))
            || self.until.is_some_and(|until| seen.at > until)
        {
            return false;
        }
        match seen.what {
            What::Line { stream, text, .. } => {
                self.stream.is_none_or(|wanted| wanted == stream)
                    && self.grep.as_ref().is_none_or(|grep| grep.is_match(text))
            }
            What::Start { .. } | What::Exit { .. } => self.grep.is_none(),
            What::Dropped { .. } => true,
        }
    }
}

impl<'a> Seen<'a> {
    /// Bytes of its record, about.
    pub fn size(&self) -> usize {
        match self.what {
            What::Line { text, .. } => text.len() + 128,
            _ => 128,
        }
    }

    /// A line of a ring; `None` for remarks that are about the storing alone.
    pub fn of(line: &'a Line) -> Option<Self> {
        let run = line.run.map_or(0, |RunId(run)| run);
        let output = |stream| What::Line {
            stream,
            run,
            text: &line.text,
            cut: line.end == End::Cut,
            slack: SignedDuration::ZERO,
        };
        let what = match (line.source, line.mark) {
            (Source::Out, _) => output(Stream::Out),
            (Source::Err, _) => output(Stream::Err),
            (Source::Supervisor, Some(Mark::Started { pid })) => What::Start { run, pid },
            (Source::Supervisor, Some(Mark::Ended { expected })) => {
                What::Exit { run, text: exit_text(&line.text), expected }
            }
            (Source::Supervisor, Some(Mark::Note) | None) => return None,
        };
        Some(Self { position: line.position, at: line.at, what })
    }
}

/// `run 7 ended: exit 3, as asked` in a ring is `exit 3` here: the rest stands beside it.
fn exit_text(remark: &[u8]) -> &str {
    let text = std::str::from_utf8(remark).unwrap_or_default();
    let text = text.split_once("ended: ").map_or(text, |(_, text)| text);
    text.strip_suffix(", as asked").unwrap_or(text)
}

fn record(seen: &Seen<'_>) -> LogRecord {
    let entry = match seen.what {
        What::Line { stream, run, text, cut, .. } => LogEntry::Line {
            stream: match stream {
                Stream::Out => LogStream::Out,
                Stream::Err => LogStream::Err,
            },
            run,
            text: String::from_utf8_lossy(text).into_owned(),
            cut,
        },
        What::Start { run, pid } => LogEntry::Start { run, pid },
        What::Exit { run, text, expected } => {
            LogEntry::Exit { run, text: text.to_owned(), expected }
        }
        What::Dropped { lines } => LogEntry::Dropped { lines },
    };
    LogRecord { seq: seen.position, at: wire::time::format(seen.at), entry }
}
