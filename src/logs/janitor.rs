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

use flate2::{Compression, write::GzEncoder};
use jiff::{ToSpan, civil::Date};

use super::{
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
        } else if keep.compress && part.form == Form::Plain {
            compress_part(&keep.names, *part, cancel);
        }
    }
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
    let mut encoder = GzEncoder::new(target, Compression::default());
    let mut buffer = vec![0; 64 << 10];
    loop {
        if cancel.load(Ordering::Acquire) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match source.read(&mut buffer)? {
            0 => break,
            count => encoder.write_all(&buffer[..count])?,
        }
    }
    let target = encoder.finish()?;
    // The original is removed next: after a power cut one of the two must be whole.
    target.sync_all()?;
    target.set_modified(metadata.modified()?)
}
