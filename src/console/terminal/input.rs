//! From the terminal's bytes to the console's messages, without what no finger pressed.
//!
//! Read here and not by crossterm, for three reasons that were met in a pty: its reader blocks in
//! the middle of a sequence that was split on its way, it forgets input that arrives together
//! with a change of size, and it takes the late answer to a query for letters, of which each
//! could stop a component.
//!
//! An Esc is held for a moment; what then looks like the rest of a sequence is part of it. A
//! sequence that never ends is dropped with the silence. A burst of different letters at once is
//! a paste into a terminal that does not mark pastes: it is dropped and said.

use std::time::Duration;

use crate::{
    console::{
        key::{Code, Key},
        update::Message,
    },
    model::Moment,
};

/// An Esc waits so long for the rest of a sequence.
const ESC_WAITS: Duration = Duration::from_millis(40);
/// After an Esc was given out, a sequence may still begin for so long.
const LATE: Duration = Duration::from_millis(120);
/// A sequence that has begun ends with this silence.
const SEQUENCE_WAITS: Duration = Duration::from_millis(250);
/// Longest control sequence that means anything.
const CONTROL_MOST: usize = 64;
/// Bytes of a paste that are kept.
const PASTE_MOST: usize = 1 << 16;
/// So many characters, so many of them different, within one read come from no keyboard.
const BURST: usize = 8;
const BURST_DIFFERENT: usize = 4;

const ESC: u8 = 0x1b;

#[derive(Debug, Default)]
pub struct Input {
    state: State,
    /// When the last byte of an unfinished sequence came.
    last: Moment,
    /// When the last Esc was given out.
    escaped: Option<Moment>,
    /// Letters are typed into a field now: then a burst is text.
    pub typing: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Ground,
    /// The first bytes of a character.
    Character(Vec<u8>),
    /// An Esc is held back.
    Escape,
    /// Behind `ESC [`.
    Control(Vec<u8>),
    /// One more byte: `ESC O A`, and `ESC [ [ A` of the Linux console.
    Single { linux: bool },
    /// Up to BEL or ST: an answer of the terminal.
    Text { escape: bool },
    /// Up to `ESC [ 201 ~`.
    Paste(Vec<u8>),
}

impl Input {
    /// What everything that was read at once means.
    pub fn take(&mut self, bytes: &[u8], now: Moment) -> Vec<Message> {
        let mut messages = self.tick(now);
        for byte in bytes {
            self.byte(*byte, now, &mut messages);
        }
        self.last = now;
        let keys = messages.iter().filter_map(|message| match message {
            Message::Key(key) => Some(*key),
            _ => None,
        });
        let keys: Vec<Key> = keys.collect();
        if !self.typing && is_burst(&keys) {
            messages.retain(|message| !matches!(message, Message::Key(_)));
            messages.push(Message::StrayInput { bytes: keys.len() });
        }
        messages
    }

    /// What time alone brings out: a held Esc.
    pub fn tick(&mut self, now: Moment) -> Vec<Message> {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        match std::mem::take(&mut self.state) {
            State::Escape => {
                self.escaped = Some(now);
                vec![Message::Key(Key::plain(Code::Esc))]
            }
            State::Paste(text) => vec![pasted(&text)],
            _unfinished => Vec::new(),
        }
    }

    /// When [`Input::tick`] is wanted next.
    pub fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Ground => None,
            State::Escape => Some(self.last.after(ESC_WAITS)),
            _ => Some(self.last.after(SEQUENCE_WAITS)),
        }
    }

    fn byte(&mut self, byte: u8, now: Moment, messages: &mut Vec<Message>) {
        let mut key = |key| messages.push(Message::Key(key));
        match &mut self.state {
            State::Ground => {
                let late = self.escaped.is_some_and(|escaped| now.since(escaped) < LATE);
                match byte {
                    // Nothing of these is bound: what follows an Esc so closely is its rest.
                    b'[' | b'O' | b']' if late => self.state = introduced(byte),
                    ESC => self.state = State::Escape,
                    0x80.. => self.state = State::Character(vec![byte]),
                    _ => plain(byte).into_iter().for_each(key),
                }
            }
            State::Character(bytes) => {
                bytes.push(byte);
                match str::from_utf8(bytes) {
                    Ok(text) => text.chars().map(Key::char).for_each(key),
                    Err(error) if error.error_len().is_none() && bytes.len() < 4 => return,
                    Err(_no_character) => {}
                }
                self.state = State::Ground;
            }
            State::Escape => match byte {
                b'[' | b'O' | b']' | b'P' | b'_' | b'^' | b'X' => self.state = introduced(byte),
                ESC => key(Key::plain(Code::Esc)),
                _ => {
                    // Alt and a key; Alt is bound to nothing by default.
                    self.state = State::Ground;
                    plain(byte).map(|key| Key { alt: true, ..key }).into_iter().for_each(key);
                }
            },
            State::Control(parameters) => match byte {
                b'[' if parameters.is_empty() => self.state = State::Single { linux: true },
                0x40..=0x7e => {
                    let parameters = std::mem::take(parameters);
                    self.state = State::Ground;
                    if (parameters.as_slice(), byte) == (b"200", b'~') {
                        self.state = State::Paste(Vec::new());
                    } else {
                        messages.extend(control(&parameters, byte));
                    }
                }
                ESC => self.state = State::Escape,
                _ if parameters.len() < CONTROL_MOST => parameters.push(byte),
                _ => {}
            },
            State::Single { linux } => {
                let code = match (*linux, byte) {
                    (true, b'A'..=b'E') => Some(Code::F(byte - b'A' + 1)),
                    (false, b'P'..=b'S') => Some(Code::F(byte - b'P' + 1)),
                    (false, _) => cursor(byte),
                    _ => None,
                };
                self.state = State::Ground;
                code.map(Key::plain).into_iter().for_each(key);
            }
            State::Text { escape } => match byte {
                0x07 => self.state = State::Ground,
                b'\\' if *escape => self.state = State::Ground,
                _ => *escape = byte == ESC,
            },
            State::Paste(text) => {
                text.push(byte);
                if text.ends_with(b"\x1b[201~") {
                    text.truncate(text.len() - 6);
                    messages.push(pasted(text));
                    self.state = State::Ground;
                } else if text.len() > PASTE_MOST {
                    // The start is kept, and enough of the end to find the mark.
                    text.remove(PASTE_MOST - 8);
                }
            }
        }
    }
}

fn introduced(byte: u8) -> State {
    match byte {
        b'[' => State::Control(Vec::new()),
        b'O' => State::Single { linux: false },
        _ => State::Text { escape: false },
    }
}

fn pasted(text: &[u8]) -> Message {
    Message::Paste(String::from_utf8_lossy(text).replace('\r', "\n"))
}

/// A byte that is a key by itself.
fn plain(byte: u8) -> Option<Key> {
    Some(match byte {
        b'\r' | b'\n' => Key::plain(Code::Enter),
        b'\t' => Key::plain(Code::Tab),
        0x7f | 0x08 => Key::plain(Code::Backspace),
        0x01..=0x1a => Key::ctrl(char::from(byte + 0x60)),
        b' '..=b'~' => Key::char(char::from(byte)),
        _ => return None,
    })
}

fn cursor(last: u8) -> Option<Code> {
    Some(match last {
        b'A' => Code::Up,
        b'B' => Code::Down,
        b'C' => Code::Right,
        b'D' => Code::Left,
        b'H' => Code::Home,
        b'F' => Code::End,
        b'Z' => Code::BackTab,
        _ => return None,
    })
}

/// A control sequence with its last byte; what is no key (reports, focus) is nothing.
fn control(parameters: &[u8], last: u8) -> Option<Message> {
    let text = str::from_utf8(parameters).ok()?;
    if let Some(mouse) = text.strip_prefix('<') {
        return self::mouse(mouse, last);
    }
    let mut numbers = text.split(';').map(|number| number.parse::<u8>().ok());
    let first = numbers.next().flatten();
    let modifiers = numbers.next().flatten().unwrap_or(1).saturating_sub(1);
    let code = match (last, first) {
        (b'~', Some(1 | 7)) => Code::Home,
        (b'~', Some(4 | 8)) => Code::End,
        (b'~', Some(3)) => Code::Delete,
        (b'~', Some(5)) => Code::PageUp,
        (b'~', Some(6)) => Code::PageDown,
        (b'~', Some(number @ 11..=15)) => Code::F(number - 10),
        (b'~', Some(number @ 17..=21)) => Code::F(number - 11),
        (b'~', Some(number @ 23..=24)) => Code::F(number - 12),
        // `CSI R` reports the cursor's place, so F3 comes without modifiers alone.
        (b'P' | b'Q' | b'S', Some(1)) => Code::F(last - b'P' + 1),
        (b'A'..=b'D' | b'F' | b'H' | b'Z', None | Some(1)) => cursor(last)?,
        _ => return None,
    };
    let key = Key { code, alt: modifiers & 2 != 0, ctrl: modifiers & 4 != 0 };
    Some(Message::Key(key))
}

/// SGR mouse: `<button;column;row`, `M` pressed.
fn mouse(text: &str, last: u8) -> Option<Message> {
    let mut numbers = text.split(';').map(|number| number.parse::<u16>().ok());
    let button = numbers.next()??;
    let column = numbers.next()??.checked_sub(1)?;
    let row = numbers.next()??.checked_sub(1)?;
    match (button, last) {
        (0, b'M') => Some(Message::Click { column, row }),
        (64, b'M') => Some(Message::Wheel { down: false }),
        (65, b'M') => Some(Message::Wheel { down: true }),
        _ => None,
    }
}

fn is_burst(keys: &[Key]) -> bool {
    let mut typed: Vec<char> = keys.iter().filter_map(|key| key.typed()).collect();
    if typed.len() < BURST {
        return false;
    }
    typed.sort_unstable();
    typed.dedup();
    typed.len() >= BURST_DIFFERENT
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_boot(Duration::from_millis(10_000 + millis))
    }

    /// The keys that come through, each read with its time in milliseconds.
    fn through(reads: &[(u64, &str)]) -> String {
        let mut input = Input::default();
        let mut said = Vec::new();
        let mut note = |messages: Vec<Message>| {
            said.extend(messages.into_iter().map(|message| match message {
                Message::Key(key) => key.to_string(),
                Message::StrayInput { .. } => "stray".to_owned(),
                Message::Paste(text) => format!("paste({text})"),
                Message::Click { column, row } => format!("click({column},{row})"),
                Message::Wheel { down } => format!("wheel({down})"),
                other => panic!("unexpected {other:?}"),
            }));
        };
        for (time, text) in reads {
            if let Some(deadline) = input.deadline().filter(|deadline| *deadline <= at(*time)) {
                note(input.tick(deadline));
            }
            note(input.take(text.as_bytes(), at(*time)));
        }
        if let Some(deadline) = input.deadline() {
            note(input.tick(deadline));
        }
        said.join(" ")
    }

    #[test]
    fn fingers_are_let_through() {
        for (text, keys) in [
            ("r", "r"),
            ("R\r\t\u{7f}", "R Enter Tab Backspace"),
            ("\u{4}\u{15}", "^d ^u"),
            ("\u{1b}[A\u{1b}[B\u{1b}OC\u{1b}[D", "Up Down Right Left"),
            ("\u{1b}[5~\u{1b}[6~\u{1b}[H\u{1b}[4~\u{1b}[3~", "PgUp PgDn Home End Delete"),
            ("\u{1b}OP\u{1b}[14~\u{1b}[21~\u{1b}[24~\u{1b}[[A", "F1 F4 F10 F12 F1"),
            ("\u{1b}[Z", "BackTab"),
            ("\u{1b}[1;5A", "^Up"),
            ("\u{1b}x", "alt-x"),
            ("é日", "é 日"),
            ("\u{1b}", "Esc"),
            ("\u{1b}\u{1b}", "Esc Esc"),
            ("\u{1b}[<0;12;3M\u{1b}[<0;12;3m\u{1b}[<65;1;1M", "click(11,2) wheel(true)"),
        ] {
            assert_eq!(through(&[(0, text)]), keys, "{text:?}");
        }
        assert_eq!(through(&[(0, "\u{1b}"), (500, "x")]), "Esc x");
        assert_eq!(through(&[(0, &"j".repeat(20))]), vec!["j"; 20].join(" "));
    }

    #[test]
    fn a_split_sequence_stops_no_component() {
        assert_eq!(through(&[(0, "\u{1b}"), (20, "[A"), (300, "j")]), "Up j");
        assert_eq!(through(&[(0, "\u{1b}["), (90, "A"), (300, "j")]), "Up j");
        assert_eq!(through(&[(0, "\u{1b}"), (80, "[1;5"), (160, "X"), (500, "j")]), "Esc j");
        assert_eq!(through(&[(0, "\u{1b}[12;4"), (600, "j")]), "j");
    }

    #[test]
    fn an_answer_of_the_terminal_is_no_key() {
        for answer in [
            "\u{1b}]11;rgb:1e1e/1e1e/1e1e\u{7}",
            "\u{1b}]11;rgb:1e1e/1e1e/1e1e\u{1b}\\",
            "\u{1b}[?1;2c",
            "\u{1b}[24;80R",
            "\u{1b}[1;1R",
            "\u{1b}P>|xterm(390)\u{1b}\\",
            "\u{1b}[I\u{1b}[O",
            "\u{1b}[?2026;2$y",
        ] {
            assert_eq!(through(&[(0, answer), (400, "j")]), "j", "{answer:?}");
        }
        assert_eq!(through(&[(0, "\u{1b}"), (90, "]0;sxr"), (600, "j")]), "Esc j");
    }

    #[test]
    fn a_paste_is_one_thing_and_an_unmarked_one_is_no_row_of_commands() {
        assert_eq!(through(&[(0, "\u{1b}[200~r\ry\u{1b}[201~x")]), "paste(r\ny) x");
        assert_eq!(
            through(&[(0, "\u{1b}[200~ab"), (100, "c\u{1b}[20"), (120, "1~")]),
            "paste(abc)"
        );
        assert_eq!(through(&[(0, "systemctl restart sx")]), "stray");
        let mut input = Input { typing: true, ..Input::default() };
        assert_eq!(input.take(b"systemctl restart", at(0)).len(), 17);
        let long = format!("\u{1b}[200~{}\u{1b}[201~x", "y".repeat(3 * PASTE_MOST / 2));
        assert!(through(&[(0, &long)]).ends_with(") x"));
    }

    proptest! {
        /// However bytes are cut into reads, the same keys come out.
        #[test]
        fn reads_may_be_cut_anywhere(cuts in prop::collection::vec(1_usize..6, 0..20)) {
            let text = "j\u{1b}[A\u{1b}[5~é日\u{1b}OP\u{1b}]0;x\u{7}k\u{1b}[200~hi\u{1b}[201~\u{1b}[<64;2;2M";
            let whole: Vec<String> =
                Input::default().take(text.as_bytes(), at(0)).iter().map(|m| format!("{m:?}")).collect();
            let mut input = Input::default();
            let mut parts = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                parts.extend(input.take(now, at(0)));
                rest = later;
            }
            parts.extend(input.take(rest, at(0)));
            let parts: Vec<String> = parts.iter().map(|m| format!("{m:?}")).collect();
            prop_assert_eq!(parts, whole);
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut input = Input::default();
            input.take(&bytes, at(0));
            input.tick(at(1000));
            prop_assert!(input.deadline().is_none());
        }
    }
}
