//! What was read from a pipe and is not in a file yet, so that a kill in between takes nothing.
//!
//! A chunk is read into the pages of a small file of the runtime folder, beside a few words that say
//! how far it has come. The next engine finds it there, learns from the log's size how much of it
//! was stored, and stores the rest. No call is made for it, and nothing is copied. Each engine has a
//! file of its own and removes those before it when what they hold is in its own: a chunk that is
//! in two has the same number in both.
//!
//! ```text
//!  begin(id, stream, length) ──► read() ──► taken(length) ──► write() … ──► done()
//!           READING                            TAKEN    (before/after each write)   nothing in hand
//! ```
//!
//! How much waits in a pipe is asked before, and so much is read: a kill within or just behind the
//! read leaves marks at the ends of pages that it did not come to, and no marks where it came to the
//! end. They are bytes that no text has, and to write them brings in the pages that are read to.
//!
//! In files with time stamps what is stored of a chunk is its lines with their stamps: who stores
//! the rest makes the same lines again, with the time that stands in the words, and leaves out as
//! many bytes as are there. A line that is begun is kept in [`begun`]; that one is given out as it is
//! after a while is noted like a chunk.

use std::{
    fs::{self, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;

use super::{
    begun,
    line::Stream,
    store::{Sink, Store},
};
use crate::{
    model::ComponentId,
    process::{SharedBytes, SharedMemory, SharedWords},
};

const PHASE: usize = 0;
const STREAM: usize = 1;
/// So many bytes are in hand, or are to be.
const LENGTH: usize = 2;
/// Bytes that are stored; the highest bit says that a write is under way.
const STORED: usize = 3;
/// Where in the file that write begins.
const OFFSET: usize = 4;
/// The chunk's number.
const NUMBER: usize = 5;
/// Whose path is in `PATH`.
const SINK: usize = 6;
/// When the chunk was read, in microseconds since 1970.
const AT: usize = 7;
/// How long that write is.
const WRITTEN: usize = 24;
/// The component: its length, and its name.
const ID: Range<usize> = 8..24;
/// The file: its length, and its path.
const PATH: Range<usize> = 32..512;

/// More than this is taken over of no chunk: no engine reads so much at once.
const MOST_BYTES: usize = 1 << 20;

/// More were never stored, for whatever reason: the oldest go.
const MOST_FILES: usize = 32;

const NOTHING: u64 = 0;
const READING: u64 = 1;
const TAKEN: u64 = 2;
/// A begun line is given out; nothing was read.
const GIVING: u64 = 3;
const WRITING: u64 = 1 << 63;

const PAGE: usize = 4096;

/// Stands where nothing was read yet; in no text.
const MARK: [u8; 8] = [0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8];

/// The buffer that is read into, with its words.
pub(super) struct InHand {
    bytes: Bytes,
    notes: Notes,
    /// Whose name is in the words, unless somebody else's was noted since.
    id: Option<(ComponentId, u64)>,
    file: PathBuf,
}

/// The words beside the buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    /// None where such a memory cannot be had: a kill then takes what is in hand.
    words: Option<SharedWords>,
    /// The last number that was given to anything.
    last: Arc<AtomicU64>,
    /// How often a name was put into the words.
    names: Arc<AtomicU64>,
}

enum Bytes {
    Shared(SharedBytes),
    Own(Vec<u8>),
}

/// What an engine before this one had in hand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leftover {
    file: PathBuf,
    /// Those of later chunks are greater.
    pub number: u64,
    pub id: ComponentId,
    pub stream: Stream,
    /// All of the chunk.
    pub bytes: Vec<u8>,
    /// So many bytes of what came of it are in files.
    pub stored: usize,
    /// When it was read, if anything was stored.
    pub at: Option<Timestamp>,
    /// It is no chunk: the line that this stream had begun was given out.
    pub is_given: bool,
}

impl InHand {
    /// A buffer of so many bytes, in a new file of this folder; `now` counts upwards from one engine
    /// to the next.
    pub fn new(folder: &Path, now: u64, bytes: usize) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(format!("{now:020}"));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        match SharedMemory::of(&file, bytes) {
            Ok(SharedMemory { words, bytes }) => {
                let notes = Notes {
                    words: Some(words),
                    last: Arc::new(AtomicU64::new(now)),
                    names: Arc::default(),
                };
                Ok(Self { bytes: Bytes::Shared(bytes), notes, id: None, file: path })
            }
            Err(error) => {
                let _removed = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// A buffer that a kill takes.
    pub fn unshared(bytes: usize) -> Self {
        let (notes, file) = (Notes::default(), PathBuf::new());
        Self { bytes: Bytes::Own(vec![0; bytes]), notes, id: None, file }
    }

    /// A store that notes what is stored of the chunk in hand.
    pub fn noting(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match &self.notes.words {
            Some(words) => {
                let opened = AtomicU64::new(0);
                Arc::new(Noting { store, words: words.clone(), opened })
            }
            None => store,
        }
    }

    /// Where to read to.
    pub fn bytes(&mut self) -> &mut [u8] {
        match &mut self.bytes {
            Bytes::Shared(bytes) => bytes,
            Bytes::Own(bytes) => bytes,
        }
    }

    /// So many bytes of a stream of this component are about to be read, to the place that is given
    /// back. Of a smaller buffer it is as much as it has.
    pub fn begin(&mut self, id: Option<&ComponentId>, stream: Stream, length: usize) -> &mut [u8] {
        let length = length.min(self.bytes().len());
        if let (Some(id), true) = (id, self.notes.words.is_some()) {
            let number = self.notes.next();
            self.describe(number, id, stream, length);
            for mark in marks(length) {
                self.bytes()[mark.clone()].copy_from_slice(&MARK[MARK.len() - mark.len()..]);
            }
            self.notes.enter(READING);
        }
        &mut self.bytes()[..length]
    }

    /// While nothing is in hand: what is going to be.
    fn describe(&mut self, number: u64, id: &ComponentId, stream: Stream, length: usize) {
        self.notes.describe(number, stream, length);
        let is_put = self.id.as_ref().is_some_and(|(put, names)| {
            put == id && *names == self.notes.names.load(Ordering::Relaxed)
        });
        if !is_put {
            let names = self.notes.name(id);
            self.id = Some((id.clone(), names));
        }
    }

    /// Takes bytes over that an engine before us had in hand: from now on they are in ours alone.
    pub fn take_over(&mut self, leftover: &Leftover) {
        let Leftover { number, id, stream, bytes, stored, at, is_given, .. } = leftover;
        if self.notes.words.is_none() {
            return leftover.remove();
        }
        let place = self.bytes().get_mut(..bytes.len());
        let Some(place) = place else {
            // A kill from here on has it stored again: better twice than not at all.
            return;
        };
        place.copy_from_slice(bytes);
        self.describe(*number, id, *stream, bytes.len());
        self.notes.set(STORED, *stored as u64);
        self.notes.read_at(*at);
        self.notes.enter(if *is_given { GIVING } else { TAKEN });
        leftover.remove();
    }

    /// So many bytes were read, at this time.
    pub fn taken(&mut self, length: usize, at: Timestamp) {
        self.notes.set(LENGTH, length as u64);
        self.notes.read_at(Some(at));
        self.notes.enter(TAKEN);
    }

    /// They are stored, or counted as lost; or there were none.
    pub fn done(&mut self) {
        self.notes.done();
    }

    pub fn notes(&self) -> Notes {
        self.notes.clone()
    }
}

impl Notes {
    /// The number of what is in hand.
    pub fn number(&self) -> u64 {
        self.words.as_ref().map_or(0, |words| words[NUMBER].load(Ordering::Relaxed))
    }

    /// The line that this stream has begun is about to be given out as it is.
    pub fn give(&self, id: &ComponentId, stream: Stream, at: Timestamp) {
        if self.words.is_some() {
            self.describe(self.next(), stream, 0);
            self.name(id);
            self.read_at(Some(at));
            self.enter(GIVING);
        }
    }

    /// Nothing is in hand any more.
    pub fn done(&self) {
        self.enter(NOTHING);
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn describe(&self, number: u64, stream: Stream, length: usize) {
        for (word, value) in [(LENGTH, length as u64), (STORED, 0), (NUMBER, number)] {
            self.set(word, value);
        }
        self.set(STREAM, stream.index() as u64);
    }

    fn name(&self, id: &ComponentId) -> u64 {
        if let Some(words) = &self.words {
            put(&words[ID], id.as_str().as_bytes());
        }
        self.names.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn read_at(&self, at: Option<Timestamp>) {
        self.set(AT, at.map_or(0, Timestamp::as_microsecond).cast_unsigned());
    }

    fn set(&self, word: usize, value: u64) {
        if let Some(words) = &self.words {
            words[word].store(value, Ordering::Release);
        }
    }

    /// Released: whoever finds this word finds those before it, too.
    fn enter(&self, phase: u64) {
        self.set(PHASE, phase);
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if self.notes.words.is_some() {
            let _stays_and_is_removed_by_the_next = fs::remove_file(&self.file);
        }
    }
}

impl Leftover {
    /// Everything that is left in this folder. What holds nothing is removed.
    pub fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.retain(|file| !begun::is_one(file));
        files.sort();
        let mut all: Vec<Self> = Vec::new();
        // The newest first: what is in two was taken over by the newer.
        for file in files.into_iter().rev() {
            let is_kept = match Self::read(&file) {
                Ok(Some(one)) => {
                    let is_new = all.len() < MOST_FILES
                        && all.iter().all(|newer| newer.number != one.number);
                    if is_new {
                        all.push(one);
                    }
                    is_new
                }
                Ok(None) => false,
                Err(error) => {
                    let file = file.display();
                    tracing::warn!(%file, %error, "cannot read what a killed engine had in hand");
                    false
                }
            };
            if !is_kept {
                let _removed_next_time = fs::remove_file(&file);
            }
        }
        all.reverse();
        all
    }

    /// It is stored, or in other hands.
    pub fn remove(&self) {
        let _removed_next_time = fs::remove_file(&self.file);
    }

    /// Reads what was left; `None` where nothing was in hand.
    fn read(file: &Path) -> io::Result<Option<Self>> {
        let (words, mut bytes) = SharedMemory::read(file)?;
        let strange = || io::Error::from(io::ErrorKind::InvalidData);
        if words.len() < PATH.end {
            return Err(strange());
        }
        let (phase, length) = (words[PHASE], words[LENGTH]);
        if phase == NOTHING {
            return Ok(None);
        }
        let is_given = phase == GIVING;
        bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX).min(MOST_BYTES));
        if phase == READING {
            bytes.truncate(read_of(&bytes));
        } else if (bytes.len() as u64) < length {
            let (file, kept) = (file.display(), bytes.len());
            tracing::warn!(
                %file, length, kept,
                "what a killed engine had in hand is not whole: the rest of it is lost"
            );
        }
        if bytes.is_empty() && !is_given {
            return Ok(None);
        }
        let id = String::from_utf8(get(&words[ID])).ok().and_then(|id| ComponentId::new(&id).ok());
        let stream = if words[STREAM] == 0 { Stream::Out } else { Stream::Err };
        let mut stored = words[STORED] & !WRITING;
        if words[STORED] & WRITING != 0 {
            let path = path(get(&words[PATH]));
            let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
            stored += size.saturating_sub(words[OFFSET]).min(words[WRITTEN]);
        }
        let stored = usize::try_from(stored).unwrap_or(usize::MAX);
        let at = words[AT].cast_signed();
        let at = Some(at).filter(|at| *at != 0 && phase != READING);
        let at = at.and_then(|at| Timestamp::from_microsecond(at).ok());
        let (file, number) = (file.to_owned(), words[NUMBER]);
        let id = id.ok_or_else(strange)?;
        Ok(Some(Self { file, number, id, stream, bytes, stored, at, is_given }))
    }
}

/// The greatest number in this folder, of a file or of what is in one: those of an engine are greater
/// than all before, even where the clock was set back.
pub(super) fn newest(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = files.map(|file| {
        let name = file.file_stem().and_then(|name| name.to_str()?.parse().ok());
        let number = if begun::is_one(&file) {
            begun::newest(&file)
        } else {
            SharedMemory::read(&file).ok().and_then(|(words, _)| words.get(NUMBER).copied())
        };
        // Of a strange file anything may be said.
        let number = number.filter(|number| *number < u64::MAX / 2);
        name.unwrap_or(0).max(number.unwrap_or(0))
    });
    newest.max().unwrap_or(0)
}

/// Writes its notes around each write.
struct Noting {
    store: Arc<dyn Store>,
    words: SharedWords,
    opened: AtomicU64,
}

struct NotingSink {
    sink: Box<dyn Sink>,
    words: SharedWords,
    number: u64,
    path: Vec<u8>,
    size: u64,
}

impl Store for Noting {
    fn open(&self, path: &Path) -> io::Result<(Box<dyn Sink>, u64)> {
        let (sink, size) = self.store.open(path)?;
        let path = path.as_os_str().as_encoded_bytes().to_vec();
        let number = 1 + self.opened.fetch_add(1, Ordering::Relaxed);
        Ok((Box::new(NotingSink { sink, words: self.words.clone(), number, path, size }), size))
    }

    fn left_out(&self, bytes: usize) {
        if is_noted(&self.words) {
            self.words[STORED].fetch_add(bytes as u64, Ordering::Release);
        }
    }
}

/// Whether what is written is of what is in hand.
fn is_noted(words: &SharedWords) -> bool {
    matches!(words[PHASE].load(Ordering::Relaxed), TAKEN | GIVING)
}

impl Sink for NotingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !is_noted(&self.words) {
            return self.write_beside(bytes);
        }
        let stored = self.words[STORED].load(Ordering::Relaxed);
        self.words[OFFSET].store(self.size, Ordering::Release);
        self.words[WRITTEN].store(bytes.len() as u64, Ordering::Release);
        if self.words[SINK].load(Ordering::Relaxed) != self.number {
            put(&self.words[PATH], &self.path);
            self.words[SINK].store(self.number, Ordering::Relaxed);
        }
        self.words[STORED].store(stored | WRITING, Ordering::Release);
        let result = self.sink.write(bytes);
        let count = *result.as_ref().unwrap_or(&0) as u64;
        self.size += count;
        // One word says both: that the write is over, and what it stored.
        self.words[STORED].store(stored + count, Ordering::Release);
        result
    }

    fn write_beside(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.size += count as u64;
        Ok(count)
    }
}

/// Where marks stand in so many bytes that are to be read: at the end of each page, and at their end.
fn marks(length: usize) -> impl Iterator<Item = Range<usize>> {
    let pages = (PAGE..(length + 1).saturating_sub(MARK.len())).step_by(PAGE);
    let ends = pages.chain((length > 0).then_some(length));
    ends.map(|end| end.saturating_sub(MARK.len())..end)
}

/// How many of these bytes were read: up to the first mark that is still there.
fn read_of(bytes: &[u8]) -> usize {
    let is_there = |mark: &Range<usize>| bytes[mark.clone()] == MARK[MARK.len() - mark.len()..];
    marks(bytes.len()).take_while(|mark| !is_there(mark)).last().map_or(0, |mark| mark.end)
}

/// The length, then the bytes; what does not fit is left out, with all of it.
fn put(words: &[AtomicU64], bytes: &[u8]) {
    let fits = bytes.len() <= (words.len() - 1) * 8;
    let bytes = if fits { bytes } else { &[] };
    words[0].store(bytes.len() as u64, Ordering::Relaxed);
    for (word, eight) in words[1..].iter().zip(bytes.chunks(8)) {
        let mut value = [0; 8];
        value[..eight.len()].copy_from_slice(eight);
        word.store(u64::from_ne_bytes(value), Ordering::Relaxed);
    }
}

fn get(words: &[u64]) -> Vec<u8> {
    let mut bytes: Vec<u8> = words[1..].iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.truncate(usize::try_from(words[0]).unwrap_or(0));
    bytes
}

fn path(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::store::Disk;

    fn id() -> ComponentId {
        ComponentId::new("is").expect("a good id")
    }

    /// What the successor of an engine that is killed at `step` of a chunk's way stores of it, and what the
    /// file holds by then.
    fn killed_at(step: usize, chunk: &[u8]) -> (String, Option<Leftover>) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("is.log");
        let hands = folder.path().join("in-hand");
        let mut hand = InHand::new(&hands, 7, 64).expect("memory");
        let (sink, _) = hand.noting(Arc::new(Disk)).open(&file).expect("a file");
        let sink = std::cell::RefCell::new(sink);
        let write = |bytes: &[u8]| sink.borrow_mut().write(bytes).expect("room");
        write(b"before\n");
        // A longer chunk had been there, of somebody else.
        let another = ComponentId::new("another").expect("a good id");
        hand.begin(Some(&another), Stream::Out, 64).fill(b'x');
        hand.taken(64, Timestamp::UNIX_EPOCH);
        hand.done();
        let half = chunk.len() / 2;
        let steps: [&mut dyn FnMut(&mut InHand); 6] = [
            &mut |hand| {
                hand.begin(Some(&id()), Stream::Err, chunk.len());
            },
            &mut |hand| hand.bytes()[..chunk.len()].copy_from_slice(chunk),
            &mut |hand| hand.taken(chunk.len(), Timestamp::UNIX_EPOCH),
            &mut |_| assert_eq!(write(&chunk[..half]), half),
            &mut |_| assert_eq!(write(&chunk[half..]), chunk.len() - half),
            &mut InHand::done,
        ];
        for step in steps.into_iter().take(step) {
            step(&mut hand);
        }
        let left = Leftover::all(&hands).pop();
        (fs::read_to_string(&file).expect("readable"), left)
    }

    #[test]
    fn wherever_a_kill_comes_a_chunk_is_stored_once() {
        for chunk in ["one line\n", "a\0b and a line that is begun\0\0", "\n", "two\nlines\n"] {
            // Before the first step nothing was read; the reading itself is the second.
            for step in 0..=6 {
                let (mut text, left) = killed_at(step, chunk.as_bytes());
                if let Some(left) = &left {
                    assert_eq!((&left.id, left.stream), (&id(), Stream::Err));
                    text.push_str(std::str::from_utf8(&left.bytes[left.stored..]).expect("text"));
                }
                let wanted = if step < 2 { "" } else { chunk };
                assert_eq!(text, format!("before\n{wanted}"), "killed at {step}: {left:?}");
            }
        }
    }

    #[test]
    fn a_kill_within_a_write_is_told_by_the_files_size() {
        /// Stores a part, and dies.
        struct Dies;
        impl Sink for Dies {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                panic!("killed")
            }
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("is.log");
        fs::write(&file, b"before\n").expect("room");
        let hands = folder.path().join("in-hand");
        let mut hand = InHand::new(&hands, 7, 64).expect("memory");
        hand.begin(Some(&id()), Stream::Out, 6).copy_from_slice(b"abcdef");
        hand.taken(6, Timestamp::UNIX_EPOCH);
        let words = hand.notes.words.clone().expect("shared");
        let path = file.as_os_str().as_encoded_bytes().to_vec();
        let mut sink = NotingSink { sink: Box::new(Dies), words, number: 1, path, size: 7 };
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _never = sink.write(b"abcdef");
        }));
        assert!(killed.is_err());
        let left = |text: &[u8]| {
            fs::write(&file, text).expect("room");
            Leftover::all(&hands).pop().expect("in hand").stored
        };
        assert_eq!(left(b"before\n"), 0);
        assert_eq!(left(b"before\nabc"), 3);
        assert_eq!(left(b"before\nabcdef"), 6);
        fs::remove_file(&file).expect("there");
        assert_eq!(Leftover::all(&hands).pop().expect("in hand").stored, 0);
    }

    #[test]
    fn what_is_written_beside_a_chunk_is_not_taken_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let hands = folder.path().join("in-hand");
        let mut hand = InHand::new(&hands, 7, 64).expect("memory");
        let store = hand.noting(Arc::new(Disk));
        let (mut sink, _) = store.open(&folder.path().join("is.log")).expect("a file");
        hand.begin(Some(&id()), Stream::Out, 12).copy_from_slice(b"rest\nwhole\n.");
        hand.taken(12, Timestamp::UNIX_EPOCH);
        let stored = || Leftover::all(&hands).pop().expect("in hand").stored;
        // A torn line is ended, its rest is lost, and the next is stored.
        assert_eq!((sink.write_beside(b"\n").expect("room"), stored()), (1, 0));
        store.left_out(5);
        assert_eq!(stored(), 5);
        assert_eq!((sink.write(b"whole\n").expect("room"), stored()), (6, 11));
        hand.done();
        // Of nothing that is in hand nothing is noted.
        store.left_out(5);
        assert_eq!(Leftover::all(&hands), []);
    }

    #[test]
    fn what_is_taken_over_and_lost_again_is_there_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let hands = folder.path().join("in-hand");
        let mut first = InHand::new(&hands, 1, 64).expect("memory");
        first.begin(Some(&id()), Stream::Out, 6).copy_from_slice(b"abcdef");
        let at = Timestamp::from_microsecond(1_795_000_000_123_456).expect("a time");
        first.taken(6, at);
        first.notes.set(STORED, 2);
        let left = Leftover::all(&hands).pop().expect("in hand");
        let mut second = InHand::new(&hands, 2, 64).expect("memory");
        let file = fs::read(&left.file).expect("there");
        second.take_over(&left);
        // Killed before it could remove the file of the first.
        fs::write(&left.file, file).expect("room");
        let all = Leftover::all(&hands);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].file.ends_with("00000000000000000002"), "{all:?}");
        assert_eq!((&all[0].bytes, all[0].stored, all[0].at), (&left.bytes, 2, Some(at)));
        second.done();
        assert_eq!(Leftover::all(&hands), []);
        drop((first, second));
        assert_eq!(fs::read_dir(&hands).expect("there").count(), 0, "nothing stays behind");
    }

    #[test]
    fn a_read_that_was_cut_short_is_known_to_a_page() {
        for length in [1, 7, 8, 9, 4_095, 4_096, 4_100, 4_104, 4_105, 65_500, 65_536] {
            for read in [0, 1, 4_096, 4_097, 8_192, 20_000, length] {
                // A read ends where a page of the pipe does, not within the last mark.
                if read > length || (read < length && read + MARK.len() > length) {
                    continue;
                }
                let folder = tempfile::tempdir().expect("a folder");
                let mut hand = InHand::new(folder.path(), 7, 65_536).expect("memory");
                hand.begin(Some(&id()), Stream::Out, length)[..read].fill(b'x');
                let left = Leftover::all(folder.path()).pop().map_or(0, |left| left.bytes.len());
                let whole_pages = if read == length { length } else { read / PAGE * PAGE };
                // Where the next page would be the last and has no mark of its own, it is one less.
                assert!(
                    left <= read && left + 2 * PAGE > whole_pages,
                    "{read} of {length}: {left}"
                );
                assert!(read < length || left == length, "{length}: {left}");
            }
        }
    }

    #[test]
    fn what_is_more_than_there_can_be_is_taken_as_far_as_it_is_valid() {
        let folder = tempfile::tempdir().expect("a folder");
        let hands = folder.path().join("in-hand");
        let mut first = InHand::new(&hands, 1, 200).expect("memory");
        first.begin(Some(&id()), Stream::Out, 200).fill(b'x');
        first.taken(200, Timestamp::UNIX_EPOCH);
        let read = || Leftover::all(&hands).pop().expect("in hand");
        // Of a version that reads more at once: it fits where there is room for it.
        let left = read();
        let mut second = InHand::new(&hands, 2, left.bytes.len()).expect("memory");
        second.take_over(&left);
        assert!(!left.file.exists() && read().bytes == left.bytes);
        second.done();
        // One that has no room keeps its hands off, and the file stays as it is.
        first = InHand::new(&hands, 3, 200).expect("memory");
        first.begin(Some(&id()), Stream::Out, 200).fill(b'x');
        first.taken(200, Timestamp::UNIX_EPOCH);
        InHand::new(&hands, 4, 64).expect("memory").take_over(&read());
        assert_eq!(read().bytes.len(), 200);
        // Damaged: it says more than it has, or than anybody reads.
        first.notes.set(LENGTH, u64::MAX);
        assert_eq!(read().bytes.len(), 200);
        let large = OpenOptions::new().write(true).open(&first.file).expect("there");
        large.set_len(4 << 20).expect("room");
        assert_eq!(read().bytes.len(), MOST_BYTES);
    }

    #[test]
    fn strange_files_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("short"), b"x").expect("room");
        fs::write(folder.path().join("noise"), [0xff; 8192]).expect("room");
        assert_eq!(Leftover::all(folder.path()), []);
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
    }
}
