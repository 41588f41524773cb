//! From a frame of cells to bytes: only what differs, nothing where nothing does, one write.
//!
//! Written by hand instead of through crossterm's backend, which writes 25 bytes for an unchanged
//! frame and bare resets under `NO_COLOR`. A frame is wrapped in synchronised output (`?2026`),
//! so that a terminal that knows it never shows half a frame; others ignore it.

use std::fmt::Write as _;

use ratatui::{
    buffer::{Buffer, Cell},
    layout::Position,
    style::{Color, Modifier},
};
use unicode_width::UnicodeWidthStr;

#[derive(Debug)]
pub struct Painter {
    /// What the terminal shows; `None`: not known, everything is drawn.
    shown: Option<Buffer>,
    cursor: Option<Position>,
    /// Cells outside ASCII become `?`.
    ascii: bool,
    out: String,
}

const BEGIN: &str = "\u{1b}[?2026h";
const END: &str = "\u{1b}[?2026l";

impl Painter {
    pub fn new(ascii: bool) -> Self {
        Self { shown: None, cursor: None, ascii, out: String::with_capacity(64 << 10) }
    }

    /// Forgets what is on the screen: the next frame draws every cell.
    pub fn forget(&mut self) {
        self.shown = None;
    }

    /// The bytes that turn the screen into this frame; none where it is so already.
    pub fn frame(&mut self, next: Buffer, cursor: Option<Position>) -> &[u8] {
        self.out.clear();
        let area = next.area;
        let known = self.shown.take().filter(|shown| shown.area == area);
        let clear = known.is_none();
        let before = known.unwrap_or_else(|| Buffer::empty(area));
        let mut pen = Pen { at: None, style: Style::default() };
        if clear {
            self.out.push_str("\u{1b}[m\u{1b}[2J");
        }
        for (x, y, cell) in before.diff(&next) {
            pen.go(x, y, &next, &mut self.out);
            pen.draw(cell, self.ascii, &mut self.out);
            let width = u16::try_from(cell.symbol().width().max(1)).unwrap_or(1);
            // In the last column, and behind what terminals count differently, a cursor is in no
            // certain place.
            pen.at = Some((x + width, y))
                .filter(|(after, _)| *after < area.right() && is_certain(cell.symbol()));
        }
        pen.dress(Style::default(), &mut self.out);
        let drew = !self.out.is_empty();
        match cursor {
            Some(place) if drew || self.cursor != cursor => {
                let _never_fails = write!(self.out, "\u{1b}[{};{}H", place.y + 1, place.x + 1);
                if self.cursor.is_none() || clear {
                    self.out.push_str("\u{1b}[?25h");
                }
            }
            None if self.cursor.is_some() => self.out.push_str("\u{1b}[?25l"),
            _ => {}
        }
        self.cursor = cursor;
        self.shown = Some(next);
        if !self.out.is_empty() {
            self.out.insert_str(0, BEGIN);
            self.out.push_str(END);
        }
        self.out.as_bytes()
    }
}

/// Whether every terminal gives it the columns that we count: what is behind it may be written
/// without moving there. A terminal that has other tables for the rest harms that cell alone.
fn is_certain(symbol: &str) -> bool {
    symbol.chars().all(|character| {
        matches!(character,
            ..'\u{300}' | '\u{370}'..='\u{482}' | '\u{2010}'..='\u{2027}' | '\u{2190}'..='\u{21ff}'
            | '⊘' | '\u{2500}'..='\u{25ff}' | '✓' | '✗' | '\u{3041}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7a3}' | '\u{fffd}')
    })
}

/// What the terminal's own pen does.
struct Pen {
    at: Option<(u16, u16)>,
    style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Style {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

impl Default for Style {
    fn default() -> Self {
        Self { fg: Color::Reset, bg: Color::Reset, modifier: Modifier::empty() }
    }
}

impl Style {
    fn of(cell: &Cell) -> Self {
        Self { fg: cell.fg, bg: cell.bg, modifier: cell.modifier }
    }
}

impl Pen {
    fn go(&mut self, x: u16, y: u16, next: &Buffer, out: &mut String) {
        let area = next.area;
        let _never_fails = match self.at {
            Some(at) if at == (x, y) => return,
            // A short way to the right: what stands there is drawn once more, if that is no
            // longer than the shortest move.
            Some((from, row)) if row == y && from < x && x - from <= 3 => {
                let between = (from..x).map(|x| &next[(x, y)]);
                let cheap = between
                    .clone()
                    .all(|cell| cell.symbol().len() == 1 && Style::of(cell) == self.style);
                if cheap {
                    between.for_each(|cell| out.push_str(cell.symbol()));
                    return;
                }
                write!(out, "\u{1b}[{}C", x - from)
            }
            Some((from, row)) if row == y && from < x => write!(out, "\u{1b}[{}C", x - from),
            _ => write!(out, "\u{1b}[{};{}H", y - area.y + 1, x - area.x + 1),
        };
    }

    fn draw(&mut self, cell: &Cell, ascii: bool, out: &mut String) {
        self.dress(Style::of(cell), out);
        let symbol = cell.symbol();
        if ascii && !symbol.is_ascii() {
            for _ in 0..symbol.width().max(1) {
                out.push('?');
            }
        } else {
            out.push_str(symbol);
        }
    }

    fn dress(&mut self, style: Style, out: &mut String) {
        if style == self.style {
            return;
        }
        if style == Style::default() {
            out.push_str("\u{1b}[m");
        } else {
            // From another style through a reset: `[;31m` is `[0;31m`.
            out.push_str("\u{1b}[");
            let mut first = self.style == Style::default();
            let mut code = |number: &str| {
                if !std::mem::take(&mut first) {
                    out.push(';');
                }
                out.push_str(number);
            };
            for (modifier, number) in MODIFIERS {
                if style.modifier.contains(modifier) {
                    code(number);
                }
            }
            colour(style.fg, 30, &mut code);
            colour(style.bg, 40, &mut code);
            out.push('m');
        }
        self.style = style;
    }
}

/// Without blinking and hiding: nothing does that here.
const MODIFIERS: [(Modifier, &str); 6] = [
    (Modifier::BOLD, "1"),
    (Modifier::DIM, "2"),
    (Modifier::ITALIC, "3"),
    (Modifier::UNDERLINED, "4"),
    (Modifier::REVERSED, "7"),
    (Modifier::CROSSED_OUT, "9"),
];

fn colour(colour: Color, base: u8, code: &mut impl FnMut(&str)) {
    let number = match colour {
        Color::Reset => return,
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 60,
        Color::LightRed => 61,
        Color::LightGreen => 62,
        Color::LightYellow => 63,
        Color::LightBlue => 64,
        Color::LightMagenta => 65,
        Color::LightCyan => 66,
        Color::White => 67,
        Color::Indexed(index) => return code(&format!("{};5;{index}", base + 8)),
        Color::Rgb(red, green, blue) => {
            return code(&format!("{};2;{red};{green};{blue}", base + 8));
        }
    };
    code(&(base + number).to_string());
}

#[cfg(test)]
mod tests {
    use ratatui::{layout::Rect, style::Style as CellStyle};

    use super::*;

    fn frame(text: &str, style: CellStyle) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 2));
        buffer.set_string(0, 0, text, style);
        buffer
    }

    /// What a real terminal makes of it.
    fn screen(bytes: &[&[u8]]) -> String {
        let size = |size| std::num::NonZero::new(size).expect("not zero");
        let mut terminal = vt100::Parser::new(size(2), size(20), 0);
        for part in bytes {
            terminal.process(part);
        }
        terminal.screen().contents()
    }

    #[test]
    fn an_unchanged_frame_is_no_bytes() {
        let mut painter = Painter::new(false);
        assert!(!painter.frame(frame("hello", CellStyle::new()), None).is_empty());
        assert!(painter.frame(frame("hello", CellStyle::new()), None).is_empty());
        let cursor = Some(Position { x: 3, y: 1 });
        assert!(!painter.frame(frame("hello", CellStyle::new()), cursor).is_empty());
        assert!(painter.frame(frame("hello", CellStyle::new()), cursor).is_empty());
    }

    #[test]
    fn a_change_of_two_digits_costs_two_digits_and_a_move() {
        let mut painter = Painter::new(false);
        let first = painter.frame(frame("cpu 12.0 mem 857M", CellStyle::new()), None).to_vec();
        let second = painter.frame(frame("cpu 34.0 mem 857M", CellStyle::new()), None).to_vec();
        assert_eq!(second.len(), BEGIN.len() + END.len() + "\u{1b}[1;5H34".len());
        assert_eq!(screen(&[&first, &second]), "cpu 34.0 mem 857M");
    }

    #[test]
    fn styles_are_set_once_and_left_clean() {
        let mut painter = Painter::new(false);
        let style = CellStyle::new().fg(Color::Red).add_modifier(Modifier::BOLD);
        let bytes = painter.frame(frame("abc", style), None).to_vec();
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains("\u{1b}[1;31mabc\u{1b}[m"), "{text:?}");
    }

    #[test]
    fn short_gaps_are_written_over_and_wide_characters_keep_their_place() {
        let mut painter = Painter::new(false);
        let first = painter.frame(frame("a-b-c 日本", CellStyle::new()), None).to_vec();
        let second = painter.frame(frame("x-y-z 語本!", CellStyle::new()), None).to_vec();
        assert_eq!(screen(&[&first, &second]), "x-y-z 語本!");
        let text = String::from_utf8(second).expect("text");
        assert!(text.contains("x-y-z "), "{text:?}");
    }

    #[test]
    fn behind_what_terminals_count_differently_the_pen_is_placed_anew() {
        let mut painter = Painter::new(false);
        let bytes = painter.frame(frame("a👍🏽b", CellStyle::new()), None).to_vec();
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains("\u{1b}[1;4Hb"), "{text:?}");
        let bytes = painter.frame(frame("● 日 ─ ok", CellStyle::new()), None).to_vec();
        let text = String::from_utf8(bytes).expect("text");
        assert_eq!(text.matches('H').count(), 1, "sure of these: {text:?}");
    }

    #[test]
    fn an_ascii_terminal_gets_ascii() {
        let mut painter = Painter::new(true);
        let bytes = painter.frame(frame("● 日 ok", CellStyle::new()), None);
        assert!(bytes.is_ascii());
        assert_eq!(screen(&[bytes]), "? ?? ok");
    }
}
