//! A question before something is done to components, bound to the runs that were on the screen
//! when it was asked.

use super::{Facts, RowKey};
use crate::{model::Moment, wire::Verb};

#[derive(Debug, Clone)]
pub struct Confirm {
    pub verb: Verb,
    pub targets: Vec<Target>,
    pub shape: Shape,
    pub opened: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub key: RowKey,
    /// The run that was meant.
    pub run: Option<u64>,
    pub pid: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One line in the footer.
    Footer,
    /// A list with two buttons; cancel is the default.
    List { yes: bool },
    /// A list, and the count has to be typed.
    Count { typed: String },
}

impl Confirm {
    /// Keys within this time after a question appeared are not meant for it.
    pub const DEAF: std::time::Duration = std::time::Duration::from_millis(150);

    pub fn new(verb: Verb, keys: &[RowKey], all: bool, facts: &Facts, now: Moment) -> Self {
        let targets: Vec<Target> = keys
            .iter()
            .filter_map(|key| {
                let status = &facts.rows.get(key)?.status;
                Some(Target { key: key.clone(), run: status.run, pid: status.pid })
            })
            .collect();
        let shape = if all || targets.len() >= 10 {
            Shape::Count { typed: String::new() }
        } else if targets.len() > 1 || verb == Verb::Kill {
            Shape::List { yes: false }
        } else {
            Shape::Footer
        };
        Self { verb, targets, shape, opened: now }
    }

    /// Whether start or the like may be done without a question.
    pub fn is_needed(verb: Verb, all: bool) -> bool {
        all || verb != Verb::Start
    }

    /// Too early: the key was pressed for something else.
    pub fn is_deaf(&self, now: Moment) -> bool {
        now.since(self.opened) < Self::DEAF
    }

    /// The first target that is no longer what was on the screen: its run has ended, or another
    /// one has begun, or it is gone.
    pub fn overtaken(&self, facts: &Facts) -> Option<&Target> {
        self.targets.iter().find(|target| {
            let Some(row) = facts.rows.get(&target.key) else { return true };
            row.status.run != target.run || row.status.pid != target.pid
        })
    }
}
