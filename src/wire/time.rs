//! Times as people write them: in queries (`since`, `until`, `from`, `to`) and after options.
//!
//! Pure: what the clock says is an argument. One reader for the API, the command line and the
//! console, so that a time means the same everywhere.

use std::fmt;

use jiff::{
    Span, Timestamp, ZonedDateTime,
    civil::{Date, DateTime, Time},
};

/// Reads a time, seen from `now`:
///
/// | written | is |
/// |---|---|
/// | `-10m`, `-2h`, `-1d`, `-30s`, `-1h30m` | so long ago |
/// | `+2h` | so long from now |
/// | `now`, `today`, `yesterday` | this moment; the beginning of the day |
/// | `14:02`, `14:02:30` | today, in the zone of `now` |
/// | `2026-11-22`, `2026-11-22 14:02`, `2026-11-22T14:02:30` | in the zone of `now` |
/// | `2026-11-22T14:02:30Z`, `…+01:00` | RFC 3339 |
///
/// A day is a day of the calendar: `-1d` keeps the time of day when summer time ends.
pub fn parse(text: &str, now: &ZonedDateTime) -> Result<Timestamp, InvalidTime> {
    let text = text.trim();
    read(text, now).ok_or_else(|| InvalidTime { text: text.to_owned() })
}

/// Reads a time to come: a time of day that has passed is tomorrow's. Otherwise a text that says
/// why not.
pub fn parse_coming(text: &str, now: &ZonedDateTime) -> Result<Timestamp, String> {
    let at = parse(text, now).map_err(|InvalidTime { text }| {
        format!(
            "\"{}\" is no time to come: write +2h (also s, m, d), 14:30, \"2026-11-22 14:30\" or \
             2026-11-22T14:30:00Z",
            text.escape_debug()
        )
    })?;
    if at > now.timestamp() {
        return Ok(at);
    }
    let tomorrow = time_of_day(text.trim())
        .and_then(|time| local(now.date().tomorrow().ok()?.to_datetime(time), now));
    tomorrow.ok_or_else(|| format!("\"{}\" has passed", text.escape_debug()))
}

/// Why a text names no time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidTime {
    text: String,
}

impl fmt::Display for InvalidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is no time: write -10m (also s, h, d), 14:02, \"2026-11-22 14:02\" or \
             2026-11-22T14:02:30Z",
            self.text.escape_debug()
        )
    }
}

impl std::error::Error for InvalidTime {}

fn read(text: &str, now: &ZonedDateTime) -> Option<Timestamp> {
    if let Some(spans) = text.strip_prefix('-') {
        return Some(now.checked_sub(span(spans)?).ok()?.timestamp());
    }
    if let Some(spans) = text.strip_prefix('+') {
        return Some(now.checked_add(span(spans)?).ok()?.timestamp());
    }
    match text {
        "now" => return Some(now.timestamp()),
        "today" => return Some(now.start_of_day().ok()?.timestamp()),
        "yesterday" => return Some(now.yesterday().ok()?.start_of_day().ok()?.timestamp()),
        _ => {}
    }
    if let Some(time) = time_of_day(text) {
        return local(now.date().to_datetime(time), now);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    // Jiff reads much as a date; only what a person would recognise as one counts here.
    let shaped = text.len() >= "2026-11-22".len() && text.as_bytes()[4] == b'-';
    if !shaped {
        return None;
    }
    match text.parse::<Date>() {
        Ok(date) if text.len() == "2026-11-22".len() => local(date.to_datetime(Time::MIN), now),
        _ => local(text.parse::<DateTime>().ok()?, now),
    }
}

/// `10m`, `1h30m`: numbers with their units, the larger first or not.
fn span(mut text: &str) -> Option<Span> {
    let mut span = Span::new();
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = text[..digits].parse().ok()?;
        let unit = text[digits..].chars().next()?;
        let more = match unit {
            's' => span.try_seconds(number.checked_add(span.get_seconds())?),
            'm' => span.try_minutes(number.checked_add(span.get_minutes())?),
            'h' => span.try_hours(number.checked_add(i64::from(span.get_hours()))?),
            'd' => span.try_days(number.checked_add(i64::from(span.get_days()))?),
            'w' => span.try_days(number.checked_mul(7)?.checked_add(i64::from(span.get_days()))?),
            _ => return None,
        };
        span = more.ok()?;
        text = &text[digits + unit.len_utf8()..];
    }
    Some(span)
}

/// `14:02` or `14:02:30`.
fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let mut part = || -> Option<i8> {
        let digits = parts.next()?;
        let number = digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if number { digits.parse().ok() } else { None }
    };
    let (hour, minute) = (part()?, part()?);
    let second = if text.matches(':').count() == 2 { part()? } else { 0 };
    if text.matches(':').count() > 2 {
        return None;
    }
    Time::new(hour, minute, second, 0).ok()
}

/// Where the clock jumps over a time, the one after the jump is meant.
fn local(at: DateTime, now: &ZonedDateTime) -> Option<Timestamp> {
    Some(at.to_zoned_datetime(now.time_zone().clone()).ok()?.timestamp())
}

/// As the API writes times: RFC 3339 in UTC with milliseconds.
pub fn format(at: Timestamp) -> String {
    // Rounded down: a time must not lie in the future of what it stands for.
    let millis = at.as_millisecond().rem_euclid(1000);
    let second = at.as_millisecond().div_euclid(1000);
    let whole = Timestamp::from_second(second).unwrap_or_default();
    let local = jiff::tz::TimeZone::UTC.to_datetime(whole);
    format!("{}T{}.{millis:03}Z", local.date(), local.time())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_to_come_is_never_one_that_has_passed() {
        let now = now();
        let later = |text| parse_coming(text, &now).map(|at| at > now.timestamp());
        for text in ["00:00", "12:00", "23:59", "+1s", "+2h", "2100-01-01"] {
            assert_eq!(later(text), Ok(true), "{text}");
        }
        for text in ["-10m", "now", "today", "2020-01-01T00:00:00Z"] {
            let why = later(text).expect_err(text);
            assert_eq!(why, format!("\"{text}\" has passed"));
        }
        for text in ["", "2h", "soon", "+", "25:00"] {
            let why = later(text).expect_err(text);
            assert!(why.contains("is no time to come: write +2h"), "{why}");
        }
    }

    fn now() -> ZonedDateTime {
        // The afternoon of the day on which summer time ended.
        "2026-10-25T15:30:00+01:00[Europe/Zurich]".parse().expect("a time")
    }

    fn read(text: &str) -> String {
        parse(text, &now()).map_or_else(|error| error.to_string(), format)
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, at) in [
            ("-30s", "2026-10-25T14:29:30.000Z"),
            ("-10m", "2026-10-25T14:20:00.000Z"),
            ("-2h", "2026-10-25T12:30:00.000Z"),
            ("-1h30m", "2026-10-25T13:00:00.000Z"),
            ("-1d", "2026-10-24T13:30:00.000Z"),
            ("-1w", "2026-10-18T13:30:00.000Z"),
            ("+2h", "2026-10-25T16:30:00.000Z"),
            ("now", "2026-10-25T14:30:00.000Z"),
            ("today", "2026-10-24T22:00:00.000Z"),
            ("yesterday", "2026-10-23T22:00:00.000Z"),
            ("14:02", "2026-10-25T13:02:00.000Z"),
            ("9:02:07", "2026-10-25T08:02:07.000Z"),
            ("2026-10-20", "2026-10-19T22:00:00.000Z"),
            ("2026-10-20 14:02", "2026-10-20T12:02:00.000Z"),
            ("2026-10-20T14:02:03.5", "2026-10-20T12:02:03.500Z"),
            ("2026-10-20T14:02:03Z", "2026-10-20T14:02:03.000Z"),
            (" 2026-10-20T14:02:03+05:30 ", "2026-10-20T08:32:03.000Z"),
        ] {
            assert_eq!(read(text), at, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_would_be_one() {
        for text in [
            "",
            "-",
            "+",
            "-m",
            "-10",
            "-10x",
            "10m",
            "-10mm",
            "25:00",
            "14:60",
            "14",
            "1:2:3:4",
            "soon",
            "2026-13-01",
            "20261025",
            "-99999999999999999999d",
            "-9999999d",
            "14:+2",
        ] {
            let error = parse(text, &now()).expect_err(text).to_string();
            assert!(error.contains("write -10m"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[-+0-9:TZsmhdw. é]{0,24}") {
            let _ = parse(&text, &now());
        }

        #[test]
        fn what_is_written_reads_back(millis in 0_i64..4_000_000_000_000) {
            let at = Timestamp::from_millisecond(millis).expect("in range");
            prop_assert_eq!(parse(&format(at), &now()), Ok(at));
        }
    }
}
