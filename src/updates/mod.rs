//! The stream that keeps every console true: one ring of messages, any number of readers.
//!
//! ```text
//!   engine ──publish──► ring (bounded in messages and bytes) ◄──pull── reader, reader, …
//!                         │ oldest go                             each with a place of its own
//! ```
//!
//! A message is numbered and written as JSON once, whoever reads. A reader takes what came since
//! its place; one that was too slow finds its place gone and is told to begin again with a
//! snapshot, and how many messages it missed. Publishing never waits for a reader, and costs next
//! to nothing while there is none.
//!
//! This room knows neither the engine nor HTTP: snapshots are made by the one and sent by the
//! other.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::wire::{Update, UpdateMessage};

/// Messages that are kept for readers: some seconds of a busy fleet.
const MOST_MESSAGES: usize = 4096;

/// Bytes of their JSON. A sample of 5,000 components has half a megabyte.
const MOST_BYTES: usize = 2 << 20;

/// The ring. Cheap to clone, safe to share.
#[derive(Debug, Clone)]
pub struct Updates {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    /// Marked whenever there is something new for readers.
    news: watch::Sender<()>,
}

#[derive(Debug)]
struct Ring {
    /// The number before the first one of this process.
    base: u64,
    /// The newest number that was given.
    last: u64,
    kept: VecDeque<Message>,
    bytes: usize,
    /// Everything up to here is to be forgotten in favour of a snapshot.
    renewed: u64,
    readers: usize,
    /// Nobody can come back for what is published now.
    asleep: bool,
    service: Service,
}

/// Whether more is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Service {
    Open,
    /// The engine ends.
    Closed,
    /// Another program takes over.
    HandedOver,
    /// The same, and nobody is answered any more.
    Silent,
}

/// One message, as every reader gets it.
#[derive(Debug, Clone)]
pub struct Message {
    pub seq: u64,
    /// The name of the server-sent event.
    pub name: &'static str,
    /// The JSON of an [`UpdateMessage`].
    pub json: Arc<str>,
}

/// What a reader has to send next.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// In their order, without holes.
    Messages(Vec<Message>),
    /// A snapshot, after a gap of so many messages (none: nothing was missed). The reader goes on
    /// behind it with [`Reader::resume`].
    Snapshot { missed: u64 },
}

/// One reader's place. Its end is noticed by its drop.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    news: watch::Receiver<()>,
    /// The last number that it has; none: it needs a snapshot first.
    place: Option<u64>,
}

impl Updates {
    /// A ring whose numbers start above `base`. A process takes a higher base than the ones before
    /// it, so that a reader's place in an earlier one is not taken for a place here.
    pub fn new(base: u64) -> Self {
        let ring = Ring {
            base,
            last: base,
            kept: VecDeque::new(),
            bytes: 0,
            renewed: base,
            readers: 0,
            asleep: true,
            service: Service::Open,
        };
        let shared = Shared { ring: Mutex::new(ring), news: watch::Sender::new(()) };
        Self { shared: Arc::new(shared) }
    }

    /// Numbers a message and keeps it for the readers. While the ring is asleep it is only
    /// counted, so that who comes back later learns that it missed something.
    pub fn publish(&self, update: Update) {
        let mut ring = self.shared.ring();
        ring.last += 1;
        if ring.asleep {
            return;
        }
        let name = update.name();
        let message = UpdateMessage { seq: ring.last, update };
        let Ok(json) = serde_json::to_string(&message) else { return };
        ring.bytes += json.len();
        ring.kept.push_back(Message { seq: message.seq, name, json: json.into() });
        ring.evict();
        drop(ring);
        self.shared.news.send_replace(());
    }

    /// Counts so many messages that nobody could have read.
    pub fn skip(&self, count: u64) {
        self.shared.ring().last += count;
    }

    /// Everything may be different: every reader begins again with a snapshot.
    pub fn renew(&self) {
        let mut ring = self.shared.ring();
        ring.last += 1;
        ring.renewed = ring.last;
        ring.kept.clear();
        ring.bytes = 0;
        drop(ring);
        self.shared.news.send_replace(());
    }

    /// Keeps messages from now on: somebody reads, or is about to.
    pub fn wake(&self) {
        self.shared.ring().asleep = false;
    }

    /// Forgets all messages and keeps none: nobody reads, nor has for a while. Does nothing where
    /// somebody does.
    pub fn sleep(&self) {
        let mut ring = self.shared.ring();
        if ring.readers == 0 {
            ring.asleep = true;
            ring.kept = VecDeque::new();
            ring.bytes = 0;
        }
    }

    pub fn is_asleep(&self) -> bool {
        self.shared.ring().asleep
    }

    /// The newest number: what a snapshot of this moment stands at.
    pub fn last(&self) -> u64 {
        self.shared.ring().last
    }

    pub fn readers(&self) -> usize {
        self.shared.ring().readers
    }

    /// A reader that has everything up to `after`, or nothing yet.
    pub fn read(&self, after: Option<u64>) -> Reader {
        let news = self.shared.news.subscribe();
        let mut ring = self.shared.ring();
        ring.readers += 1;
        // A number of an earlier process, or from the future, is no place of this ring.
        let place = after.filter(|after| (ring.base..=ring.last).contains(after));
        drop(ring);
        Reader { shared: Arc::clone(&self.shared), news, place }
    }

    /// No more will come: every reader is told, once it has what there is.
    pub fn close(&self) {
        self.end(Service::Closed);
    }

    fn end(&self, service: Service) {
        self.shared.ring().service = service;
        self.shared.news.send_replace(());
    }

    /// The same, because another program takes over: readers come back to that one.
    pub fn hand_over(&self) {
        self.end(Service::HandedOver);
    }

    /// Nobody is answered any more.
    pub fn fall_silent(&self) {
        self.end(Service::Silent);
    }

    /// Returns when nobody is answered any more, because another program takes over.
    pub async fn silent(&self) {
        let mut news = self.shared.news.subscribe();
        while self.shared.ring().service != Service::Silent {
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    /// It did not take over: more will come.
    pub fn reopen(&self) {
        self.end(Service::Open);
    }

    pub fn is_handed_over(&self) -> bool {
        self.shared.ring().service >= Service::HandedOver
    }

    /// Returns when no more will come.
    pub async fn closed(&self) {
        let mut news = self.shared.news.subscribe();
        while self.shared.ring().service == Service::Open {
            if news.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Reader {
    /// Messages at once: what a slow reader holds in its hands stays bounded.
    const BATCH: usize = 256;

    /// What came since; waits for it. `None`: the engine ends. Cancel-safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            self.news.mark_unchanged();
            {
                let ring = self.shared.ring();
                if let Some(delivery) = ring.after(self.place) {
                    if let Delivery::Messages(messages) = &delivery {
                        self.place = messages.last().map(|message| message.seq).or(self.place);
                    } else {
                        self.place = None;
                    }
                    return Some(delivery);
                }
                if ring.service != Service::Open {
                    return None;
                }
            }
            if self.news.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Whether it has to begin with a snapshot.
    pub fn is_new(&self) -> bool {
        self.place.is_none()
    }

    /// It has a snapshot that stands at `seq`.
    pub fn resume(&mut self, seq: u64) {
        self.place = Some(seq);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.ring().readers -= 1;
    }
}

impl Shared {
    /// Held for moments: messages are shared, not copied.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn evict(&mut self) {
        while (self.kept.len() > MOST_MESSAGES || self.bytes > MOST_BYTES) && self.kept.len() > 1 {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.bytes -= oldest.json.len();
        }
    }

    /// What a reader at `place` gets; none: it has everything.
    fn after(&self, place: Option<u64>) -> Option<Delivery> {
        let Some(place) = place else { return Some(Delivery::Snapshot { missed: 0 }) };
        if place < self.renewed {
            return Some(Delivery::Snapshot { missed: 0 });
        }
        if place >= self.last {
            return None;
        }
        let oldest = self.kept.front().map_or(self.last + 1, |message| message.seq);
        if oldest > place + 1 {
            return Some(Delivery::Snapshot { missed: oldest - place - 1 });
        }
        // Numbers have no holes, so the place in the queue is known.
        let from = usize::try_from(place + 1 - oldest).unwrap_or(usize::MAX);
        let messages = self.kept.iter().skip(from).take(Reader::BATCH).cloned().collect();
        Some(Delivery::Messages(messages))
    }
}
