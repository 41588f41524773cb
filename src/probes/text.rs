//! What a component says, made fit to be shown: one line, bounded, nothing that drives a terminal.

/// Longest text of a finding, in characters.
pub(super) const LONGEST: usize = 256;

/// The bytes as one line of text: control and invisible formatting characters become spaces,
/// what is not UTF-8 becomes U+FFFD, the end is cut with an ellipsis.
pub(super) fn one_line(bytes: &[u8]) -> String {
    // A character has at most four bytes: no more of them can be needed.
    let bytes = &bytes[..bytes.len().min(4 * (LONGEST + 1))];
    clip(String::from_utf8_lossy(bytes).trim())
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
