//! For any bytes: what a component said, where a command shows it.

use super::ui;

/// Nothing in it that a terminal obeys; and what is clean stays as it is.
pub(crate) fn shown(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let clean = ui::clean(&text);
    assert!(!clean.contains(char::is_control), "{clean:?}");
    assert_eq!(ui::clean(&clean), clean);
}
