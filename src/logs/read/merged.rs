//! Several components' logs as one, in the order of time.

use std::collections::VecDeque;

use super::{Progress, Reader, filter::Timed};
use crate::{
    model::ComponentId,
    wire::{LogEntry, LogRecord},
};

/// Bytes of records that are held for all components together, and for each at least.
const HELD: usize = 4 << 20;
const HELD_MIN: usize = 4 << 10;

/// With more components than this none holds its files open between two steps.
const MOST_OPEN: usize = 16;

/// Merges what is there already by time. What comes later is merged as it comes: a line that was
/// read a moment too late is not held back for.
pub struct Merged {
    lanes: Vec<Lane>,
}

struct Lane {
    reader: Reader,
    records: VecDeque<Timed>,
    progress: Progress,
}

impl Merged {
    pub fn new(readers: impl IntoIterator<Item = Reader>) -> Self {
        let mut merged = Self { lanes: Vec::new() };
        for reader in readers {
            merged.add(reader);
        }
        merged
    }

    pub fn add(&mut self, reader: Reader) {
        self.lanes.push(Lane { reader, records: VecDeque::new(), progress: Progress::More });
    }

    pub fn ids(&self) -> impl Iterator<Item = &ComponentId> {
        self.lanes.iter().map(|lane| lane.reader.id())
    }

    /// Whether a step would find something that was written since the last one.
    pub fn has_news(&self) -> bool {
        self.lanes.iter().any(|lane| lane.reader.has_news())
    }

    /// Does a bounded piece of work; gives out records of about `room` bytes at most, each with
    /// the component that it is of.
    pub fn read(
        &mut self,
        room: usize,
        mut give: impl FnMut(&ComponentId, &LogRecord),
    ) -> Progress {
        let share = (HELD / self.lanes.len().max(1)).clamp(HELD_MIN, HELD).min(room.max(HELD_MIN));
        let mut waits = false;
        let parks = self.lanes.len() > MOST_OPEN;
        for lane in &mut self.lanes {
            if lane.records.is_empty() && lane.progress != Progress::Over {
                lane.progress = lane.reader.read(share, &mut lane.records);
                if parks {
                    lane.reader.park();
                }
                // It has not found anything yet: nobody knows what time comes next.
                waits |= lane.records.is_empty() && lane.progress == Progress::More;
            }
        }
        let mut given = 0;
        while !waits && given < room {
            let holders = self.lanes.iter_mut().filter(|lane| !lane.records.is_empty());
            let Some(lane) = holders.min_by(|a, b| a.records[0].0.cmp(&b.records[0].0)) else {
                break;
            };
            if let Some((_, record)) = lane.records.pop_front() {
                given += size(&record);
                give(lane.reader.id(), &record);
            }
            waits = lane.records.is_empty() && lane.progress == Progress::More;
        }
        let all = |wanted| self.lanes.iter().all(|lane| lane.progress == wanted);
        if waits || self.lanes.iter().any(|lane| !lane.records.is_empty()) {
            Progress::More
        } else if !self.lanes.is_empty() && all(Progress::Over) {
            Progress::Over
        } else if self.lanes.iter().any(|lane| lane.progress == Progress::More) {
            Progress::More
        } else {
            Progress::CaughtUp
        }
    }
}

fn size(record: &LogRecord) -> usize {
    match &record.entry {
        LogEntry::Line { text, .. } => text.len() + 128,
        _ => 128,
    }
}
