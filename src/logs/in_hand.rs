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
//! end. They are bytes that no text has, and to write them brings in the pages that are read to. In files with time stamps a line that was
//! begun is not a part of this.

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

use super::{
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
/// The component: its length, and its name.
const ID: Range<usize> = 8..24;
/// The file: its length, and its path.
const PATH: Range<usize> = 32..512;

/// More were never stored, for whatever reason: the oldest go.
const MOST_FILES: usize = 32;

const NOTHING: u64 = 0;
const READING: u64 = 1;
const TAKEN: u64 = 2;
const WRITING: u64 = 1 << 63;

const PAGE: usize = 4096;

/// Stands where nothing was read yet; in no text.
const MARK: [u8; 8] = [0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8];

/// The buffer that is read into, with its words.
pub(super) struct InHand {
    bytes: Bytes,
    /// None where such a memory cannot be had: a kill then takes what is in hand.
    words: Option<SharedWords>,
    number: u64,
    /// Whose name is in the words.
    id: Option<ComponentId>,
    file: PathBuf,
}

enum Bytes {
    Shared(SharedBytes),
    Own(Vec<u8>),
}

/// What an engine before this one had in hand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leftover {
    file: PathBuf,
    number: u64,
    pub id: ComponentId,
    pub stream: Stream,
    pub bytes: Vec<u8>,
    /// So many of what came of the bytes are in files.
    pub stored: usize,
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
            Ok(SharedMemory { words, bytes }) => Ok(Self {
                bytes: Bytes::Shared(bytes),
                words: Some(words),
                number: now,
                id: None,
                file: path,
            }),
            Err(error) => {
                let _removed = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// A buffer that a kill takes.
    pub fn unshared(bytes: usize) -> Self {
        let file = PathBuf::new();
        Self { bytes: Bytes::Own(vec![0; bytes]), words: None, number: 0, id: None, file }
    }

    /// A store that notes what is stored of the chunk in hand.
    pub fn noting(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match &self.words {
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
        self.number += 1;
        let length = length.min(self.bytes().len());
        self.begin_as(self.number, id, stream, length);
        &mut self.bytes()[..length]
    }

    fn begin_as(&mut self, number: u64, id: Option<&ComponentId>, stream: Stream, length: usize) {
        let Some((id, words)) = id.zip(self.words.clone()) else { return };
        for mark in marks(length) {
            self.bytes()[mark.clone()].copy_from_slice(&MARK[MARK.len() - mark.len()..]);
        }
        let values = [(LENGTH, length as u64), (STORED, 0), (NUMBER, number)];
        for (word, value) in values.into_iter().chain([(STREAM, stream.index() as u64)]) {
            words[word].store(value, Ordering::Release);
        }
        if self.id.as_ref() != Some(id) {
            put(&words[ID], id.as_str().as_bytes());
            self.id = Some(id.clone());
        }
        // Released: whoever finds this word finds those before it, too.
        words[PHASE].store(READING, Ordering::Release);
    }

    /// Takes bytes over that an engine before us had in hand: from now on they are in ours alone.
    pub fn take_over(&mut self, leftover: &Leftover, rest: &[u8]) {
        self.begin_as(leftover.number, Some(&leftover.id), leftover.stream, rest.len());
        self.bytes()[..rest.len()].copy_from_slice(rest);
        self.taken(rest.len());
        leftover.remove();
    }

    /// So many bytes were read.
    pub fn taken(&mut self, length: usize) {
        if let Some(words) = &self.words {
            words[LENGTH].store(length as u64, Ordering::Release);
            words[PHASE].store(TAKEN, Ordering::Release);
        }
    }

    /// They are stored, or counted as lost; or there were none.
    pub fn done(&mut self) {
        if let Some(words) = &self.words {
            words[PHASE].store(NOTHING, Ordering::Release);
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if self.words.is_some() {
            let _stays_and_is_removed_by_the_next = fs::remove_file(&self.file);
        }
    }
}

impl Leftover {
    /// Everything that is left in this folder. What holds nothing is removed.
    pub fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
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
        let length = usize::try_from(words[LENGTH]).unwrap_or(usize::MAX);
        bytes.truncate(length);
        match words[PHASE] {
            NOTHING => return Ok(None),
            READING => bytes.truncate(read_of(&bytes)),
            _ => {}
        }
        let length = bytes.len();
        if bytes.is_empty() {
            return Ok(None);
        }
        let id = String::from_utf8(get(&words[ID])).ok().and_then(|id| ComponentId::new(&id).ok());
        let stream = if words[STREAM] == 0 { Stream::Out } else { Stream::Err };
        let mut stored = words[STORED] & !WRITING;
        if words[STORED] & WRITING != 0 {
            let path = path(get(&words[PATH]));
            let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
            stored += size.saturating_sub(words[OFFSET]).min(length as u64);
        }
        let stored = usize::try_from(stored).unwrap_or(usize::MAX);
        let (file, number) = (file.to_owned(), words[NUMBER]);
        Ok(Some(Self { file, number, id: id.ok_or_else(strange)?, stream, bytes, stored }))
    }
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
}

impl Sink for NotingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.words[PHASE].load(Ordering::Relaxed) != TAKEN {
            let count = self.sink.write(bytes)?;
            self.size += count as u64;
            return Ok(count);
        }
        let stored = self.words[STORED].load(Ordering::Relaxed);
        self.words[OFFSET].store(self.size, Ordering::Release);
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
        hand.taken(64);
        hand.done();
        let half = chunk.len() / 2;
        let steps: [&mut dyn FnMut(&mut InHand); 6] = [
            &mut |hand| {
                hand.begin(Some(&id()), Stream::Err, chunk.len());
            },
            &mut |hand| hand.bytes()[..chunk.len()].copy_from_slice(chunk),
            &mut |hand| hand.taken(chunk.len()),
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
        hand.taken(6);
        let words = hand.words.clone().expect("shared");
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
    fn what_is_taken_over_and_lost_again_is_there_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let hands = folder.path().join("in-hand");
        let mut first = InHand::new(&hands, 1, 64).expect("memory");
        first.begin(Some(&id()), Stream::Out, 6).copy_from_slice(b"abcdef");
        first.taken(6);
        let left = Leftover::all(&hands).pop().expect("in hand");
        let mut second = InHand::new(&hands, 2, 64).expect("memory");
        // Killed before it could remove the file of the first.
        second.begin_as(left.number, Some(&left.id), left.stream, 6);
        second.bytes()[..6].copy_from_slice(&left.bytes);
        second.taken(6);
        let all = Leftover::all(&hands);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].file.ends_with("00000000000000000002"), "{all:?}");
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
    fn strange_files_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("short"), b"x").expect("room");
        fs::write(folder.path().join("noise"), [0xff; 8192]).expect("room");
        assert_eq!(Leftover::all(folder.path()), []);
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
    }
}
