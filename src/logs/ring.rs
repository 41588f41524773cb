//! The last lines of one component, in memory.
//!
//! ```text
//!   sealed ──► sealed ──► sealed ──► open        (oldest to newest)
//!   Arc<Segment>, shared with readers   Vec that grows with the output
//! ```
//!
//! A ring is a queue of byte segments. Appending copies the text behind a small header; when a
//! segment is full it is sealed, and when the ring is over its limit the oldest segment goes as
//! a whole, its lines counted as dropped. A reader takes the sealed segments by reference and
//! copies only the open one, so it holds the lock for a moment however much it reads. A
//! component that was never heard of owns no memory here.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;

use super::line::{End, Line, Source};
use crate::model::RunId;

/// A segment is sealed when the next line does not fit.
const SEGMENT: usize = 32 << 10;

/// Length 4, source and end 1 + 1, padding 2, microseconds 8.
const HEADER: usize = 16;

/// The lines with one part of the answer to "what came after line N".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub lines: Vec<Line>,
    /// Ask with this number next time.
    pub next: u64,
    /// Lines between what was asked for and `lines` that the ring no longer has.
    pub gap: u64,
}

#[derive(Debug)]
pub(super) struct Ring {
    limit: usize,
    sealed: VecDeque<Arc<Segment>>,
    open: Segment,
    /// Bytes of all segments, headers included.
    bytes: usize,
    dropped: u64,
}

#[derive(Debug, Clone)]
struct Segment {
    /// Sequence number of its first line.
    first: u64,
    lines: u64,
    data: Vec<u8>,
}

/// What a reader takes out of the lock; decoding happens outside of it.
#[derive(Debug)]
pub(super) struct Snapshot {
    segments: Vec<Arc<Segment>>,
    /// The sequence number that the next line will get.
    next: u64,
}

impl Ring {
    /// A ring of at most `limit` bytes (at least one segment is always kept).
    pub fn new(limit: usize) -> Self {
        let open = Segment { first: 1, lines: 0, data: Vec::new() };
        Self { limit, sealed: VecDeque::new(), open, bytes: 0, dropped: 0 }
    }

    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.evict();
    }

    /// Lines that had to go to make room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The sequence number that the next line will get.
    pub fn next(&self) -> u64 {
        self.open.first + self.open.lines
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, at: Timestamp, source: Source, text: &[u8], end: End) {
        self.append(at, source, end, &[], text);
    }

    /// A remark of the Supervisor.
    pub fn remark(&mut self, at: Timestamp, run: Option<RunId>, text: &str) {
        let run = run.map_or(0, |RunId(run)| run);
        self.append(at, Source::Supervisor, End::Newline, &run.to_le_bytes(), text.as_bytes());
    }

    /// What a reader needs, taken quickly.
    pub fn snapshot(&self) -> Snapshot {
        let mut segments: Vec<_> = self.sealed.iter().cloned().collect();
        if self.open.lines > 0 {
            segments.push(Arc::new(self.open.clone()));
        }
        Snapshot { segments, next: self.next() }
    }

    fn append(&mut self, at: Timestamp, source: Source, end: End, prefix: &[u8], text: &[u8]) {
        let size = HEADER + prefix.len() + text.len();
        if self.open.lines > 0 && self.open.data.len() + size > SEGMENT.min(self.limit) {
            self.seal();
        }
        let length = u32::try_from(prefix.len() + text.len()).expect("a line is cut long before");
        let data = &mut self.open.data;
        data.extend_from_slice(&length.to_le_bytes());
        data.extend_from_slice(&[source_code(source), end_code(end), 0, 0]);
        data.extend_from_slice(&at.as_microsecond().to_le_bytes());
        data.extend_from_slice(prefix);
        data.extend_from_slice(text);
        self.open.lines += 1;
        self.bytes += size;
        if self.bytes > self.limit {
            self.evict();
        }
    }

    fn seal(&mut self) {
        let mut next = Segment { first: self.next(), lines: 0, data: Vec::new() };
        // A busy component reuses the memory of the segment that is about to be dropped.
        if self.bytes + SEGMENT > self.limit
            && let Some(oldest) = self.sealed.pop_front()
        {
            self.forget(&oldest);
            if let Ok(mut oldest) = Arc::try_unwrap(oldest) {
                oldest.data.clear();
                next.data = oldest.data;
            }
        }
        let full = std::mem::replace(&mut self.open, next);
        self.sealed.push_back(Arc::new(full));
    }

    fn evict(&mut self) {
        while self.bytes > self.limit
            && let Some(oldest) = self.sealed.pop_front()
        {
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, segment: &Segment) {
        self.bytes -= segment.data.len();
        self.dropped += segment.lines;
    }
}

impl Snapshot {
    /// The last `count` lines, oldest first.
    pub fn tail(&self, count: usize) -> Vec<Line> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let first = self.next.saturating_sub(count);
        self.from(first, usize::MAX)
    }

    /// At most `max` lines from sequence number `first` on.
    pub fn since(&self, first: u64, max: usize) -> Batch {
        let lines = self.from(first, max);
        let oldest = self.segments.first().map_or(self.next, |segment| segment.first);
        let next = lines.last().map_or(self.next, |line| line.sequence + 1);
        // A number from the future (of an earlier life of the Supervisor) starts at the present.
        let gap = oldest.saturating_sub(first.max(1));
        Batch { lines, next, gap }
    }

    fn from(&self, first: u64, max: usize) -> Vec<Line> {
        let wanted = self.segments.iter().filter(|segment| segment.first + segment.lines > first);
        wanted
            .flat_map(|segment| segment.decode())
            .filter(|line| line.sequence >= first)
            .take(max)
            .collect()
    }
}

impl Segment {
    fn decode(&self) -> impl Iterator<Item = Line> {
        let mut data = self.data.as_slice();
        let mut sequence = self.first;
        std::iter::from_fn(move || {
            let (header, rest) = data.split_first_chunk::<HEADER>()?;
            let [l0, l1, l2, l3, source, end, _, _, time @ ..] = *header;
            let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            let (mut text, rest) = rest.split_at(length);
            data = rest;
            let source = source_of(source);
            let mut run = None;
            if source == Source::Supervisor
                && let Some((number, remark)) = text.split_first_chunk()
            {
                run = Some(u64::from_le_bytes(*number)).filter(|&run| run != 0).map(RunId);
                text = remark;
            }
            let at = Timestamp::from_microsecond(i64::from_le_bytes(time)).unwrap_or_default();
            let line = Line { sequence, at, source, run, text: text.to_vec(), end: end_of(end) };
            sequence += 1;
            Some(line)
        })
    }
}

fn source_code(source: Source) -> u8 {
    match source {
        Source::Out => 0,
        Source::Err => 1,
        Source::Supervisor => 2,
    }
}

fn source_of(code: u8) -> Source {
    match code {
        0 => Source::Out,
        1 => Source::Err,
        _ => Source::Supervisor,
    }
}

fn end_code(end: End) -> u8 {
    match end {
        End::Newline => 0,
        End::Open => 1,
        End::Cut => 2,
    }
}

fn end_of(code: u8) -> End {
    match code {
        0 => End::Newline,
        1 => End::Open,
        _ => End::Cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        Timestamp::from_microsecond(1_795_000_000_123_456).expect("a time of this century")
    }

    fn filled(limit: usize, lines: u64) -> Ring {
        let mut ring = Ring::new(limit);
        for number in 1..=lines {
            ring.push(at(), Source::Out, format!("line {number}").as_bytes(), End::Newline);
        }
        ring
    }

    fn texts(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    }

    #[test]
    fn what_went_in_comes_out() {
        let mut ring = Ring::new(1 << 20);
        ring.remark(at(), Some(RunId(7)), "run 7 started");
        ring.push(at(), Source::Err, b"\xff\x1b[31m", End::Cut);
        let lines = ring.snapshot().tail(9);
        let remark = Line {
            sequence: 1,
            at: at(),
            source: Source::Supervisor,
            run: Some(RunId(7)),
            text: b"run 7 started".to_vec(),
            end: End::Newline,
        };
        let output = Line {
            sequence: 2,
            source: Source::Err,
            run: None,
            text: b"\xff\x1b[31m".to_vec(),
            end: End::Cut,
            ..remark.clone()
        };
        assert_eq!(lines, [remark, output]);
    }

    #[test]
    fn the_oldest_go_and_are_counted_and_the_bound_holds() {
        let ring = filled(100_000, 50_000);
        assert!(ring.bytes() <= 100_000);
        let lines = ring.snapshot().tail(usize::MAX);
        assert_eq!(lines.len() as u64 + ring.dropped(), 50_000);
        assert_eq!(texts(&lines[lines.len() - 1..]), ["line 50000"]);
        let held = ring.sealed.iter().map(|segment| segment.data.capacity()).sum::<usize>();
        assert!(held + ring.open.data.capacity() <= 200_000, "{held}");
    }

    #[test]
    fn tail_gives_the_last_lines_in_order() {
        let ring = filled(1 << 20, 5_000);
        assert_eq!(texts(&ring.snapshot().tail(2)), ["line 4999", "line 5000"]);
        assert_eq!(ring.snapshot().tail(0), []);
    }

    #[test]
    fn a_follower_gets_each_line_once_and_learns_of_gaps() {
        let mut ring = filled(1 << 20, 10);
        let first = ring.snapshot().since(1, 4);
        assert_eq!((texts(&first.lines).len(), first.next, first.gap), (4, 5, 0));
        let second = ring.snapshot().since(first.next, 100);
        assert_eq!((second.lines.len(), second.next, second.gap), (6, 11, 0));
        assert_eq!(ring.snapshot().since(11, 100), Batch { lines: vec![], next: 11, gap: 0 });
        ring.set_limit(0);
        ring.push(at(), Source::Out, b"new", End::Newline);
        let third = ring.snapshot().since(5, 100);
        assert_eq!((texts(&third.lines), third.next, third.gap), (vec!["new".into()], 12, 6));
    }

    #[test]
    fn a_reader_does_not_change_under_a_writer() {
        let mut ring = filled(100_000, 10);
        let snapshot = ring.snapshot();
        for _ in 0..50_000 {
            ring.push(at(), Source::Out, b"later", End::Newline);
        }
        assert_eq!(texts(&snapshot.tail(1)), ["line 10"]);
    }

    #[test]
    fn a_silent_component_owns_no_memory() {
        let ring = Ring::new(256 << 10);
        assert_eq!((ring.open.data.capacity(), ring.sealed.capacity()), (0, 0));
    }
}
