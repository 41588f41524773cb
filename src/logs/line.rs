//! What a line is, and how chunks of bytes become lines.
//!
//! A chunk that was read from a pipe begins and ends anywhere. [`Lines`] gives out every line as
//! soon as it is whole, borrowed from the chunk where possible; only the rest after the last
//! newline is copied. Nothing grows without bound: a line longer than [`LINE_MAX`] is given out
//! in pieces.

use std::ops::Range;

use jiff::Timestamp;
use memchr::{memchr, memrchr};

use crate::model::RunId;

/// The longest piece of a line that is kept in memory, in bytes.
pub const LINE_MAX: usize = 16 << 10;

/// One of the two streams of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Out,
    Err,
}

/// Where a line of a ring comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    Out,
    Err,
    /// The Supervisor's own remark: a run started or ended, output was not stored.
    Supervisor,
}

/// A line as a reader of a ring gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Grows by one with each line of this component, from 1, over the life of the Supervisor.
    pub sequence: u64,
    /// Where it ends in everything that the component ever wrote; see `daily.rs`.
    pub position: u64,
    /// When it was read from the pipe.
    pub at: Timestamp,
    pub source: Source,
    /// The run that wrote it, or that a remark is about, as far as it is known.
    pub run: Option<RunId>,
    /// What a remark remarks; `None` for output.
    pub mark: Option<Mark>,
    /// Without its newline; any bytes, escape sequences included: to be made harmless before it
    /// is shown on a terminal.
    pub text: Vec<u8>,
    /// Why the text ends where it does.
    pub end: End,
}

/// What the Supervisor remarks among a component's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    Started {
        pid: u32,
    },
    Ended {
        expected: bool,
    },
    /// Of the storing; nothing happened to the component.
    Note,
}

/// Why a piece of a line ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// At its newline.
    Newline,
    /// No newline came for a while, or the run ended: the next line of this stream may continue
    /// it.
    Open,
    /// At [`LINE_MAX`]. A ring leaves out the rest of such a line; the file has it.
    Cut,
}

/// A piece of a line, as [`Lines`] gives it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Without its newline.
    pub text: &'a [u8],
    pub end: End,
    /// An earlier piece of the same line was cut at [`LINE_MAX`].
    pub after_cut: bool,
    /// Bytes of the chunk until here, the newline included.
    pub upto: usize,
}

/// Makes lines of chunks, for one stream.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose newline has not come; less than [`LINE_MAX`].
    rest: Vec<u8>,
    /// A piece of the current line was cut.
    cut: bool,
}

impl Stream {
    pub const BOTH: [Self; 2] = [Self::Out, Self::Err];

    /// `out` or `err`, as files and `--stream` name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Out => Self::Err,
            Self::Err => Self::Out,
        }
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::Out => 0,
            Self::Err => 1,
        }
    }
}

impl From<Stream> for Source {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Out => Self::Out,
            Stream::Err => Self::Err,
        }
    }
}

impl Lines {
    /// Whether a line is begun whose newline has not come.
    pub fn is_open(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The begun line, and whether a piece of it was cut before.
    pub fn open(&self) -> (&[u8], bool) {
        (&self.rest, self.cut)
    }

    /// Takes the begun line away, and whether a piece of it was cut before.
    pub fn take_open(&mut self) -> Option<(Vec<u8>, bool)> {
        (!self.rest.is_empty()).then(|| (std::mem::take(&mut self.rest), self.cut))
    }

    /// Goes on with a line that was begun elsewhere.
    pub fn put_open(&mut self, text: Vec<u8>, cut: bool) {
        (self.rest, self.cut) = (text, cut);
    }

    /// Gives out every piece that `chunk` completes; returns the number of newlines in it.
    pub fn push(&mut self, chunk: &[u8], mut emit: impl FnMut(Piece<'_>)) -> u64 {
        let mut newlines = 0;
        let mut begin = 0;
        while let Some(length) = memchr(b'\n', &chunk[begin..]) {
            newlines += 1;
            let end = begin + length;
            if self.rest.is_empty() {
                self.whole(&chunk[..end], begin, &mut emit);
            } else {
                let text = self.complete(&chunk[..end], begin, &mut emit);
                let after_cut = self.cut;
                emit(Piece { text: &text, end: End::Newline, after_cut, upto: end + 1 });
                self.give_back(text);
            }
            self.cut = false;
            begin = end + 1;
        }
        if begin < chunk.len() {
            self.rest = self.complete(chunk, begin, &mut emit);
        }
        newlines
    }

    /// Where in `chunk` lines begin and end that are whole and not to be cut, without the end of the
    /// begun one. Empty where that cannot be said without a look at each.
    pub fn whole_lines(&self, chunk: &[u8]) -> Range<usize> {
        let is_begun = self.cut || !self.rest.is_empty();
        let first =
            if is_begun { memchr(b'\n', chunk).map(|newline| newline + 1) } else { Some(0) };
        let end = memrchr(b'\n', chunk).map(|newline| newline + 1);
        let Some((begin, end)) = first.zip(end) else { return 0..0 };
        // From one newline to the last that a line which begins there may have.
        let mut at = begin;
        while end - at > LINE_MAX {
            match memrchr(b'\n', &chunk[at..=at + LINE_MAX]) {
                Some(newline) => at += newline + 1,
                None => return 0..0,
            }
        }
        begin..end
    }

    /// Gives out the begun line as it is.
    pub fn flush(&mut self, emit: impl FnOnce(Piece<'_>)) {
        if self.rest.is_empty() {
            return;
        }
        // Taken, not cleared: a silent stream keeps no buffer.
        let text = std::mem::take(&mut self.rest);
        emit(Piece { text: &text, end: End::Open, after_cut: self.cut, upto: 0 });
    }

    /// The run has ended: what comes next is a new line.
    pub fn finish(&mut self, emit: impl FnOnce(Piece<'_>)) {
        self.flush(emit);
        self.cut = false;
    }

    /// A line that stands in the chunk as a whole, from `begin` to its end.
    fn whole(&mut self, chunk: &[u8], mut begin: usize, emit: &mut impl FnMut(Piece<'_>)) {
        while chunk.len() - begin > LINE_MAX {
            let upto = begin + LINE_MAX;
            let text = &chunk[begin..upto];
            emit(Piece { text, end: End::Cut, after_cut: self.cut, upto });
            self.cut = true;
            begin = upto;
        }
        let (text, upto) = (&chunk[begin..], chunk.len() + 1);
        emit(Piece { text, end: End::Newline, after_cut: self.cut, upto });
    }

    /// The rest with the chunk from `begin` on appended, less what had to be given out to stay
    /// within the bound.
    fn complete(
        &mut self,
        chunk: &[u8],
        mut begin: usize,
        emit: &mut impl FnMut(Piece<'_>),
    ) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.rest);
        while rest.len() + (chunk.len() - begin) > LINE_MAX {
            let upto = begin + LINE_MAX - rest.len();
            rest.extend_from_slice(&chunk[begin..upto]);
            emit(Piece { text: &rest, end: End::Cut, after_cut: self.cut, upto });
            self.cut = true;
            rest.clear();
            begin = upto;
        }
        rest.extend_from_slice(&chunk[begin..]);
        rest
    }

    /// Keeps the buffer's memory for the next rest, as long as the stream is busy.
    fn give_back(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.rest = buffer;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (Vec<u8>, End, bool);

    fn push(lines: &mut Lines, chunk: &[u8]) -> Vec<Owned> {
        let mut given = Vec::new();
        lines.push(chunk, |piece| given.push((piece.text.to_vec(), piece.end, piece.after_cut)));
        given
    }

    #[test]
    fn a_line_over_three_chunks_is_given_out_once_and_whole() {
        let mut lines = Lines::default();
        assert_eq!(push(&mut lines, b"ab"), []);
        assert_eq!(push(&mut lines, b"c"), []);
        let expected = [(b"abcd".to_vec(), End::Newline, false), (Vec::new(), End::Newline, false)];
        assert_eq!(push(&mut lines, b"d\n\ne"), expected);
        assert!(lines.is_open());
    }

    #[test]
    fn a_prompt_is_given_out_as_it_is() {
        let mut lines = Lines::default();
        push(&mut lines, b"login: ");
        let mut prompt = Vec::new();
        lines.flush(|piece| prompt.push((piece.text.to_vec(), piece.end, piece.after_cut)));
        assert_eq!(prompt, [(b"login: ".to_vec(), End::Open, false)]);
        assert_eq!(push(&mut lines, b"root\n"), [(b"root".to_vec(), End::Newline, false)]);
        assert_eq!(push(&mut lines, b"$\n"), [(b"$".to_vec(), End::Newline, false)]);
    }

    #[test]
    fn a_line_without_end_stays_within_the_bound() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            for (text, end, _) in push(&mut lines, &[b'x'; 5_000]) {
                assert_eq!((text.len(), end), (LINE_MAX, End::Cut));
            }
            assert!(lines.rest.len() < LINE_MAX + 1);
        }
    }

    proptest! {
        #[test]
        fn whole_lines_are_those_that_are_given_out_whole(
            lengths in prop::collection::vec(
                prop_oneof![9 => 0..300_usize, 1 => LINE_MAX - 2..LINE_MAX + 3], 0..40
            ),
            begun in prop::option::of(1..LINE_MAX),
            last in 0..50_usize,
        ) {
            let mut lines = Lines::default();
            push(&mut lines, &vec![b'b'; begun.unwrap_or(0)]);
            let mut chunk = Vec::new();
            for length in &lengths {
                chunk.resize(chunk.len() + length, b'x');
                chunk.push(b'\n');
            }
            let end = chunk.len();
            chunk.resize(end + last, b'y');
            let whole = lines.whole_lines(&chunk);
            let skipped = usize::from(begun.is_some());
            if lengths.len() >= skipped && lengths.iter().skip(skipped).all(|length| *length <= LINE_MAX) {
                let begin = lengths.iter().take(skipped).map(|length| length + 1).sum();
                prop_assert!(whole == (begin..end) || (whole.is_empty() && begin == end));
            } else {
                prop_assert!(whole.is_empty());
            }
            // Taken apart so it is what it is in one piece.
            let mut parts = push(&mut lines, &chunk[..whole.start]);
            let texts = chunk[whole.clone()].split_inclusive(|byte| *byte == b'\n');
            parts.extend(texts.map(|line| (line[..line.len() - 1].to_vec(), End::Newline, false)));
            parts.extend(push(&mut lines, &chunk[whole.end..]));
            let mut together = Lines::default();
            push(&mut together, &vec![b'b'; begun.unwrap_or(0)]);
            prop_assert_eq!(parts, push(&mut together, &chunk));
        }

        #[test]
        fn pieces_and_newlines_are_the_bytes_that_came_in(
            runs in prop::collection::vec((0..40_000_usize, any::<bool>(), any::<bool>()), 0..12)
        ) {
            let mut lines = Lines::default();
            // Runs of bytes, with or without a newline, gathered into chunks at random.
            let mut chunks = vec![Vec::new()];
            for (length, newline, next) in runs {
                let chunk = chunks.last_mut().expect("there is one");
                chunk.resize(chunk.len() + length, b'x');
                chunk.extend(newline.then_some(b'\n'));
                if next {
                    chunks.push(Vec::new());
                }
            }
            let mut joined = Vec::new();
            let mut emit = |piece: Piece<'_>| {
                assert!(piece.text.len() <= LINE_MAX);
                joined.extend_from_slice(piece.text);
                if piece.end == End::Newline {
                    joined.push(b'\n');
                }
            };
            for chunk in &chunks {
                lines.push(chunk, &mut emit);
            }
            lines.finish(&mut emit);
            prop_assert_eq!(joined, chunks.concat());
        }
    }
}
