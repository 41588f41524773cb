//! What the next Supervisor has to know if this one dies: which processes are ours.
//!
//! A file of JSON lines in the runtime folder. One line is appended for each change, by one
//! write, so a `kill -9` loses at most the line that was being written, and a torn last line is
//! ignored. A start is announced before it is tried, and confirmed with pid and start time. When
//! the file has grown, it is written anew beside itself and renamed over the old one. There is no
//! fsync: the journal matters within one boot only (the boot id tells), and the kernel keeps what
//! was written however we end.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::model::{ComponentId, Moment, RunId};

/// The format; a reader refuses a newer one.
const VERSION: u32 = 1;

/// Rewritten when it is larger than this and most of it is history.
const COMPACT_ABOVE: u64 = 256 << 10;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Entry {
    /// The first line.
    Header {
        version: u32,
        boot: String,
        next_run: RunId,
    },
    /// A start is about to be tried.
    Starting {
        id: ComponentId,
        run: RunId,
    },
    /// The process exists.
    Started {
        id: ComponentId,
        run: RunId,
        pid: i32,
        start_time: u64,
        at: Moment,
        restarts: u32,
        /// Of what the process was started with, to notice a registry edited meanwhile.
        fingerprint: u32,
    },
    Ready {
        id: ComponentId,
        run: RunId,
    },
    /// Its whole tree is gone, or it never came to be.
    Gone {
        id: ComponentId,
        run: RunId,
    },
    /// An operator stopped it, or started it again.
    StoppedByHand {
        id: ComponentId,
        stopped: bool,
    },
}

/// What is known of one component.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remembered {
    pub run: Option<RunId>,
    pub process: Option<RememberedProcess>,
    pub ready: bool,
    pub stopped_by_hand: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RememberedProcess {
    pub pid: i32,
    pub start_time: u64,
    pub at: Moment,
    pub restarts: u32,
    pub fingerprint: u32,
}

/// The state that the lines add up to.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub next_run: RunId,
    pub components: BTreeMap<ComponentId, Remembered>,
}

/// The journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    boot: String,
    file: File,
    bytes: u64,
    state: State,
    /// Writing failed; told once, tried again with the next entry.
    broken: bool,
}

impl Default for State {
    fn default() -> Self {
        Self { next_run: RunId(1), components: BTreeMap::new() }
    }
}

impl State {
    fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Header { next_run, .. } => self.next_run = self.next_run.max(*next_run),
            Entry::Starting { id, run } => {
                self.next_run = self.next_run.max(RunId(run.0 + 1));
                let one = self.components.entry(id.clone()).or_default();
                *one = Remembered { run: Some(*run), ..Remembered::default() };
            }
            Entry::Started { id, run, pid, start_time, at, restarts, fingerprint } => {
                self.next_run = self.next_run.max(RunId(run.0 + 1));
                let one = self.components.entry(id.clone()).or_default();
                one.run = Some(*run);
                one.process = Some(RememberedProcess {
                    pid: *pid,
                    start_time: *start_time,
                    at: *at,
                    restarts: *restarts,
                    fingerprint: *fingerprint,
                });
            }
            Entry::Ready { id, run } => {
                if let Some(one) = self.components.get_mut(id).filter(|one| one.run == Some(*run)) {
                    one.ready = true;
                }
            }
            Entry::Gone { id, run } => {
                if let Some(one) = self.components.get_mut(id).filter(|one| one.run == Some(*run)) {
                    let stopped_by_hand = one.stopped_by_hand;
                    *one = Remembered { stopped_by_hand, ..Remembered::default() };
                }
            }
            Entry::StoppedByHand { id, stopped } => {
                self.components.entry(id.clone()).or_default().stopped_by_hand = *stopped;
            }
        }
        if let Entry::Gone { id, .. } | Entry::StoppedByHand { id, .. } = entry
            && self.components.get(id) == Some(&Remembered::default())
        {
            self.components.remove(id);
        }
    }

    fn entries(&self, boot: &str) -> Vec<Entry> {
        let header =
            Entry::Header { version: VERSION, boot: boot.to_owned(), next_run: self.next_run };
        let mut entries = vec![header];
        for (id, one) in &self.components {
            if let Some(run) = one.run {
                entries.push(Entry::Starting { id: id.clone(), run });
                if let Some(process) = &one.process {
                    entries.push(Entry::Started {
                        id: id.clone(),
                        run,
                        pid: process.pid,
                        start_time: process.start_time,
                        at: process.at,
                        restarts: process.restarts,
                        fingerprint: process.fingerprint,
                    });
                }
                if one.ready {
                    entries.push(Entry::Ready { id: id.clone(), run });
                }
            }
            if one.stopped_by_hand {
                entries.push(Entry::StoppedByHand { id: id.clone(), stopped: true });
            }
        }
        entries
    }
}

impl Journal {
    /// The journal's name in the runtime folder.
    pub const NAME: &str = "journal";

    /// What an earlier Supervisor left, and the journal to go on with. Of another boot only the
    /// number of the next run counts.
    pub fn open(folder: &Path, boot: String) -> io::Result<(State, Self)> {
        let path = folder.join(Self::NAME);
        let mut state = match fs::read(&path) {
            Ok(bytes) => read(&bytes, &boot).map_err(|what| {
                let text = format!("the journal {} {what}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(error),
        };
        state.components.retain(|_, one| *one != Remembered::default());
        let (file, bytes) = write_anew(&path, &boot, &state)?;
        let journal = Self { path, boot, file, bytes, state: state.clone(), broken: false };
        Ok((state, journal))
    }

    /// Takes one change down. A failure is told once; supervising goes on without a journal.
    pub fn append(&mut self, entry: &Entry) {
        self.state.apply(entry);
        let result = self.try_append(entry);
        match result {
            Err(error) if !self.broken => {
                self.broken = true;
                tracing::error!(
                    path = %self.path.display(), %error,
                    "cannot write the journal: if this Supervisor is killed, the next one may not \
                     know every process; make room, or mend the folder"
                );
            }
            Ok(()) if self.broken => {
                self.broken = false;
                tracing::info!("the journal is written again");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Every component has ended in order: only the number of the next run goes on.
    pub fn close(mut self) {
        self.state.components.retain(|_, one| {
            one.stopped_by_hand = false;
            one.run.is_some()
        });
        let _nothing_to_lose = write_anew(&self.path, &self.boot, &self.state);
    }

    fn try_append(&mut self, entry: &Entry) -> io::Result<()> {
        if self.broken || self.bytes > COMPACT_ABOVE {
            (self.file, self.bytes) = write_anew(&self.path, &self.boot, &self.state)?;
            // What is there to be compacted away next time grows with what is kept.
            self.bytes /= 2;
            return Ok(());
        }
        let line = line(entry)?;
        self.file.write_all(&line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(line)
}

fn write_anew(path: &Path, boot: &str, state: &State) -> io::Result<(File, u64)> {
    let beside = path.with_extension("new");
    let mut bytes = Vec::new();
    for entry in state.entries(boot) {
        bytes.extend(line(&entry)?);
    }
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&bytes)?;
    fs::rename(&beside, path)?;
    Ok((file, bytes.len() as u64))
}

pub(super) fn read(bytes: &[u8], boot: &str) -> Result<State, String> {
    let mut state = State::default();
    let mut same_boot = false;
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let torn = line.last() != Some(&b'\n');
        match serde_json::from_slice::<Entry>(line) {
            Ok(Entry::Header { version, .. }) if version > VERSION => {
                return Err(format!(
                    "is of version {version}, and this Supervisor reads up to {VERSION}; run the \
                     newer binary, or stop its components and remove the file"
                ));
            }
            Ok(entry) => {
                if let Entry::Header { boot: of, .. } = &entry {
                    same_boot = of == boot;
                }
                state.apply(&entry);
            }
            Err(_) if torn => {}
            Err(error) => {
                tracing::warn!(line = number + 1, %error, "a line of the journal is not readable");
            }
        }
    }
    if !same_boot {
        state.components.clear();
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ComponentId {
        ComponentId::new(text).expect("a good id")
    }

    fn started(run: u64) -> Entry {
        Entry::Started {
            id: id("ps"),
            run: RunId(run),
            pid: 4711,
            start_time: 99,
            at: Moment::default(),
            restarts: 2,
            fingerprint: 7,
        }
    }

    #[test]
    fn what_was_written_is_known_to_the_next_supervisor_of_the_same_boot() {
        let folder = tempfile::tempdir().expect("a folder");
        let (state, mut journal) = Journal::open(folder.path(), "b1".into()).expect("new");
        assert_eq!(state, State::default());
        journal.append(&Entry::Starting { id: id("ps"), run: RunId(5) });
        journal.append(&started(5));
        journal.append(&Entry::Ready { id: id("ps"), run: RunId(5) });
        journal.append(&Entry::StoppedByHand { id: id("is"), stopped: true });
        drop(journal);

        let (state, journal) = Journal::open(folder.path(), "b1".into()).expect("again");
        assert_eq!(state.next_run, RunId(6));
        let ps = &state.components[&id("ps")];
        assert!(ps.ready);
        assert_eq!(
            ps.process.as_ref().map(|process| (process.pid, process.restarts)),
            Some((4711, 2))
        );
        assert!(state.components[&id("is")].stopped_by_hand);
        drop(journal);

        let (other_boot, _) = Journal::open(folder.path(), "b2".into()).expect("after a boot");
        assert!(other_boot.components.is_empty());
        assert_eq!(other_boot.next_run, RunId(6));
    }

    #[test]
    fn a_torn_last_line_is_as_if_never_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, mut journal) = Journal::open(folder.path(), "b1".into()).expect("new");
        journal.append(&Entry::Starting { id: id("ps"), run: RunId(1) });
        journal.append(&started(1));
        let path = folder.path().join(Journal::NAME);
        let whole = fs::read(&path).expect("readable");
        // Without its newline alone a line is whole.
        for cut in 0..whole.len() - 1 {
            let state = read(&whole[..cut], "b1").expect("readable at every cut");
            let known = state.components.get(&id("ps"));
            assert!(known.is_none_or(|one| one.process.is_none()), "cut at {cut}");
        }
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, mut journal) = Journal::open(folder.path(), "b1".into()).expect("new");
        for run in 1..20_000 {
            journal.append(&started(run));
            journal.append(&Entry::Gone { id: id("ps"), run: RunId(run) });
        }
        let size = fs::metadata(folder.path().join(Journal::NAME)).expect("there").len();
        assert!(size < 2 * COMPACT_ABOVE, "{size}");
    }

    #[test]
    fn a_newer_format_is_refused() {
        let line = br#"{"kind":"header","version":2,"boot":"b","next_run":1}"#;
        assert!(read(&[&line[..], b"\n"].concat(), "b").is_err());
    }
}
