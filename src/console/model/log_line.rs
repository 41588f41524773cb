//! One line of a log as the console keeps it.

use crate::{
    console::sanitize,
    wire::{LogEntry, LogRecord, LogStream},
};

/// Identity and order of a line: by time, then by component, then by number. It never changes,
/// whatever is inserted or dropped around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Index among the components of the view.
    pub source: u16,
    pub seq: u64,
}

#[derive(Debug, Clone)]
pub struct LogLine {
    pub id: LineId,
    pub kind: LineKind,
    /// Harmless; SGR sequences are kept.
    pub text: String,
    /// It reads like an error, or ends a run by itself.
    pub error: bool,
    /// It matches what the view keeps.
    pub kept: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    Out,
    Err,
    /// A start or an end of a run.
    Marker,
    /// Lines are missing here.
    Lost,
}

impl LogLine {
    pub fn new(source: u16, record: &LogRecord) -> Self {
        let at = record.at.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond);
        let id = LineId { at, source, seq: record.seq };
        let (kind, text, error) = match &record.entry {
            LogEntry::Line { stream, text, cut, .. } => {
                let mut clean = sanitize::line(text);
                if *cut && !clean.ends_with('…') {
                    clean.push('…');
                }
                let error = reads_like_error(&clean);
                let kind = match stream {
                    LogStream::Out => LineKind::Out,
                    LogStream::Err => LineKind::Err,
                };
                (kind, clean, error)
            }
            LogEntry::Start { run, pid } => {
                (LineKind::Marker, format!("run {run} started, pid {pid}"), false)
            }
            LogEntry::Exit { text, expected, .. } => {
                (LineKind::Marker, sanitize::plain(text), !expected)
            }
            LogEntry::Dropped { lines } => (LineKind::Lost, lost(*lines), false),
        };
        Self { id, kind, text, error, kept: true }
    }

    /// Without colours, to search and to save.
    pub fn plain(&self) -> String {
        sanitize::strip(&self.text)
    }

    /// What it costs to keep, in bytes.
    pub fn cost(&self) -> usize {
        self.text.capacity() + size_of::<Self>()
    }
}

fn lost(lines: u64) -> String {
    if lines == 1 { "1 line dropped".to_owned() } else { format!("{lines} lines dropped") }
}

/// The words that loggers of all kinds begin a bad line with.
fn reads_like_error(text: &str) -> bool {
    const WORDS: [&str; 10] = [
        "ERROR",
        "FATAL",
        "SEVERE",
        "CRITICAL",
        "PANIC",
        "panicked at",
        "Exception",
        "Traceback",
        "error:",
        "Error:",
    ];
    WORDS.iter().any(|word| text.contains(word))
}
