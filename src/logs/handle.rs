//! The way in: [`Logs`], cheap to clone, safe to share.

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use regex::bytes::Regex;
use tokio::sync::watch;

use super::{
    clock::Clock,
    intake::OpenLine,
    line::{Line, Stream},
    os::{self, Owner, PipeIdentity, Poller, Waker, WriteEnd},
    ring::{Batch, Ring},
    store::{Disk, Store},
    trace::Queue,
    worker::{Command, Frozen, Worker},
};
use crate::{
    guardian::{DescriptorStore, Stores},
    model::{ComponentId, Exit, RunId},
    registry::Output,
};

pub(super) const THREAD_NAME: &str = "logs";

/// How the log thread is to work.
pub struct Options {
    /// Bytes of the last lines that are kept for each component; default 256 KiB.
    pub ring_bytes: usize,
    /// Bytes of all rings together; default 64 MiB. With many components each gets its share,
    /// 16 KiB at least.
    pub rings_bytes: usize,
    /// Where notices go. It must not block; what it gives back is offered again some
    /// milliseconds later.
    pub notices: NoticeSink,
    /// A file of the runtime folder that keeps the numbers of records growing from one life to
    /// the next; without it the time alone does.
    pub numbers: Option<PathBuf>,
    /// Lines that the engine before this one had begun, and handed over.
    pub open_lines: Vec<OpenLine>,
    /// Who keeps our ends of the pipes for the next Supervisor: what is in a pipe is lost with its
    /// last holder.
    pub stores: Stores,
    /// A folder of the runtime folder for what is read and not stored yet, so that a kill takes none
    /// of it; without it a kill does.
    pub in_hand: Option<PathBuf>,
    pub(super) clock: Clock,
    pub(super) store: Arc<dyn Store>,
    /// From the first reason for it until retention runs: reasons come in crowds.
    pub(super) upkeep_delay: Duration,
}

/// Takes a notice, or gives it back when there is no room: `move |n| sender.try_send(n).…`.
pub type NoticeSink = Box<dyn FnMut(Notice) -> Result<(), Notice> + Send>;

/// What the log thread tells the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A line that [`Logs::watch_lines`] waited for has come. Once per watch.
    Matched { id: ComponentId, run: RunId, line: Vec<u8> },
    /// Output cannot be stored any more, and is counted as lost from now on. The component goes
    /// on, and so does the reading of its output. Once until `Resumed`. `None`: the trace log.
    Lost { id: Option<ComponentId>, path: PathBuf, error: String },
    /// Output is stored again. The figures are those of this interruption alone.
    Resumed { id: Option<ComponentId>, path: PathBuf, lost_bytes: u64, lost_lines: u64 },
}

/// The write ends that a run of a component is given.
#[derive(Debug)]
pub struct Streams {
    pub stdout: WriteEnd,
    pub stderr: WriteEnd,
}

/// What became of a component's output since the Supervisor started.
///
/// After [`Logs::exited`] or a shutdown `bytes == stored_bytes + lost_bytes`; in between some
/// bytes may be on their way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes that the component wrote.
    pub bytes: u64,
    /// Newlines among them.
    pub lines: u64,
    /// Bytes of the component that are in its files (time stamps are not counted).
    pub stored_bytes: u64,
    /// Bytes that could not be stored: disk full, no permission.
    pub lost_bytes: u64,
    pub lost_lines: u64,
    /// Lines that a log daemon of the system did not take; they are in the files.
    pub not_forwarded: u64,
    /// Lines that left the memory to make room for newer ones; they are in the files.
    pub dropped_from_ring: u64,
}

/// What the engine and its readers hold. All calls but [`open`](Self::open) only leave a
/// message for the log thread, or read memory; none waits for a disk.
#[derive(Clone)]
pub struct Logs {
    inner: Arc<Inner>,
}

struct Inner {
    mailbox: Mailbox,
    entries: Mutex<HashMap<ComponentId, Entry>>,
    supervisor: Arc<Shared>,
    changes: Arc<watch::Sender<u64>>,
    stores: Stores,
    /// There are commands that it was not woken for.
    is_to_wake: AtomicBool,
}

/// One component, as callers see it.
struct Entry {
    shared: Arc<Shared>,
    /// Where its pipes are: the same for all.
    folder: Arc<Path>,
    identities: [PipeIdentity; 2],
    owner: Option<Owner>,
    output: Arc<Output>,
    is_retired: bool,
}

/// What the log thread and the readers share for one component.
#[derive(Debug)]
pub(super) struct Shared {
    pub ring: Mutex<Ring>,
    pub counters: AtomicCounters,
    pub losing: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct AtomicCounters {
    pub bytes: AtomicU64,
    pub lines: AtomicU64,
    pub stored_bytes: AtomicU64,
    pub lost_bytes: AtomicU64,
    pub lost_lines: AtomicU64,
    pub not_forwarded: AtomicU64,
}

/// Keeps the log thread at rest.
#[derive(Debug)]
pub struct Thaw {
    _hold: Sender<()>,
}

/// Commands for the log thread, and the bell.
///
/// The queue has no bound of its own: commands come from the engine alone, a few per run of a
/// component, and losing one would lose a run's last output. Everything of volume (output, trace
/// lines) goes other, bounded ways.
#[derive(Clone)]
pub(super) struct Mailbox {
    commands: Sender<Command>,
    waker: Arc<Waker>,
}

/// The log thread's life: whoever holds it ends it.
///
/// Dropping it ends the thread as [`shutdown`](Self::shutdown) does, waiting 2 s at most.
#[must_use = "dropping it ends the log thread"]
pub struct LogThread {
    mailbox: Mailbox,
    ended: Receiver<()>,
    join: Option<JoinHandle<()>>,
}

impl Options {
    pub fn new(notices: NoticeSink) -> Self {
        Self {
            ring_bytes: 256 << 10,
            rings_bytes: 64 << 20,
            notices,
            numbers: None,
            open_lines: Vec::new(),
            stores: Stores::default(),
            in_hand: None,
            clock: Clock::system(),
            store: Arc::new(Disk),
            upkeep_delay: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").finish_non_exhaustive()
    }
}

impl Logs {
    /// Starts the log thread.
    pub fn start(options: Options) -> io::Result<(Self, LogThread)> {
        let (poller, waker) = Poller::new()?;
        let (commands, inbox) = channel();
        let mailbox = Mailbox { commands, waker };
        let supervisor = Shared::new();
        let stores = options.stores.clone();
        let changes = Arc::new(watch::Sender::new(0));
        let worker =
            Worker::new(options, poller, inbox, Arc::clone(&supervisor), Arc::clone(&changes));
        let (alive, ended) = sync_channel(0);
        let join = std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || {
            let _alive = alive;
            worker.run();
        })?;
        let thread = LogThread { mailbox: mailbox.clone(), ended, join: Some(join) };
        let entries = Mutex::default();
        let is_to_wake = AtomicBool::new(false);
        let inner = Inner { mailbox, entries, supervisor, changes, stores, is_to_wake };
        Ok((Self { inner: Arc::new(inner) }, thread))
    }

    /// The streams for the next run of a component: its FIFOs `ID.out` and `ID.err` in `folder`,
    /// made at the first call and reused after it.
    ///
    /// Makes and opens FIFOs on the calling thread (the spawner); all else happens on the log
    /// thread. The folder is made where it does not exist, for the Supervisor's user alone.
    pub fn open(
        &self,
        id: &ComponentId,
        output: &Arc<Output>,
        folder: &Path,
        owner: Option<Owner>,
    ) -> io::Result<Streams> {
        if let Some(streams) = self.reopen_pipes(id, output, folder, owner) {
            return Ok(streams);
        }
        let paths = Stream::BOTH.map(|stream| pipe_path(folder, id, stream));
        let open = |path: &Path| {
            let opened = match os::open_pipe(path, owner) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    os::make_private_folder(folder)
                        .map_err(|error| cannot("make the folder", folder, &error))?;
                    os::open_pipe(path, owner)
                }
                opened => opened,
            };
            opened.map_err(|error| cannot("open the pipe", path, &error))
        };
        let (out, err) = (open(&paths[0])?, open(&paths[1])?);
        for (stream, opened) in Stream::BOTH.into_iter().zip([&out, &err]) {
            self.inner.stores.keep(&kept_name(id, stream), opened.pipe.as_fd());
        }
        let mut entries = self.entries();
        let shared = match entries.get(id) {
            Some(entry) => Arc::clone(&entry.shared),
            None => Shared::new(),
        };
        // Sent under the lock: the thread sees the calls in the order in which the map did.
        let opened = self.inner.mailbox.send(Command::Open {
            id: id.clone(),
            output: Arc::clone(output),
            pipes: [out.pipe, err.pipe],
            shared: Arc::clone(&shared),
        });
        if !opened {
            return Err(io::Error::other("cannot take a component's output: the logs are closed"));
        }
        let identities = [out.identity, err.identity];
        let known = entries.values().map(|entry| &entry.folder).find(|known| &***known == folder);
        let folder = known.map_or_else(|| Arc::from(folder), Arc::clone);
        let output = Arc::clone(output);
        let entry = Entry { shared, folder, identities, owner, output, is_retired: false };
        entries.insert(id.clone(), entry);
        Ok(Streams { stdout: out.write_end, stderr: err.write_end })
    }

    /// The quick way of all runs but the first: the pipes are known and still in their place.
    fn reopen_pipes(
        &self,
        id: &ComponentId,
        output: &Arc<Output>,
        folder: &Path,
        owner: Option<Owner>,
    ) -> Option<Streams> {
        let mut entries = self.entries();
        let entry = entries.get_mut(id)?;
        if entry.owner != owner || &*entry.folder != folder {
            return None;
        }
        let reopen = |stream: Stream| {
            let path = pipe_path(folder, id, stream);
            os::reopen_pipe(&path, entry.identities[stream.index()])
        };
        let streams = Streams { stdout: reopen(Stream::Out)?, stderr: reopen(Stream::Err)? };
        if entry.output != *output {
            entry.output = Arc::clone(output);
            self.send(Command::Configure { id: id.clone(), output: Arc::clone(output) });
        }
        Some(streams)
    }

    /// Changes where and how a component's output is stored; from its next output on.
    pub fn configure(&self, id: &ComponentId, output: &Arc<Output>) {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(id)
            && entry.output != *output
        {
            entry.output = Arc::clone(output);
            self.send(Command::Configure { id: id.clone(), output: Arc::clone(output) });
        }
    }

    /// At the end: nothing of a component lives, and nothing of it is started any more. Its pipes are
    /// read to their end and removed; what it has said can be asked for as before.
    pub fn retire(&self, id: &ComponentId) {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(id)
            && !std::mem::replace(&mut entry.is_retired, true)
        {
            let paths = Stream::BOTH.map(|stream| pipe_path(&entry.folder, id, stream));
            self.send(Command::Retire { id: id.clone(), remove: paths });
        }
    }

    /// Whether [`retire`](Self::retire) has seen to it.
    pub fn is_retired(&self, id: &ComponentId) -> bool {
        self.entries().get(id).is_some_and(|entry| entry.is_retired)
    }

    /// Forgets a component that has left the registry, after reading what is left in its pipes.
    /// With `remove_pipes` its FIFOs are removed: only when nothing of its tree lives.
    pub fn close(&self, id: &ComponentId, remove_pipes: bool) {
        let mut entries = self.entries();
        if let Some(entry) = entries.remove(id) {
            for stream in Stream::BOTH {
                self.inner.stores.forget(&kept_name(id, stream));
            }
            let paths = Stream::BOTH.map(|stream| pipe_path(&entry.folder, id, stream));
            let remove = if remove_pipes { paths.into() } else { vec![] };
            self.send(Command::Close { id: id.clone(), remove });
        }
    }

    /// Remarks the start of a run in the ring.
    pub fn started(&self, id: &ComponentId, run: RunId, pid: u32) {
        self.send(Command::Started { id: id.clone(), run, pid });
    }

    /// The process of a run has ended: what is left in the pipes is read, unfinished lines are
    /// given out, and the ring gets its remark. Nothing waits for it: the log thread is told by
    /// [`wake`](Self::wake), or by what is asked of it next.
    pub fn exited(&self, id: &ComponentId, run: RunId, exit: Exit, expected: bool) {
        let _logs_are_closed = self.inner.mailbox.commands.send(Command::Exited {
            id: id.clone(),
            run,
            exit,
            expected,
        });
        self.inner.is_to_wake.store(true, Ordering::Release);
    }

    /// Has the log thread look at what it was left without being woken: a turn of the engine has
    /// ended, and what was more urgent is on its way.
    pub fn wake(&self) {
        if self.inner.is_to_wake.swap(false, Ordering::AcqRel) {
            self.inner.mailbox.waker.wake();
        }
    }

    /// Reports the first line of this run that matches, as [`Notice::Matched`].
    ///
    /// Lines since the end of the run before count, so that it does not matter whether this is
    /// called before or after the start. At most one watch per component: a new one replaces
    /// the old, and the end of the run ends it.
    pub fn watch_lines(&self, id: &ComponentId, run: RunId, pattern: Regex) {
        self.send(Command::Watch { id: id.clone(), run, pattern, from_now: false });
    }

    /// As [`watch_lines`](Self::watch_lines), but lines that have come already do not count.
    pub fn watch_new_lines(&self, id: &ComponentId, run: RunId, pattern: Regex) {
        self.send(Command::Watch { id: id.clone(), run, pattern, from_now: true });
    }

    /// Ends a watch that is no longer wanted.
    pub fn unwatch(&self, id: &ComponentId) {
        self.send(Command::Unwatch { id: id.clone() });
    }

    /// The last `count` lines, oldest first; none for a component that was never opened.
    pub fn tail(&self, id: &ComponentId, count: usize) -> Vec<Line> {
        let Some(shared) = self.shared(id) else { return Vec::new() };
        let snapshot = shared.ring().snapshot();
        snapshot.tail(count)
    }

    /// At most `max` lines from sequence number `first` on; `None` for a component that was
    /// never opened.
    pub fn since(&self, id: &ComponentId, first: u64, max: usize) -> Option<Batch> {
        let shared = self.shared(id)?;
        let snapshot = shared.ring().snapshot();
        Some(snapshot.since(first, max))
    }

    /// As [`since`](Self::since), for the Supervisor's own trace log.
    pub fn supervisor_since(&self, first: u64, max: usize) -> Batch {
        let snapshot = self.inner.supervisor.ring().snapshot();
        snapshot.since(first, max)
    }

    /// Marks a change whenever any component has new lines; one mark may stand for many lines.
    /// Costs nothing while nobody holds a receiver.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    pub fn counters(&self, id: &ComponentId) -> Option<Counters> {
        self.shared(id).map(|shared| shared.counters())
    }

    /// Those of the Supervisor's own trace log.
    pub fn supervisor_counters(&self) -> Counters {
        self.inner.supervisor.counters()
    }

    /// Has whoever keeps our ends of the pipes keep all of them: it knows of none yet.
    pub fn keep_pipes(&self) {
        self.send(Command::KeepPipes { stores: self.inner.stores.clone() });
    }

    /// Closes all files, so that the next output goes to new ones: for outside rotators.
    pub fn reopen(&self) {
        self.send(Command::Reopen);
    }

    /// Where the trace log goes; without it, it goes nowhere but to standard error.
    pub(super) fn configure_trace(&self, log: &Path, keep_days: u32, queue: Arc<Queue>) {
        self.send(Command::Trace { log: log.to_owned(), keep_days, queue });
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.inner.mailbox.waker)
    }

    /// Waits until the log thread has done everything that was asked for before this call, and
    /// has written every trace line; `false` when `patience` ended before. Blocks.
    pub fn sync(&self, patience: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        self.send(Command::Sync { done });
        wait.recv_timeout(patience).is_ok()
    }

    /// Brings everything that was read to the files, and reads nothing from then on until the
    /// returned guard is dropped; what comes meanwhile waits in the pipes. `None`: not in time.
    /// Blocks.
    pub fn freeze(
        &self,
        patience: Duration,
        pipes: Arc<dyn DescriptorStore>,
    ) -> Option<(Frozen, Thaw)> {
        let (frozen, wait) = sync_channel(1);
        let (hold, thaw) = channel();
        self.send(Command::Freeze { frozen, thaw, pipes });
        Some((wait.recv_timeout(patience).ok()?, Thaw { _hold: hold }))
    }

    /// Has the index of a component's files say everything that is known. Waits for a moment: a
    /// reader that is told less than everything is told what was so a second ago.
    pub(super) fn settle(&self, id: &ComponentId) {
        let (done, wait) = sync_channel(1);
        self.send(Command::Settle { id: id.clone(), done });
        let _in_time = wait.recv_timeout(Duration::from_millis(200));
    }

    /// Components that are not among these, with the base paths of their files.
    pub fn others_than(&self, known: &HashSet<ComponentId>) -> Vec<(ComponentId, PathBuf)> {
        let entries = self.entries();
        let others = entries.iter().filter(|(id, _)| !known.contains(*id));
        others.map(|(id, entry)| (id.clone(), entry.output.log.clone())).collect()
    }

    pub(super) fn shared(&self, id: &ComponentId) -> Option<Arc<Shared>> {
        self.entries().get(id).map(|entry| Arc::clone(&entry.shared))
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ComponentId, Entry>> {
        self.inner.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, command: Command) {
        self.inner.mailbox.send(command);
    }
}

impl LogThread {
    /// Reads what is left in the pipes, writes and closes everything, and ends the thread.
    /// `false` when `patience` ended before; then the thread is left to itself. Blocks.
    ///
    /// What components write from now on stays in their pipes, for the next Supervisor.
    pub fn shutdown(mut self, patience: Duration) -> bool {
        self.end(patience)
    }

    fn end(&mut self, patience: Duration) -> bool {
        let Some(join) = self.join.take() else { return true };
        self.mailbox.send(Command::Shutdown);
        // The thread never sends: its end closes the channel.
        let ended = self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected);
        // Not joined otherwise: a disk that hangs must not hang the Supervisor's end.
        ended && join.join().is_ok()
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.end(Duration::from_secs(2));
    }
}

impl Mailbox {
    /// `false` when the thread has ended.
    fn send(&self, command: Command) -> bool {
        let is_awaited = command.is_awaited();
        let sent = self.commands.send(command).is_ok();
        if is_awaited {
            self.waker.wake_now();
        } else {
            self.waker.wake();
        }
        sent
    }
}

impl Shared {
    pub fn new() -> Arc<Self> {
        // The log thread sets the limit when it takes the component in.
        Arc::new(Self {
            ring: Mutex::new(Ring::new(0)),
            counters: AtomicCounters::default(),
            losing: AtomicBool::new(false),
        })
    }

    /// Held for moments only, by readers and writer alike; see [`Ring`].
    pub fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is something behind `position`. Waits for nobody: a writer at work brings
    /// something.
    pub fn has_more_than(&self, position: u64) -> bool {
        match self.ring.try_lock() {
            Ok(ring) => ring.end() > position,
            Err(TryLockError::Poisoned(ring)) => ring.into_inner().end() > position,
            Err(TryLockError::WouldBlock) => true,
        }
    }

    /// Output is not stored at present.
    pub fn is_losing(&self) -> bool {
        self.losing.load(Ordering::Acquire)
    }

    fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let counters = &self.counters;
        Counters {
            bytes: read(&counters.bytes),
            lines: read(&counters.lines),
            stored_bytes: read(&counters.stored_bytes),
            lost_bytes: read(&counters.lost_bytes),
            lost_lines: read(&counters.lost_lines),
            not_forwarded: read(&counters.not_forwarded),
            dropped_from_ring: self.ring().dropped(),
        }
    }
}

/// The name under which our end of a pipe is kept.
pub fn kept_name(id: &ComponentId, stream: Stream) -> String {
    format!("{}.{id}", stream.name())
}

fn pipe_path(folder: &Path, id: &ComponentId, stream: Stream) -> PathBuf {
    folder.join(format!("{id}.{}", stream.name()))
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {}: {error}", path.display()))
}
