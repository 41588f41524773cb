//! One receiver: collects notices for it, has one message at a time delivered, tries again.
//!
//! ```text
//!            first notice                    taken
//!   quiet ──────────────► collecting ─► sending ────► quiet, or collecting what came meanwhile
//!                          GRACE, or        │  ▲
//!                          `interval` since │  │ after a while
//!                          the last message ▼  │
//!                                         waiting ──► given up: counted, and told in the next
//! ```

use std::{mem, sync::Arc, time::Duration};

use super::{Failure, Message, Notice, Sender, collection::Collection, retry};
use crate::{model::Moment, registry::NotifyTarget};

/// What belongs together happens together: the first message waits this long for the rest.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Desk {
    target: NotifyTarget,
    /// At least this long from one message to the next.
    interval: Duration,
    pending: Collection,
    /// When the first of what is pending came.
    pending_since: Moment,
    /// When the last message was made.
    last: Option<Moment>,
    phase: Phase,
    /// Notices that were given up and that no message has told of yet.
    lost: u64,
    /// The last message was given up, and that was told.
    failing: bool,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Sending { message: Arc<Message>, tries: usize },
    Waiting { message: Arc<Message>, tries: usize, until: Moment },
}

/// What is worth an event: it is told when it begins and when it ends, not with each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    GivenUp { why: String, tries: usize, notices: u64 },
    Again { lost: u64 },
}

impl Desk {
    pub fn new(target: NotifyTarget, interval: Duration) -> Self {
        Self {
            target,
            interval,
            pending: Collection::default(),
            pending_since: Moment::default(),
            last: None,
            phase: Phase::Idle,
            lost: 0,
            failing: false,
        }
    }

    pub fn target(&self) -> &NotifyTarget {
        &self.target
    }

    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    pub fn add(&mut self, now: Moment, notice: &Notice) {
        if self.pending.is_empty() {
            self.pending_since = now;
        }
        self.pending.add(notice);
    }

    /// Notices that nobody has confirmed.
    pub fn untold(&self) -> u64 {
        let under_way = match &self.phase {
            Phase::Idle => 0,
            Phase::Sending { message, .. } | Phase::Waiting { message, .. } => message.happenings(),
        };
        under_way + self.pending.len()
    }

    pub fn next_deadline(&self) -> Option<Moment> {
        match &self.phase {
            Phase::Idle if self.pending.is_empty() => None,
            Phase::Idle => Some(self.due_at()),
            Phase::Sending { .. } => None,
            Phase::Waiting { until, .. } => Some(*until),
        }
    }

    fn due_at(&self) -> Moment {
        let grace = self.pending_since.after(GRACE);
        self.last.map_or(grace, |last| last.after(self.interval).max(grace))
    }

    /// What is to be delivered now.
    pub fn due(&mut self, now: Moment, sender: &Sender, at: &str) -> Option<Arc<Message>> {
        if self.next_deadline().is_none_or(|due| due > now) {
            return None;
        }
        let (message, tries) = match mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Waiting { message, tries, .. } => (message, tries + 1),
            Phase::Idle | Phase::Sending { .. } => {
                self.last = Some(now);
                (Arc::new(self.compose(sender, at)), 1)
            }
        };
        self.phase = Phase::Sending { message: Arc::clone(&message), tries };
        Some(message)
    }

    fn compose(&mut self, sender: &Sender, at: &str) -> Message {
        let (notices, more) = self.pending.take();
        Message::new(sender, at, notices, more, self.lost)
    }

    pub fn ended(
        &mut self,
        now: Moment,
        outcome: Result<(), Failure>,
        chance: f64,
    ) -> Option<Change> {
        let Phase::Sending { message, tries } = mem::replace(&mut self.phase, Phase::Idle) else {
            return None;
        };
        let failure = match outcome {
            Ok(()) => {
                let lost = mem::take(&mut self.lost);
                let again = mem::take(&mut self.failing);
                return again.then_some(Change::Again { lost });
            }
            Err(failure) => failure,
        };
        if let Some(wait) = retry::wait(tries, &failure, chance) {
            self.phase = Phase::Waiting { message, tries, until: now.after(wait) };
            return None;
        }
        let notices = message.happenings();
        self.lost += notices;
        let first = !mem::replace(&mut self.failing, true);
        let why = failure.why().to_owned();
        first.then_some(Change::GivenUp { why, tries, notices })
    }

    /// At the end of everything: one more message, of what waits for another try and of what came
    /// since, unless one is under way.
    pub fn last(&mut self, sender: &Sender, at: &str) -> Option<Arc<Message>> {
        let waiting = match mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => None,
            Phase::Waiting { message, .. } => Some(message),
            under_way @ Phase::Sending { .. } => {
                self.phase = under_way;
                return None;
            }
        };
        if let Some(message) = &waiting {
            let mut all = Collection::default();
            let (pending, more) = self.pending.take();
            message.notices.iter().chain(&pending).for_each(|notice| all.add(notice));
            let (notices, beyond) = all.take();
            let more = message.more + more + beyond;
            let message = Arc::new(Message::new(sender, at, notices, more, self.lost));
            self.phase = Phase::Sending { message: Arc::clone(&message), tries: 1 };
            return Some(message);
        }
        if self.pending.is_empty() {
            return None;
        }
        let message = Arc::new(self.compose(sender, at));
        self.phase = Phase::Sending { message: Arc::clone(&message), tries: 1 };
        Some(message)
    }
}
