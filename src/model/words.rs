//! How lengths of time are said.

use std::time::Duration;

/// "0.4 s", "12 s", "3 m 20 s", "5 h 12 m", "3 d 4 h".
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let words = |seconds| in_words(Duration::from_secs_f64(seconds));
        let read = [0.04, 9.96, 59.9, 61.0, 3_600.0, 90_000.0].map(words);
        assert_eq!(read, ["0.0 s", "10.0 s", "59 s", "1 m 1 s", "1 h 0 m", "1 d 1 h"]);
    }
}
