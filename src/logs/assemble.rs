//! Lines out of two streams that share one file.
//!
//! Who reads the file back has the same bytes in the same order, so lines are made in the order
//! of the file: each ends at a place in it that no other line ends at. The log thread and the
//! reader of files both use this, and so agree on every line and its place.

use std::ops::Range;

use super::line::{Lines, Piece, Stream};

#[derive(Debug, Default)]
pub(super) struct Assembler {
    lines: [Lines; 2],
}

impl Assembler {
    /// Takes bytes that stand in the file from `position` on; returns the newlines in them. What
    /// comes out is `(stream, piece, where the piece ends)`.
    pub fn push(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        position: u64,
        mut emit: impl FnMut(Stream, Piece<'_>, u64),
    ) -> u64 {
        // A line of the other stream that is still open is torn here, for every reader.
        self.flush(stream.other(), position, &mut emit);
        self.lines[stream.index()]
            .push(bytes, |piece| emit(stream, piece, position + piece.upto as u64))
    }

    /// Where whole lines of usual length stand in what `stream` brings next, less the one that ends a
    /// line begun before: they need not be looked at one by one.
    pub fn whole_lines(&self, stream: Stream, bytes: &[u8]) -> Range<usize> {
        self.lines[stream.index()].whole_lines(bytes)
    }

    /// As [`push`](Self::push), for files in which each line says its stream: one's open line
    /// may go on after lines of the other.
    pub fn push_apart(&mut self, stream: Stream, bytes: &[u8], emit: impl FnMut(Piece<'_>)) -> u64 {
        self.lines[stream.index()].push(bytes, emit)
    }

    /// Gives out the open line of `stream`, which ends at `position` for now.
    pub fn flush(
        &mut self,
        stream: Stream,
        position: u64,
        emit: &mut impl FnMut(Stream, Piece<'_>, u64),
    ) {
        self.lines[stream.index()].flush(|piece| emit(stream, piece, position));
    }

    /// The run has ended: what comes next is a new line.
    pub fn finish(&mut self, position: u64, mut emit: impl FnMut(Stream, Piece<'_>, u64)) {
        for stream in Stream::BOTH {
            self.lines[stream.index()].finish(|piece| emit(stream, piece, position));
        }
    }

    /// The line that `stream` has begun, and whether a piece of it was cut before.
    pub fn open(&self, stream: Stream) -> (&[u8], bool) {
        self.lines[stream.index()].open()
    }

    pub fn lines(&mut self, stream: Stream) -> &mut Lines {
        &mut self.lines[stream.index()]
    }

    pub fn is_open(&self, stream: Stream) -> bool {
        self.lines[stream.index()].is_open()
    }
}
