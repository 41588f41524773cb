//! Two streams into one file, byte for byte, without tearing lines into one another.
//!
//! ```text
//!   stdout "GET /a" ───┐
//!   stderr "oops\n" ─wait──► "GET /a 200\noops\n"
//!   stdout " 200\n" ───┘
//! ```
//!
//! A stream that wrote the beginning of a line owns the file until its newline comes; what the
//! other stream has meanwhile is held back, if possible in its pipe, else here. The owner's bytes
//! are written at once all the same, so nothing of a component with one stream is ever in our
//! hands. The hold ends early when the line grows past [`LINE_MAX`], when more than [`HELD_MAX`]
//! is held, when the line stays open for too long, and at the end of the run: rather a torn line
//! than a delay that somebody notices.

use memchr::memrchr;

use super::line::{LINE_MAX, Stream};

/// Bytes that are held back at most.
const HELD_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Merge {
    /// Whose line is begun in the file, and how long it is by now.
    owner: Option<(Stream, usize)>,
    /// What the other stream has meanwhile.
    held: Vec<u8>,
}

impl Merge {
    /// Whether what this stream has should wait, in its pipe as long as there is room.
    pub fn must_wait(&self, stream: Stream) -> bool {
        self.owner.is_some_and(|(owner, _)| owner != stream)
    }

    /// Whether what `stream` brings can be written as it is. Then it is to be told by
    /// [`wrote`](Self::wrote).
    pub fn passes(&self, stream: Stream) -> bool {
        self.held.is_empty() && !self.must_wait(stream)
    }

    /// Writes `chunk`, or holds it back.
    pub fn push(&mut self, stream: Stream, chunk: &[u8], write: &mut dyn FnMut(Stream, &[u8])) {
        if self.passes(stream) {
            write(stream, chunk);
            self.wrote(stream, chunk);
            return;
        }
        if self.must_wait(stream) {
            self.held.extend_from_slice(chunk);
            if self.held.len() > HELD_MAX {
                self.let_go(stream, write);
            }
            return;
        }
        // The line that the other stream waits for may end within the chunk, not at its end.
        let (lines, rest) = chunk.split_at(memrchr(b'\n', chunk).map_or(0, |newline| newline + 1));
        if lines.is_empty() {
            write(stream, chunk);
            self.wrote(stream, chunk);
        } else {
            write(stream, lines);
            self.let_go(stream.other(), write);
        }
        if self.owner.is_none() {
            self.let_go(stream.other(), write);
        }
        if !lines.is_empty() && !rest.is_empty() {
            self.push(stream, rest, write);
        }
    }

    /// The line of `stream` has been open for too long: the other need not wait any more.
    pub fn give_up(&mut self, stream: Stream, write: &mut dyn FnMut(Stream, &[u8])) {
        if self.must_wait(stream.other()) {
            self.let_go(stream.other(), write);
        }
    }

    /// The run has ended: everything is written.
    pub fn finish(&mut self, write: &mut dyn FnMut(Stream, &[u8])) {
        if let Some((owner, _)) = self.owner {
            self.give_up(owner, write);
        }
        self.owner = None;
    }

    fn let_go(&mut self, stream: Stream, write: &mut dyn FnMut(Stream, &[u8])) {
        self.owner = None;
        if !self.held.is_empty() {
            // Taken, not cleared: it is rare, and silent components own no buffers.
            let held = std::mem::take(&mut self.held);
            write(stream, &held);
            self.wrote(stream, &held);
        }
    }

    pub fn wrote(&mut self, stream: Stream, chunk: &[u8]) {
        let open = match (memrchr(b'\n', chunk), self.owner) {
            (Some(newline), _) => chunk.len() - newline - 1,
            (None, Some((_, length))) => length + chunk.len(),
            (None, None) => chunk.len(),
        };
        self.owner = (1..=LINE_MAX).contains(&open).then_some((stream, open));
    }
}

#[cfg(test)]
mod tests {
    use super::{Stream::*, *};

    fn merged(merge: &mut Merge, pushes: &[(Stream, &str)]) -> String {
        let mut file = Vec::new();
        for (stream, chunk) in pushes {
            merge.push(*stream, chunk.as_bytes(), &mut |_, bytes| file.extend_from_slice(bytes));
        }
        String::from_utf8(file).expect("text")
    }

    #[test]
    fn a_begun_line_is_not_torn() {
        let pushes = [(Out, "GET /a"), (Err, "oops\nag"), (Out, " 200\n"), (Out, "x\n")];
        let mut merge = Merge::default();
        assert_eq!(merged(&mut merge, &pushes), "GET /a 200\noops\nag");
        assert!(merge.must_wait(Out));
        assert_eq!(merged(&mut merge, &[(Err, "ain\n")]), "ain\nx\n");
    }

    #[test]
    fn a_flood_of_both_streams_is_not_torn_where_chunks_end_within_lines() {
        let mut merge = Merge::default();
        let round = [(Out, "ut\nout\no"), (Err, "rr\nerr\ne")].repeat(50_000);
        let mut pushes = vec![(Out, "o"), (Err, "e")];
        pushes.extend(round);
        pushes.extend([(Out, "ut\n"), (Err, "rr\n")]);
        let file = merged(&mut merge, &pushes);
        assert!(file.lines().all(|line| line == "out" || line == "err"));
        assert_eq!(file.len(), pushes.iter().map(|push| push.1.len()).sum::<usize>());
    }

    #[test]
    fn one_stream_is_never_held_back() {
        let pushes = [(Out, "a"), (Out, "b"), (Out, "c\nd")];
        assert_eq!(merged(&mut Merge::default(), &pushes), "abc\nd");
    }

    #[test]
    fn a_prompt_holds_nobody_for_long() {
        let mut merge = Merge::default();
        assert_eq!(merged(&mut merge, &[(Out, "$ "), (Err, "warning\n")]), "$ ");
        let mut file = Vec::new();
        merge.give_up(Err, &mut |_, _| unreachable!("it is not the owner"));
        merge.give_up(Out, &mut |_, bytes| file.extend_from_slice(bytes));
        assert_eq!(file, b"warning\n");
        assert!(!merge.must_wait(Out) && !merge.must_wait(Err));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut merge = Merge::default();
        let flood = "e".repeat(240_000) + "\n";
        let pushes: Vec<_> =
            std::iter::once((Out, "begun")).chain(vec![(Err, flood.as_str()); 5]).collect();
        assert_eq!(merged(&mut merge, &pushes).len(), 5 + 5 * 240_001);
        let long = "o".repeat(LINE_MAX + 1);
        assert_eq!(merged(&mut merge, &[(Out, &long), (Err, "e\n")]), long + "e\n");
    }

    #[test]
    fn the_end_of_a_run_writes_everything_in_order() {
        let mut merge = Merge::default();
        assert_eq!(merged(&mut merge, &[(Out, "last"), (Err, "words")]), "last");
        let mut file = Vec::new();
        merge.finish(&mut |_, bytes| file.extend_from_slice(bytes));
        assert_eq!(file, b"words");
        assert!(merge.owner.is_none() && merge.held.is_empty());
    }
}
