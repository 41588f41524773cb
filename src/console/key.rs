//! A key as the console knows it, and its spelling: `ctrl-d`, `F4`, `Space`, `R`.

use std::{fmt, str::FromStr};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub code: Code,
    pub ctrl: bool,
    pub alt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A character with its case: `R` needs no shift beside it.
    Char(char),
    F(u8),
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Delete,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
}

/// Why a text names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a key: expected a character, or a name such as Enter, Space, F4, ctrl-d, alt-x"
)]
pub struct InvalidKey(pub String);

impl Key {
    pub const fn plain(code: Code) -> Self {
        Self { code, ctrl: false, alt: false }
    }

    pub const fn char(character: char) -> Self {
        Self::plain(Code::Char(character))
    }

    pub const fn ctrl(character: char) -> Self {
        Self { code: Code::Char(character), ctrl: true, alt: false }
    }

    /// The character that it types into a text field, if it types one.
    pub fn typed(self) -> Option<char> {
        match self.code {
            Code::Char(character) if !self.ctrl && !self.alt => Some(character),
            _ => None,
        }
    }
}

const NAMES: [(&str, Code); 17] = [
    ("Enter", Code::Enter),
    ("Esc", Code::Esc),
    ("Tab", Code::Tab),
    ("BackTab", Code::BackTab),
    ("Backspace", Code::Backspace),
    ("Delete", Code::Delete),
    ("Up", Code::Up),
    ("Down", Code::Down),
    ("Left", Code::Left),
    ("Right", Code::Right),
    ("Home", Code::Home),
    ("End", Code::End),
    ("PgUp", Code::PageUp),
    ("PgDn", Code::PageDown),
    ("PageUp", Code::PageUp),
    ("PageDown", Code::PageDown),
    ("Space", Code::Char(' ')),
];

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let invalid = || InvalidKey(text.to_owned());
        let mut key = Self::plain(Code::Esc);
        let mut rest = text;
        loop {
            if let Some(after) = rest.strip_prefix("ctrl-").filter(|after| !after.is_empty()) {
                (key.ctrl, rest) = (true, after);
            } else if let Some(after) = rest.strip_prefix("alt-").filter(|after| !after.is_empty())
            {
                (key.alt, rest) = (true, after);
            } else {
                break;
            }
        }
        let mut characters = rest.chars();
        key.code = match (characters.next(), characters.next()) {
            (Some(only), None) if !only.is_control() => Code::Char(only),
            (Some('F'), Some(_)) => match rest[1..].parse() {
                Ok(number @ 1..=24) => Code::F(number),
                _ => return Err(invalid()),
            },
            _ => {
                NAMES
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(rest))
                    .ok_or_else(invalid)?
                    .1
            }
        };
        Ok(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        if self.ctrl {
            text.push('^');
        }
        if self.alt {
            text.push_str("alt-");
        }
        match self.code {
            Code::Char(' ') => text.push_str("Space"),
            Code::Char(character) => text.push(character),
            Code::F(number) => {
                text.push('F');
                text.push_str(&number.to_string());
            }
            code => {
                let name = NAMES.iter().find(|(_, named)| *named == code);
                text.push_str(name.map_or("?", |(name, _)| name));
            }
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_an_operator_writes_them() {
        let read = |text: &str| text.parse::<Key>().expect(text);
        assert_eq!(read("R"), Key::char('R'));
        assert_eq!(read("ctrl-d"), Key::ctrl('d'));
        assert_eq!(read("space"), Key::char(' '));
        assert_eq!(read("F4"), Key::plain(Code::F(4)));
        assert_eq!(read("F"), Key::char('F'));
        assert_eq!(read("-"), Key::char('-'));
        assert_eq!(read("ctrl--"), Key::ctrl('-'));
        for wrong in ["", "F99", "hyper-x", "ctrl-", "Entr"] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
    }
}
