//! Alerts: whom `<notify>` tells, of what, and when.
//!
//! ```text
//!  events ─► Watch (one per <notify>) ─► Notice ─► Desk (one per receiver) ─► Message ─► courier
//!             which events matter,                  collects, sends one at a
//!             what counts as recovered              time, tries again      ◄─ outcome
//! ```
//!
//! Owns the decisions: what is a notice, how notices become one message, when it is sent and when
//! it is tried again. Pure: time, chance and the names of this host are arguments. Sends nothing
//! (that is the courier's), and never tells of itself, so that an alert about a failed alert
//! cannot be.
//!
//! Each receiver has at most one message under way. What comes meanwhile is collected for the
//! next one, one notice per component and kind, so nothing here grows with a flapping component,
//! a dead receiver or time.

mod collection;
mod desk;
mod message;
mod notice;
mod retry;
mod watch;

use std::{collections::HashSet, sync::Arc};

use crate::{
    model::Moment,
    registry::{Notify, NotifyTarget},
    wire::EventRecord,
};

use desk::Desk;
use watch::Watch;

pub use desk::Change;
pub use message::{Message, Sender};
pub use notice::{Notice, NoticeKind, Standing};
pub use retry::Failure;

/// Everything of the `<notify>` elements of a registry.
#[derive(Debug, Default)]
pub struct Alerts {
    rules: Vec<Rule>,
    next_desk: u64,
}

/// One `<notify>`.
#[derive(Debug)]
struct Rule {
    watch: Watch,
    desks: Vec<(DeskId, Desk)>,
}

/// Names a receiver, so that the outcome of a delivery finds its desk again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeskId(u64);

/// A message that is to be delivered now.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub desk: DeskId,
    pub target: NotifyTarget,
    pub message: Arc<Message>,
}

impl Alerts {
    /// Whether nobody is to be told of anything.
    pub fn is_silent(&self) -> bool {
        self.rules.is_empty()
    }

    /// Takes over what the registry says now. A receiver that stays keeps what was collected for
    /// it; what was known of components stays, too. Says how many notices went with receivers
    /// that left.
    pub fn take_over(&mut self, notify: &[Notify], components: &HashSet<&str>) -> u64 {
        let mut watches = Vec::new();
        let mut left = Vec::new();
        for rule in std::mem::take(&mut self.rules) {
            watches.push(rule.watch);
            left.extend(rule.desks);
        }
        let mut watches = watches.into_iter();
        for rule in notify.iter().filter(|rule| !rule.targets.is_empty()) {
            let mut watch = watches.next().unwrap_or_default();
            watch.configure(rule);
            watch.retain(|id| components.contains(id));
            let mut desks = Vec::with_capacity(rule.targets.len());
            for target in &rule.targets {
                let stays = left.iter().position(|(_, desk)| desk.target() == target);
                let desk = if let Some((id, mut desk)) = stays.map(|at| left.swap_remove(at)) {
                    desk.set_interval(rule.interval);
                    (id, desk)
                } else {
                    self.next_desk += 1;
                    (DeskId(self.next_desk), Desk::new(target.clone(), rule.interval))
                };
                desks.push(desk);
            }
            self.rules.push(Rule { watch, desks });
        }
        left.iter().map(|(_, desk)| desk.untold()).sum()
    }

    /// Something happened; `standing`: how its component stands now.
    pub fn offer(&mut self, now: Moment, event: &EventRecord, standing: Option<Standing>) {
        for rule in &mut self.rules {
            let (notice, further) = rule.watch.event(now, event, standing);
            for notice in notice.into_iter().chain(further) {
                rule.tell(now, &notice);
            }
        }
    }

    /// When to call [`due`](Self::due) next; never where nothing is to be told.
    pub fn next_deadline(&self) -> Option<Moment> {
        let rules = self.rules.iter();
        rules.filter_map(Rule::next_deadline).min()
    }

    /// What is to be delivered now. Each has to be answered by [`ended`](Self::ended).
    pub fn due(&mut self, now: Moment, sender: &Sender, at: &str) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for rule in &mut self.rules {
            for notice in rule.watch.due(now) {
                rule.tell(now, &notice);
            }
            for (id, desk) in &mut rule.desks {
                if let Some(message) = desk.due(now, sender, at) {
                    deliveries.push(Delivery { desk: *id, target: desk.target().clone(), message });
                }
            }
        }
        deliveries
    }

    /// How a delivery ended; `chance` in 0..1 spreads the next try. What is worth an event comes
    /// back with the receiver that it is about.
    pub fn ended(
        &mut self,
        now: Moment,
        desk: DeskId,
        outcome: Result<(), Failure>,
        chance: f64,
    ) -> Option<(NotifyTarget, Change)> {
        let mut desks = self.rules.iter_mut().flat_map(|rule| &mut rule.desks);
        let (_, desk) = desks.find(|(id, _)| *id == desk)?;
        desk.ended(now, outcome, chance).map(|change| (desk.target().clone(), change))
    }

    /// The end: everything that is not told yet and not under way, at once.
    pub fn last(&mut self, sender: &Sender, at: &str) -> Vec<Delivery> {
        let desks = self.rules.iter_mut().flat_map(|rule| &mut rule.desks);
        desks
            .filter_map(|(id, desk)| {
                let message = desk.last(sender, at)?;
                Some(Delivery { desk: *id, target: desk.target().clone(), message })
            })
            .collect()
    }

    /// Notices that nobody has confirmed yet.
    pub fn untold(&self) -> u64 {
        let desks = self.rules.iter().flat_map(|rule| &rule.desks);
        desks.map(|(_, desk)| desk.untold()).sum()
    }
}

impl Rule {
    fn tell(&mut self, now: Moment, notice: &Notice) {
        for (_, desk) in &mut self.desks {
            desk.add(now, notice);
        }
    }

    fn next_deadline(&self) -> Option<Moment> {
        let desks = self.desks.iter().filter_map(|(_, desk)| desk.next_deadline());
        desks.chain(self.watch.next_deadline()).min()
    }
}

#[cfg(test)]
mod tests;
