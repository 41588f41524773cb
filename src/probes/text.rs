//! What a component says, made fit to be shown: one line, bounded, nothing that drives a terminal.

use std::{io, time::Duration};

/// Longest text of a finding, in characters.
pub(super) const LONGEST: usize = 256;

/// The bytes as one line of text: control and invisible formatting characters become spaces,
/// what is not UTF-8 becomes U+FFFD, the end is cut with an ellipsis.
pub(super) fn one_line(bytes: &[u8]) -> String {
    // A character has at most four bytes: no more of them can be needed.
    let bytes = &bytes[..bytes.len().min(4 * (LONGEST + 1))];
    // What was hidden at an end is a blank now.
    clip(String::from_utf8_lossy(bytes).trim_matches(|c: char| c.is_whitespace() || is_hidden(c)))
}

/// The same for text that is composed here and may quote others.
pub(super) fn clip(text: &str) -> String {
    let mut characters = text.chars().map(|c| if is_hidden(c) { ' ' } else { c });
    let mut line: String = characters.by_ref().take(LONGEST).collect();
    if characters.next().is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// Control characters, and the marks that turn the direction of the text around them.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{2028}' | '\u{2029}')
}

/// At most so many characters of a text, with an ellipsis where some are left out.
pub(super) fn shortened(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `0.01 s`, `2 s`: as short as two decimals allow.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{} s", (duration.as_secs_f64() * 100.0).round() / 100.0)
}

/// An error of the system as part of a sentence: without its number, without a capital.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_drives_a_terminal_gets_through() {
        assert_eq!(one_line(b"ok \x1b[31mred\x07\x9b\r\n"), "ok  [31mred \u{fffd}");
        assert_eq!(one_line("a\u{202e}b\u{85}c".as_bytes()), "a b c");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let long = "é".repeat(10_000);
        let line = one_line(long.as_bytes());
        assert_eq!(line.chars().count(), LONGEST);
        assert!(line.ends_with("é…"));
        assert_eq!(one_line("é".repeat(LONGEST).as_bytes()), "é".repeat(LONGEST));
    }

    #[test]
    fn durations_are_as_short_as_they_can_be() {
        let told = |millis| seconds(Duration::from_millis(millis));
        assert_eq!([told(2000), told(2500), told(7), told(0)], ["2 s", "2.5 s", "0.01 s", "0 s"]);
    }

    #[test]
    fn an_error_fits_into_a_sentence() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(reason(&refused), "connection refused");
    }
}
