//! Numbers and facts as an operator reads them.

use std::time::Duration;

use jiff::Timestamp;

use crate::wire::{ComponentState, Health, LastExit};
use crate::{cli::ui::Tone, model};

/// A span in its two largest units: `42s`, `5m 12s`, `3h 07m`, `12d 4h`.
pub fn span(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default().as_secs();
    let (days, hours, minutes, rest) =
        (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m {rest:02}s"),
        (0, _, _) => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// Seconds as they stand in a registry, without needless digits: `0.25 s`, `5 s`.
pub fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// Bytes with a binary unit: `812K`, `31.4M`, `1.2G`.
pub fn bytes(count: u64) -> String {
    let mut unit = 'K';
    let mut tenths = u128::from(count) * 10 / 1024;
    for larger in ['M', 'G', 'T', 'P'] {
        if tenths < 10_240 {
            break;
        }
        unit = larger;
        tenths /= 1024;
    }
    if tenths >= 1000 || unit == 'K' {
        format!("{}{unit}", tenths / 10)
    } else {
        format!("{}.{}{unit}", tenths / 10, tenths % 10)
    }
}

pub fn percent(value: f64) -> String {
    format!("{value:.1}%")
}

/// How it ended: `exit 3`, `SIGSEGV (core)`, `SIGKILL (out of memory)`, `exit 0 (asked)`.
pub fn ending(last: &LastExit) -> String {
    let exit = match (last.code, last.signal) {
        (Some(code), _) => model::Exit::Code(code),
        (None, Some(signal)) => model::Exit::Signal { signal, core: last.core },
        (None, None) => model::Exit::Unknown,
    };
    let mut text = exit.to_string();
    if last.oom {
        text.push_str(" (out of memory)");
    }
    if last.expected {
        text.push_str(" (asked)");
    }
    text
}

/// How long ago an RFC 3339 time was; the text itself where it is none.
pub fn ago(at: &str, now: Timestamp) -> String {
    match at.parse::<Timestamp>() {
        Ok(then) => format!("{} ago", span(now.duration_since(then).as_secs_f64())),
        Err(_) => format!("at {at}"),
    }
}

pub fn state_tone(state: ComponentState) -> Tone {
    match state {
        ComponentState::Running => Tone::Good,
        ComponentState::Waiting
        | ComponentState::Starting
        | ComponentState::Stopping
        | ComponentState::Backoff => Tone::Busy,
        ComponentState::Failed | ComponentState::Unkillable => Tone::Bad,
        ComponentState::Stopped | ComponentState::Exited => Tone::Dim,
    }
}

pub fn health_tone(health: Health) -> Tone {
    match health {
        Health::None => Tone::Dim,
        Health::Unknown => Tone::Busy,
        Health::Ok => Tone::Good,
        Health::Failing => Tone::Bad,
    }
}

/// A command line that a POSIX shell would take as it is.
pub fn command_line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(shell_word).collect();
    words.join(" ")
}

fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// `1 component`, `3 components`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(
            [0.4, 59.9, 312.0, 11_220.0, 1_051_200.0].map(span),
            ["0s", "59s", "5m 12s", "3h 07m", "12d 4h"]
        );
        assert_eq!(span(f64::NAN), "0s");
        assert_eq!(
            [0, 900_000, 32_925_286, 536_870_912, u64::MAX].map(bytes),
            ["0K", "878K", "31.3M", "512M", "16383P"]
        );
    }

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let line = command_line(["/bin/java", "-Da=b c", "it's", "", "$HOME"]);
        assert_eq!(line, r"/bin/java '-Da=b c' 'it'\''s' '' '$HOME'");
    }
}
