//! One log on disk: a file a day, parts of limited size, and what happens when it cannot be
//! written.
//!
//! ```text
//!            write fails, cannot open
//!   storing ─────────────────────────► losing
//!      ▲                                  │ next output after RETRY
//!      └──────────────────────────────────┘ at the beginning of a line
//! ```
//!
//! Files change at the end of a line, so no line stands in two files. Nothing here waits or uses
//! a timer: a lost disk is tried again when there is something to write.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::{Timestamp, civil::Date};
use memchr::{memchr, memrchr};

use super::{
    index::{Entry, Index, Place},
    line::Stream,
    name::{Form, Names, Part},
    store::{Sink, Store},
};

/// The shortest time between two attempts at a disk that refused.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Daily {
    names: Names,
    /// Where the next byte will stand in everything that the component ever wrote.
    position: u64,
    max_size: u64,
    file: Option<OpenFile>,
    /// Of the open file.
    index: Option<Box<Index>>,
    /// Remarks for the index, while no file is open; the newest few.
    remarks: Vec<(Place, Entry)>,
    indexed: bool,
    /// No file was opened yet: lines that are open in one are not ours.
    fresh: bool,
    /// The run that writes, as the index is to say it.
    run: u64,
    outage: Option<Box<Outage>>,
    /// The file of this day ends within a line whose rest was lost.
    torn: Option<Date>,
    /// The next part's number on that day; `None` until the folder was looked at.
    next_number: Option<(Date, u32)>,
    /// A part could not be closed: it grows beyond its size until then.
    oversize_until: Option<Instant>,
}

struct OpenFile {
    sink: Box<dyn Sink>,
    date: Date,
    size: u64,
    at_line_start: bool,
}

/// Output is not stored for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outage {
    pub error: String,
    retry_at: Instant,
    /// The last byte that was lost was no newline.
    mid_line: bool,
    /// What was lost so far, stamps included.
    bytes: u64,
    lines: u64,
}

/// The time of a write, as each of those needs it who take part.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    pub at: Timestamp,
    pub today: Date,
    pub now: Instant,
}

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub bytes: &'a [u8],
    /// `None` where each line says its stream.
    pub stream: Option<Stream>,
    /// So many of the first bytes are not the component's: they have no place.
    pub preface: usize,
}

/// Remarks that wait for a file at most.
const MOST_REMARKS: usize = 32;

/// What became of the bytes that were to be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Which of them are stored; the others are lost.
    pub stored: Range<usize>,
    /// A newline that had been lost was written after all, to end a torn line.
    pub mended: bool,
    /// An outage began.
    pub failed: Option<String>,
    /// An outage ended.
    pub resumed: Option<Outage>,
    /// A part was completed, or a day.
    pub changed_file: bool,
}

impl Daily {
    pub fn new(base: &Path, max_size: u64, position: u64) -> Self {
        Self {
            names: Names::new(base),
            position,
            max_size,
            file: None,
            index: None,
            remarks: Vec::new(),
            indexed: true,
            fresh: true,
            run: 0,
            outage: None,
            torn: None,
            next_number: None,
            oversize_until: None,
        }
    }

    /// Files that say everything themselves.
    pub fn without_index(mut self) -> Self {
        self.indexed = false;
        self
    }

    /// The same log in other files.
    pub fn moved(&self, base: &Path, max_size: u64) -> Self {
        let Self { indexed, run, .. } = *self;
        Self { indexed, run, ..Self::new(base, max_size, self.position) }
    }

    pub fn set_max_size(&mut self, max_size: u64) {
        self.max_size = max_size;
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    /// A remark takes a place among the bytes, too: its end. The index keeps what it says.
    pub fn remark(&mut self, at: Timestamp, entry: Option<Entry>) -> u64 {
        self.position += 1;
        let Some(entry) = entry else { return self.position };
        if let Entry::Start { run, .. } = &entry {
            self.run = *run;
        }
        let mut place = Place { time: at.as_millisecond(), offset: 0, position: self.position };
        if let (Some(file), Some(index)) = (&self.file, &mut self.index) {
            place.offset = file.size;
            index.record(place, &entry);
        } else {
            // Most components never say anything: exactly as much as there is.
            self.remarks.reserve_exact(1);
            self.remarks.push((place, entry));
            if self.remarks.len() > MOST_REMARKS {
                self.remarks.remove(0);
            }
        }
        self.position
    }

    /// Has the index say everything that is known.
    pub fn settle(&mut self) {
        if let Some(index) = &mut self.index {
            index.settle();
        }
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    pub fn path(&self, today: Date) -> PathBuf {
        self.names.current(today)
    }

    /// The next write opens the file anew.
    pub fn close(&mut self) {
        self.settle();
        self.index = None;
        self.file = None;
    }

    /// Closes a file of another day, unless a line of it is still open. Whether one was closed.
    pub fn close_old(&mut self, today: Date) -> bool {
        let old = |file: &OpenFile| file.date != today && file.at_line_start;
        let close = self.file.as_ref().is_some_and(old);
        if close {
            self.close();
        }
        close
    }

    /// A file of another day is still open, for the rest of a line.
    pub fn is_of_another_day(&self, today: Date) -> bool {
        self.file.as_ref().is_some_and(|file| file.date != today)
    }

    /// The outage that the next write will try to end, when it is time to.
    pub fn outage_to_end(&self, now: Instant) -> Option<&Outage> {
        self.outage.as_deref().filter(|outage| now >= outage.retry_at)
    }

    /// Appends bytes to the file of the day, as far as that is possible.
    pub fn write(&mut self, store: &dyn Store, chunk: Chunk<'_>, when: When) -> Written {
        let mut written = Written::default();
        let Chunk { bytes, preface, .. } = chunk;
        if bytes.is_empty() {
            return written;
        }
        let start = self.position;
        self.position += (bytes.len() - preface) as u64;
        let mut begin = 0;
        if let Some(outage) = &mut self.outage {
            let due = when.now >= outage.retry_at;
            if due && outage.mid_line {
                // Half a line says nothing: storing resumes at the next one.
                begin = memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1);
            }
            if !due || begin == bytes.len() {
                outage.lose(bytes);
                return written;
            }
            outage.lose(&bytes[..begin]);
            store.left_out(begin);
        }
        written.stored = begin..begin;
        while written.stored.end < bytes.len() {
            let done = written.stored.end;
            let rest = Chunk {
                bytes: &bytes[done..],
                preface: preface.saturating_sub(done),
                stream: chunk.stream,
            };
            let position = start + done.saturating_sub(preface) as u64;
            match self.write_part(store, rest, position, when, &mut written) {
                Ok(count) => written.stored.end += count,
                Err((count, error)) => {
                    written.stored.end += count;
                    self.fail(&error, &rest.bytes[count..], when.now, &mut written);
                    break;
                }
            }
        }
        written
    }

    /// Writes as much as belongs into one file; the first byte stands at `position`.
    fn write_part(
        &mut self,
        store: &dyn Store,
        chunk: Chunk<'_>,
        position: u64,
        when: When,
        written: &mut Written,
    ) -> Result<usize, (usize, std::io::Error)> {
        let (bytes, When { today, now, .. }) = (chunk.bytes, when);
        let count = loop {
            if self.file.is_none() {
                self.open(store, today, position, when.at).map_err(|error| (0, error))?;
            }
            let Some(file) = &self.file else { break 0 };
            match fit(file, bytes, today, self.max_size) {
                Some(count) => break count,
                None if file.date != today => {
                    self.close();
                    written.changed_file = true;
                }
                None if self.oversize_until.is_some_and(|until| now < until) => break bytes.len(),
                None => {
                    if self.complete_part(file.date) {
                        self.close();
                        written.changed_file = true;
                    } else {
                        self.oversize_until = Some(now + Duration::from_secs(10));
                    }
                }
            }
        };
        let date = self.file.as_ref().map(|file| file.date);
        if self.torn.is_some() && self.torn == date {
            self.put(b"\n", 1).map_err(|(_, error)| (0, error))?;
            written.mended = true;
        }
        self.torn = None;
        let (offset, at_line_start) =
            self.file.as_ref().map_or((0, true), |file| (file.size, file.at_line_start));
        let result = self.put(&bytes[..count], chunk.preface.min(count));
        let done = result.as_ref().map_or_else(|(done, _)| *done, |()| count);
        if done > 0 {
            let preface = chunk.preface.min(done);
            let place =
                Place { time: when.at.as_millisecond(), offset: offset + preface as u64, position };
            if let Some(outage) = self.outage.take() {
                self.remark_gap(place, &outage);
                written.resumed = Some(*outage);
            }
            let stored = &bytes[preface..done];
            self.remark_bytes(place, chunk.stream, stored, at_line_start || preface > 0);
        }
        result.map(|()| count)
    }

    fn remark_gap(&mut self, place: Place, outage: &Outage) {
        if let Some(index) = &mut self.index {
            let (bytes, lines) = (outage.bytes, outage.lines);
            index.record(place, &Entry::Gap { bytes, lines });
        }
    }

    /// Tells the index of bytes that were written at `place`.
    fn remark_bytes(
        &mut self,
        place: Place,
        stream: Option<Stream>,
        bytes: &[u8],
        at_line_start: bool,
    ) {
        let Some(index) = &mut self.index else { return };
        let mut told = 0;
        if index.is_due(place) {
            // Whoever begins to read there must not begin within a line.
            let line = if at_line_start { Some(0) } else { memchr(b'\n', bytes).map(|at| at + 1) };
            if let Some(line) = line.filter(|line| *line < bytes.len()) {
                index.wrote(stream, line);
                told = line;
                let [offset, position] = [place.offset, place.position].map(|at| at + line as u64);
                index.point(Place { offset, position, ..place });
            }
        }
        index.wrote(stream, bytes.len() - told);
    }

    fn open(
        &mut self,
        store: &dyn Store,
        today: Date,
        position: u64,
        at: Timestamp,
    ) -> std::io::Result<()> {
        let path = self.path(today);
        let (sink, size) = store.open(&path)?;
        self.file = Some(OpenFile { sink, date: today, size, at_line_start: true });
        if !self.indexed {
            return Ok(());
        }
        let place = Place { time: at.as_millisecond(), offset: size, position };
        let fresh = std::mem::take(&mut self.fresh);
        let index = self.index.insert(Box::new(Index::new(&path, place, fresh, self.run)));
        for (place, entry) in self.remarks.drain(..) {
            index.record(Place { offset: size, ..place }, &entry);
        }
        Ok(())
    }

    /// Gives the current file its number, which makes it complete.
    fn complete_part(&mut self, date: Date) -> bool {
        let number = match self.next_number {
            Some((day, number)) if day == date => number,
            _ => self.names.next_number(date),
        };
        self.settle();
        let part = self.names.path(Part { date, number, form: Form::Plain });
        let result = match part.try_exists() {
            Ok(false) => std::fs::rename(self.names.current(date), &part),
            Ok(true) => Err(std::io::ErrorKind::AlreadyExists.into()),
            Err(error) => Err(error),
        };
        if result.is_ok()
            && let Some(index) = &mut self.index
        {
            index.renamed(&part);
        }
        // After a failure the folder is looked at anew.
        self.next_number = result.is_ok().then_some((date, number + 1));
        if let Err(error) = &result {
            let file = part.display().to_string();
            tracing::warn!(file, %error, "cannot complete a part of a log: it grows beyond maxSize");
        }
        result.is_ok()
    }

    /// Writes all of it, or says how much it was until the error. The first `beside` bytes are ours.
    fn put(&mut self, bytes: &[u8], beside: usize) -> Result<(), (usize, std::io::Error)> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut done = 0;
        while done < bytes.len() {
            let result = if done < beside {
                file.sink.write_beside(&bytes[done..beside])
            } else {
                file.sink.write(&bytes[done..])
            };
            let error = match result {
                Ok(0) => std::io::ErrorKind::WriteZero.into(),
                Ok(count) => {
                    done += count;
                    file.size += count as u64;
                    file.at_line_start = bytes[done - 1] == b'\n';
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            return Err((done, error));
        }
        Ok(())
    }

    fn fail(&mut self, error: &std::io::Error, lost: &[u8], now: Instant, written: &mut Written) {
        self.settle();
        self.index = None;
        // Opened anew at the next attempt: the file may have been removed to make room.
        if let Some(file) = self.file.take()
            && !file.at_line_start
        {
            self.torn = Some(file.date);
        }
        let retry_at = now + RETRY;
        if let Some(outage) = &mut self.outage {
            outage.retry_at = retry_at;
            outage.lose(lost);
            return;
        }
        let error = error.to_string();
        written.failed = Some(error.clone());
        let mut outage = Outage { error, retry_at, mid_line: false, bytes: 0, lines: 0 };
        outage.lose(lost);
        self.outage = Some(Box::new(outage));
    }
}

impl Outage {
    fn lose(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.mid_line = bytes.last().map_or(self.mid_line, |last| *last != b'\n');
    }
}

/// How many of the bytes go into this file; `None`: another one is needed first.
fn fit(file: &OpenFile, bytes: &[u8], today: Date, max_size: u64) -> Option<usize> {
    let first_line = || memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1);
    if file.date != today {
        return if file.at_line_start { None } else { Some(first_line()) };
    }
    let room = usize::try_from(max_size.saturating_sub(file.size)).unwrap_or(usize::MAX);
    if bytes.len() <= room {
        return Some(bytes.len());
    }
    match memrchr(b'\n', &bytes[..room]) {
        Some(newline) => Some(newline + 1),
        // A line that is longer than a whole file still stands in one.
        None if !file.at_line_start || file.size == 0 => Some(first_line()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::{super::clock::monotonic, *};

    /// A disk in memory with so many bytes of room; files by name.
    #[derive(Clone, Default)]
    struct Limited {
        room: Arc<Mutex<usize>>,
        files: Arc<Mutex<std::collections::BTreeMap<PathBuf, Vec<u8>>>>,
    }

    struct LimitedFile(Limited, PathBuf);

    impl Store for Limited {
        fn open(&self, path: &Path) -> std::io::Result<(Box<dyn Sink>, u64)> {
            let size = self.files.lock().expect("no panic").entry(path.into()).or_default().len();
            Ok((Box::new(LimitedFile(self.clone(), path.into())), size as u64))
        }
    }

    impl Sink for LimitedFile {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut room = self.0.room.lock().expect("no panic");
            let count = bytes.len().min(*room);
            if count == 0 {
                return Err(rustix::io::Errno::NOSPC.into());
            }
            *room -= count;
            let mut files = self.0.files.lock().expect("no panic");
            files.entry(self.1.clone()).or_default().extend_from_slice(&bytes[..count]);
            Ok(count)
        }
    }

    impl Limited {
        fn text(&self) -> String {
            let files = self.files.lock().expect("no panic");
            String::from_utf8(files.values().flatten().copied().collect()).expect("text")
        }
    }

    const TODAY: Date = date(2026, 11, 22);

    fn write_on(
        daily: &mut Daily,
        store: &dyn Store,
        text: &str,
        today: Date,
        now: Instant,
    ) -> Written {
        let chunk = Chunk { bytes: text.as_bytes(), stream: Some(Stream::Out), preface: 0 };
        daily.write(store, chunk, When { at: Timestamp::UNIX_EPOCH, today, now })
    }

    #[test]
    fn a_full_disk_is_told_once_and_storing_resumes_with_a_whole_line() {
        let disk = Limited::default();
        *disk.room.lock().expect("no panic") = 6;
        let mut daily = Daily::new(Path::new("x/a.log"), 1000, 0);
        let start = monotonic();
        let mut write = |text: &str, after: u32| {
            write_on(&mut daily, &disk, text, TODAY, start + RETRY * after)
        };
        let first = write("one\ntwo\nthr", 0);
        assert_eq!(first.stored, 0..6);
        assert!(first.failed.is_some_and(|error| error.contains("No space left")));
        // Told once, however long it takes.
        assert_eq!(write("ee\nfour\n", 0), Written::default());
        assert_eq!(write("five\nsi", 1), Written { stored: 0..0, ..Written::default() });
        *disk.room.lock().expect("no panic") = 1000;
        let last = write("x\nseven\n", 2);
        assert_eq!((last.stored, last.mended), (2..8, true));
        assert!(last.resumed.is_some());
        assert_eq!(disk.text(), "one\ntw\nseven\n");
    }

    proptest! {
        /// Whatever the disk does: what is reported as stored is what the files hold, and the
        /// rest is what the outages count.
        #[test]
        fn stored_and_lost_are_all(
            steps in prop::collection::vec(("[ab\n]{0,30}", 0..40_usize, any::<bool>()), 1..40)
        ) {
            let disk = Limited::default();
            let mut daily = Daily::new(Path::new("x/a.log"), u64::MAX, 0);
            let mut now = monotonic();
            let (mut produced, mut stored, mut lost) = (0, 0, 0);
            let mut torn = 0;
            for (text, room, later) in steps {
                *disk.room.lock().expect("no panic") = room;
                if later {
                    now += RETRY;
                }
                let written = write_on(&mut daily, &disk, &text, TODAY, now);
                produced += text.len();
                stored += written.stored.len() + usize::from(written.mended);
                lost += text.len() - written.stored.len();
                torn += usize::from(written.mended);
            }
            prop_assert_eq!(disk.text().len(), stored);
            prop_assert_eq!(produced, stored + lost - torn);
        }
    }

    #[test]
    fn parts_end_at_line_ends_within_their_size() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut daily = Daily::new(&folder.path().join("a.log"), 10, 0);
        let now = monotonic();
        for chunk in ["1234\n56", "78\n9", "\nabcdefghijklmno\np\n"] {
            let written = write_on(&mut daily, &super::super::store::Disk, chunk, TODAY, now);
            assert_eq!(written.stored, 0..chunk.len());
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert_eq!(read("a-2026-11-22.001.log"), "1234\n5678\n");
        assert_eq!(read("a-2026-11-22.002.log"), "9\n");
        assert_eq!(read("a-2026-11-22.003.log"), "abcdefghijklmno\n");
        assert_eq!(read("a-2026-11-22.log"), "p\n");
        // A restart of the Supervisor goes on behind what is there.
        let mut daily = Daily::new(&folder.path().join("a.log"), 10, 0);
        write_on(&mut daily, &super::super::store::Disk, "q\n12345678\n", TODAY, now);
        assert_eq!(read("a-2026-11-22.004.log"), "p\nq\n");
        assert_eq!(read("a-2026-11-22.log"), "12345678\n");
    }

    #[test]
    fn a_new_day_begins_with_a_whole_line() {
        let disk = Limited::default();
        *disk.room.lock().expect("no panic") = 1000;
        let mut daily = Daily::new(Path::new("x/a.log"), 1000, 0);
        let now = monotonic();
        write_on(&mut daily, &disk, "old\nbegun ", TODAY, now);
        assert!(!daily.close_old(date(2026, 11, 23)));
        let written = write_on(&mut daily, &disk, "yesterday\nnew\n", date(2026, 11, 23), now);
        assert!(written.changed_file);
        let files = disk.files.lock().expect("no panic");
        let texts: Vec<_> = files.values().map(|text| String::from_utf8_lossy(text)).collect();
        assert_eq!(texts, ["old\nbegun yesterday\n", "new\n"]);
    }
}
