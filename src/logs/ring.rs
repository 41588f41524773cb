//! The last lines of one component, in memory.
//!
//! ```text
//!   sealed ──► sealed ──► sealed ──► open        (oldest to newest)
//!   Arc<Segment>, shared with readers   Vec that grows with the output
//! ```
//!
//! A ring is a queue of byte segments. Appending copies the text behind a small header (whole lines
//! that came at once stand behind one, and are told apart by whoever reads them); when a
//! segment is full it is sealed, and when the ring is over its limit the oldest segment goes as
//! a whole, its lines counted as dropped. A reader takes the sealed segments by reference and
//! copies only the open one, so it holds the lock for a moment however much it reads. A
//! component that was never heard of owns no memory here.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;
use memchr::{memchr, memchr_iter, memrchr};

use super::line::{End, Line, Mark, Source, Stream};
use crate::model::RunId;

/// A segment is sealed when the next line does not fit.
const SEGMENT: usize = 32 << 10;

/// Length 2, kind and end 1 + 1, position within the segment 4, microseconds 8.
const HEADER: usize = 16;

/// In the place of how a line ends: these are lines, each with its newline.
const LINES: u8 = 3;

/// Before a remark: pid 4, run 8.
const PREFIX: usize = 12;

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
    /// Where the newest line ends.
    position: u64,
    /// The run that writes, 0: not known.
    run: u64,
}

#[derive(Debug, Clone)]
struct Segment {
    /// Sequence number of its first line.
    first: u64,
    /// Where its first line begins.
    position: u64,
    /// The run that wrote its first lines.
    run: u64,
    lines: u64,
    data: Vec<u8>,
}

/// What a reader takes out of the lock; decoding happens outside of it.
#[derive(Debug)]
pub(super) struct Snapshot {
    segments: Vec<Arc<Segment>>,
    /// The sequence number that the next line will get.
    next: u64,
    /// Where the next line begins.
    position: u64,
}

/// What a line of a ring is, in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Out,
    Err,
    Note,
    Started,
    /// As was asked for.
    Expected,
    Ended,
}

impl Ring {
    /// A ring of at most `limit` bytes (at least one segment is always kept).
    pub fn new(limit: usize) -> Self {
        let open = Segment { first: 1, position: 0, run: 0, lines: 0, data: Vec::new() };
        Self { limit, sealed: VecDeque::new(), open, bytes: 0, dropped: 0, position: 0, run: 0 }
    }

    /// The first line will begin at `position`; of no effect once there is one.
    pub fn begin_at(&mut self, position: u64) {
        if self.next() == 1 {
            self.position = position;
            self.open.position = position;
        }
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

    /// Where the newest line ends.
    pub fn end(&self) -> u64 {
        self.position
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.bytes
    }

    /// A line that ends at `position`.
    pub fn push(&mut self, at: Timestamp, position: u64, stream: Stream, text: &[u8], end: End) {
        self.append(at, position, (Kind::from(stream), end_code(end)), 1, &[], text);
    }

    /// Whole lines with their newlines, none longer than [`LINE_MAX`](super::line::LINE_MAX), that begin
    /// at `position`; how many they are. A flood passes here as it came, without a look at each line.
    pub fn push_lines(
        &mut self,
        at: Timestamp,
        mut position: u64,
        stream: Stream,
        mut text: &[u8],
    ) -> u64 {
        let code = (Kind::from(stream), LINES);
        let mut all = 0;
        while !text.is_empty() {
            let segment = SEGMENT.min(self.limit);
            let room = segment.saturating_sub(self.open.data.len() + HEADER);
            let fits = if text.len() <= room {
                Some(text.len())
            } else {
                memrchr(b'\n', &text[..room]).map(|newline| newline + 1)
            };
            let length = match fits {
                Some(length) => length,
                None if self.open.lines > 0 => {
                    self.seal();
                    continue;
                }
                None => memchr(b'\n', text).map_or(text.len(), |newline| newline + 1),
            };
            let (lines, rest) = text.split_at(length);
            let count = memchr_iter(b'\n', lines).count() as u64;
            position += length as u64;
            self.append(at, position, code, count, &[], lines);
            all += count;
            text = rest;
        }
        all
    }

    /// A remark of the Supervisor that ends at `position`.
    pub fn remark(
        &mut self,
        at: Timestamp,
        position: u64,
        run: Option<RunId>,
        mark: Mark,
        text: &str,
    ) {
        let number = run.map_or(0, |RunId(run)| run);
        let (kind, pid) = match mark {
            Mark::Note => (Kind::Note, 0),
            Mark::Started { pid } => (Kind::Started, pid),
            Mark::Ended { expected: true } => (Kind::Expected, 0),
            Mark::Ended { expected: false } => (Kind::Ended, 0),
        };
        let mut prefix = [0; PREFIX];
        prefix[..4].copy_from_slice(&pid.to_le_bytes());
        prefix[4..].copy_from_slice(&number.to_le_bytes());
        let code = (kind, end_code(End::Newline));
        self.append(at, position, code, 1, &prefix, text.as_bytes());
        if kind == Kind::Started {
            self.run = number;
        }
    }

    /// What a reader needs, taken quickly.
    pub fn snapshot(&self) -> Snapshot {
        let mut segments: Vec<_> = self.sealed.iter().cloned().collect();
        if self.open.lines > 0 {
            segments.push(Arc::new(self.open.clone()));
        }
        Snapshot { segments, next: self.next(), position: self.position }
    }

    fn append(
        &mut self,
        at: Timestamp,
        position: u64,
        (kind, end): (Kind, u8),
        lines: u64,
        prefix: &[u8],
        text: &[u8],
    ) {
        let size = HEADER + prefix.len() + text.len();
        let far = |from: u64| u32::try_from(position.saturating_sub(from));
        let full = self.open.data.len() + size > SEGMENT.min(self.limit);
        if self.open.lines > 0 && (full || far(self.open.position).is_err()) {
            self.seal();
        }
        let length = u16::try_from(prefix.len() + text.len()).expect("a line is cut long before");
        // Only a line of 4 GiB is further from its own beginning: it is said to end earlier.
        let offset = far(self.open.position).unwrap_or(u32::MAX);
        let data = &mut self.open.data;
        // In one piece: a busy component brings millions of these.
        let [l0, l1] = length.to_le_bytes();
        let [p0, p1, p2, p3] = offset.to_le_bytes();
        let [t0, t1, t2, t3, t4, t5, t6, t7] = at.as_microsecond().to_le_bytes();
        let header: [u8; HEADER] =
            [l0, l1, kind as u8, end, p0, p1, p2, p3, t0, t1, t2, t3, t4, t5, t6, t7];
        data.reserve(size);
        data.extend_from_slice(&header);
        if !prefix.is_empty() {
            data.extend_from_slice(prefix);
        }
        data.extend_from_slice(text);
        self.open.lines += lines;
        self.position = position;
        self.bytes += size;
        if self.bytes > self.limit {
            self.evict();
        }
    }

    fn seal(&mut self) {
        let (first, position, run) = (self.next(), self.position, self.run);
        let mut next = Segment { first, position, run, lines: 0, data: Vec::new() };
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

    /// Where the oldest line begins that is still here.
    pub fn begin(&self) -> u64 {
        self.segments.first().map_or(self.position, |segment| segment.position)
    }

    /// Where the newest line ends.
    pub fn end(&self) -> u64 {
        self.position
    }

    /// The usual length of a line, at least 1.
    pub fn line_length(&self) -> u64 {
        let first = self.segments.first().map_or(self.next, |segment| segment.first);
        let lines = (self.next - first).max(1);
        ((self.position - self.begin()) / lines).max(1)
    }

    /// The lines that end after `position`, oldest first.
    pub fn after(&self, position: u64) -> impl Iterator<Item = Line> + '_ {
        let later = self.segments.iter().skip(1).map(|segment| segment.position);
        let ends = later.chain([u64::MAX]);
        let wanted = self.segments.iter().zip(ends).filter(move |(_, end)| *end > position);
        wanted
            .flat_map(|(segment, _)| segment.decode())
            .filter(move |line| line.position > position)
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
    fn decode(&self) -> impl Iterator<Item = Line> + '_ {
        let mut data = self.data.as_slice();
        let mut sequence = self.first;
        let mut run = self.run;
        // Lines that stand behind one header, and where they end.
        let mut block: Option<(&[u8], Line)> = None;
        std::iter::from_fn(move || {
            if let Some((lines, last)) = &mut block {
                let line = first_of(lines, last, sequence);
                if lines.is_empty() {
                    block = None;
                }
                sequence += 1;
                return Some(line);
            }
            let (header, rest) = data.split_first_chunk::<HEADER>()?;
            let [l0, l1, kind, end, p0, p1, p2, p3, time @ ..] = *header;
            let (mut text, rest) = rest.split_at(usize::from(u16::from_le_bytes([l0, l1])));
            data = rest;
            let position = self.position + u64::from(u32::from_le_bytes([p0, p1, p2, p3]));
            let at = Timestamp::from_microsecond(i64::from_le_bytes(time)).unwrap_or_default();
            let kind = Kind::of(kind);
            let mut about = run;
            let mut pid = 0;
            if !matches!(kind, Kind::Out | Kind::Err)
                && let Some((prefix, remark)) = text.split_first_chunk::<PREFIX>()
            {
                let [p0, p1, p2, p3, number @ ..] = *prefix;
                pid = u32::from_le_bytes([p0, p1, p2, p3]);
                (about, text) = (u64::from_le_bytes(number), remark);
            }
            let (source, mark) = match kind {
                Kind::Out => (Source::Out, None),
                Kind::Err => (Source::Err, None),
                Kind::Note => (Source::Supervisor, Some(Mark::Note)),
                Kind::Started => {
                    run = about;
                    (Source::Supervisor, Some(Mark::Started { pid }))
                }
                Kind::Expected => (Source::Supervisor, Some(Mark::Ended { expected: true })),
                Kind::Ended => (Source::Supervisor, Some(Mark::Ended { expected: false })),
            };
            let run = Some(about).filter(|&run| run != 0).map(RunId);
            let line = if end == LINES {
                let (none, end) = (Vec::new(), End::Newline);
                let last = Line { sequence, position, at, source, run, mark, text: none, end };
                let mut rest = text;
                let first = first_of(&mut rest, &last, sequence);
                block = Some((rest, last)).filter(|(rest, _)| !rest.is_empty());
                first
            } else {
                let (text, end) = (text.to_vec(), end_of(end));
                Line { sequence, position, at, source, run, mark, text, end }
            };
            sequence += 1;
            Some(line)
        })
    }
}

/// The first of these lines, taken from them; the last ends where `last` does, and has no text.
fn first_of(lines: &mut &[u8], last: &Line, sequence: u64) -> Line {
    let newline = memchr(b'\n', lines).unwrap_or(lines.len());
    let (text, rest) = lines.split_at(newline);
    *lines = rest.get(1..).unwrap_or_default();
    let position = last.position - lines.len() as u64;
    Line { sequence, position, text: text.to_vec(), ..last.clone() }
}

impl Kind {
    fn of(code: u8) -> Self {
        let all = [Self::Out, Self::Err, Self::Note, Self::Started, Self::Expected, Self::Ended];
        all[usize::from(code).min(all.len() - 1)]
    }
}

impl From<Stream> for Kind {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Out => Self::Out,
            Stream::Err => Self::Err,
        }
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
            let text = format!("line {number}");
            ring.push(at(), 10 * number, Stream::Out, text.as_bytes(), End::Newline);
        }
        ring
    }

    fn texts(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    }

    #[test]
    fn what_went_in_comes_out() {
        let mut ring = Ring::new(1 << 20);
        ring.begin_at(1_000);
        let begun = Mark::Started { pid: 812 };
        ring.remark(at(), 1_001, Some(RunId(7)), begun, "run 7 started");
        ring.push(at(), 1_010, Stream::Err, b"\xff\x1b[31m", End::Cut);
        let snapshot = ring.snapshot();
        assert_eq!((snapshot.begin(), snapshot.end()), (1_000, 1_010));
        let lines = snapshot.tail(9);
        let remark = Line {
            sequence: 1,
            position: 1_001,
            at: at(),
            source: Source::Supervisor,
            run: Some(RunId(7)),
            mark: Some(begun),
            text: b"run 7 started".to_vec(),
            end: End::Newline,
        };
        let output = Line {
            sequence: 2,
            position: 1_010,
            source: Source::Err,
            mark: None,
            text: b"\xff\x1b[31m".to_vec(),
            end: End::Cut,
            ..remark.clone()
        };
        assert_eq!(lines, [remark, output]);
    }

    #[test]
    fn lines_that_came_at_once_are_as_if_each_had_come_alone() {
        for limit in [0, 100, 20_000, 100_000] {
            let (mut apart, mut together) = (Ring::new(limit), Ring::new(limit));
            let mut position = 0;
            for round in 0..200 {
                let mut text = String::new();
                let begin = position;
                for line in 0..round * 7 % 300 {
                    let words = "x".repeat(line * 31 % 400);
                    position += words.len() as u64 + 1;
                    apart.push(at(), position, Stream::Err, words.as_bytes(), End::Newline);
                    text += &(words + "\n");
                }
                let count = together.push_lines(at(), begin, Stream::Err, text.as_bytes());
                assert_eq!(count, text.lines().count() as u64);
                position += 1;
                for ring in [&mut apart, &mut together] {
                    ring.remark(at(), position, None, Mark::Note, "between");
                }
            }
            assert_eq!((apart.next(), apart.end()), (together.next(), together.end()));
            let [apart, together] = [apart, together].map(|ring| ring.snapshot().tail(usize::MAX));
            // Without a header for each line there is room for more of them.
            assert!(together.len() >= apart.len());
            assert_eq!(together[together.len() - apart.len()..], apart, "{limit}");
        }
    }

    #[test]
    fn a_place_in_the_output_is_found_again() {
        let ring = filled(100_000, 20_000);
        let snapshot = ring.snapshot();
        let oldest = snapshot.tail(usize::MAX)[0].sequence;
        assert_eq!(snapshot.begin(), 10 * (oldest - 1), "it begins where the last dropped ended");
        for after in [0, snapshot.begin(), 150_000, 150_003, 199_990, 200_000, 300_000] {
            let first = snapshot.after(after).next().map(|line| line.position);
            let expected = (after.max(snapshot.begin()) / 10 + 1) * 10;
            assert_eq!(first, (expected <= 200_000).then_some(expected), "{after}");
        }
        assert_eq!(snapshot.after(199_950).count(), 5);
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
        ring.push(at(), 200, Stream::Out, b"new", End::Newline);
        let third = ring.snapshot().since(5, 100);
        assert_eq!((texts(&third.lines), third.next, third.gap), (vec!["new".into()], 12, 6));
    }

    #[test]
    fn a_reader_does_not_change_under_a_writer() {
        let mut ring = filled(100_000, 10);
        let snapshot = ring.snapshot();
        for _ in 0..50_000 {
            let position = ring.position + 6;
            ring.push(at(), position, Stream::Out, b"later", End::Newline);
        }
        assert_eq!(texts(&snapshot.tail(1)), ["line 10"]);
    }

    #[test]
    fn a_silent_component_owns_no_memory() {
        let ring = Ring::new(256 << 10);
        assert_eq!((ring.open.data.capacity(), ring.sealed.capacity()), (0, 0));
    }
}
