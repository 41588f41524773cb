//! Makes a component's output harmless for the operator's terminal.
//!
//! Pure. What passes: printable text and SGR sequences (colours, bold) in their plain form.
//! What does not: every other control sequence (OSC, DCS, CSI that moves or clears), C0 and C1
//! controls. Characters that turn the direction of text or that nobody can see are shown by
//! their number, `<U+202E>`. Tabs become spaces, a carriage return overwrites from the start of
//! the line as a terminal would. Every character that is left takes as many columns as we count.

use unicode_width::UnicodeWidthChar;

/// Longest line that is shown, in bytes of the input. What lies beyond is marked with `…`.
pub const MAX_LINE_BYTES: usize = 4096;

const TAB: usize = 8;
const ESC: char = '\u{1b}';

/// One line, without its line end.
pub fn line(text: &str) -> String {
    let (text, cut) = match floor(text, MAX_LINE_BYTES) {
        shorter if shorter < text.len() => (&text[..shorter], true),
        _ => (text, false),
    };
    // Most lines are plain: nothing to do but a copy.
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        || text.chars().all(|character| is_plain(character) && character.width() > Some(0));
    let mut clean = if plain { text.to_owned() } else { scrub(text) };
    if cut {
        clean.push('…');
    }
    clean
}

/// The same without any styling.
pub fn plain(text: &str) -> String {
    strip(&line(text))
}

/// Removes the SGR sequences of a text that [`line()`] has cleaned.
pub fn strip(clean: &str) -> String {
    if !clean.contains(ESC) {
        return clean.to_owned();
    }
    let mut out = String::with_capacity(clean.len());
    let mut characters = clean.chars();
    while let Some(character) = characters.next() {
        if character == ESC {
            for inside in characters.by_ref() {
                if inside == 'm' {
                    break;
                }
            }
        } else {
            out.push(character);
        }
    }
    out
}

fn floor(text: &str, limit: usize) -> usize {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

fn is_plain(character: char) -> bool {
    !character.is_control() && !is_deceptive(character)
}

/// Characters that reorder text (bidirectional controls), are invisible, or start a line.
fn is_deceptive(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// They only choose between two looks of the character before, but may make it wider.
fn is_variation(character: char) -> bool {
    matches!(character, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

fn scrub(text: &str) -> String {
    let mut line = Overwriting::default();
    // A byte order mark at the start marks nothing else.
    let mut characters = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ESC => match characters.peek() {
                Some('[') => {
                    characters.next();
                    if let Some(style) = sgr(&mut characters) {
                        line.style(&style);
                    }
                }
                // OSC, DCS, SOS, PM, APC: up to BEL or ST.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    characters.next();
                    skip_string(&mut characters);
                }
                // Designations and other escapes: intermediates, then one final character.
                Some(' '..='/') => {
                    while characters.next_if(|next| (' '..='/').contains(next)).is_some() {}
                    characters.next_if(|next| ('0'..='~').contains(next));
                }
                Some('0'..='~') => {
                    characters.next();
                }
                _ => {}
            },
            // The same sequences, introduced by C1 controls.
            '\u{9b}' => {
                if let Some(style) = sgr(&mut characters) {
                    line.style(&style);
                }
            }
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(&mut characters),
            '\t' => {
                let room = TAB - line.column % TAB;
                for _ in 0..room {
                    line.put(' ');
                }
            }
            '\r' => line.column = 0,
            '\u{8}' => line.column = line.column.saturating_sub(1),
            variation if is_variation(variation) => {}
            other if is_plain(other) => line.put(other),
            hidden if is_deceptive(hidden) => {
                format!("<U+{:04X}>", u32::from(hidden)).chars().for_each(|shown| line.put(shown));
            }
            _control => {}
        }
    }
    line.finish()
}

/// Reads a CSI sequence after its introducer; returns it only if it is a plain SGR.
fn sgr(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut parameters = String::new();
    while let Some(parameter) = characters.next_if(|next| (' '..='?').contains(next)) {
        if parameters.len() < 64 {
            parameters.push(parameter);
        }
    }
    let last = characters.next_if(|next| ('@'..='~').contains(next))?;
    let plain = |byte: u8| byte.is_ascii_digit() || byte == b';';
    (last == 'm' && parameters.len() < 64 && parameters.bytes().all(plain)).then_some(parameters)
}

fn skip_string(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(inside) = characters.next() {
        match inside {
            '\u{7}' | '\u{9c}' => return,
            ESC => {
                characters.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

/// A line in which a carriage return goes back to the start.
#[derive(Default)]
struct Overwriting {
    /// What stands in each column: the style that is put before it, and its text (empty behind
    /// a wide character).
    cells: Vec<(Option<std::rc::Rc<str>>, String)>,
    column: usize,
    style: Option<std::rc::Rc<str>>,
}

impl Overwriting {
    fn style(&mut self, parameters: &str) {
        let reset = parameters.split(';').all(|one| one.bytes().all(|byte| byte == b'0'));
        if reset {
            self.style = None;
            return;
        }
        let joined = match &self.style {
            // Styles add up; a chain that grows without a reset is cut to its latest part.
            Some(before) if before.len() + parameters.len() < 48 => {
                format!("{before};{parameters}")
            }
            _ => parameters.to_owned(),
        };
        self.style = Some(joined.into());
    }

    fn put(&mut self, character: char) {
        let width = character.width().unwrap_or(0);
        if width == 0 {
            // A combining mark joins what stands before it; a few are enough for any script.
            if self.cells.is_empty() {
                // Nothing stands there: it is shown on a blank.
                self.put(' ');
            }
            let before = self.column.min(self.cells.len());
            if let Some((_, text)) = self.cells[..before].last_mut()
                && text.len() < 24
            {
                text.push(character);
            }
            return;
        }
        while self.cells.len() < self.column + width {
            self.cells.push((None, " ".to_owned()));
        }
        // What is half overwritten becomes blank.
        if self.cells[self.column].1.is_empty() && self.column > 0 {
            " ".clone_into(&mut self.cells[self.column - 1].1);
        }
        self.cells[self.column] = (self.style.clone(), character.to_string());
        for behind in 1..width {
            self.cells[self.column + behind] = (self.style.clone(), String::new());
        }
        self.column += width;
        if let Some((_, text)) = self.cells.get_mut(self.column)
            && text.is_empty()
        {
            " ".clone_into(text);
        }
    }

    fn finish(self) -> String {
        let mut out = String::new();
        let mut current: Option<std::rc::Rc<str>> = None;
        for (style, text) in self.cells {
            if style != current && !text.is_empty() {
                if current.is_some() {
                    out.push_str("\u{1b}[0m");
                }
                if let Some(style) = &style {
                    out.push_str("\u{1b}[");
                    out.push_str(style);
                    out.push('m');
                }
                current = style;
            }
            out.push_str(&text);
        }
        if current.is_some() {
            out.push_str("\u{1b}[0m");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_passes_and_colours_stay() {
        assert_eq!(line("GET /is/image 200 – ok"), "GET /is/image 200 – ok");
        assert_eq!(line("\u{1b}[31mred\u{1b}[0m rest"), "\u{1b}[31mred\u{1b}[0m rest");
        assert_eq!(line("\u{9b}1mbold"), "\u{1b}[1mbold\u{1b}[0m");
        assert_eq!(plain("\u{1b}[1;31mred"), "red");
    }

    #[test]
    fn what_would_drive_the_terminal_is_gone() {
        for (hostile, harmless) in [
            ("a\u{1b}]0;title\u{7}b", "ab"),
            ("a\u{1b}]52;c;ZXZpbA==\u{1b}\\b", "ab"),
            ("a\u{1b}Pq#0\u{1b}\\b", "ab"),
            ("a\u{1b}[2J\u{1b}[Hb", "ab"),
            ("a\u{1b}[?1049hb", "ab"),
            ("a\u{1b}[>4;1mb", "ab"),
            ("a\u{1b}cb", "ab"),
            ("a\u{1b}(0b", "ab"),
            ("a\u{7}\u{0}\u{e}b", "ab"),
            ("a\u{9d}0;t\u{9c}b", "ab"),
            ("a\u{202e}b\u{200b}", "a<U+202E>b<U+200B>"),
            ("\u{feff}ab", "ab"),
            ("a\u{fe0f}b", "ab"),
            ("\u{301}ab", " \u{301}ab"),
            ("a\u{1b}", "a"),
            ("a\u{1b}]0;endless", "a"),
            ("a\u{1b}[31", "a"),
        ] {
            assert_eq!(line(hostile), harmless, "{hostile:?}");
        }
    }

    #[test]
    fn tabs_go_to_the_next_stop_and_returns_overwrite() {
        assert_eq!(line("ab\tc"), "ab      c");
        assert_eq!(line("10%\r55%\r100%"), "100%");
        assert_eq!(line("long text\rshort"), "shorttext");
        assert_eq!(line("日本\rx"), "x 本");
        assert_eq!(line("日本\r語"), "語本");
    }

    #[test]
    fn a_line_is_cut_where_it_is_too_long() {
        let shown = line(&"é".repeat(1 << 20));
        assert!(shown.len() <= MAX_LINE_BYTES + '…'.len_utf8());
        assert!(shown.ends_with('…'));
    }

    #[test]
    fn marks_that_are_piled_up_are_a_few() {
        let pile = format!("a{}b", "\u{301}".repeat(1000));
        let clean = line(&pile);
        assert!(clean.len() < 40 && clean.ends_with('b'), "{} bytes", clean.len());
    }

    proptest! {
        #[test]
        fn whatever_is_written_only_colours_come_through(text in "(\\PC|[\\x00-\\x1f\\x7f-\\x9f]|\u{1b}[\\[\\]P(;0-9a-zA-Z?]|\r|\t|日)*") {
            let clean = line(&text);
            let bare = strip(&clean);
            prop_assert!(bare.chars().all(is_plain), "{clean:?}");
            // Each escape that is left is a plain SGR.
            for sequence in clean.split(ESC).skip(1) {
                let end = sequence.find('m').expect("an SGR ends with m");
                prop_assert!(sequence.starts_with('['));
                prop_assert!(sequence[1..end].bytes().all(|byte| byte.is_ascii_digit() || byte == b';'));
            }
            prop_assert_eq!(line(&clean), clean);
        }
    }
}
