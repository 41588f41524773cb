//! Bytes to characters: UTF-8 only, and only what XML allows.

use crate::registry::diagnostics::{Problem, Problems};
use crate::registry::source::Span;

use super::{
    builder::in_registry,
    characters::{is_character, is_space},
};

/// The bytes as UTF-8.
pub(super) fn decode<'s>(bytes: &'s [u8], problems: &mut Problems) -> Option<&'s str> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        problems.push(
            Problem::error("the file is UTF-16, which is not supported")
                .at(in_registry(Span::new(0, 2)), "a UTF-16 byte order mark")
                .help("save it as UTF-8"),
        );
        return None;
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(text);
    }
    let mut offset = 0;
    for chunk in bytes.utf8_chunks() {
        offset += chunk.valid().len();
        let invalid = chunk.invalid();
        if !invalid.is_empty() {
            let shown: Vec<String> = invalid.iter().map(|byte| format!("{byte:02x}")).collect();
            problems.push(
                Problem::error("the file is not UTF-8")
                    .at(
                        in_registry(Span::new(offset, offset + invalid.len())),
                        format!("the bytes {} are no character", shown.join(" ")),
                    )
                    .help("save it as UTF-8"),
            );
        }
        offset += invalid.len();
    }
    None
}

/// No character that XML does not allow, wherever it stands.
pub(super) fn check(text: &str, problems: &mut Problems) {
    // Most files hold none: bytes are looked at before characters.
    let suspicious = |byte: &u8| (*byte < 0x20 && !is_space(*byte)) || *byte == 0xef;
    if !text.as_bytes().iter().any(suspicious) {
        return;
    }
    for (offset, character) in text.char_indices() {
        if !is_character(character) {
            let span = Span::new(offset, offset + character.len_utf8());
            let message = format!("the character U+{:04X} is not allowed", u32::from(character));
            problems.push(Problem::error(message).at(in_registry(span), "not allowed in XML"));
        }
    }
}
