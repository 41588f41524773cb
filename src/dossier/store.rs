//! The folder of dossiers, within its bounds: the oldest go first.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Dossier, ExitFacts, Summary};
use crate::model::{ComponentId, RunId};

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub of_a_component: usize,
    pub of_all: usize,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Bytes of one file.
    pub file: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { of_a_component: 20, of_all: 200, bytes: 50 << 20, file: 1 << 20 }
    }
}

/// A dossier that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub id: ComponentId,
    pub run: RunId,
    pub path: PathBuf,
    /// RFC 3339, UTC.
    pub at: String,
    /// Why it ended, in words.
    pub what: String,
    pub bytes: u64,
}

/// What is there, oldest first. Cheap to clone; readable from any thread.
#[derive(Debug, Clone, Default)]
pub struct Index {
    known: Arc<Mutex<Vec<Known>>>,
}

/// Writes and removes. One writer; it blocks.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    bounds: Bounds,
    index: Index,
}

const SUMMARY: &str = "summary.json";

impl Index {
    /// Those of a component, newest first.
    pub fn of(&self, id: &ComponentId, most: usize) -> Vec<Known> {
        self.lock().iter().rev().filter(|known| known.id == *id).take(most).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// The folder is made at the first need.
    pub fn new(folder: PathBuf, bounds: Bounds) -> Self {
        Self { folder, bounds, index: Index::default() }
    }

    pub fn index(&self) -> Index {
        self.index.clone()
    }

    /// Looks what earlier Supervisors left. What is no dossier is left alone.
    pub fn look(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let mut found: Vec<Known> =
            entries.flatten().filter_map(|entry| read(&entry.path())).collect();
        let mut known = self.index.lock();
        // Some may have been written meanwhile.
        found.retain(|one| known.iter().all(|other| other.path != one.path));
        known.append(&mut found);
        known.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.path.cmp(&b.path)));
        Ok(())
    }

    /// Writes a dossier; its folder. Whatever exceeds the bounds then is removed.
    pub fn write(&self, dossier: &Dossier) -> io::Result<PathBuf> {
        let Dossier { summary, files, replaces } = dossier;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let path = self.folder.join(name_of(summary));
        let result = self.fill(&path, summary, files);
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => {
                // Half a dossier would be taken for a whole one.
                let _full_disk_or_gone = fs::remove_dir_all(&path);
                return Err(error);
            }
        };
        {
            let mut known = self.index.lock();
            known.retain(|other| other.path != path);
            known.push(Known {
                id: summary.id.clone(),
                run: summary.run,
                path: path.clone(),
                at: summary.at.clone(),
                what: summary.cause.text.clone(),
                bytes,
            });
        }
        if let Some(old) = replaces.as_ref().filter(|old| **old != path) {
            self.remove(old);
        }
        self.keep_within_bounds(&summary.id);
        Ok(path)
    }

    /// Adds how the leader ended to a dossier that was written before.
    pub fn complete(&self, path: &Path, exit: &ExitFacts, followed_by: &str) -> io::Result<()> {
        let mut summary: Summary = serde_json::from_slice(&fs::read(path.join(SUMMARY))?)?;
        summary.exit = Some(exit.clone());
        followed_by.clone_into(&mut summary.followed_by);
        write_summary(path, &pretty(&summary)?)
    }

    fn fill(&self, path: &Path, summary: &Summary, files: &[(String, Vec<u8>)]) -> io::Result<u64> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut bytes = 0;
        for (name, content) in files {
            let content = cut(content, self.bounds.file);
            write_file(&path.join(name), &content)?;
            bytes += content.len() as u64;
        }
        let content = pretty(summary)?;
        write_summary(path, &content)?;
        Ok(bytes + content.len() as u64)
    }

    fn keep_within_bounds(&self, id: &ComponentId) {
        loop {
            let oldest = {
                let known = self.index.lock();
                let of_it = known.iter().filter(|one| one.id == *id).count();
                let bytes: u64 = known.iter().map(|one| one.bytes).sum();
                if of_it > self.bounds.of_a_component {
                    known.iter().find(|one| one.id == *id).map(|one| one.path.clone())
                } else if known.len() > self.bounds.of_all
                    || (bytes > self.bounds.bytes && known.len() > 1)
                {
                    known.first().map(|one| one.path.clone())
                } else {
                    None
                }
            };
            let Some(oldest) = oldest else { return };
            self.remove(&oldest);
        }
    }

    fn remove(&self, path: &Path) {
        self.index.lock().retain(|known| known.path != path);
        if let Err(error) = fs::remove_dir_all(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove an old dossier");
        }
    }
}

/// `ps-20261127T190505Z-run12`
fn name_of(summary: &Summary) -> String {
    let at: String = summary.at.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let at = at.split(['.', 'Z']).next().unwrap_or_default();
    format!("{}-{at}Z-run{}", summary.id, summary.run)
}

fn pretty(summary: &Summary) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(summary)?;
    text.push(b'\n');
    Ok(text)
}

/// The end counts more than the beginning.
fn cut(content: &[u8], most: usize) -> std::borrow::Cow<'_, [u8]> {
    let Some(over) = content.len().checked_sub(most).filter(|over| *over > 0) else {
        return content.into();
    };
    let rest = &content[over..];
    // From the beginning of a line on.
    let rest = memchr::memchr(b'\n', rest).map_or(rest, |at| &rest[at + 1..]);
    let mut text = b"[the beginning is left out]\n".to_vec();
    text.extend_from_slice(rest);
    text.into()
}

/// Last, and whole or not at all: a folder with a summary is a dossier.
fn write_summary(folder: &Path, content: &[u8]) -> io::Result<()> {
    let beside = folder.join("summary.json.new");
    write_file(&beside, content)?;
    fs::rename(&beside, folder.join(SUMMARY))
}

fn write_file(path: &Path, content: &[u8]) -> io::Result<()> {
    use io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    // Who may write to the folder does not decide where we write.
    options.custom_flags(libc::O_NOFOLLOW);
    options.open(path)?.write_all(content)
}

fn read(path: &Path) -> Option<Known> {
    let summary = fs::read(path.join(SUMMARY)).ok()?;
    let summary: Summary = serde_json::from_slice(&summary).ok()?;
    let sizes = fs::read_dir(path).ok()?.flatten().filter_map(|entry| entry.metadata().ok());
    Some(Known {
        id: summary.id,
        run: summary.run,
        path: path.to_owned(),
        at: summary.at,
        what: summary.cause.text,
        bytes: sizes.map(|meta| meta.len()).sum(),
    })
}
