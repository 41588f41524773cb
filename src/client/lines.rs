//! Lines out of chunks that end anywhere.

/// A line grew beyond what any answer of ours has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// Cuts what comes in at CR, LF or CRLF. A line's end is found once, however many chunks it takes
/// to arrive.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// No line ends between `start` and here.
    searched: usize,
    longest: usize,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
}

/// Capacity that is kept once a long line has passed.
const KEPT: usize = 1 << 20;

impl Lines {
    /// For lines of at most `longest` bytes.
    pub(super) fn new(longest: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, searched: 0, longest, after_cr: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line without its end, if it is here.
    pub(super) fn next(&mut self) -> Option<Result<&[u8], TooLong>> {
        if self.after_cr {
            let next = *self.buffer.get(self.start)?;
            self.after_cr = false;
            if next == b'\n' {
                self.start += 1;
            }
        }
        self.searched = self.searched.max(self.start);
        match memchr::memchr2(b'\r', b'\n', &self.buffer[self.searched..]) {
            Some(at) => {
                let (begin, end) = (self.start, self.searched + at);
                // As it would be, had its end not come along with it.
                if end - begin > self.longest {
                    return Some(Err(TooLong));
                }
                self.after_cr = self.buffer[end] == b'\r';
                self.start = end + 1;
                self.searched = self.start;
                Some(Ok(&self.buffer[begin..end]))
            }
            None if self.buffer.len() - self.start > self.longest => Some(Err(TooLong)),
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }

    /// What came after the last line end.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(lines: &mut Lines, into: &mut Vec<Vec<u8>>) {
        while let Some(line) = lines.next() {
            into.push(line.expect("short").to_vec());
        }
    }

    proptest! {
        #[test]
        fn lines_are_the_same_wherever_chunks_end(
            wanted in prop::collection::vec(("[a-z:]{0,12}", 0..3_usize), 0..20),
            cuts in prop::collection::vec(1..7_usize, 1..40),
        ) {
            let mut text = Vec::new();
            for (line, end) in &wanted {
                text.extend_from_slice(line.as_bytes());
                // A lone CR before an empty line ended by LF would be a CRLF: LF is for those.
                let end = if *end == 1 { "\n" } else { ["\r\n", "\n", "\r\n"][*end] };
                text.extend_from_slice(end.as_bytes());
            }
            let mut lines = Lines::new(64);
            let mut found = Vec::new();
            let (mut rest, mut cuts) = (&text[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(rest.len().min(*cuts.next().expect("a cycle")));
                lines.push(chunk);
                all(&mut lines, &mut found);
                rest = after;
            }
            let wanted: Vec<_> = wanted.iter().map(|(line, _)| line.clone().into_bytes()).collect();
            prop_assert_eq!(found, wanted);
            prop_assert!(lines.rest().iter().all(|byte| *byte == b'\n'));
        }
    }

    #[test]
    fn a_cr_alone_ends_a_line_too() {
        let mut lines = Lines::new(64);
        let mut found = Vec::new();
        for chunk in ["a\r", "b\r", "\nc\r\r\nd"] {
            lines.push(chunk.as_bytes());
            all(&mut lines, &mut found);
        }
        assert_eq!(found, [&b"a"[..], b"b", b"c", b""]);
        assert_eq!(lines.rest(), b"d");
    }

    #[test]
    fn a_line_without_an_end_does_not_eat_the_memory() {
        let mut lines = Lines::new(8);
        lines.push(b"ok\n12345678");
        assert_eq!(lines.next(), Some(Ok(&b"ok"[..])));
        assert_eq!(lines.next(), None);
        lines.push(b"9");
        assert_eq!(lines.next(), Some(Err(TooLong)));
        let mut lines = Lines::new(8);
        lines.push(b"123456789\n");
        assert_eq!(lines.next(), Some(Err(TooLong)), "nor where it comes at once");
    }
}
