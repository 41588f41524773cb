//! What was read from a pipe and is not in a file yet, so that a kill in between takes nothing.
//!
//! A chunk is read into memory that others keep beyond our end, beside a few words that say how
//! far it has come. The next engine finds it there, learns from the file how much of it was
//! stored, and stores the rest. No call is made for it, and nothing is copied.
//!
//! ```text
//!  begin(id, stream) ──► read() ──► taken(length) ──► write() … ──► done()
//!       READING                        TAKEN      (before/after each write)   nothing in hand
//! ```
//!
//! Where a kill came between the end of the reading and the word of its length, zeros at the end
//! of the chunk are not told from what was never read. In files with time stamps a line that was
//! begun is not a part of this.

use std::{
    fs, io,
    ops::Range,
    os::fd::OwnedFd,
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
const LENGTH: usize = 2;
/// Bytes that are stored; the highest bit says that a write is under way.
const STORED: usize = 3;
/// Where in the file that write begins.
const OFFSET: usize = 4;
/// The component: its length, and its name.
const ID: Range<usize> = 8..24;
/// The file: its length, and its path.
const PATH: Range<usize> = 32..512;

const NOTHING: u64 = 0;
const READING: u64 = 1;
const TAKEN: u64 = 2;
const WRITING: u64 = 1 << 63;

/// The buffer that is read into, with its words.
pub(super) struct InHand {
    bytes: Bytes,
    /// None where such a memory cannot be had: a kill then takes what is in hand.
    words: Option<SharedWords>,
    /// So many bytes may not be zero.
    used: usize,
}

enum Bytes {
    Shared(SharedBytes),
    Own(Vec<u8>),
}

/// What an engine before this one had in hand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leftover {
    pub id: ComponentId,
    pub stream: Stream,
    pub bytes: Vec<u8>,
    /// So many of what came of the bytes are in files.
    pub stored: usize,
}

impl InHand {
    /// A buffer of so many bytes, and the descriptor to be kept.
    pub fn new(bytes: usize) -> io::Result<(Self, OwnedFd)> {
        let SharedMemory { words, bytes, descriptor } = SharedMemory::new(bytes)?;
        Ok((Self { bytes: Bytes::Shared(bytes), words: Some(words), used: 0 }, descriptor))
    }

    /// A buffer that a kill takes.
    pub fn unshared(bytes: usize) -> Self {
        Self { bytes: Bytes::Own(vec![0; bytes]), words: None, used: 0 }
    }

    /// A store that notes what is stored of the chunk in hand.
    pub fn noting(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match &self.words {
            Some(words) => Arc::new(Noting { store, words: words.clone() }),
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

    /// A stream of this component is about to be read.
    pub fn begin(&mut self, id: Option<&ComponentId>, stream: Stream) {
        let used = std::mem::take(&mut self.used);
        let Some((id, words)) = id.zip(self.words.clone()) else { return };
        self.bytes()[..used].fill(0);
        for word in [LENGTH, STORED] {
            words[word].store(0, Ordering::Release);
        }
        words[STREAM].store(stream.index() as u64, Ordering::Release);
        put(&words[ID], id.as_str().as_bytes());
        // Released: whoever finds this word finds those before it, too.
        words[PHASE].store(READING, Ordering::Release);
    }

    /// So many bytes were read.
    pub fn taken(&mut self, length: usize) {
        self.used = length;
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

impl Leftover {
    /// Reads what was left; `None` where nothing was in hand.
    pub fn read(left: &OwnedFd) -> io::Result<Option<Self>> {
        let (words, mut bytes) = SharedMemory::read(left)?;
        let strange = || io::Error::from(io::ErrorKind::InvalidData);
        if words.len() < PATH.end {
            return Err(strange());
        }
        let length = match words[PHASE] {
            NOTHING => return Ok(None),
            READING => bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1),
            _ => usize::try_from(words[LENGTH]).unwrap_or(usize::MAX).min(bytes.len()),
        };
        bytes.truncate(length);
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
        Ok(Some(Self { id: id.ok_or_else(strange)?, stream, bytes, stored }))
    }
}

/// Writes its notes around each write.
struct Noting {
    store: Arc<dyn Store>,
    words: SharedWords,
}

struct NotingSink {
    sink: Box<dyn Sink>,
    words: SharedWords,
    path: Vec<u8>,
    size: u64,
}

impl Store for Noting {
    fn open(&self, path: &Path) -> io::Result<(Box<dyn Sink>, u64)> {
        let (sink, size) = self.store.open(path)?;
        let path = path.as_os_str().as_encoded_bytes().to_vec();
        Ok((Box::new(NotingSink { sink, words: self.words.clone(), path, size }), size))
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
        put(&self.words[PATH], &self.path);
        self.words[STORED].store(stored | WRITING, Ordering::Release);
        let result = self.sink.write(bytes);
        let count = *result.as_ref().unwrap_or(&0) as u64;
        self.size += count;
        // One word says both: that the write is over, and what it stored.
        self.words[STORED].store(stored + count, Ordering::Release);
        result
    }
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
        let (mut hand, kept) = InHand::new(64).expect("memory");
        let (sink, _) = hand.noting(Arc::new(Disk)).open(&file).expect("a file");
        let sink = std::cell::RefCell::new(sink);
        let write = |bytes: &[u8]| sink.borrow_mut().write(bytes).expect("room");
        write(b"before\n");
        // A longer chunk had been there, of somebody else.
        hand.begin(Some(&ComponentId::new("another").expect("a good id")), Stream::Out);
        hand.bytes().fill(b'x');
        hand.taken(64);
        hand.done();
        let half = chunk.len() / 2;
        let steps: [&mut dyn FnMut(&mut InHand); 6] = [
            &mut |hand| hand.begin(Some(&id()), Stream::Err),
            &mut |hand| hand.bytes()[..chunk.len()].copy_from_slice(chunk),
            &mut |hand| hand.taken(chunk.len()),
            &mut |_| assert_eq!(write(&chunk[..half]), half),
            &mut |_| assert_eq!(write(&chunk[half..]), chunk.len() - half),
            &mut InHand::done,
        ];
        for step in steps.into_iter().take(step) {
            step(&mut hand);
        }
        let left = Leftover::read(&kept).expect("readable");
        (fs::read_to_string(&file).expect("readable"), left)
    }

    #[test]
    fn wherever_a_kill_comes_a_chunk_is_stored_once() {
        for chunk in ["one line\n", "a\0b and a line that is begun"] {
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
        let (mut hand, kept) = InHand::new(64).expect("memory");
        hand.begin(Some(&id()), Stream::Out);
        hand.bytes()[..6].copy_from_slice(b"abcdef");
        hand.taken(6);
        let words = hand.words.clone().expect("shared");
        let path = file.as_os_str().as_encoded_bytes().to_vec();
        let mut sink = NotingSink { sink: Box::new(Dies), words, path, size: 7 };
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _never = sink.write(b"abcdef");
        }));
        assert!(killed.is_err());
        let left = |text: &[u8]| {
            fs::write(&file, text).expect("room");
            Leftover::read(&kept).expect("readable").expect("in hand").stored
        };
        assert_eq!(left(b"before\n"), 0);
        assert_eq!(left(b"before\nabc"), 3);
        assert_eq!(left(b"before\nabcdef"), 6);
        fs::remove_file(&file).expect("there");
        assert_eq!(Leftover::read(&kept).expect("readable").expect("in hand").stored, 0);
    }

    #[test]
    fn what_is_no_such_memory_is_refused() {
        let short = crate::process::memory_file("short", b"x").expect("memory");
        assert!(Leftover::read(&short).is_err());
        let noise = crate::process::memory_file("noise", &[0xff; 8192]).expect("memory");
        assert!(Leftover::read(&noise).is_err());
    }
}
