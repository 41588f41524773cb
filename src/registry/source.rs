//! The text that problems are shown in: where its lines are, and how to show a piece of it.
//!
//! Does not parse. What it holds is made safe for a terminal: same bytes, same places, but no
//! control characters.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// A piece of a file, in bytes. Files are at most 16 MiB, so 32 bits are enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// Offsets beyond 4 GiB cannot occur: the size limit comes first.
    pub fn new(start: usize, end: usize) -> Self {
        let offset = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Self { start: offset(start), end: offset(end.max(start)) }
    }

    /// The piece of `length` bytes that begins `offset` bytes into this one.
    pub fn within(self, offset: usize, length: usize) -> Self {
        let start = self.start as usize + offset;
        Self::new(start, start + length)
    }
}

/// A file's name and text, made safe to show.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    text: String,
    /// Offset of the first byte of each line.
    lines: Vec<usize>,
}

/// A place as people count: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub line: usize,
    pub column: usize,
}

impl Source {
    /// Longest part of a line that is shown on each side of a place.
    const WINDOW: usize = 160;

    pub fn new(name: String, bytes: &[u8]) -> Self {
        let text = presentable(bytes);
        let newlines = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
        let lines = std::iter::once(0).chain(newlines).collect();
        Self { name, text, lines }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn position(&self, offset: usize) -> Position {
        let offset = self.floor(offset);
        let line = self.line_of(offset);
        let column = self.text[self.lines[line]..offset].chars().count() + 1;
        Position { line: line + 1, column }
    }

    /// The part of `span` that lies on its first line, at least one character where there is one.
    pub fn on_one_line(&self, span: Span) -> SourceSpan {
        let start = self.floor(span.start as usize);
        let line_end = self.line_end(self.line_of(start));
        let end = (span.end as usize).min(line_end).min(start + Self::WINDOW);
        let end = self.floor(end).max(start);
        let width = self.text[start..line_end.max(start)].chars().next().map_or(0, char::len_utf8);
        SourceSpan::from((start, (end - start).max(width)))
    }

    fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|&start| start <= offset).saturating_sub(1)
    }

    /// Where the text of a line ends, its line break left out.
    fn line_end(&self, line: usize) -> usize {
        let next = self.lines.get(line + 1).map_or(self.text.len(), |&next| next - 1);
        let text = &self.text[self.lines[line]..next];
        self.lines[line] + text.trim_end_matches('\r').len()
    }

    fn floor(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset.min(self.text.len()))
    }
}

/// Shows the one line that the span begins on, and of a very long line the part around the span:
/// a registry written in one line of megabytes is still told about in a few.
impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        _lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let place = self.floor(span.offset());
        let line = self.line_of(place);
        let (line_start, line_end) = (self.lines[line], self.line_end(line));
        let start = self.floor(line_start.max(place.saturating_sub(Self::WINDOW)));
        let end = self.floor(line_end.min(span.offset() + span.len() + Self::WINDOW)).max(start);
        // miette asks without lines around when it wants the place itself, for the heading.
        let counted = if lines_before == 0 { place } else { start };
        let column = self.text[line_start..counted].chars().count();
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            &self.text.as_bytes()[start..end],
            SourceSpan::from((start, end - start)),
            line,
            column,
            // Labels on the same line are drawn together, others each with their own heading.
            0,
        )))
    }
}

/// Whether a terminal could take this character for a command, or show text out of order.
fn is_unsafe(character: char) -> bool {
    let reorders = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || reorders
}

/// The bytes as text of the same length: what cannot be shown becomes question marks.
fn presentable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let mut characters = chunk.valid().chars().peekable();
        while let Some(character) = characters.next() {
            // Alone it would have the terminal write over what stands before it.
            let ends_line = character == '\r' && characters.peek() == Some(&'\n');
            if is_unsafe(character) && !ends_line && !matches!(character, '\n' | '\t') {
                text.extend(std::iter::repeat_n('?', character.len_utf8()));
            } else {
                text.push(character);
            }
        }
        text.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    text
}

/// Text of the file inside a message: control characters are spelled out.
pub(super) fn spelled_out(text: &str) -> String {
    if !text.contains(is_unsafe) {
        return text.to_owned();
    }
    let spell = |c: char| if is_unsafe(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(spell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_as_people_count() {
        let source = Source::new("f".into(), "<a>\n  <é x='1'/>\n".as_bytes());
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(6), Position { line: 2, column: 3 });
        let after_the_accent = "<a>\n  <é ".len();
        assert_eq!(source.position(after_the_accent), Position { line: 2, column: 6 });
        assert_eq!(source.position(9999).line, 3);
    }

    #[test]
    fn what_is_shown_cannot_drive_a_terminal() {
        let bytes = b"<a>\x1b[2J \xff \xc2\x9b \xe2\x80\xae</a>";
        let source = Source::new("f".into(), bytes);
        assert_eq!(source.text.len(), bytes.len());
        assert_eq!(source.text, "<a>?[2J ? ?? ???</a>");
        assert_eq!(spelled_out("a\x1bb"), "a\\u{1b}b");
    }
}
