//! The components that are taken in, by the keys of their pipes.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use super::super::{intake::Intake, line::Stream};
use crate::model::ComponentId;

/// Slots that epoll's keys name.
#[derive(Default)]
pub(super) struct Intakes {
    pub slots: Vec<Option<Box<Intake>>>,
    pub by_id: HashMap<ComponentId, usize>,
    /// Slots that may have an unfinished line to be given out: never too few.
    pub unfinished: BTreeSet<usize>,
    /// Bytes of memory for each ring.
    pub share: usize,
}

impl Intakes {
    pub fn get(&mut self, id: &ComponentId) -> Option<&mut Intake> {
        let slot = *self.by_id.get(id)?;
        self.slots[slot].as_deref_mut()
    }

    pub fn deadline(&self, slot: usize) -> Option<Instant> {
        self.slots.get(slot)?.as_ref()?.deadline()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Intake> {
        self.slots.iter().flatten().map(|intake| &**intake)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Intake> {
        self.slots.iter_mut().flatten().map(|intake| &mut **intake)
    }

    pub fn free_slot(&mut self) -> usize {
        self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        })
    }
}

pub(super) fn key_of(slot: usize, stream: Stream) -> u64 {
    (slot as u64) << 1 | stream.index() as u64
}

pub(super) fn of_key(key: u64) -> (usize, Stream) {
    let stream = if key & 1 == 0 { Stream::Out } else { Stream::Err };
    (usize::try_from(key >> 1).unwrap_or(usize::MAX), stream)
}
