//! Lines with their stamps, and what each of them is worth in the component's counters.

use std::ops::{Add, Sub};

use jiff::Timestamp;

use super::{
    clock::Calendar,
    line::{End, Piece, Stream},
};
use crate::registry::Timestamps;

/// What stands in the place of a stream's name before a line of the Supervisor.
pub(super) const COMPONENT_REMARK: &str = "supervisor";

/// As events in the trace log begin.
pub(super) const TRACE_REMARK: &str = "WARN  logs:";

/// Lines as they go to a stamped file, with what each of them is worth.
#[derive(Debug, Default)]
pub(super) struct Stamped {
    pub text: Vec<u8>,
    /// Ends of lines in `text`, and what all lines until there are worth.
    marks: Vec<(usize, Worth)>,
}

/// Bytes and newlines of the component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Worth {
    pub bytes: u64,
    pub lines: u64,
}

impl Stamped {
    pub fn add(
        &mut self,
        calendar: &mut Calendar,
        stamps: Timestamps,
        at: Timestamp,
        stream: Stream,
        piece: Piece<'_>,
    ) {
        let whole = piece.end == End::Newline;
        self.line(calendar, stamps, at, stream.name(), piece.text, whole);
        let bytes = piece.text.len() as u64 + u64::from(whole);
        self.mark(Worth { bytes, lines: u64::from(whole) });
    }

    /// A line of the Supervisor: worth nothing in the component's counters.
    pub fn remark(
        &mut self,
        calendar: &mut Calendar,
        stamps: Timestamps,
        at: Timestamp,
        source: &str,
        text: &str,
    ) {
        self.line(calendar, stamps, at, source, text.as_bytes(), true);
        self.mark(Worth::default());
    }

    pub fn add_as_is(&mut self, text: &[u8]) {
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            self.text.extend_from_slice(line);
            self.mark(Worth { bytes: line.len() as u64, lines: 1 });
        }
    }

    fn line(
        &mut self,
        calendar: &mut Calendar,
        stamps: Timestamps,
        at: Timestamp,
        source: &str,
        text: &[u8],
        whole: bool,
    ) {
        let out = &mut self.text;
        if stamps == Timestamps::Json {
            out.extend_from_slice(b"{\"time\":\"");
            calendar.stamp(at, out);
            out.extend_from_slice(b"\",\"stream\":\"");
            out.extend_from_slice(source.as_bytes());
            out.extend_from_slice(b"\",\"line\":");
            // Writing a string to a Vec cannot fail.
            let _ = serde_json::to_writer(&mut *out, &String::from_utf8_lossy(text));
            out.extend_from_slice(if whole { b"}\n" } else { b",\"partial\":true}\n" });
        } else {
            calendar.stamp(at, out);
            out.push(b' ');
            out.extend_from_slice(source.as_bytes());
            out.extend_from_slice(if whole { b" " } else { b"+ " });
            out.extend_from_slice(text);
            out.push(b'\n');
        }
    }

    /// The first so many bytes are in the file already.
    pub fn leave_out(&mut self, count: usize) {
        let count = count.min(self.text.len());
        if count > 0 {
            let before = self.worth(count);
            self.text.drain(..count);
            self.marks.retain(|(end, _)| *end > count);
            for (end, worth) in &mut self.marks {
                (*end, *worth) = (*end - count, *worth - before);
            }
        }
    }

    pub fn append(&mut self, other: &Self) {
        let (begin, before) = self.marks.last().copied().unwrap_or_default();
        self.text.extend_from_slice(&other.text);
        self.marks.extend(other.marks.iter().map(|(end, worth)| (begin + end, before + *worth)));
    }

    /// A line of this worth has been appended.
    fn mark(&mut self, worth: Worth) {
        let (_, before) = self.marks.last().copied().unwrap_or_default();
        self.marks.push((self.text.len(), before + worth));
    }

    /// What the lines are worth that are whole within the first `length` bytes.
    pub fn worth(&self, length: usize) -> Worth {
        let whole = self.marks.partition_point(|(end, _)| *end <= length);
        whole.checked_sub(1).map_or_else(Worth::default, |last| self.marks[last].1)
    }

    pub fn clear(&mut self) {
        self.text.clear();
        self.marks.clear();
        // A flood must not be paid for afterwards.
        self.text.shrink_to(128 << 10);
    }
}

impl Worth {
    pub fn of(bytes: &[u8]) -> Self {
        let lines = memchr::memchr_iter(b'\n', bytes).count();
        Self { bytes: bytes.len() as u64, lines: lines as u64 }
    }
}

impl Add for Worth {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, lines: self.lines + other.lines }
    }
}

impl Sub for Worth {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { bytes: self.bytes - other.bytes, lines: self.lines - other.lines }
    }
}
