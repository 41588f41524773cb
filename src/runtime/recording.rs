//! A record of every input of the supervisor, with what was decided (`run --record FILE`), and its
//! replay.
//!
//! A file of JSON lines, of bounded size, for its owner alone: it holds the registry with all
//! values. It is written by a thread of its own. What that cannot keep up with ends the record,
//! never the supervising; the record's last line then says so. A Supervisor that follows in the
//! same file begins with a line of its own.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    ops::Deref,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{ComponentId, Moment, OperationId, Origin, RunId},
    registry::Registry,
    supervisor::{
        Answer, Command, Denial, Effect, Fact, Hold, Inherited, Input, ReloadPlan, Supervisor,
    },
};

/// The format; a reader refuses another one.
const FORMAT: u32 = 1;

/// The largest file.
const LIMIT: u64 = 64 << 20;

/// Lines that may wait for the disk.
const WAITING: usize = 4096;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A Supervisor begins.
    Supervisor {
        format: u32,
        version: String,
        first_run: RunId,
        seed: u64,
        registry: Arc<Registry>,
    },
    Input {
        now: Moment,
        input: Input,
        effects: String,
    },
    /// Here the record ends, for this reason.
    Cut {
        why: String,
    },
}

/// A supervisor whose inputs are written down, where that was asked for. Nothing changes it
/// without passing here.
#[derive(Debug)]
pub(super) struct Recorded {
    supervisor: Supervisor,
    recorder: Option<Recorder>,
}

#[derive(Debug)]
struct Recorder {
    lines: SyncSender<String>,
    /// Set before the sender goes: not every line could be handed over.
    overrun: Arc<AtomicBool>,
    /// The file takes no more.
    full: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    path: PathBuf,
}

impl Deref for Recorded {
    type Target = Supervisor;

    fn deref(&self) -> &Supervisor {
        &self.supervisor
    }
}

impl Recorded {
    /// A new supervisor; with `path` its record is appended there.
    pub fn begin(
        registry: &Arc<Registry>,
        first_run: RunId,
        seed: u64,
        path: Option<&Path>,
    ) -> io::Result<Self> {
        let mut recorder = path.map(Recorder::start).transpose()?;
        if let Some(recorder) = &mut recorder {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            let registry = Arc::clone(registry);
            let line = Line::Supervisor { format: FORMAT, version, first_run, seed, registry };
            recorder.write(&line);
            tracing::warn!(
                path = %recorder.path.display(),
                "every input is recorded, with the registry and its values; for finding faults only"
            );
        }
        Ok(Self { supervisor: Supervisor::new(registry, first_run, seed), recorder })
    }

    /// An input as data, where it is to be written down.
    fn noted(&self, input: impl FnOnce() -> Input) -> Option<Input> {
        self.recorder.is_some().then(input)
    }

    fn input<T>(
        &mut self,
        now: Moment,
        input: Option<Input>,
        effects: &mut Vec<Effect>,
        call: impl FnOnce(&mut Supervisor, &mut Vec<Effect>) -> T,
    ) -> T {
        let Some(input) = input else { return call(&mut self.supervisor, effects) };
        let before = effects.len();
        let result = call(&mut self.supervisor, effects);
        let effects = format!("{:?}", &effects[before..]);
        if let Some(recorder) = &mut self.recorder
            && !recorder.write(&Line::Input { now, input, effects })
        {
            tracing::error!(
                path = %recorder.path.display(),
                "the record of inputs ends here: its file is full, or the disk does not keep up"
            );
            self.end_record();
        }
        result
    }

    /// What is recorded is in the file after this.
    pub fn end_record(&mut self) {
        if let Some(Recorder { lines, thread, .. }) = self.recorder.take() {
            drop(lines);
            let _its_panic_is_told = thread.join();
        }
    }

    pub fn restore_hold(&mut self, id: &str, hold: Hold) -> bool {
        let input = self.noted(|| Input::RestoreHold { id: id.to_owned(), hold: hold.clone() });
        let none = &mut Vec::new();
        self.input(Moment::default(), input, none, |it, _| it.restore_hold(id, hold))
    }

    pub fn count_on(&mut self, generation: u64, last_operation: u64) {
        let input = self.noted(|| Input::CountOn { generation, last_operation });
        let none = &mut Vec::new();
        self.input(Moment::default(), input, none, |it, _| it.count_on(generation, last_operation));
    }

    pub fn adopt(
        &mut self,
        now: Moment,
        inherited: Vec<Inherited>,
        effects: &mut Vec<Effect>,
    ) -> Vec<Inherited> {
        let input = self.noted(|| Input::Adopt { inherited: inherited.clone() });
        self.input(now, input, effects, |it, effects| it.adopt(now, inherited, effects))
    }

    pub fn boot(
        &mut self,
        now: Moment,
        stopped_by_hand: &BTreeSet<ComponentId>,
        effects: &mut Vec<Effect>,
    ) -> OperationId {
        let input = self.noted(|| Input::Boot { stopped_by_hand: stopped_by_hand.clone() });
        self.input(now, input, effects, |it, effects| it.boot(now, stopped_by_hand, effects))
    }

    pub fn handle(&mut self, now: Moment, fact: Fact, effects: &mut Vec<Effect>) {
        let input = self.noted(|| Input::Fact(fact.clone()));
        self.input(now, input, effects, |it, effects| it.handle(now, fact, effects));
    }

    pub fn deadline_reached(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let input = self.noted(|| Input::Deadline);
        self.input(now, input, effects, |it, effects| it.deadline_reached(now, effects));
    }

    pub fn command(&mut self, now: Moment, command: Command, effects: &mut Vec<Effect>) -> Answer {
        let input = self.noted(|| Input::Command(command.clone()));
        self.input(now, input, effects, |it, effects| it.command(now, command, effects))
    }

    pub fn hold(
        &mut self,
        now: Moment,
        id: &str,
        hold: Hold,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Hold>, Denial> {
        let input = self.noted(|| Input::Hold { id: id.to_owned(), hold: hold.clone() });
        self.input(now, input, effects, |it, effects| it.hold(now, id, hold, effects))
    }

    pub fn release(
        &mut self,
        now: Moment,
        id: &str,
        origin: &Origin,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Hold>, Denial> {
        let input = self.noted(|| Input::Release { id: id.to_owned(), origin: origin.clone() });
        self.input(now, input, effects, |it, effects| it.release(now, id, origin, effects))
    }

    pub fn reload(
        &mut self,
        now: Moment,
        new: &Arc<Registry>,
        origin: &Origin,
        effects: &mut Vec<Effect>,
    ) -> (ReloadPlan, Option<OperationId>) {
        let input =
            self.noted(|| Input::Reload { registry: Arc::clone(new), origin: origin.clone() });
        self.input(now, input, effects, |it, effects| it.reload(now, new, origin, effects))
    }

    pub fn shut_down(
        &mut self,
        now: Moment,
        restart: bool,
        kill: bool,
        origin: &Origin,
        effects: &mut Vec<Effect>,
    ) -> OperationId {
        let input = self.noted(|| Input::ShutDown { restart, kill, origin: origin.clone() });
        let call = |it: &mut Supervisor, effects: &mut Vec<Effect>| {
            it.shut_down(now, restart, kill, origin, effects)
        };
        self.input(now, input, effects, call)
    }

    /// Of interest to those who look; nothing is decided by it.
    pub fn take_changed(&mut self) -> Vec<ComponentId> {
        self.supervisor.take_changed()
    }
}

impl Recorder {
    fn start(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        let (lines, inbox) = sync_channel(WAITING);
        let (overrun, full) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let thread = {
            let (overrun, full) = (Arc::clone(&overrun), Arc::clone(&full));
            thread::Builder::new()
                .name("record".to_owned())
                .spawn(move || keep(file, size, &inbox, &overrun, &full))?
        };
        Ok(Self { lines, overrun, full, thread, path: path.to_owned() })
    }

    /// Whether the record goes on.
    fn write(&mut self, line: &Line) -> bool {
        if self.full.load(Ordering::Relaxed) {
            return false;
        }
        let Ok(mut text) = serde_json::to_string(line) else {
            self.overrun.store(true, Ordering::Relaxed);
            return false;
        };
        text.push('\n');
        let taken = self.lines.try_send(text).is_ok();
        if !taken {
            self.overrun.store(true, Ordering::Relaxed);
        }
        taken
    }
}

/// The thread: writes lines until there are no more.
fn keep(
    mut file: File,
    mut size: u64,
    lines: &Receiver<String>,
    overrun: &AtomicBool,
    full: &AtomicBool,
) {
    let cut = |file: &mut File, why: &str| {
        full.store(true, Ordering::Relaxed);
        let line = serde_json::to_string(&Line::Cut { why: why.to_owned() }).unwrap_or_default();
        // Were there room for it, there would be no need to say so.
        let _as_far_as_it_goes = file.write_all(format!("{line}\n").as_bytes());
    };
    for line in lines {
        size += line.len() as u64;
        if size > LIMIT {
            return cut(&mut file, &format!("the file has {} MiB", LIMIT >> 20));
        }
        if let Err(error) = file.write_all(line.as_bytes()) {
            return cut(&mut file, &format!("it could not be written: {error}"));
        }
    }
    if overrun.load(Ordering::Relaxed) {
        cut(&mut file, "the disk did not keep up, or an input could not be written as text");
    }
}

/// What a replay found, where it found no difference.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub supervisors: u64,
    pub inputs: u64,
    /// Why the record ends early, where it does.
    pub cut: Option<String>,
    /// Versions that wrote it, other than this one.
    pub versions: BTreeSet<String>,
}

/// Why a record was not replayed to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("cannot read the record {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("line {line} of the record is not one: {what}")]
    Malformed { line: u64, what: String },
    #[error(
        "line {line}: another decision than recorded\n   input: {input}\nrecorded: {recorded}\n     now: {decided}"
    )]
    Differs { line: u64, input: String, recorded: String, decided: String },
}

/// Runs a record through a supervisor and compares each decision.
pub fn replay(path: &Path) -> Result<Replayed, ReplayError> {
    let unreadable = |source| ReplayError::Unreadable { path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut replayed = Replayed::default();
    let mut present: Option<Supervisor> = None;
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        if file.read_until(b'\n', &mut text).map_err(unreadable)? == 0 {
            break;
        }
        let malformed = |what: String| ReplayError::Malformed { line: number, what };
        let line = match serde_json::from_slice(&text) {
            Ok(line) => line,
            // Whoever wrote it was killed.
            Err(_) if text.last() != Some(&b'\n') => {
                replayed.cut = Some("its last line is torn".to_owned());
                break;
            }
            Err(error) => return Err(malformed(error.to_string())),
        };
        match line {
            Line::Supervisor { format, .. } if format != FORMAT => {
                return Err(malformed(format!("it has format {format}, and this reads {FORMAT}")));
            }
            Line::Supervisor { version, first_run, seed, registry, .. } => {
                replayed.supervisors += 1;
                present = Some(Supervisor::new(&registry, first_run, seed));
                if version != env!("CARGO_PKG_VERSION") {
                    replayed.versions.insert(version);
                }
            }
            Line::Cut { why } => replayed.cut = Some(why),
            Line::Input { now, input, effects } => {
                let Some(supervisor) = &mut present else {
                    return Err(malformed("no Supervisor has begun before it".to_owned()));
                };
                let told = format!("{input:?}");
                let mut decided = Vec::new();
                supervisor.take(now, input, &mut decided);
                let decided = format!("{decided:?}");
                if decided != effects {
                    let (input, recorded) = (told, effects);
                    return Err(ReplayError::Differs { line: number, input, recorded, decided });
                }
                replayed.inputs += 1;
            }
        }
    }
    Ok(replayed)
}
