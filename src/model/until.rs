//! A time to come, as an operator writes it.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// What may be written, for messages.
pub const UNTIL_FORMS: &str = "+2h, +1h30m, +3d, or a time like 2026-11-23T14:30:00Z";

/// `+2h` from `now`, or RFC 3339; in the future, or a text that follows the time in an error:
/// "has passed".
pub fn parse_until(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let unknown = || format!("is no time to come: write {UNTIL_FORMS}");
    let time = match text.strip_prefix('+') {
        Some(span) => {
            let span: Span = span.parse().map_err(|_| unknown())?;
            let span = span.to_duration(SpanRelativeTo::days_are_24_hours());
            let span = span.map_err(|_| unknown())?;
            let span = Duration::try_from(span).map_err(|_| unknown())?;
            let span = SignedDuration::try_from(span).map_err(|_| unknown())?;
            now.checked_add(span).map_err(|_| unknown())?
        }
        None => text.parse().map_err(|_| unknown())?,
    };
    if time > now { Ok(time) } else { Err("has passed".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_come_is_absolute_or_from_now() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().expect("a time");
        for (text, expected) in [
            ("+90s", "2026-11-27T12:01:30Z"),
            ("+2h", "2026-11-27T14:00:00Z"),
            ("+1h30m", "2026-11-27T13:30:00Z"),
            ("+1d", "2026-11-28T12:00:00Z"),
            ("2026-11-27T15:00:00+01:00", "2026-11-27T14:00:00Z"),
        ] {
            let read = parse_until(text, now).expect(text);
            assert_eq!(read.to_string(), expected, "{text}");
        }
        for text in ["", "2h", "soon", "+", "+-2h", "+2", "14:30"] {
            let error = parse_until(text, now).expect_err(text);
            assert!(error.contains("+1h30m"), "{text}: {error}");
        }
        for text in ["2026-11-27T12:00:00Z", "+0s"] {
            assert_eq!(parse_until(text, now), Err("has passed".to_owned()));
        }
    }
}
