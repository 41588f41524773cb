//! One component's log.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Progress,
    cursor::Bounds,
    filter::{Query, Seen, Timed, What},
    history::{History, Outcome},
};
use crate::{
    logs::{
        handle::{Logs, Shared},
        ring::Snapshot,
    },
    model::ComponentId,
};

/// Who is further behind than so many bytes while it follows is told what it misses; who is less
/// far behind gets it from the files.
const LAG: u64 = 4 << 20;

/// The same while it catches up from the files.
const LAG_IN_FILES: u64 = 16 << 20;

/// Reads one component's log from the beginning that its query names, over files and memory, as
/// far as it goes; see the module.
pub struct Reader {
    id: ComponentId,
    log: PathBuf,
    /// `None`: no Supervisor runs, and files are all there is.
    logs: Option<Logs>,
    query: Query,
    /// What is read ends here.
    position: u64,
    begun: bool,
    /// Files, while they have what is not in memory any more.
    files: Option<Files>,
    /// The ring that was read, and the sequence number of its next line.
    ring: Option<(Arc<Shared>, u64)>,
    /// Everything was read once: what comes now is news.
    live: bool,
    until_passed: bool,
}

struct Files {
    history: History,
    bounds: Bounds,
}

impl Reader {
    /// Of the component whose files have this base path.
    pub fn new(logs: &Logs, id: ComponentId, log: &Path, query: Query) -> Self {
        Self { logs: Some(logs.clone()), ..Self::of_files(id, log, query) }
    }

    /// Where no Supervisor runs.
    pub fn of_files(id: ComponentId, log: &Path, query: Query) -> Self {
        Self {
            id,
            log: log.to_owned(),
            logs: None,
            position: query.after.unwrap_or(0),
            query,
            begun: false,
            files: None,
            ring: None,
            live: false,
            until_passed: false,
        }
    }

    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// Holds no file open until the next step.
    pub(super) fn park(&mut self) {
        if let Some(files) = &mut self.files {
            files.history.park();
        }
    }

    /// Whether a step would find something that was written since the last one. Costs next to
    /// nothing.
    pub fn has_news(&self) -> bool {
        self.shared().is_some_and(|shared| shared.has_more_than(self.position))
    }

    /// Reads on, and appends records of about `room` bytes at most.
    pub(super) fn read(&mut self, room: usize, records: &mut VecDeque<Timed>) -> Progress {
        let shared = self.shared();
        let snapshot = shared.as_ref().map(|shared| shared.ring().snapshot());
        if !std::mem::replace(&mut self.begun, true) {
            self.begin(snapshot.as_ref());
        }
        if self.files.is_some() {
            return self.read_files(snapshot.as_ref(), room, records);
        }
        let (Some(shared), Some(snapshot)) = (shared, snapshot) else {
            self.live = true;
            return Progress::CaughtUp;
        };
        if self.fell_behind(&shared, &snapshot, records) {
            return Progress::More;
        }
        self.read_ring(&shared, &snapshot, room, records)
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        self.logs.as_ref()?.shared(&self.id)
    }

    /// Finds out whether files have to be read, and from where.
    fn begin(&mut self, snapshot: Option<&Snapshot>) {
        let memory = snapshot.map_or(u64::MAX, Snapshot::begin);
        let mut wanted = None;
        if let Some(tail) = self.query.tail {
            let found =
                snapshot.map_or_else(VecDeque::new, |snapshot| newest(&self.query, snapshot, tail));
            if found.len() as u64 >= tail {
                let end = snapshot.map_or(self.position, Snapshot::end);
                self.position = found.front().map_or(end, |first| first - 1).max(self.position);
                return;
            }
            wanted = Some(tail - found.len() as u64);
        }
        let first = snapshot.and_then(|snapshot| snapshot.after(0).next());
        let recent = self.query.since.zip(first).is_some_and(|(since, first)| first.at < since);
        if self.position >= memory || recent {
            self.position = self.position.max(memory);
        } else {
            self.open_files(memory, wanted);
        }
    }

    fn open_files(&mut self, upto: u64, wanted: Option<u64>) {
        if let Some(logs) = &self.logs {
            logs.settle(&self.id);
        }
        let bounds = Bounds { after: self.position, upto };
        let history = History::open(&self.log, &self.query, wanted, bounds);
        self.files = Some(Files { history, bounds });
    }

    fn read_files(
        &mut self,
        snapshot: Option<&Snapshot>,
        room: usize,
        records: &mut VecDeque<Timed>,
    ) -> Progress {
        let Some(mut files) = self.files.take() else { return Progress::More };
        // Memory lets go of lines while files are read.
        files.bounds.upto = snapshot.map_or(u64::MAX, Snapshot::begin);
        let Self { query, position, ring, until_passed, .. } = self;
        let outcome = files.history.step(query, room, &mut files.bounds, &mut |seen| {
            *position = seen.position.max(*position);
            if let Some((_, next)) = ring {
                *next += 1;
            }
            *until_passed |= query.until.is_some_and(|until| seen.at > until);
            let Some(record) = query.take(seen) else { return 0 };
            records.push_back(record);
            seen.size()
        });
        self.position = self.position.max(files.bounds.after);
        if self.until_passed {
            return Progress::Over;
        }
        match outcome {
            Outcome::More => {
                let behind = files.bounds.upto.saturating_sub(self.position);
                if self.live && behind > LAG_IN_FILES && snapshot.is_some() {
                    // What follows is told by `fell_behind`.
                    return Progress::More;
                }
                self.files = Some(files);
                Progress::More
            }
            Outcome::Over => {
                if let Some(snapshot) = snapshot {
                    self.tell_of_loss(snapshot, files.bounds.upto, records);
                    self.position = self.position.max(files.bounds.upto.min(snapshot.begin()));
                    self.ring = None;
                    return Progress::More;
                }
                self.live = true;
                Progress::CaughtUp
            }
        }
    }

    /// The files end before memory begins: the disk is full, and does not hold what is missing.
    /// How many lines that were is told when it holds the next ones; until then about so many.
    fn tell_of_loss(&self, snapshot: &Snapshot, upto: u64, records: &mut VecDeque<Timed>) {
        let missing = upto.saturating_sub(self.position);
        let lost = self.shared().is_some_and(|shared| shared.is_losing());
        let oldest = snapshot.after(0).next();
        if let Some(oldest) = oldest.filter(|_| lost && missing > 1) {
            let lines = (missing / snapshot.line_length()).max(1);
            let what = What::Dropped { lines };
            let seen = Seen { position: upto, at: oldest.at, what };
            records.extend(self.query.take(&seen));
        }
    }

    /// Memory has let go of lines that were not read: they are read from the files, or told.
    fn fell_behind(
        &mut self,
        shared: &Arc<Shared>,
        snapshot: &Snapshot,
        records: &mut VecDeque<Timed>,
    ) -> bool {
        let behind = snapshot.begin().saturating_sub(self.position);
        if behind == 0 {
            return false;
        }
        let known = self.ring.as_ref().filter(|(ring, _)| Arc::ptr_eq(ring, shared));
        let oldest = snapshot.after(0).next();
        if self.live
            && behind > LAG
            && let (Some((_, next)), Some(oldest)) = (known, oldest)
        {
            let what = What::Dropped { lines: oldest.sequence.saturating_sub(*next) };
            let seen = Seen { position: snapshot.begin(), at: oldest.at, what };
            records.extend(self.query.take(&seen));
            self.position = snapshot.begin();
            self.ring = None;
            return false;
        }
        self.open_files(snapshot.begin(), None);
        true
    }

    fn read_ring(
        &mut self,
        shared: &Arc<Shared>,
        snapshot: &Snapshot,
        mut room: usize,
        records: &mut VecDeque<Timed>,
    ) -> Progress {
        let mut next = None;
        let mut progress = Progress::CaughtUp;
        for line in snapshot.after(self.position) {
            if room == 0 {
                progress = Progress::More;
                break;
            }
            next = Some(line.sequence + 1);
            self.position = line.position;
            self.until_passed |= self.query.until.is_some_and(|until| line.at > until);
            if let Some(seen) = Seen::of(&line)
                && let Some(record) = self.query.take(&seen)
            {
                room = room.saturating_sub(line.text.len() + 64);
                records.push_back(record);
            }
        }
        if let Some(next) = next {
            self.ring = Some((Arc::clone(shared), next));
        }
        self.live |= progress == Progress::CaughtUp;
        if self.until_passed && progress == Progress::CaughtUp { Progress::Over } else { progress }
    }
}

/// Where the newest records end that are wanted, `count` at most.
fn newest(query: &Query, snapshot: &Snapshot, count: u64) -> VecDeque<u64> {
    let mut places = VecDeque::new();
    for line in snapshot.after(query.after.unwrap_or(0)) {
        if Seen::of(&line).is_some_and(|seen| query.counts(&seen)) {
            places.push_back(line.position);
            if places.len() as u64 > count {
                places.pop_front();
            }
        }
    }
    places
}
