//! The files: appended to, turned over when full, read at the start to go on with them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::RECENT;
use crate::wire::EventRecord;

/// A file that has grown beyond this is turned over.
const FULL: u64 = 2 << 20;

/// Filled files that are kept beside the one that is written to.
const FILLED: u32 = 7;

/// The end of a file that is read at the start: more than [`RECENT`] events.
const TAIL: u64 = 256 << 10;

/// Up to here numbers are exact in JSON, whoever reads it.
const HIGHEST: u64 = 1 << 53;

#[derive(Debug)]
pub(super) struct Files {
    /// `logs/Supervisor-events`, without suffix.
    stem: PathBuf,
    file: Option<File>,
    bytes: u64,
    failing: bool,
    told: bool,
}

impl Files {
    pub fn closed(base: &Path) -> Self {
        Self { stem: stem(base), file: None, bytes: 0, failing: false, told: false }
    }

    /// Opens the log, and reads its newest events, oldest first.
    pub fn open(base: &Path) -> io::Result<(Self, Vec<EventRecord>)> {
        let mut files = Self::closed(base);
        if let Some(folder) = files.stem.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut recent = Vec::new();
        for path in [files.filled(1), files.current()] {
            recent.extend(tail(&path)?);
        }
        let surplus = recent.len().saturating_sub(RECENT);
        recent.drain(..surplus);
        files.reopen()?;
        Ok((files, recent))
    }

    /// Writes these lines, all of them or an error. After an error the next call opens anew.
    pub fn append(&mut self, events: &[Arc<EventRecord>]) -> io::Result<()> {
        let result = self.try_append(events);
        self.failing = result.is_err();
        if self.failing {
            self.file = None;
        } else {
            self.told = false;
        }
        result
    }

    /// Whether the failure that was just met is the first since it last worked.
    pub fn first_failure(&mut self) -> bool {
        self.failing && !std::mem::replace(&mut self.told, true)
    }

    #[cfg(test)]
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Every file that is there, oldest first.
    pub fn paths(&self) -> Vec<PathBuf> {
        let filled = (1..=FILLED).rev().map(|number| self.filled(number));
        filled.chain([self.current()]).filter(|path| path.exists()).collect()
    }

    fn try_append(&mut self, events: &[Arc<EventRecord>]) -> io::Result<()> {
        let mut text = Vec::with_capacity(events.len() * 256);
        for event in events {
            serde_json::to_writer(&mut text, &**event)?;
            text.push(b'\n');
        }
        if self.bytes > 0 && self.bytes + text.len() as u64 > FULL {
            self.turn_over()?;
        }
        if self.file.is_none() {
            self.reopen()?;
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let written = file.write_all(&text);
        if written.is_err() {
            // Half a line would be taken for a damaged one; what was whole stays.
            let _stays_torn = file.set_len(self.bytes);
        }
        written?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o640);
        // Who may write to the folder does not decide where we write.
        options.custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(self.current())?;
        self.bytes = file.seek(SeekFrom::End(0))?;
        // A line that was torn by a power cut ends here, and no other is glued to it.
        if self.bytes > 0 && !ends_with_newline(&self.current())? {
            file.write_all(b"\n")?;
            self.bytes += 1;
        }
        self.file = Some(file);
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        self.file = None;
        for number in (1..FILLED).rev() {
            rename(&self.filled(number), &self.filled(number + 1))?;
        }
        rename(&self.current(), &self.filled(1))?;
        self.bytes = 0;
        Ok(())
    }

    fn current(&self) -> PathBuf {
        with(&self.stem, ".jsonl")
    }

    fn filled(&self, number: u32) -> PathBuf {
        with(&self.stem, &format!(".{number}.jsonl"))
    }
}

/// `logs/Supervisor.log` becomes `logs/Supervisor-events`.
fn stem(base: &Path) -> PathBuf {
    let name = base.file_stem().unwrap_or_default();
    with(&base.with_file_name(name), "-events")
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn ends_with_newline(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The event of a line, if it is one. A number that no log comes to is damage: numbers could not go
/// on from there.
pub(super) fn event(line: &[u8]) -> Option<EventRecord> {
    let event: EventRecord = serde_json::from_slice(line).ok()?;
    (event.seq <= HIGHEST).then_some(event)
}

/// The events at the end of a file; lines that are none (torn, or of a newer version) are passed
/// over.
fn tail(path: &Path) -> io::Result<Vec<EventRecord>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(TAIL).read_to_end(&mut text)?;
    let mut lines = text.split(|&byte| byte == b'\n');
    if from > 0 {
        let _begins_within = lines.next();
    }
    Ok(lines.filter_map(event).collect())
}
