//! One component's log.

use std::{collections::VecDeque, path::Path, sync::Arc};

use super::{
    Progress,
    filter::{Query, Seen, Timed, What},
};
use crate::{
    logs::{
        handle::{Logs, Shared},
        ring::Snapshot,
    },
    model::ComponentId,
};

/// Reads one component's log from the beginning that its query names, over files and memory, as
/// far as it goes; see the module.
pub struct Reader {
    id: ComponentId,
    logs: Logs,
    query: Query,
    /// What is read ends here.
    position: u64,
    begun: bool,
    /// The ring that was read, and the sequence number of its next line.
    ring: Option<(Arc<Shared>, u64)>,
    until_passed: bool,
}

impl Reader {
    /// Of the component whose files have this base path.
    pub fn new(logs: &Logs, id: ComponentId, _log: &Path, query: Query) -> Self {
        let position = query.after.unwrap_or(0);
        let logs = logs.clone();
        Self { id, logs, query, position, begun: false, ring: None, until_passed: false }
    }

    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// Whether a step would find something that was written since the last one. Costs next to
    /// nothing.
    pub fn has_news(&self) -> bool {
        self.logs.shared(&self.id).is_some_and(|shared| shared.ring().end() > self.position)
    }

    /// Reads on, and appends records of about `room` bytes at most.
    pub(super) fn read(&mut self, room: usize, records: &mut VecDeque<Timed>) -> Progress {
        let Some(shared) = self.logs.shared(&self.id) else { return Progress::CaughtUp };
        let snapshot = shared.ring().snapshot();
        if !std::mem::replace(&mut self.begun, true)
            && let Some(tail) = self.query.tail
        {
            self.position = self.position.max(newest(&self.query, &snapshot, tail));
        }
        self.read_ring(&shared, &snapshot, room, records)
    }

    fn read_ring(
        &mut self,
        shared: &Arc<Shared>,
        snapshot: &Snapshot,
        mut room: usize,
        records: &mut VecDeque<Timed>,
    ) -> Progress {
        let mut expected = match self.ring.take() {
            Some((ring, next)) if Arc::ptr_eq(&ring, shared) => Some(next),
            _ => None,
        };
        let mut progress = Progress::CaughtUp;
        for line in snapshot.after(self.position) {
            if room == 0 {
                progress = Progress::More;
                break;
            }
            if let Some(next) = expected
                && line.sequence > next
            {
                let (position, lines) = (snapshot.begin(), line.sequence - next);
                let seen = Seen { position, at: line.at, what: What::Dropped { lines } };
                records.extend(self.query.take(&seen));
            }
            expected = Some(line.sequence + 1);
            self.position = line.position;
            self.until_passed |= self.query.until.is_some_and(|until| line.at > until);
            if let Some(seen) = Seen::of(&line)
                && let Some(record) = self.query.take(&seen)
            {
                room = room.saturating_sub(line.text.len() + 64);
                records.push_back(record);
            }
        }
        self.ring = expected.map(|next| (Arc::clone(shared), next));
        if self.until_passed && progress == Progress::CaughtUp { Progress::Over } else { progress }
    }
}

/// The place before the newest `count` records that are wanted.
fn newest(query: &Query, snapshot: &Snapshot, count: u64) -> u64 {
    let mut places = VecDeque::new();
    for line in snapshot.after(query.after.unwrap_or(0)) {
        if Seen::of(&line).is_some_and(|seen| query.wants(&seen)) {
            places.push_back(line.position - 1);
            if places.len() as u64 > count {
                places.pop_front();
            }
        }
    }
    if count == 0 { snapshot.end() } else { places.front().copied().unwrap_or(snapshot.end()) }
}
