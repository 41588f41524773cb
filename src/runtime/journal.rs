//! What the next Supervisor has to know if this one dies: which processes are ours, and what was
//! decided about every component.
//!
//! A file of JSON lines in the runtime folder, one for each change. What follows from one input of
//! the engine is appended by one write, before anything is started or told because of it; a torn
//! last line is ignored. A start is announced before it is tried, and confirmed with pid and start time. When
//! the file has grown, it is written anew beside itself and renamed over the old one. There is no
//! fsync: the journal matters within one boot only (the boot id tells), and the kernel keeps what
//! was written however we end.
//!
//! Another version may read it: within a version fields are added, and who does not know them
//! skips them; what an older reader would misunderstand is a new version. `tests/journals/` has a
//! file of each.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    machine::{Record, Resting, StopUnderWay},
    model::{ComponentId, Exit, Moment, RunId},
};

/// The format; a reader refuses a newer one.
///
/// 1: processes and stops by hand. 2: also what was decided: counters, budget, back-off, ends,
/// stops under way.
pub const VERSION: u32 = 2;

/// Rewritten when it is larger than this and most of it is history.
const COMPACT_ABOVE: u64 = 256 << 10;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Entry {
    /// The first line.
    Header { version: u32, boot: String, next_run: RunId },
    /// A start is about to be tried.
    Starting {
        id: ComponentId,
        run: RunId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record: Option<Box<Record>>,
    },
    /// The process exists.
    Started {
        id: ComponentId,
        run: RunId,
        pid: i32,
        start_time: u64,
        at: Moment,
        /// In version 1, which had no records.
        #[serde(default, skip_serializing_if = "is_zero")]
        restarts: u32,
        /// Of what the process was started with, to notice a registry edited meanwhile.
        fingerprint: u32,
    },
    Ready {
        id: ComponentId,
        run: RunId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Moment>,
    },
    /// Its end has begun, and the first request was made.
    Stopping { id: ComponentId, run: RunId, stop: StopUnderWay, record: Box<Record> },
    /// The leader ended; what follows from that is not decided yet.
    Ended {
        id: ComponentId,
        run: RunId,
        exit: Exit,
        #[serde(default)]
        oom: bool,
    },
    /// Nothing of it lives, and this was decided.
    Rests { id: ComponentId, resting: Resting, record: Box<Record> },
    /// Its whole tree is gone, or it never came to be.
    Gone { id: ComponentId, run: RunId },
    /// An operator stopped it, or started it again.
    StoppedByHand { id: ComponentId, stopped: bool },
    /// It has left the registry.
    Forgotten { id: ComponentId },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it asks about")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What every version says in its first line, and in no other.
#[derive(Deserialize)]
struct Format {
    version: u32,
}

/// What is known of one component.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remembered {
    pub run: Option<RunId>,
    pub process: Option<RememberedProcess>,
    pub ready: bool,
    /// Where that was written down.
    pub ready_since: Option<Moment>,
    pub stopping: Option<StopUnderWay>,
    pub ended: Option<(Exit, bool)>,
    pub stopped_by_hand: bool,
    /// None: nothing was decided about it without a run.
    pub resting: Option<Resting>,
    pub record: Record,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RememberedProcess {
    pub pid: i32,
    pub start_time: u64,
    pub at: Moment,
    pub fingerprint: u32,
}

/// The state that the lines add up to.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub next_run: RunId,
    pub components: BTreeMap<ComponentId, Remembered>,
    /// Lines that could not be read, and were skipped.
    pub damaged: usize,
}

/// The journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    boot: String,
    file: File,
    bytes: u64,
    /// Of these, what was there when it was last written anew.
    kept: u64,
    state: State,
    /// Lines that are not in the file yet.
    gathered: Vec<u8>,
    lines: usize,
    /// Writing failed; told once, tried again with the next entry.
    broken: bool,
    /// Of the gathered bytes, those before the end that a test wishes for.
    #[cfg(debug_assertions)]
    dies_after: Option<usize>,
}

impl Default for State {
    fn default() -> Self {
        Self { next_run: RunId(1), components: BTreeMap::new(), damaged: 0 }
    }
}

impl Remembered {
    /// Nothing of its run is left.
    fn end_run(&mut self) {
        self.run = None;
        self.process = None;
        self.ready = false;
        self.ready_since = None;
        self.stopping = None;
        self.ended = None;
    }
}

impl State {
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Header { next_run, .. } => self.next_run = self.next_run.max(next_run),
            Entry::Starting { id, run, record } => {
                self.next_run = self.next_run.max(RunId(run.0.saturating_add(1)));
                let one = self.components.entry(id).or_default();
                one.end_run();
                one.run = Some(run);
                one.resting = None;
                if let Some(record) = record {
                    one.record = *record;
                }
            }
            Entry::Started { id, run, pid, start_time, at, restarts, fingerprint } => {
                self.next_run = self.next_run.max(RunId(run.0.saturating_add(1)));
                let one = self.components.entry(id).or_default();
                one.run = Some(run);
                // What has a process does not rest, though the line in between be damaged.
                one.resting = None;
                one.process = Some(RememberedProcess { pid, start_time, at, fingerprint });
                one.record.last_run = Some(run);
                one.record.restarts = one.record.restarts.max(restarts);
            }
            Entry::Ready { id, run, at } => {
                if let Some(one) = self.of_run(&id, run) {
                    // A successor that took it over as ready says so again.
                    one.ready_since = one.ready_since.or(at);
                    one.ready = true;
                    one.record.trouble = None;
                }
            }
            Entry::Stopping { id, run, stop, record } => {
                if let Some(one) = self.of_run(&id, run) {
                    one.stopping = Some(stop);
                    one.record = *record;
                }
            }
            Entry::Ended { id, run, exit, oom } => {
                if let Some(one) = self.of_run(&id, run) {
                    one.ended = Some((exit, oom));
                }
            }
            Entry::Rests { id, resting, record } => {
                let one = self.components.entry(id).or_default();
                one.end_run();
                one.resting = Some(resting);
                one.record = *record;
            }
            Entry::Gone { id, run } => {
                if let Some(one) = self.of_run(&id, run) {
                    one.end_run();
                }
                self.forget_if_empty(&id);
            }
            Entry::StoppedByHand { id, stopped } => {
                self.components.entry(id.clone()).or_default().stopped_by_hand = stopped;
                self.forget_if_empty(&id);
            }
            Entry::Forgotten { id } => {
                self.components.remove(&id);
            }
        }
    }

    fn of_run(&mut self, id: &ComponentId, run: RunId) -> Option<&mut Remembered> {
        self.components.get_mut(id).filter(|one| one.run == Some(run))
    }

    fn forget_if_empty(&mut self, id: &ComponentId) {
        if self.components.get(id) == Some(&Remembered::default()) {
            self.components.remove(id);
        }
    }

    /// The shortest lines that add up to this state.
    pub(super) fn entries(&self, boot: &str) -> Vec<Entry> {
        let header =
            Entry::Header { version: VERSION, boot: boot.to_owned(), next_run: self.next_run };
        let mut entries = vec![header];
        for (id, one) in &self.components {
            let (id, record) = (id.clone(), Box::new(one.record.clone()));
            if let Some(run) = one.run {
                Self::entries_of_run(&mut entries, &id, run, one);
            } else {
                let resting = one.resting.clone().unwrap_or_default();
                entries.push(Entry::Rests { id: id.clone(), resting, record });
            }
            if one.stopped_by_hand {
                entries.push(Entry::StoppedByHand { id, stopped: true });
            }
        }
        entries
    }

    fn entries_of_run(entries: &mut Vec<Entry>, id: &ComponentId, run: RunId, one: &Remembered) {
        let record = Box::new(one.record.clone());
        entries.push(Entry::Starting { id: id.clone(), run, record: Some(record.clone()) });
        if let Some(RememberedProcess { pid, start_time, at, fingerprint }) = one.process.clone() {
            let (id, restarts) = (id.clone(), 0);
            entries.push(Entry::Started { id, run, pid, start_time, at, restarts, fingerprint });
        }
        if one.ready {
            entries.push(Entry::Ready { id: id.clone(), run, at: one.ready_since });
        }
        if let Some(stop) = one.stopping.clone() {
            entries.push(Entry::Stopping { id: id.clone(), run, stop, record });
        }
        if let Some((exit, oom)) = one.ended {
            entries.push(Entry::Ended { id: id.clone(), run, exit, oom });
        }
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
        let mut broken = false;
        let (file, bytes) = match write_anew(&path, &boot, &state) {
            Ok(written) => written,
            Err(error) if state.components.is_empty() => return Err(error),
            // Processes run that somebody has to look after, and the lines about them are there.
            Err(error) => {
                let Ok(file) = OpenOptions::new().append(true).open(&path) else {
                    return Err(error);
                };
                cannot_write(&path, &error);
                broken = true;
                (file, 0)
            }
        };
        let kept = bytes;
        let journal = Self {
            path,
            boot,
            file,
            bytes,
            kept,
            state: state.clone(),
            gathered: Vec::new(),
            lines: 0,
            broken,
            #[cfg(debug_assertions)]
            dies_after: None,
        };
        Ok((state, journal))
    }

    /// Whether this is the run of the component that the journal knows as under way.
    pub fn knows_run(&self, id: &ComponentId, run: RunId) -> bool {
        self.state.components.get(id).is_some_and(|one| one.run == Some(run))
    }

    /// Whether anything is known of a component.
    pub fn knows(&self, id: &ComponentId) -> bool {
        self.state.components.contains_key(id)
    }

    /// Whether an operator stopped it.
    pub fn is_stopped_by_hand(&self, id: &ComponentId) -> bool {
        self.state.components.get(id).is_some_and(|one| one.stopped_by_hand)
    }

    /// Takes one change down, at once.
    pub fn append(&mut self, entry: &Entry) {
        self.gather(entry);
        self.flush();
    }

    /// Takes one change down; it is in the file after [`flush`](Self::flush). Nothing that it
    /// announces may be done before.
    pub fn gather(&mut self, entry: &Entry) {
        self.state.apply(entry.clone());
        match line(entry) {
            Ok(line) => {
                self.gathered.extend_from_slice(&line);
                self.lines += 1;
            }
            Err(error) => self.told(Err(error)),
        }
        #[cfg(debug_assertions)]
        if is_last_at_a_tests_wish() {
            self.dies_after.get_or_insert(self.gathered.len());
        }
    }

    /// Lines that wait for [`flush`](Self::flush).
    pub fn gathered(&self) -> usize {
        self.lines
    }

    /// Writes what was gathered. A failure is told once; supervising goes on without a journal.
    pub fn flush(&mut self) {
        if self.lines == 0 {
            return;
        }
        #[cfg(debug_assertions)]
        if let Some(length) = self.dies_after {
            self.gathered.truncate(length);
        }
        let result = self.try_flush();
        self.gathered.clear();
        self.lines = 0;
        self.told(result);
        #[cfg(debug_assertions)]
        if self.dies_after.is_some() {
            let ourselves = rustix::process::getpid();
            let _the_end = rustix::process::kill_process(ourselves, rustix::process::Signal::KILL);
        }
    }

    fn told(&mut self, result: io::Result<()>) {
        match result {
            Err(error) if !self.broken => {
                self.broken = true;
                cannot_write(&self.path, &error);
            }
            Ok(()) if self.broken => {
                self.broken = false;
                tracing::info!("the journal is written again");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Every component has ended in order: only the number of the next run goes on, and what is
    /// known of those that outlive us.
    pub fn close(mut self) {
        self.state.components.retain(|_, one| {
            one.stopped_by_hand = false;
            one.run.is_some()
        });
        let _nothing_to_lose = write_anew(&self.path, &self.boot, &self.state);
    }

    fn try_flush(&mut self) -> io::Result<()> {
        let is_long = self.bytes > COMPACT_ABOVE.max(2 * self.kept);
        if self.broken || is_long {
            match write_anew(&self.path, &self.boot, &self.state) {
                Ok((file, bytes)) => {
                    (self.file, self.bytes, self.kept) = (file, bytes, bytes);
                    return Ok(());
                }
                // Half a line may stand at its end.
                Err(error) if self.broken => return Err(error),
                // The long one is as good; it is tried again when it has doubled.
                Err(error) => {
                    self.kept = self.bytes;
                    tracing::warn!(path = %self.path.display(), %error, "cannot shorten the journal");
                }
            }
        }
        self.file.write_all(&self.gathered)?;
        self.bytes += self.gathered.len() as u64;
        Ok(())
    }
}

fn cannot_write(path: &Path, error: &io::Error) {
    tracing::error!(
        path = %path.display(), %error,
        "cannot write the journal: if this Supervisor is killed, the next one may not know every \
         process; make room, or mend the folder"
    );
}

/// Whether a `kill -9` is to come after this entry, for the test of all of them; debug builds alone
/// have it.
#[cfg(debug_assertions)]
fn is_last_at_a_tests_wish() -> bool {
    use std::sync::atomic::{AtomicU64, Ordering};
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let wish = std::env::var("S7_TEST_KILL_AFTER").ok().and_then(|wish| wish.parse().ok());
    wish == Some(WRITTEN.fetch_add(1, Ordering::Relaxed) + 1)
}

pub(super) fn line(entry: &Entry) -> io::Result<Vec<u8>> {
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
    // A journal whose first line is damaged is believed: pids are compared with start times.
    let mut same_boot = true;
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let torn = line.last() != Some(&b'\n');
        // Whatever else a newer format may have changed.
        if let Ok(Format { version }) = serde_json::from_slice(line)
            && version > VERSION
        {
            return Err(format!(
                "is of version {version}, and this Supervisor reads up to {VERSION}; run the \
                 newer binary, or stop its components and remove the file"
            ));
        }
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => {
                if let Entry::Header { boot: of, .. } = &entry {
                    same_boot = of == boot;
                }
                state.apply(entry);
            }
            Err(_) if torn => {}
            Err(error) => {
                state.damaged += 1;
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
mod tests;
