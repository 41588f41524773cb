//! Retention and compression, on a short-lived thread of low priority.
//!
//! A pass looks at each folder once, recognises the files of the logs by their exact names, and
//! makes of what it finds what the settings say. It remembers nothing, so it also finishes what
//! an earlier Supervisor left: uncompressed parts, half-written temporaries.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use jiff::{ToSpan, civil::Date};

use super::{
    gzip, index,
    name::{Form, Names, Part, splits},
    os,
};

/// What is to be kept of one log.
#[derive(Debug, Clone)]
pub(super) struct Keep {
    pub names: Names,
    /// Files older than this many days go.
    pub days: u32,
    /// The file that is written to counts; `None`: by days alone.
    pub files: Option<u32>,
    /// Bytes of all files; `None`: however many.
    pub bytes: Option<u64>,
    pub compress: bool,
}

/// At most one pass at a time.
#[derive(Debug, Default)]
pub(super) struct Janitor {
    pass: Option<JoinHandle<()>>,
    cancel: Arc<AtomicBool>,
}

impl Janitor {
    pub fn is_busy(&self) -> bool {
        self.pass.as_ref().is_some_and(|pass| !pass.is_finished())
    }

    /// Starts a pass; not to be called while one is busy.
    pub fn start(&mut self, keeps: Vec<Keep>, today: Date) {
        let cancel = Arc::clone(&self.cancel);
        let pass = std::thread::Builder::new().name("log-janitor".to_owned()).spawn(move || {
            os::lower_priority();
            pass(&keeps, today, &cancel);
        });
        match pass {
            Ok(pass) => self.pass = Some(pass),
            Err(error) => tracing::warn!(%error, "cannot start the thread for log retention"),
        }
    }

    /// Ends a pass that is busy: between two files, or two blocks of one.
    pub fn stop(&mut self) {
        self.cancel.store(true, Ordering::Release);
        if let Some(pass) = self.pass.take()
            && pass.join().is_err()
        {
            tracing::error!("the thread for log retention panicked");
        }
    }
}

/// Brings every log to what is to be kept of it.
fn pass(keeps: &[Keep], today: Date, cancel: &AtomicBool) {
    let mut folders: BTreeMap<&Path, HashMap<&str, Vec<&Keep>>> = BTreeMap::new();
    for keep in keeps {
        let folder = folders.entry(&keep.names.folder).or_default();
        folder.entry(&keep.names.stem).or_default().push(keep);
    }
    for (folder, stems) in folders {
        for (keep, parts) in find(folder, &stems) {
            bring(keep, parts, today, cancel);
        }
    }
}

/// The files of each log in the folder.
fn find<'a>(
    folder: &Path,
    stems: &HashMap<&str, Vec<&'a Keep>>,
) -> impl Iterator<Item = (&'a Keep, Vec<Part>)> {
    let mut found: HashMap<PathBuf, (&Keep, Vec<Part>)> = HashMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        for (stem, tail) in splits(name) {
            for keep in stems.get(stem).into_iter().flatten() {
                if let Some(part) = keep.names.parse_tail(tail) {
                    // The base path tells two logs of one stem apart.
                    let base = keep.names.current(Date::ZERO);
                    found.entry(base).or_insert((keep, Vec::new())).1.push(part);
                }
            }
        }
    }
    found.into_values()
}

fn bring(keep: &Keep, mut parts: Vec<Part>, today: Date, cancel: &AtomicBool) {
    // One pass at a time, and one Supervisor: a temporary is nobody's work in progress.
    parts.retain(|part| {
        let temporary = part.form == Form::Temporary;
        if temporary {
            remove(&keep.names.path(*part));
        }
        !temporary
    });
    parts.sort_unstable();
    let oldest = today.checked_sub(i64::from(keep.days).days()).unwrap_or(Date::MIN);
    let surplus = keep.files.map_or(0, |files| parts.len().saturating_sub(files.max(1) as usize));
    let surplus = surplus.max(keep.bytes.map_or(0, |bytes| too_large(&keep.names, &parts, bytes)));
    let is_current = |part: &Part| part.date >= today && part.number == Part::CURRENT;
    for (index, part) in parts.iter().enumerate() {
        if cancel.load(Ordering::Acquire) {
            return;
        }
        if is_current(part) && part.form == Form::Plain {
            continue;
        }
        let path = keep.names.path(*part);
        if part.date < oldest || index < surplus {
            remove(&path);
            remove_index(&keep.names, *part);
        } else if keep.compress && part.form == Form::Plain {
            compress_part(&keep.names, *part, cancel);
        }
    }
}

/// How many of the oldest have to go so that the others are `most` bytes together. The newest
/// stays however large it is.
fn too_large(names: &Names, parts: &[Part], most: u64) -> usize {
    let mut bytes = 0_u64;
    let older = parts.iter().rposition(|part| {
        let size = fs::metadata(names.path(*part)).map_or(0, |metadata| metadata.len());
        bytes = bytes.saturating_add(size);
        bytes > most
    });
    older.map_or(0, |last| (last + 1).min(parts.len().saturating_sub(1)))
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => tracing::debug!(file = %path.display(), "log file deleted"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "cannot delete an old log file");
        }
    }
}

/// The index of a file that is gone says nothing any more.
fn remove_index(names: &Names, part: Part) {
    let _never_made = fs::remove_file(index_path(names, part));
}

fn index_path(names: &Names, part: Part) -> PathBuf {
    index::path_of(&names.path(Part { form: Form::Plain, ..part }))
}

fn compress_part(names: &Names, mut part: Part, cancel: &AtomicBool) {
    let mut path = names.path(part);
    if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
        return;
    }
    let compressed = |part| names.path(Part { form: Form::Compressed, ..part });
    if compressed(part).exists() {
        // The clock went back, and the day got a second file: neither replaces the other.
        let number = names.next_number(part.date);
        let numbered = Part { number, ..part };
        let numbered_path = names.path(numbered);
        if let Err(error) = fs::rename(&path, &numbered_path) {
            tracing::warn!(file = %path.display(), %error, "cannot rename a log file");
            return;
        }
        let _never_made = fs::rename(index_path(names, part), index_path(names, numbered));
        (part, path) = (numbered, numbered_path);
    }
    let temporary = names.path(Part { form: Form::Temporary, ..part });
    let done = compress(&path, &temporary, cancel)
        .and_then(|()| fs::rename(&temporary, compressed(part)))
        .and_then(|()| fs::remove_file(&path));
    if let Err(error) = done {
        // What is not compressed stays as it was.
        let _ = fs::remove_file(&temporary);
        if error.kind() != io::ErrorKind::Interrupted {
            tracing::warn!(file = %path.display(), %error, "cannot compress a log file");
        }
    }
}

fn compress(from: &Path, to: &Path, cancel: &AtomicBool) -> io::Result<()> {
    let mut source = File::open(from)?;
    let metadata = source.metadata()?;
    let target = File::options().write(true).create_new(true).open(to)?;
    target.set_permissions(metadata.permissions())?;
    let mut target = target;
    let mut first = true;
    let mut text = Vec::with_capacity(gzip::MEMBER);
    loop {
        if cancel.load(Ordering::Acquire) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let room = (gzip::MEMBER - text.len()) as u64;
        Read::by_ref(&mut source).take(room).read_to_end(&mut text)?;
        // A file without text is one empty member.
        if text.is_empty() && !first {
            break;
        }
        first = false;
        // Members end with lines, so that nobody unpacks two for one line.
        let full = text.len() == gzip::MEMBER;
        let end = memchr::memrchr(b'\n', &text).filter(|_| full);
        let end = end.map_or(text.len(), |newline| newline + 1);
        target.write_all(&gzip::member(&text[..end])?)?;
        text.drain(..end);
    }
    // The original is removed next: after a power cut one of the two must be whole.
    target.sync_all()?;
    target.set_modified(metadata.modified()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use flate2::read::GzDecoder;
    use jiff::civil::date;

    use super::*;

    const TODAY: Date = date(2026, 11, 22);

    fn keep(folder: &Path, base: &str, days: u32, files: Option<u32>, compress: bool) -> Keep {
        Keep { names: Names::new(&folder.join(base)), days, files, bytes: None, compress }
    }

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for name in names {
            fs::write(folder.path().join(name), format!("text of {name}\n")).expect("written");
        }
        folder
    }

    fn names(folder: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).expect("readable");
        entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn run(keeps: &[Keep]) {
        pass(keeps, TODAY, &AtomicBool::new(false));
    }

    #[test]
    fn only_the_own_old_files_go() {
        let mine = ["a-2026-11-19.log", "a-2026-11-18.003.log.gz", "a-2020-01-01.log"];
        let kept = [
            "a-2026-11-20.log",
            "a-2026-11-22.log",
            "a-b-2020-01-01.log",
            "a-2020-01-01.log.bak",
            "a-2020-01-01.txt",
            "aa-2020-01-01.log",
            "a.log",
            "a-2020-01-01-2020-01-02.log",
        ];
        let folder = folder_with(&[&mine[..], &kept[..]].concat());
        run(&[keep(folder.path(), "a.log", 2, None, false)]);
        assert_eq!(names(folder.path()), set(&kept));
    }

    #[test]
    fn the_newest_files_are_kept_by_number_and_the_current_one_always() {
        let folder = folder_with(&[
            "a-2026-11-21.log",
            "a-2026-11-22.001.log",
            "a-2026-11-22.002.log.gz",
            "a-2026-11-22.log",
            "b-2026-11-22.log",
        ]);
        let few = keep(folder.path(), "a.log", 99, Some(2), false);
        let none = keep(folder.path(), "b.log", 99, Some(0), false);
        run(&[few, none]);
        let kept = ["a-2026-11-22.002.log.gz", "a-2026-11-22.log", "b-2026-11-22.log"];
        assert_eq!(names(folder.path()), set(&kept));
    }

    #[test]
    fn complete_files_are_compressed_and_nothing_is_replaced() {
        let folder = folder_with(&[
            "a-2026-11-20.log.gz",
            "a-2026-11-20.log",
            "a-2026-11-21.log",
            "a-2026-11-21.log.gz.tmp",
            "a-2026-11-22.001.log",
            "a-2026-11-22.log",
            "b-2026-11-21.log",
        ]);
        run(&[
            keep(folder.path(), "a.log", 99, None, true),
            keep(folder.path(), "b.log", 99, None, false),
        ]);
        let expected = [
            "a-2026-11-20.001.log.gz",
            "a-2026-11-20.log.gz",
            "a-2026-11-21.log.gz",
            "a-2026-11-22.001.log.gz",
            "a-2026-11-22.log",
            "b-2026-11-21.log",
        ];
        assert_eq!(names(folder.path()), set(&expected));
        let read = |name: &str| {
            let mut text = String::new();
            let file = File::open(folder.path().join(name)).expect("there");
            GzDecoder::new(file).read_to_string(&mut text).expect("whole");
            text
        };
        assert_eq!(read("a-2026-11-21.log.gz"), "text of a-2026-11-21.log\n");
        assert_eq!(read("a-2026-11-20.001.log.gz"), "text of a-2026-11-20.log\n");
        let old = fs::read_to_string(folder.path().join("a-2026-11-20.log.gz")).expect("there");
        assert_eq!(old, "text of a-2026-11-20.log.gz\n");
    }

    #[test]
    fn a_pass_that_is_stopped_leaves_the_original() {
        let folder = folder_with(&["a-2026-11-21.log"]);
        let path = folder.path().join("a-2026-11-21.log");
        let temporary = folder.path().join("a-2026-11-21.log.gz.tmp");
        let stopped = compress(&path, &temporary, &AtomicBool::new(true));
        assert_eq!(stopped.map_err(|error| error.kind()), Err(io::ErrorKind::Interrupted));
        run(&[keep(folder.path(), "a.log", 99, None, false)]);
        assert_eq!(names(folder.path()), set(&["a-2026-11-21.log"]));
    }

    #[test]
    fn the_newest_files_are_kept_by_their_size_together() {
        let all = [
            "a-2026-11-21.log",
            "a-2026-11-22.001.log",
            "a-2026-11-22.002.log",
            "a-2026-11-22.log",
        ];
        let size = "text of a-2026-11-22.001.log\n".len() as u64;
        for (bytes, kept) in [(1, 1), (3 * size, 3), (1_000, 4)] {
            let folder = folder_with(&all);
            fs::create_dir(folder.path().join(".index")).expect("made");
            let index = folder.path().join(".index/a-2026-11-21.log.idx");
            fs::write(&index, "").expect("written");
            let keep = Keep { bytes: Some(bytes), ..keep(folder.path(), "a.log", 99, None, false) };
            pass(&[keep], TODAY, &AtomicBool::new(false));
            let left: BTreeSet<String> =
                names(folder.path()).into_iter().filter(|name| name != ".index").collect();
            let expected: BTreeSet<String> =
                all[all.len() - kept..].iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(left, expected, "{bytes}");
            // The index goes with its file.
            assert_eq!(index.exists(), kept == all.len(), "{bytes}");
        }
    }
}
