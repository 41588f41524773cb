//! The log thread's side: what is to be kept of a write, and when it is appended.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{Entry, Place, encode::Encoder, path_of};
use crate::logs::line::Stream;

/// A record is due when output comes so long after the last one, in milliseconds…
const EVERY_MILLIS: u64 = 1_000;
/// … or when so much has been written since.
const EVERY_BYTES: u64 = 256 << 10;

/// Stretches that are kept until the next record; of more, the streams are not known.
const MOST_RUNS: usize = 64 << 10;

/// The index of the file that is written to.
///
/// The file of the index is open only while a record is appended: a thousand components need no
/// descriptors for it, and whoever renames it finds it closed. A failure costs what the record
/// would have said; it is tried again with the next one, which then says everything in full.
#[derive(Debug)]
pub(in crate::logs) struct Index {
    path: PathBuf,
    encoder: Encoder,
    /// The next record must be a `Begin`.
    anew: bool,
    /// Lines that were open before the next `Begin` end at it.
    fresh: bool,
    /// The last record.
    last: Place,
    run: u64,
    /// Lengths of stretches since the last record, from standard output on.
    runs: Vec<u64>,
}

impl Index {
    /// For the log file `file`, which ends at `place`. Nothing is written yet.
    pub fn new(file: &Path, place: Place, fresh: bool, run: u64) -> Self {
        let path = path_of(file);
        if place.offset == 0 {
            // Of another file of this name, which somebody moved away.
            let _ = fs::remove_file(&path);
        }
        let last = place;
        Self { path, encoder: Encoder::default(), anew: true, fresh, last, run, runs: Vec::new() }
    }

    /// Whether output that is written at `place` needs a record before it.
    pub fn is_due(&self, place: Place) -> bool {
        self.anew
            || place.time.abs_diff(self.last.time) >= EVERY_MILLIS
            || place.offset.saturating_sub(self.last.offset) >= EVERY_BYTES
    }

    /// The beginning of a line is going to be written at `place`.
    pub fn point(&mut self, place: Place) {
        self.record(place, &Entry::Point);
    }

    /// Something is to be remarked at `place`.
    pub fn record(&mut self, place: Place, entry: &Entry) {
        if self.anew || self.runs.len() > MOST_RUNS {
            let before = match entry {
                Entry::Point => place,
                // What is missing has its places, too: who reads up to the middle of it has to
                // meet the gap.
                Entry::Gap { bytes, .. } => {
                    Place { position: place.position.saturating_sub(*bytes), ..place }
                }
                // A remark takes a place itself.
                _ => Place { position: place.position.saturating_sub(1), ..place },
            };
            self.encoder.entry(before, &Entry::Begin { fresh: self.fresh, run: self.run });
            self.runs.clear();
            if *entry != Entry::Point {
                self.encoder.entry(place, entry);
            }
        } else {
            self.encode_runs();
            self.encoder.entry(place, entry);
        }
        if let Entry::Start { run, .. } = entry {
            self.run = *run;
        }
        self.last = place;
        self.append();
    }

    /// So many bytes of `stream` were written; `None` where the file says the streams itself.
    pub fn wrote(&mut self, stream: Option<Stream>, count: usize) {
        let Some(stream) = stream else { return };
        if self.runs.len() > MOST_RUNS {
            return;
        }
        // Stretches take turns: the first is of standard output, and may be empty.
        let turn = stream.index();
        while self.runs.is_empty() || (self.runs.len() - 1) % 2 != turn {
            self.runs.push(0);
        }
        if let Some(last) = self.runs.last_mut() {
            *last += count as u64;
        }
    }

    /// Appends what is not written yet, for a reader that wants to know of everything.
    pub fn settle(&mut self) {
        if !self.anew && (2..=MOST_RUNS).contains(&self.runs.len()) {
            self.encode_runs();
            self.append();
        }
    }

    /// The log file has another name now.
    pub fn renamed(&mut self, file: &Path) {
        let path = path_of(file);
        // Without it the file is as one that never had an index.
        let _ = fs::rename(&self.path, &path);
        self.path = path;
    }

    /// Where the second stream did not write nothing needs to be said.
    fn encode_runs(&mut self) {
        if self.runs.len() > 1 {
            self.encoder.runs(&self.runs);
            self.runs.clear();
        }
    }

    fn append(&mut self) {
        match append(&self.path, &self.encoder.out) {
            Ok(()) => (self.anew, self.fresh) = (false, false),
            // Told nowhere: the log itself tells of its disk.
            Err(_no_index) => self.anew = true,
        }
        self.encoder.out.clear();
    }
}

/// Appends all of it, or nothing.
fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Who may write to the folder does not decide where we write.
        const FLAGS: i32 = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW;
        options.mode(0o640).custom_flags(FLAGS);
    }
    let mut file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                fs::create_dir(folder)?;
            }
            options.open(path)?
        }
        result => result?,
    };
    let mut done = 0;
    let error = loop {
        match file.write(&bytes[done..]) {
            Ok(count) if done + count == bytes.len() => return Ok(()),
            Ok(0) => break io::ErrorKind::WriteZero.into(),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break error,
        }
    };
    if done > 0 {
        // Half a record would be read as something else.
        file.set_len(file.metadata()?.len().saturating_sub(done as u64))?;
    }
    Err(error)
}
