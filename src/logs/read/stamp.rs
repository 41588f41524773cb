//! Lines of stamped files, read back.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use crate::logs::line::Stream;

/// `2026-11-22T14:03:07.123+01:00`
const STAMP: usize = "2026-11-22T14:03:07.123+01:00".len();

const JSON: &[u8] = b"{\"time\":\"";

pub(super) struct Stamped<'a> {
    pub at: Timestamp,
    /// `None`: the Supervisor's own remark.
    pub stream: Option<Stream>,
    /// A piece without its newline.
    pub partial: bool,
    pub text: Cow<'a, [u8]>,
}

#[derive(Deserialize)]
struct Object {
    time: String,
    stream: String,
    line: String,
    #[serde(default)]
    partial: bool,
}

/// Whether a file that begins with this line is a stamped one.
pub(super) fn begins(line: &[u8]) -> bool {
    line.starts_with(JSON) || read(line).is_some()
}

pub(super) fn read(line: &[u8]) -> Option<Stamped<'_>> {
    if line.starts_with(JSON) {
        let Object { time, stream, line, partial } = serde_json::from_slice(line).ok()?;
        let text = Cow::Owned(line.into_bytes());
        return Some(Stamped {
            at: time.parse().ok()?,
            stream: stream_of(&stream)?,
            partial,
            text,
        });
    }
    let (stamp, rest) = line.split_at_checked(STAMP)?;
    let shaped = stamp[4] == b'-' && stamp[10] == b'T' && stamp[19] == b'.';
    let rest = rest.strip_prefix(b" ").filter(|_| shaped)?;
    let at = std::str::from_utf8(stamp).ok()?.parse().ok()?;
    let end = memchr::memchr(b' ', rest)?;
    let (word, text) = (std::str::from_utf8(&rest[..end]).ok()?, &rest[end + 1..]);
    let (word, partial) = word.strip_suffix('+').map_or((word, false), |word| (word, true));
    Some(Stamped { at, stream: stream_of(word)?, partial, text: Cow::Borrowed(text) })
}

#[expect(clippy::option_option, reason = "no stream at all, or none of the component's")]
fn stream_of(word: &str) -> Option<Option<Stream>> {
    match word {
        "out" => Some(Some(Stream::Out)),
        "err" => Some(Some(Stream::Err)),
        "supervisor" => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_nothing_else() {
        let read = |line: &str| {
            let stamped = read(line.as_bytes())?;
            let text = String::from_utf8_lossy(&stamped.text).into_owned();
            Some((stamped.at.to_string(), stamped.stream, stamped.partial, text))
        };
        let at = || "2026-11-22T13:03:07.123Z".to_owned();
        let stamp = "2026-11-22T14:03:07.123+01:00";
        assert_eq!(
            read(&format!("{stamp} out GET /a b")),
            Some((at(), Some(Stream::Out), false, "GET /a b".to_owned()))
        );
        assert_eq!(
            read(&format!("{stamp} err+ $ ")),
            Some((at(), Some(Stream::Err), true, "$ ".to_owned()))
        );
        let json = format!(
            "{{\"time\":\"{stamp}\",\"stream\":\"err\",\"line\":\"a\\nb\",\"partial\":true}}"
        );
        assert_eq!(read(&json), Some((at(), Some(Stream::Err), true, "a\nb".to_owned())));
        let json = format!("{{\"time\":\"{stamp}\",\"stream\":\"supervisor\",\"line\":\"lost\"}}");
        assert_eq!(read(&json), Some((at(), None, false, "lost".to_owned())));
        for foreign in [
            "",
            "2026-11-22",
            &format!("{stamp} INFO started"),
            &format!("{stamp}out x"),
            "{\"time\":\"",
        ] {
            assert_eq!(read(foreign), None, "{foreign}");
        }
    }
}
