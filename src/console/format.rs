//! Numbers and times as the console writes them: short, and steady in width and in time.

use jiff::{Timestamp, tz::TimeZone};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::{model::signal_name, wire::LastExit};

/// `12s`, `3m07s` within the first hour, then `9h30m`, `3d11h`, `412d`: an old row changes
/// seldom.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
pub fn uptime(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e12) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        (1..100, _, _) => format!("{days}d{:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// `0.0`, `33.0`, `334`: per cent of a core, at most four characters up to 9,999.
pub fn cpu(percent: f64) -> String {
    if percent < 99.95 { format!("{percent:.1}") } else { format!("{percent:.0}") }
}

/// `512K`, `857M`, `1.1G`: at most four characters.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "K", "M", "G", "T", "P"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    // Below ten one decimal tells more, except for whole bytes.
    if unit > 0 && value < 9.95 {
        format!("{value:.1}{}", UNITS[unit])
    } else {
        format!("{value:.0}{}", UNITS[unit])
    }
}

/// `exit 1`, `SIGSEGV`, `SIGKILL oom`.
pub fn exit(exit: &LastExit) -> String {
    let mut text = match (exit.code, exit.signal) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => {
            signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
        }
        (None, None) => "unknown".to_owned(),
    };
    if exit.oom {
        text.push_str(" oom");
    } else if exit.core {
        text.push_str(" core");
    }
    text
}

/// Wall time of a wire time stamp, as `strftime` with the operator's zone; the text itself where
/// it is none.
pub fn local(at: &str, zone: &TimeZone, format: &str) -> String {
    match at.parse::<Timestamp>() {
        Ok(timestamp) => local_time(timestamp, zone, format),
        Err(_no_time) => at.to_owned(),
    }
}

pub fn local_time(at: Timestamp, zone: &TimeZone, format: &str) -> String {
    at.to_zoned_datetime(zone.clone()).strftime(format).to_string()
}

/// The longest start of `text` within `width` columns, with `…` where something is missing.
pub fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        out.push(character);
        used += wide;
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// `text` in exactly `width` columns, to the left.
pub fn pad(text: &str, width: usize) -> String {
    let mut out = fit(text, width);
    for _ in out.width()..width {
        out.push(' ');
    }
    out
}

/// `text` in exactly `width` columns, to the right.
pub fn pad_left(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let mut out = " ".repeat(width.saturating_sub(text.width()));
    out.push_str(&text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_shows_seconds_in_the_first_hour_only() {
        for (seconds, text) in [
            (0.4, "0s"),
            (59.9, "59s"),
            (187.0, "3m07s"),
            (3600.0, "1h00m"),
            (34_200.0, "9h30m"),
            (298_800.0, "3d11h"),
            (86_400.0 * 412.0, "412d"),
            (f64::NAN, "0s"),
        ] {
            assert_eq!(uptime(seconds), text);
        }
    }

    #[test]
    fn numbers_keep_their_width() {
        assert_eq!(cpu(0.04), "0.0");
        assert_eq!(cpu(99.94), "99.9");
        assert_eq!(cpu(334.2), "334");
        for (count, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.0K"),
            (857 << 20, "857M"),
            (1_181_116_006, "1.1G"),
            (42 << 30, "42G"),
            (u64::MAX, "16384P"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn texts_are_cut_by_display_width() {
        assert_eq!(fit("component", 20), "component");
        assert_eq!(fit("component", 5), "comp…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(pad("日", 4), "日  ");
        assert_eq!(pad_left("33.0", 6), "  33.0");
    }
}
