//! The log of events: what happened, to whom, and who asked for it; durable and bounded.
//!
//! JSON lines beside the trace log: `logs/Supervisor-events.jsonl`, and the filled files before it
//! as `.1.jsonl` (newer) to `.7.jsonl` (older), 2 MiB each. The newest events are in memory, too.
//!
//! Events are taken in at once and written by whoever has time ([`EventLog::write`], on a thread
//! that may wait for a disk), so that nobody who makes events ever waits. When the disk takes
//! none for long, the oldest unwritten ones go, are counted, and an event tells of it.
//!
//! What is in memory alone is noted in the runtime folder ([`EventLog::note_in`]), so that not even a
//! kill takes an event away, or tells one twice.
//!
//! This room knows files and lines. What an event says is decided by those who make it.

mod files;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod pending;
mod read;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::wire::EventRecord;

use files::Files;
use pending::Pending;
pub use read::{Query, read, read_at};

/// The newest events that are kept in memory.
pub const RECENT: usize = 200;

/// Unwritten events that are kept at most while the disk takes none.
const MOST_UNWRITTEN: usize = 10_000;

/// The log. Cheap to clone, safe to share.
#[derive(Debug, Clone)]
pub struct EventLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    memory: Mutex<Memory>,
    /// Held while writing; never by those who make events.
    files: Mutex<Files>,
    /// The newest number, for those who wait for more.
    news: watch::Sender<u64>,
}

#[derive(Debug)]
struct Memory {
    /// The newest number that was given.
    last: u64,
    /// The newest number that is in a file, or lost.
    written: u64,
    /// The newest ones, and all that are not written yet.
    recent: VecDeque<Arc<EventRecord>>,
    /// Unwritten ones that had to go.
    lost: u64,
    /// What is not in a file of the log yet.
    pending: Option<Pending>,
}

/// How a round of writing ended.
#[derive(Debug)]
pub enum Written {
    All,
    /// The disk took no more; to be tried again later. `first` is true once until it works again.
    Failed {
        error: io::Error,
        first: bool,
    },
}

impl EventLog {
    /// Goes on with the log of this base path (`logs/Supervisor.log`). Reads the end of what is
    /// there: numbers go on, and the newest events are known again. A log that cannot be read or
    /// written is no reason not to start: what is wrong comes back beside it.
    pub fn open(base: &Path) -> (Self, Option<io::Error>) {
        let (files, recent, error) = match Files::open(base) {
            Ok((files, recent)) => (files, recent, None),
            Err(error) => (Files::closed(base), Vec::new(), Some(error)),
        };
        // The highest, not the last: behind a higher one readers would see no new ones.
        let last = recent.iter().map(|event| event.seq).max().unwrap_or(0);
        let recent = recent.into_iter().map(Arc::new).collect();
        let memory = Memory { last, written: last, recent, lost: 0, pending: None };
        let shared = Shared {
            memory: Mutex::new(memory),
            files: Mutex::new(files),
            news: watch::Sender::new(last),
        };
        (Self { shared: Arc::new(shared) }, error)
    }

    /// Notes in this file what is not written yet, and takes up what an engine that was killed had
    /// noted there. For the runtime folder.
    pub fn note_in(&self, path: &Path) -> io::Result<()> {
        let mut memory = self.memory();
        let (pending, left) = Pending::open(path, memory.last)?;
        for event in left {
            memory.last = memory.last.max(event.seq);
            memory.recent.push_back(Arc::new(event));
        }
        memory.pending = Some(pending);
        self.shared.news.send_replace(memory.last);
        Ok(())
    }

    /// Whether one of the newest events is so.
    pub fn knows(&self, wanted: impl Fn(&EventRecord) -> bool) -> bool {
        self.memory().recent.iter().any(|event| wanted(event))
    }

    /// Takes an event in, gives it its number, and hands it back. Never waits for a disk.
    pub fn append(&self, event: EventRecord) -> Arc<EventRecord> {
        let event = self.gather(event);
        self.note();
        event
    }

    /// As [`append`](Self::append); a kill takes it until [`note`](Self::note) is called.
    pub fn gather(&self, mut event: EventRecord) -> Arc<EventRecord> {
        let mut memory = self.memory();
        memory.last += 1;
        event.seq = memory.last;
        let event = Arc::new(event);
        if let Some(pending) = &mut memory.pending {
            pending.gather(&event);
        }
        memory.recent.push_back(Arc::clone(&event));
        memory.trim();
        drop(memory);
        self.shared.news.send_replace(event.seq);
        event
    }

    /// Has what was gathered outlive a kill.
    pub fn note(&self) {
        if let Some(pending) = &mut self.memory().pending {
            pending.note();
        }
    }

    /// Changes whenever there is a new event; one change may stand for many.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.news.subscribe()
    }

    /// The newest number that was given.
    pub fn last(&self) -> u64 {
        self.memory().last
    }

    /// The newest events, oldest first, at most [`RECENT`].
    pub fn recent(&self) -> Vec<EventRecord> {
        let memory = self.memory();
        let skip = memory.recent.len().saturating_sub(RECENT);
        memory.recent.iter().skip(skip).map(|event| (**event).clone()).collect()
    }

    /// Those after number `after` that are in memory, oldest first.
    pub fn since(&self, after: u64) -> Vec<Arc<EventRecord>> {
        let memory = self.memory();
        memory.recent.iter().filter(|event| event.seq > after).cloned().collect()
    }

    /// Whether something waits to be written.
    pub fn is_behind(&self) -> bool {
        let memory = self.memory();
        memory.written < memory.last
    }

    /// Writes everything that has come, until there is no more or the disk refuses. Blocks.
    pub fn write(&self) -> Written {
        let mut files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let batch = self.memory().unwritten();
            let Some(newest) = batch.last().map(|event| event.seq) else { return Written::All };
            if let Err(error) = files.append(&batch) {
                return Written::Failed { error, first: files.first_failure() };
            }
            let mut memory = self.memory();
            memory.written = memory.written.max(newest);
            if memory.written == memory.last
                && let Some(pending) = &mut memory.pending
            {
                pending.clear();
            }
            memory.trim();
        }
    }

    /// How many events were lost since this was asked last: for an event that says so.
    pub fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.memory().lost)
    }

    /// The files, oldest first, for a reader; what is in memory alone is written first. Blocks.
    pub(self) fn paths(&self) -> Vec<std::path::PathBuf> {
        let _what_cannot_be_written_is_in_memory = self.write();
        self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).paths()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn unwritten(&self) -> Vec<Arc<EventRecord>> {
        const BATCH: usize = 512;
        let news = self.recent.iter().filter(|event| event.seq > self.written);
        news.take(BATCH).cloned().collect()
    }

    /// Lets go of what is old and written; of unwritten ones only where they are too many.
    fn trim(&mut self) {
        while self.recent.len() > RECENT
            && let Some(oldest) = self.recent.front()
        {
            if oldest.seq > self.written {
                if self.recent.len() <= MOST_UNWRITTEN {
                    return;
                }
                self.written = oldest.seq;
                self.lost += 1;
            }
            self.recent.pop_front();
        }
    }
}
