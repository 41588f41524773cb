//! Events that are in no file of the log yet, for whoever comes after a kill.
//!
//! A file of JSON lines in the runtime folder, as the journal is: one write for what happens
//! together, and no fsync, for the kernel keeps what was written however we end. It is emptied
//! whenever the log has caught up.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
};

use crate::wire::EventRecord;

/// Beyond it nothing more is noted until the log catches up: the disk has been silent for long.
const LARGEST: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Pending {
    file: File,
    bytes: u64,
    /// Lines that are not in it yet.
    gathered: Vec<u8>,
    /// A line may have been written in part.
    is_torn: bool,
}

impl Pending {
    /// The file, and the events in it that are newer than `after`, in order.
    pub fn open(path: &Path, after: u64) -> std::io::Result<(Self, Vec<EventRecord>)> {
        let text = fs::read(path).unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n');
        // A torn last line was never whole: whoever was to note it told nobody.
        let events = lines.filter_map(|line| serde_json::from_slice::<EventRecord>(line).ok());
        let events: Vec<_> = events.filter(|event| event.seq > after).collect();
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let bytes = file.metadata()?.len();
        Ok((Self { file, bytes, gathered: Vec::new(), is_torn: bytes > 0 }, events))
    }

    pub fn gather(&mut self, event: &EventRecord) {
        let before = self.gathered.len();
        // What was begun must not spoil this one.
        if before == 0 && self.is_torn {
            self.gathered.push(b'\n');
        }
        if serde_json::to_writer(&mut self.gathered, event).is_ok() {
            self.gathered.push(b'\n');
        } else {
            self.gathered.truncate(before);
        }
    }

    pub fn note(&mut self) {
        let length = self.gathered.len() as u64;
        if length > 0 && self.bytes + length <= LARGEST {
            self.is_torn = self.file.write_all(&self.gathered).is_err();
            self.bytes += length;
        }
        self.gathered.clear();
    }

    /// The log has everything.
    pub fn clear(&mut self) {
        self.gathered.clear();
        if self.bytes > 0 && self.file.set_len(0).is_ok() {
            (self.bytes, self.is_torn) = (0, false);
        }
    }
}
