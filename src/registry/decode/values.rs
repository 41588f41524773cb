//! Readers of single values. Each takes the text and gives the value, or what was expected.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

/// A value, or what was expected instead.
pub(in crate::registry) type Outcome<T> = Result<T, Expected>;

/// What was expected.
#[derive(Debug)]
pub(in crate::registry) struct Expected {
    /// Stands under the underlined place.
    pub label: String,
    pub help: Option<String>,
    /// The words that are possible, where only some are.
    pub known: Option<Vec<String>>,
}

impl Expected {
    pub fn label(label: impl Into<String>) -> Self {
        Self { label: label.into(), help: None, known: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Seconds, decimals allowed, within the range.
pub(in crate::registry) fn seconds(
    range: RangeInclusive<f64>,
) -> impl Fn(&str) -> Outcome<Duration> {
    move |text| {
        let (least, most) = (range.start(), range.end());
        let expected = || Expected::label(format!("expected {least} to {most} seconds"));
        let Some(value) = decimal(text) else {
            return Err(match text.strip_suffix(['s', 'm', 'h']).and_then(decimal) {
                Some(_) => expected().help("durations are seconds and have no unit"),
                None => expected(),
            });
        };
        if !range.contains(&value) {
            return Err(expected());
        }
        Duration::try_from_secs_f64(value).map_err(|_too_large| expected())
    }
}

/// Digits, perhaps a point and digits: no sign, no exponent, no `inf`.
fn decimal(text: &str) -> Option<f64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(whole) && digits(part) { text.parse().ok() } else { None }
}

/// A whole number within the range.
pub(in crate::registry) fn integer<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Outcome<T>
where
    T: Copy + PartialOrd + Display + TryFrom<i64>,
{
    move |text| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = if plain { text.parse::<i64>().ok() } else { None };
        number.and_then(|number| T::try_from(number).ok()).filter(|n| range.contains(n)).ok_or_else(
            || {
                Expected::label(format!(
                    "expected a whole number, {} to {}",
                    range.start(),
                    range.end()
                ))
            },
        )
    }
}

/// Bytes, with K, M, G or T for their multiples of 1024.
pub(in crate::registry) fn size(range: RangeInclusive<u64>) -> impl Fn(&str) -> Outcome<u64> {
    move |text| {
        let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
            Some(b'K') => (&text[..text.len() - 1], 10),
            Some(b'M') => (&text[..text.len() - 1], 20),
            Some(b'G') => (&text[..text.len() - 1], 30),
            Some(b'T') => (&text[..text.len() - 1], 40),
            _ => (text, 0),
        };
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let bytes = if plain { digits.parse::<u64>().ok() } else { None };
        bytes
            .and_then(|bytes| bytes.checked_mul(1 << shift))
            .filter(|bytes| range.contains(bytes))
            .ok_or_else(|| {
                let (least, most) = (in_units(*range.start()), in_units(*range.end()));
                Expected::label(format!("expected a size, {least} to {most}"))
                    .help("a size is bytes, or a number with K, M, G or T (1024): 100M")
            })
    }
}

fn in_units(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let unit = units.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    match unit {
        Some((shift, letter)) => format!("{}{letter}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// One of some words.
pub(in crate::registry) fn word<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&str) -> Outcome<T> {
    move |text| {
        let known = words.iter().find(|(word, _)| *word == text);
        known.map(|&(_, value)| value).ok_or_else(|| {
            let names: Vec<String> = words.iter().map(|(word, _)| (*word).to_owned()).collect();
            let label = match names.as_slice() {
                [most @ .., last] if !most.is_empty() => {
                    format!("expected {} or {last}", most.join(", "))
                }
                one => format!("expected {}", one.concat()),
            };
            Expected { label, help: None, known: Some(names) }
        })
    }
}

pub(in crate::registry) fn boolean(text: &str) -> Outcome<bool> {
    word(&[("true", true), ("false", false)])(text)
}

/// Permission bits: `027`, `22`.
pub(in crate::registry) fn octal(text: &str) -> Outcome<u32> {
    let plain =
        (1..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let bits = if plain { u32::from_str_radix(text, 8).ok() } else { None };
    bits.filter(|&bits| bits <= 0o777)
        .ok_or_else(|| Expected::label("expected octal permission bits, 000 to 777"))
}

/// Cores of CPU: 1.5.
pub(in crate::registry) fn cores(text: &str) -> Outcome<f64> {
    decimal(text)
        .filter(|cores| (0.01..=4096.0).contains(cores))
        .ok_or_else(|| Expected::label("expected a number of cores, 0.01 to 4096"))
}

/// Exit codes, separated by white space.
pub(in crate::registry) fn success_codes(text: &str) -> Outcome<Vec<i32>> {
    let read = integer(0..=255);
    let codes: Outcome<Vec<i32>> = text.split_whitespace().map(&read).collect();
    let mut codes = codes
        .map_err(|_one| Expected::label("expected exit codes, 0 to 255, with spaces between"))?;
    codes.sort_unstable();
    codes.dedup();
    // 0 is a success always.
    codes.retain(|&code| code != 0);
    Ok(codes)
}

/// HTTP status codes and ranges: `200-299 304`.
pub(in crate::registry) fn status_codes(text: &str) -> Outcome<Vec<RangeInclusive<u16>>> {
    let read = integer(100..=599);
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (read(first)?, read(last)?);
        if first <= last { Ok(first..=last) } else { Err(Expected::label("")) }
    };
    let ranges: Outcome<Vec<_>> = text.split_whitespace().map(range).collect();
    ranges
        .ok()
        .filter(|ranges| !ranges.is_empty())
        .ok_or_else(|| Expected::label("expected status codes or ranges, 100 to 599: 200-299 304"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_plain_seconds() {
        let read = seconds(0.0..=100.0);
        assert_eq!(read("0.5").expect("decimals"), Duration::from_millis(500));
        assert_eq!(read("007").expect("zeros"), Duration::from_secs(7));
        for bad in ["", "-1", "+1", "1e2", "inf", "NaN", ".5", "5.", "1,5", "101", "5s", "1.2.3"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("5s").expect_err("a unit").help.is_some());
    }

    #[test]
    fn sizes_are_multiples_of_1024() {
        let read = size(1..=1 << 40);
        assert_eq!(read("700M").expect("mega"), 700 << 20);
        assert_eq!(read("1k").expect("kilo"), 1024);
        for bad in ["", "M", "1.5G", "-1", "1MB", "0", "2T", "99999999999999999999G", "1é"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_hold_what_they_say() {
        assert_eq!(success_codes("143 0 3 3").expect("codes"), [3, 143]);
        assert!(success_codes("256").is_err());
        assert_eq!(status_codes("200-299 304").expect("codes"), [200..=299, 304..=304]);
        for bad in ["", "299-200", "99", "600", "2xx", "-"] {
            assert!(status_codes(bad).is_err(), "{bad}");
        }
        assert_eq!(octal("027").expect("umask"), 0o27);
        assert!(octal("8").is_err() && octal("1000").is_err() && octal("").is_err());
    }
}
