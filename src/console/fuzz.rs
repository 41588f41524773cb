//! For any bytes: what a component wrote, and what comes from a keyboard.

use unicode_width::UnicodeWidthStr as _;

use super::{
    sanitize::{self, MAX_LINE_BYTES},
    terminal::input::Input,
};
use crate::{fuzzing::cuts, model::Moment};

/// What is shown drives no terminal, has the colours that were written at most, and is bounded.
pub(crate) fn sanitizer(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.split('\n') {
        let clean = sanitize::line(line);
        let mut rest = clean.as_str();
        while let Some(at) = rest.find(|character: char| character.is_control()) {
            let style = rest[at..].strip_prefix("\u{1b}[").expect("a style is all that is left");
            let end = style.find(|c: char| !c.is_ascii_digit() && c != ';').expect("it ends");
            assert!(style[end..].starts_with('m'), "{clean:?}");
            rest = &style[end..];
        }
        let plain = sanitize::plain(line);
        assert_eq!(plain, sanitize::strip(&clean));
        // A tab is eight columns at most, a character shown by its number nine.
        assert!(plain.width() <= 9 * MAX_LINE_BYTES + 1, "{} columns", plain.width());
        if clean.len() <= MAX_LINE_BYTES {
            assert_eq!(sanitize::line(&clean), clean, "what is clean stays as it is");
        }
    }
}

/// However bytes are cut into reads, the same is meant; and nothing is held back for ever.
pub(crate) fn input(bytes: &[u8]) {
    let now = Moment::default();
    let take = |input: &mut Input, bytes: &[u8]| {
        // What is typed into a field: a burst is no matter then.
        input.typing = true;
        input.take(bytes, now).iter().map(|message| format!("{message:?}")).collect::<Vec<_>>()
    };
    let mut input = Input::default();
    let whole = take(&mut input, bytes);
    input.tick(now.after(std::time::Duration::from_mins(1)));
    assert_eq!(input.deadline(), None);

    let (mut input, mut parts, mut rest) = (Input::default(), Vec::new(), bytes);
    for cut in cuts(bytes) {
        let (now, later) = rest.split_at(cut.min(rest.len()));
        parts.extend(take(&mut input, now));
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(parts, whole);
}
