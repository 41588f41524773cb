//! Lines that were read and are begun, where files have whole lines only.
//!
//! Such a line is in no file until its newline comes, and its bytes are not in hand any more when
//! the next chunk is. Each change is appended to a file of the runtime folder; an engine that
//! follows a killed one reads it, has all of it in a file of its own, and removes the old one. What
//! is kept says which chunk it is the rest of: a chunk that is still found in hand is known by it as
//! one that is done with.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::line::Stream;
use crate::model::ComponentId;

/// What the names of such files end with.
const SUFFIX: &str = "lines";

/// … and of one that is not complete.
const HALF: &str = "new";

/// A file that has grown to this is written anew.
const LARGE: u64 = 256 << 10;

/// Of a file that somebody else has made larger no more is read.
const MOST_READ: u64 = 64 << 20;

/// The beginning of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Of the chunk after which this is what is left.
    pub number: u64,
    /// A piece of it was given out before.
    pub cut: bool,
    /// Empty: no line is begun.
    pub text: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Begun {
    /// `None`: a kill takes them.
    path: Option<PathBuf>,
    file: Option<File>,
    size: u64,
    kept: HashMap<ComponentId, [Option<Kept>; 2]>,
    is_failing: bool,
}

/// Whether a file of the folder is one of these.
pub(super) fn is_one(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == SUFFIX)
}

impl Begun {
    /// Takes over what is left in this folder; `now` counts upwards from one engine to the next.
    pub fn open(folder: &Path, now: u64) -> Self {
        let path = folder.join(format!("{now:020}.{SUFFIX}"));
        let (kept, file) = (HashMap::new(), None);
        let mut begun = Self { path: Some(path), file, size: 0, kept, is_failing: false };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut old: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        for half in old.iter().filter(|path| path.extension().is_some_and(|it| it == HALF)) {
            let _removed_next_time = fs::remove_file(half);
        }
        old.retain(|path| is_one(path));
        // Newer ones have everything that they took over.
        old.sort();
        for path in &old {
            begun.kept.extend(read(path));
        }
        let is_safe = begun.kept.is_empty() || begun.write_all_anew();
        for path in old.iter().filter(|_| is_safe) {
            let _removed_next_time = fs::remove_file(path);
        }
        begun
    }

    /// What an engine before this one had of a line of this stream.
    pub fn kept(&self, id: &ComponentId, stream: Stream) -> Option<&Kept> {
        self.kept.get(id)?[stream.index()].as_ref()
    }

    /// After the chunk of this number so much of a line is begun, or nothing.
    pub fn keep(&mut self, id: &ComponentId, stream: Stream, number: u64, line: (&[u8], bool)) {
        let (text, cut) = line;
        if self.path.is_none() || (text.is_empty() && self.kept(id, stream).is_none()) {
            return;
        }
        let kept = Kept { number, cut, text: text.to_vec() };
        let record = record(id, stream, &kept);
        let is_first = self.kept.is_empty();
        if text.is_empty() {
            if let Some(both) = self.kept.get_mut(id) {
                both[stream.index()] = None;
                if both[stream.other().index()].is_none() {
                    self.kept.remove(id);
                }
            }
        } else {
            self.kept.entry(id.clone()).or_default()[stream.index()] = Some(kept);
        }
        let done = if is_first && self.size > 0 {
            // Nothing of what is there is of use; what is lost by a kill now is still in hand.
            self.empty().and_then(|()| self.append(&record))
        } else {
            self.append(&record)
        };
        self.note(&done);
        if self.size > LARGE && !self.kept.is_empty() {
            self.write_all_anew();
        }
    }

    fn empty(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.set_len(0)?;
        }
        self.size = 0;
        Ok(())
    }

    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open(path)?),
        };
        if let Err(error) = file.write_all(record) {
            // Behind half a record nothing is read.
            let _as_it_is = file.set_len(self.size);
            return Err(error);
        }
        self.size += record.len() as u64;
        Ok(())
    }

    /// Whether the file has everything that is kept, and nothing else.
    fn write_all_anew(&mut self) -> bool {
        let Some(path) = self.path.clone() else { return false };
        let mut all = Vec::new();
        for (id, both) in &self.kept {
            for (stream, kept) in Stream::BOTH.into_iter().zip(both) {
                if let Some(kept) = kept {
                    all.extend(record(id, stream, kept));
                }
            }
        }
        let temporary = path.with_extension(HALF);
        let _of_a_killed_one = fs::remove_file(&temporary);
        let written = open(&temporary).and_then(|mut file| {
            file.write_all(&all)?;
            fs::rename(&temporary, &path)?;
            Ok(file)
        });
        let done = written.map(|file| {
            self.file = Some(file);
            self.size = all.len() as u64;
        });
        self.note(&done);
        done.is_ok()
    }

    fn note(&mut self, done: &io::Result<()>) {
        if let (Err(error), false) = (done, self.is_failing) {
            tracing::warn!(%error, "a kill would take lines of stamped files that are begun");
        }
        self.is_failing = done.is_err();
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(path) = self.path.as_ref().filter(|_| self.kept.is_empty()) {
            let _never_made = fs::remove_file(path);
        }
    }
}

/// The greatest number in such a file.
pub(super) fn newest(path: &Path) -> Option<u64> {
    read(path).into_values().flatten().flatten().map(|kept| kept.number).max()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Length and checksum, then number, stream, cut, the name with its length, and the text.
fn record(id: &ComponentId, stream: Stream, kept: &Kept) -> Vec<u8> {
    let name = id.as_str().as_bytes();
    let mut body = kept.number.to_le_bytes().to_vec();
    body.extend([u8::from(stream == Stream::Err), u8::from(kept.cut)]);
    body.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    body.extend(name);
    body.extend(&kept.text);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&length[..], &crc32fast::hash(&body).to_le_bytes(), &body].concat()
}

/// What the file says last of each stream, as far as it is whole.
fn read(path: &Path) -> HashMap<ComponentId, [Option<Kept>; 2]> {
    let mut all: HashMap<ComponentId, [Option<Kept>; 2]> = HashMap::new();
    let mut bytes = Vec::new();
    let result = File::open(path).and_then(|file| file.take(MOST_READ).read_to_end(&mut bytes));
    if let Err(error) = result {
        tracing::warn!(file = %path.display(), %error, "cannot read lines that were begun");
    }
    let mut rest = bytes.as_slice();
    while let Some((id, stream, kept)) = take_record(&mut rest) {
        all.entry(id).or_default()[stream.index()] = Some(kept);
    }
    all
}

fn take_record(rest: &mut &[u8]) -> Option<(ComponentId, Stream, Kept)> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (checksum, after) = after.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (body, after) = after.split_at_checked(length)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    *rest = after;
    let (number, body) = body.split_first_chunk::<8>()?;
    let ([stream, cut, name], body) = body.split_first_chunk::<3>()?;
    let (name, text) = body.split_at_checked(usize::from(*name))?;
    let id = ComponentId::new(std::str::from_utf8(name).ok()?).ok()?;
    let number = u64::from_le_bytes(*number);
    let kept = Kept { number, cut: *cut != 0, text: text.to_vec() };
    Some((id, Stream::BOTH[usize::from(*stream).min(1)], kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ComponentId {
        ComponentId::new(name).expect("a good id")
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).expect("readable").count()
    }

    /// A kill: nothing is dropped.
    fn killed(begun: Begun) {
        std::mem::forget(begun);
    }

    #[test]
    fn what_was_kept_last_is_there_after_a_kill_and_after_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = Begun::open(folder.path(), 1);
        first.keep(&id("a"), Stream::Out, 5, (b"one", false));
        first.keep(&id("a"), Stream::Err, 6, (b"err", true));
        first.keep(&id("b"), Stream::Out, 7, (b"gone", false));
        first.keep(&id("b"), Stream::Out, 8, (b"", false));
        first.keep(&id("a"), Stream::Out, 9, (b"one two", false));
        killed(first);
        for now in 2..4 {
            let next = Begun::open(folder.path(), now);
            let out = Kept { number: 9, cut: false, text: b"one two".to_vec() };
            assert_eq!(next.kept(&id("a"), Stream::Out), Some(&out));
            assert_eq!(next.kept(&id("a"), Stream::Err).map(|kept| kept.cut), Some(true));
            // That nothing is begun after a chunk is known as well.
            let none = Kept { number: 8, cut: false, text: Vec::new() };
            assert_eq!(next.kept(&id("b"), Stream::Out), Some(&none));
            assert_eq!(files(folder.path()), 1);
            killed(next);
        }
    }

    #[test]
    fn a_record_that_a_kill_cut_short_did_not_come() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = Begun::open(folder.path(), 1);
        first.keep(&id("a"), Stream::Out, 5, (b"one", false));
        first.keep(&id("a"), Stream::Out, 6, (b"one two", false));
        let path = first.path.clone().expect("one");
        killed(first);
        let whole = fs::read(&path).expect("there");
        for cut in 1..20 {
            fs::write(&path, &whole[..whole.len() - cut]).expect("written");
            let [kept, _] = read(&path).remove(&id("a")).expect("one");
            let kept = kept.expect("one");
            assert_eq!((kept.number, kept.text.as_slice()), (5, &b"one"[..]));
        }
        fs::write(&path, [0xff; 100]).expect("written");
        assert!(read(&path).is_empty());
    }

    #[test]
    fn a_flood_of_begun_lines_stays_small_and_an_orderly_end_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut begun = Begun::open(folder.path(), 1);
        begun.keep(&id("quiet"), Stream::Out, 0, (b"prompt: ", false));
        for number in 0..2_000 {
            begun.keep(&id("a"), Stream::Out, number, (&[b'x'; 1_000], false));
            assert!(begun.size <= LARGE + 2_000);
        }
        let size = fs::metadata(begun.path.as_ref().expect("one")).expect("there").len();
        assert_eq!(size, begun.size);
        begun.keep(&id("a"), Stream::Out, 2_000, (b"", false));
        begun.keep(&id("quiet"), Stream::Out, 2_001, (b"", false));
        begun.keep(&id("a"), Stream::Out, 2_002, (b"y", false));
        assert!(begun.size < 100, "what is of no use is not kept: {}", begun.size);
        begun.keep(&id("a"), Stream::Out, 2_003, (b"", false));
        drop(begun);
        assert_eq!(files(folder.path()), 0);
    }
}
