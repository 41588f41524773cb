//! The names of log files, and which file belongs to whom.
//!
//! From the base path `logs/is.log`:
//! ```text
//! is-2026-11-22.001.log.gz   the first part of that day, complete, compressed
//! is-2026-11-22.002.log      the second part, complete
//! is-2026-11-22.log          what is written to (or was, when the day ended)
//! ```
//! Sorted by name the files are in the order of time: a digit sorts before a letter. Only names
//! that match to the last character are ever renamed, compressed or deleted: `a` never touches
//! the files of `a-b`.

use std::path::{Path, PathBuf};

use jiff::civil::Date;

/// The file names of one base path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub folder: PathBuf,
    pub stem: String,
    /// With its dot; empty where the base path has none.
    pub suffix: String,
}

/// What a file name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub date: Date,
    /// `u32::MAX` for the one without number, which is the last of its day.
    pub number: u32,
    pub form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    Plain,
    Compressed,
    /// A compressed file that is not complete.
    Temporary,
}

const GZ: &str = ".gz";
const TEMPORARY: &str = ".gz.tmp";
const DATE: usize = "2026-11-22".len();

impl Part {
    /// The number of the file that is written to.
    pub const CURRENT: u32 = u32::MAX;
}

impl Names {
    pub fn new(base: &Path) -> Self {
        let text = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let folder = match base.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let suffix = base.extension().map(|suffix| format!(".{}", suffix.to_string_lossy()));
        Self { folder, stem: text(base.file_stem()), suffix: suffix.unwrap_or_default() }
    }

    /// The file that is written to on `date`.
    pub fn current(&self, date: Date) -> PathBuf {
        self.path(Part { date, number: Part::CURRENT, form: Form::Plain })
    }

    pub fn path(&self, part: Part) -> PathBuf {
        let Self { folder, stem, suffix } = self;
        let Part { date, number, form } = part;
        let end = match form {
            Form::Plain => "",
            Form::Compressed => GZ,
            Form::Temporary => TEMPORARY,
        };
        folder.join(if number == Part::CURRENT {
            format!("{stem}-{date}{suffix}{end}")
        } else {
            format!("{stem}-{date}.{number:03}{suffix}{end}")
        })
    }

    /// What `name` says, when it is one of these names.
    pub fn parse(&self, name: &str) -> Option<Part> {
        self.parse_tail(name.strip_prefix(self.stem.as_str())?)
    }

    /// As [`parse`](Self::parse), for what stands after the stem.
    pub fn parse_tail(&self, tail: &str) -> Option<Part> {
        let tail = tail.strip_prefix('-')?;
        let date = parse_date(tail.get(..DATE)?)?;
        let tail = &tail[DATE..];
        let (tail, form) = if let Some(tail) = tail.strip_suffix(TEMPORARY) {
            (tail, Form::Temporary)
        } else if let Some(tail) = tail.strip_suffix(GZ) {
            (tail, Form::Compressed)
        } else {
            (tail, Form::Plain)
        };
        let middle = tail.strip_suffix(self.suffix.as_str())?;
        let number = match middle.strip_prefix('.') {
            None if middle.is_empty() => Part::CURRENT,
            Some(digits) if is_number(digits) => digits.parse().ok()?,
            _ => return None,
        };
        Some(Part { date, number, form })
    }

    /// The number after the highest in use on `date`.
    pub fn next_number(&self, date: Date) -> u32 {
        let names = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let highest = names
            .filter_map(|entry| self.parse(entry.file_name().to_str()?))
            .filter(|part| part.date == date && part.number != Part::CURRENT)
            .map(|part| part.number)
            .max();
        highest.map_or(1, |highest| highest.saturating_add(1).min(Part::CURRENT - 1))
    }
}

/// Each place in `name` where a date could begin after a stem: (stem, rest).
pub(super) fn splits(name: &str) -> impl Iterator<Item = (&str, &str)> {
    memchr::memchr_iter(b'-', name.as_bytes())
        .filter(|&at| {
            name.get(at + 1..at + 1 + DATE).is_some_and(|date| parse_date(date).is_some())
        })
        .map(|at| name.split_at(at))
}

fn parse_date(text: &str) -> Option<Date> {
    let shaped = text.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    if shaped { text.parse().ok() } else { None }
}

/// As [`Names::path`] writes it: three digits, more only beyond 999.
fn is_number(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 3 || digits.len() > 3 && !digits.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn names(base: &str) -> Names {
        Names::new(Path::new(base))
    }

    #[test]
    fn the_date_goes_before_the_suffix() {
        let day = date(2026, 11, 22);
        let current = |base| names(base).current(day).to_string_lossy().into_owned();
        assert_eq!(current("logs/Supervisor.log"), "logs/Supervisor-2026-11-22.log");
        assert_eq!(current("/x/a.b.txt"), "/x/a.b-2026-11-22.txt");
        assert_eq!(current("/x/plain"), "/x/plain-2026-11-22");
    }

    #[test]
    fn every_name_parses_back() {
        for base in ["logs/is.log", "plain", "a.b-c.txt", "x-2026-01-01.log"] {
            let names = names(base);
            for number in [1, 12, 999, 1000, 123_456, Part::CURRENT] {
                for form in [Form::Plain, Form::Compressed, Form::Temporary] {
                    let part = Part { date: date(2026, 2, 28), number, form };
                    let path = names.path(part);
                    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
                    assert_eq!(names.parse(name), Some(part), "{name}");
                    assert!(splits(name).any(|(stem, _)| stem == names.stem), "{name}");
                }
            }
        }
    }

    #[test]
    fn foreign_files_are_not_ours() {
        let names = names("logs/a.log");
        for foreign in [
            "a.log",
            "a-b-2026-01-01.log",
            "b-2026-01-01.log",
            "a-2026-01-01.log.bak",
            "a-2026-01-01.1.log",
            "a-2026-01-01.0001.log",
            "a-2026-01-01.x.log",
            "a-2026-01-01-2026-01-02.log",
            "a-2026-13-01.log",
            "a-2026-1-1.log",
            "a-+026-01-01.log",
            "a-2026-01-01.txt",
            "aa-2026-01-01.log",
            "a-2026-01-01.log.gz.gz",
            "a-2026-01-0é.log",
        ] {
            assert_eq!(names.parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn names_sort_in_the_order_of_time() {
        let names = names("is.log");
        let parts = [(21, Part::CURRENT), (22, 1), (22, 2), (22, 10), (22, Part::CURRENT)];
        let parts = parts.map(|(day, number)| Part {
            date: date(2026, 11, day),
            number,
            form: Form::Plain,
        });
        let paths = parts.map(|part| names.path(part));
        assert!(paths.is_sorted() && parts.is_sorted());
    }
}
