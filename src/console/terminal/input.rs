//! From the terminal's events to the console's messages, without what no finger pressed.
//!
//! An escape sequence that was split on its way over ssh, or the late answer to a query, arrives
//! as an Esc and then as letters, and a letter may stop a component. So an Esc is held for a
//! moment; what then looks like the rest of a sequence is swallowed up to its end. A burst of
//! different letters at once is a paste into a terminal that does not mark pastes: it is
//! swallowed too, and said.

use std::time::Duration;

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind,
};

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
/// A sequence that has begun ends after this silence, or after so many characters.
const SEQUENCE_WAITS: Duration = Duration::from_millis(250);
const SEQUENCE_MOST: usize = 8192;
/// So many different characters within one read come from no keyboard.
const BURST: usize = 8;
const BURST_DIFFERENT: usize = 4;

#[derive(Debug, Default)]
pub struct InputFilter {
    state: State,
    /// When the last Esc was given out.
    escaped: Option<Moment>,
    /// Whether letters are typed into a field now: then a burst is text.
    pub typing: bool,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Ground,
    /// An Esc is held back.
    Escape { since: Moment },
    /// Inside a sequence that is swallowed.
    Sequence { kind: Kind, last: Moment, count: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Ends with a character from `@` to `~`.
    Control,
    /// One more character.
    Single,
    /// Ends with BEL or ST.
    Text,
}

impl InputFilter {
    /// What everything that was read at once means.
    pub fn take(&mut self, events: Vec<Event>, now: Moment) -> Vec<Message> {
        let mut messages = Vec::new();
        self.expire(now, &mut messages);
        let mut keys = Vec::new();
        for event in events {
            match event {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    if let Some(key) = self::key(key) {
                        self.key(key, now, &mut keys);
                    }
                }
                Event::Paste(text) => messages.push(Message::Paste(text)),
                Event::Resize(width, height) => messages.push(Message::Resize { width, height }),
                Event::Mouse(mouse) => match mouse.kind {
                    MouseEventKind::Down(MouseButton::Left) => {
                        messages.push(Message::Click { column: mouse.column, row: mouse.row });
                    }
                    MouseEventKind::ScrollDown => messages.push(Message::Wheel { down: true }),
                    MouseEventKind::ScrollUp => messages.push(Message::Wheel { down: false }),
                    _ => {}
                },
                Event::Key(_) | Event::FocusGained | Event::FocusLost => {}
            }
        }
        if !self.typing && is_burst(&keys) {
            messages.push(Message::StrayInput { bytes: keys.len() });
        } else {
            messages.extend(keys.into_iter().map(Message::Key));
        }
        messages
    }

    /// What time alone brings out: a held Esc.
    pub fn tick(&mut self, now: Moment) -> Vec<Message> {
        let mut messages = Vec::new();
        self.expire(now, &mut messages);
        messages
    }

    /// When [`InputFilter::tick`] is wanted next.
    pub fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Ground => None,
            State::Escape { since } => Some(since.after(ESC_WAITS)),
            State::Sequence { last, .. } => Some(last.after(SEQUENCE_WAITS)),
        }
    }

    fn expire(&mut self, now: Moment, messages: &mut Vec<Message>) {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        if let State::Escape { .. } = self.state {
            messages.push(Message::Key(Key::plain(Code::Esc)));
            self.escaped = Some(now);
        }
        self.state = State::Ground;
    }

    fn key(&mut self, key: Key, now: Moment, keys: &mut Vec<Key>) {
        match self.state {
            State::Sequence { kind, count, .. } => {
                let ends = match (kind, key.code) {
                    (Kind::Control, Code::Char(last)) => ('@'..='~').contains(&last),
                    (Kind::Single, _) => true,
                    // BEL arrives as ^g, ST as Esc and a backslash.
                    (Kind::Text, Code::Char('g')) => key.ctrl,
                    (Kind::Text, Code::Char('\\')) => key.alt,
                    (Kind::Text, Code::Esc) => {
                        self.state = State::Sequence { kind: Kind::Single, last: now, count };
                        return;
                    }
                    _ => false,
                };
                self.state = if ends || count >= SEQUENCE_MOST {
                    State::Ground
                } else {
                    State::Sequence { kind, last: now, count: count + 1 }
                };
            }
            State::Escape { .. } => {
                self.state = State::Ground;
                if let Some(kind) = begins(key, true) {
                    self.state = State::Sequence { kind, last: now, count: 0 };
                } else {
                    keys.push(Key::plain(Code::Esc));
                    self.key(key, now, keys);
                }
            }
            State::Ground if key == Key::plain(Code::Esc) => {
                self.state = State::Escape { since: now };
            }
            State::Ground => {
                let late = self.escaped.is_some_and(|escaped| now.since(escaped) < LATE);
                // crossterm reads an Esc and a letter in one read as Alt and the letter.
                let began = if key.alt {
                    begins(Key { alt: false, ..key }, true)
                } else if late {
                    begins(key, false)
                } else {
                    None
                };
                match began {
                    Some(kind) => self.state = State::Sequence { kind, last: now, count: 0 },
                    None => keys.push(key),
                }
            }
        }
    }
}

/// Whether a sequence begins with this behind an Esc. `sure`: right behind it; later only what
/// is no key of its own here.
fn begins(key: Key, sure: bool) -> Option<Kind> {
    match key.typed()? {
        '[' => Some(Kind::Control),
        ']' => Some(Kind::Text),
        'O' => Some(Kind::Single),
        'P' | '_' | '^' if sure => Some(Kind::Text),
        _ => None,
    }
}

fn is_burst(keys: &[Key]) -> bool {
    let mut different: Vec<char> = keys.iter().filter_map(|key| key.typed()).collect();
    if different.len() < BURST {
        return false;
    }
    different.sort_unstable();
    different.dedup();
    different.len() >= BURST_DIFFERENT
}

fn key(event: KeyEvent) -> Option<Key> {
    let code = match event.code {
        KeyCode::Char(character) => Code::Char(character),
        KeyCode::F(number) => Code::F(number),
        KeyCode::Enter => Code::Enter,
        KeyCode::Esc => Code::Esc,
        KeyCode::Tab => Code::Tab,
        KeyCode::BackTab => Code::BackTab,
        KeyCode::Backspace => Code::Backspace,
        KeyCode::Delete => Code::Delete,
        KeyCode::Up => Code::Up,
        KeyCode::Down => Code::Down,
        KeyCode::Left => Code::Left,
        KeyCode::Right => Code::Right,
        KeyCode::Home => Code::Home,
        KeyCode::End => Code::End,
        KeyCode::PageUp => Code::PageUp,
        KeyCode::PageDown => Code::PageDown,
        _ => return None,
    };
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    let alt = event.modifiers.contains(KeyModifiers::ALT);
    Some(Key { code, ctrl, alt })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_boot(Duration::from_millis(10_000 + millis))
    }

    fn typed(text: &str) -> Vec<Event> {
        let code = |character| match character {
            '\u{1b}' => KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE),
            '\u{7}' => KeyEvent::new(KeyCode::Char('g'), KeyModifiers::CONTROL),
            other => KeyEvent::new(KeyCode::Char(other), KeyModifiers::NONE),
        };
        text.chars().map(|character| Event::Key(code(character))).collect()
    }

    /// The keys that come through, each read with its time in milliseconds.
    fn through(reads: &[(u64, &str)]) -> String {
        let mut filter = InputFilter::default();
        let mut keys = String::new();
        let mut note = |messages: Vec<Message>| {
            for message in messages {
                match message {
                    Message::Key(key) => keys.push_str(&key.to_string()),
                    Message::StrayInput { .. } => keys.push('#'),
                    other => panic!("unexpected {other:?}"),
                }
            }
        };
        for (time, text) in reads {
            if let Some(deadline) = filter.deadline().filter(|deadline| *deadline <= at(*time)) {
                note(filter.tick(deadline));
            }
            note(filter.take(typed(text), at(*time)));
        }
        if let Some(deadline) = filter.deadline() {
            note(filter.tick(deadline));
        }
        keys
    }

    #[test]
    fn fingers_are_let_through() {
        assert_eq!(through(&[(0, "r"), (300, "r")]), "rr");
        assert_eq!(through(&[(0, "\u{1b}")]), "Esc");
        assert_eq!(through(&[(0, "\u{1b}"), (500, "x")]), "Escx");
        assert_eq!(through(&[(0, "\u{1b}q")]), "Escq");
        assert_eq!(through(&[(0, "jjjjjjjjjjjjjjjj")]), "j".repeat(16));
    }

    #[test]
    fn a_split_sequence_stops_no_component() {
        assert_eq!(through(&[(0, "\u{1b}"), (20, "[A"), (300, "j")]), "j");
        assert_eq!(through(&[(0, "\u{1b}"), (10, "O"), (90, "R"), (400, "j")]), "j");
        assert_eq!(through(&[(0, "\u{1b}"), (80, "[1;5"), (160, "X"), (500, "j")]), "Escj");
    }

    #[test]
    fn a_late_answer_of_the_terminal_is_swallowed() {
        let answer = "]11;rgb:0000/0000/0000\u{7}";
        assert_eq!(through(&[(0, "\u{1b}"), (1, answer), (400, "j")]), "j");
        assert_eq!(through(&[(0, "\u{1b}"), (1, "]11;rgb:00\u{1b}\\x"), (400, "j")]), "xj");
        let mut filter = InputFilter::default();
        let alt = KeyEvent::new(KeyCode::Char(']'), KeyModifiers::ALT);
        let mut events = vec![Event::Key(alt)];
        events.extend(typed("11;sxrK\u{7}"));
        assert!(filter.take(events, at(0)).is_empty());
    }

    #[test]
    fn a_sequence_without_an_end_ends_with_the_silence() {
        assert_eq!(through(&[(0, "\u{1b}"), (1, "]0;sxr"), (600, "j")]), "j");
    }

    #[test]
    fn a_paste_that_is_not_marked_is_no_row_of_commands() {
        assert_eq!(through(&[(0, "systemctl restart sx")]), "#");
        let mut filter = InputFilter { typing: true, ..InputFilter::default() };
        assert_eq!(filter.take(typed("systemctl restart"), at(0)).len(), 17);
    }
}
