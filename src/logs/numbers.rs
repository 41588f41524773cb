//! Where the numbers of a life of the Supervisor begin.
//!
//! Numbers of records must not repeat, even where the clock was set back and every log was
//! deleted. So each life reserves a range in a small file of the runtime folder, and gives back
//! what it did not use; after a `kill -9` the next one begins behind all of it.

use std::{fs, io, path::PathBuf};

use jiff::Timestamp;

/// Reserved at a time: what a busy component writes in hours.
const RANGE: u64 = 1 << 36;

#[derive(Debug, Default)]
pub(super) struct Numbers {
    file: Option<PathBuf>,
    /// Numbers from here on are somebody else's.
    reserved: u64,
}

impl Numbers {
    /// Also says with which number this life begins: the time in microseconds, or what lies
    /// behind the lives before it.
    pub fn open(file: Option<PathBuf>, now: Timestamp) -> (Self, u64) {
        let used = file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let used = used.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let begin = u64::try_from(now.as_microsecond()).unwrap_or_default().max(used);
        let mut numbers = Self { file, reserved: 0 };
        numbers.reach(begin);
        (numbers, begin)
    }

    /// The highest number in use is `number` now.
    pub fn reach(&mut self, number: u64) {
        if number.saturating_add(RANGE / 2) > self.reserved {
            self.reserved = number.saturating_add(RANGE);
            self.write(self.reserved);
        }
    }

    /// The life goes on although its end was said.
    pub fn resume(&self) {
        self.write(self.reserved);
    }

    /// The life ends, and has used the numbers up to this one.
    pub fn end(&self, number: u64) {
        self.write(number.saturating_add(1));
    }

    fn write(&self, number: u64) {
        let Some(file) = &self.file else { return };
        let write = || -> io::Result<()> {
            let new = file.with_extension("new");
            fs::write(&new, format!("{number}\n"))?;
            fs::rename(&new, file)
        };
        if let Err(error) = write() {
            // The time alone is as good as long as nobody sets the clock back.
            tracing::warn!(file = %file.display(), %error, "cannot keep the numbers of log records");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_life_uses_the_numbers_of_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = Some(folder.path().join("log-numbers"));
        let time = |second| Timestamp::from_second(second).expect("a time");
        let (numbers, first) = Numbers::open(file.clone(), time(1_000));
        assert_eq!(first, 1_000_000_000);
        numbers.end(first + 500);
        // In order, and the clock set back.
        let (mut numbers, second) = Numbers::open(file.clone(), time(10));
        assert_eq!(second, first + 501);
        numbers.reach(second + RANGE);
        // Killed.
        let (_, third) = Numbers::open(file, time(10));
        assert!(third > second + RANGE);
    }
}
