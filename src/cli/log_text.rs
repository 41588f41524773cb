//! Entries of logs as an operator reads them.
//!
//! On a terminal starts and ends of runs stand among the lines, and each component has a colour.
//! What goes into a pipe or a file is output alone, so that it can be counted and compared; what
//! is missing is then told on standard error. Nothing that a component wrote can drive the
//! terminal; its colours (SGR) pass where colours are wanted.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::{
    Context,
    ui::{self, Tone, Ui, paint},
    verbs::logs::Arguments,
};
use crate::{
    console::sanitize,
    wire::{LogEntry, LogRecord, LogStream},
};

/// Codes of the colours that tell components apart; red and yellow mean something else.
const COLOURS: [&str; 6] = ["36", "35", "34", "32", "96", "95"];

/// Written together.
const BLOCK: usize = 64 << 10;

/// Writes entries to standard output.
pub struct Writer<'a> {
    ui: &'a Ui,
    json: bool,
    stamps: Option<TimeZone>,
    /// Width of the column of ids; `None` where only one component is shown.
    column: Option<usize>,
    /// Starts and ends are shown.
    marks: bool,
    text: String,
}

#[derive(Serialize)]
struct Tagged<'a> {
    id: &'a str,
    #[serde(flatten)]
    record: &'a LogRecord,
}

impl<'a> Writer<'a> {
    pub fn new(context: &'a Context, arguments: &Arguments) -> Self {
        let widest = arguments.ids.iter().map(String::len).max().unwrap_or(0);
        Self {
            ui: &context.ui,
            json: arguments.json,
            stamps: arguments.timestamps.then(TimeZone::system),
            column: (arguments.ids.len() != 1).then_some(widest),
            marks: context.ui.out.terminal,
            text: String::new(),
        }
    }

    pub fn add(&mut self, id: &str, record: &LogRecord) {
        if self.json {
            if let Ok(line) = serde_json::to_string(&Tagged { id, record }) {
                self.text.push_str(&line);
                self.text.push('\n');
            }
        } else {
            self.line(id, record);
        }
        if self.text.len() > BLOCK {
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        if !self.text.is_empty() {
            self.ui.print(&self.text);
            self.text.clear();
        }
    }

    fn line(&mut self, id: &str, record: &LogRecord) {
        let colour = self.ui.out.colour;
        let (text, tone) = match &record.entry {
            LogEntry::Line { stream, text, cut, .. } => {
                let mut text = shown(text, colour);
                if *cut {
                    text.push('…');
                }
                // Only where it can be told from output at a glance.
                let err = *stream == LogStream::Err && colour;
                (text, if err { Tone::Busy } else { Tone::Plain })
            }
            LogEntry::Start { run, pid } if self.marks => {
                (format!("── run {run} started, pid {pid} ──"), Tone::Dim)
            }
            LogEntry::Exit { run, text, expected } if self.marks => {
                let asked = if *expected { ", as asked" } else { "" };
                let tone = if *expected { Tone::Dim } else { Tone::Bad };
                (format!("── run {run} ended: {}{asked} ──", ui::clean(text)), tone)
            }
            LogEntry::Dropped { lines } if self.marks => {
                (format!("── {lines} lines are missing here ──"), Tone::Bad)
            }
            LogEntry::Dropped { lines } => {
                self.flush();
                self.ui.note(format_args!("{id}: {lines} lines are missing here"));
                return;
            }
            LogEntry::Start { .. } | LogEntry::Exit { .. } => return,
        };
        if let Some(zone) = &self.stamps {
            let at = record.at.parse::<Timestamp>().map(|at| at.to_zoned_datetime(zone.clone()));
            let stamp = at.map_or_else(
                |_| record.at.clone(),
                |at| at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
            );
            self.text.push_str(&paint(Tone::Dim, &stamp, colour));
            self.text.push(' ');
        }
        if let Some(column) = &mut self.column {
            *column = id.len().max(*column);
            let padded = format!("{:column$}", ui::clean(id), column = *column);
            if colour {
                let code = COLOURS[crc32fast::hash(id.as_bytes()) as usize % COLOURS.len()];
                let _ = write!(self.text, "\x1b[{code}m{padded} │\x1b[0m ");
            } else {
                let _ = write!(self.text, "{padded} | ");
            }
        }
        self.text.push_str(&paint(tone, &text, colour));
        if colour && text.contains('\x1b') {
            // Whatever the component left switched on ends with its line.
            self.text.push_str("\x1b[0m");
        }
        self.text.push('\n');
    }
}

/// Harmless text; with the component's own colours where colours are wanted.
fn shown(text: &str, colour: bool) -> String {
    // The console cuts where a screen ends; a line of a file is shown as a whole.
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(sanitize::MAX_LINE_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, later) = rest.split_at(end);
        shown.push_str(&if colour { sanitize::line(part) } else { sanitize::plain(part) });
        rest = later;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(entry: LogEntry) -> LogRecord {
        LogRecord { seq: 1, at: "2026-11-22T13:03:07.123Z".to_owned(), entry }
    }

    fn line(text: &str, stream: LogStream) -> LogRecord {
        record(LogEntry::Line { stream, run: 1, text: text.to_owned(), cut: false })
    }

    fn written(ui: &Ui, column: Option<usize>, records: &[(&str, LogRecord)]) -> String {
        let marks = ui.out.terminal;
        let stamps = Some(TimeZone::UTC).filter(|_| !marks);
        let mut writer = Writer { ui, json: false, stamps, column, marks, text: String::new() };
        for (id, record) in records {
            writer.add(id, record);
        }
        std::mem::take(&mut writer.text)
    }

    fn entries() -> Vec<(&'static str, LogRecord)> {
        vec![
            ("ps", record(LogEntry::Start { run: 7, pid: 812 })),
            ("ps", line("GET /\x1b]0;owned\x07 200", LogStream::Out)),
            ("platform", line("\x1b[31mred\x1b[2J", LogStream::Out)),
            ("ps", line("oops", LogStream::Err)),
            ("ps", record(LogEntry::Exit { run: 7, text: "SIGSEGV".to_owned(), expected: false })),
        ]
    }

    #[test]
    fn a_file_gets_the_output_alone() {
        let ui = Ui::of(false, false);
        assert_eq!(
            written(&ui, Some(8), &entries()),
            "2026-11-22 13:03:07.123 ps       | GET / 200\n\
             2026-11-22 13:03:07.123 platform | red\n\
             2026-11-22 13:03:07.123 ps       | oops\n"
        );
    }

    #[test]
    fn a_terminal_shows_runs_and_is_driven_by_nobody() {
        let ui = Ui::of(true, true);
        let text = written(&ui, None, &entries());
        assert!(text.contains("run 7 started, pid 812"), "{text:?}");
        assert!(text.contains("\x1b[1;31m── run 7 ended: SIGSEGV ──\x1b[0m"), "{text:?}");
        assert!(text.contains("\x1b[31mred"), "{text:?}");
        assert!(!text.contains("\x1b]") && !text.contains("\x1b[2J"), "{text:?}");
    }

    #[test]
    fn a_long_line_is_shown_as_a_whole() {
        let long = "ä".repeat(9_000);
        assert_eq!(shown(&long, false), long);
    }
}
