//! When the next engine is started, and when that is given up.

use std::time::Duration;

use crate::model::Moment;

/// Who lived so long did not die of its start.
const STABLE: Duration = Duration::from_secs(1);
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// Engines that may die before one ever served.
const TRIES: u32 = 3;

/// The deaths in a row.
#[derive(Debug, Default)]
pub struct Budget {
    deaths: u32,
    /// An engine has served once: from then on the guardian never gives up.
    has_served: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    StartAt(Moment),
    /// So many died before they served.
    GiveUp(u32),
}

impl Budget {
    pub fn served(&mut self) {
        self.has_served = true;
    }

    /// Whether an engine follows on one that says that it cannot start. What kept the first one
    /// from its start is for whoever started it; a later one has components to take over, and
    /// what it needs (room, memory, descriptors, the registry) may come back. Who is only to stop them
    /// is not tried for ever.
    pub fn outlasts_failure(&self, is_to_end: bool) -> bool {
        self.has_served && (!is_to_end || self.deaths + 1 < TRIES)
    }

    /// An engine that had lived so long has died.
    pub fn died(&mut self, now: Moment, lived: Duration) -> Verdict {
        if self.has_served && lived >= STABLE {
            self.deaths = 0;
        }
        self.deaths += 1;
        if !self.has_served && self.deaths >= TRIES {
            return Verdict::GiveUp(self.deaths);
        }
        let doublings = self.deaths.checked_sub(2);
        let delay = doublings.map_or(Duration::ZERO, |count| {
            FIRST_DELAY.saturating_mul(1 << count.min(16)).min(LONGEST_DELAY)
        });
        Verdict::StartAt(now.after(delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_boot(Duration::from_secs(100));

    fn delays(budget: &mut Budget, lives: &[u64]) -> Vec<u128> {
        let delay = |lived: &u64| match budget.died(NOW, Duration::from_millis(*lived)) {
            Verdict::StartAt(at) => at.since(NOW).as_millis(),
            Verdict::GiveUp(_) => u128::MAX,
        };
        lives.iter().map(delay).collect()
    }

    #[test]
    fn the_first_death_and_that_after_a_good_life_cost_no_delay() {
        let mut budget = Budget::default();
        budget.served();
        assert_eq!(delays(&mut budget, &[10, 10, 10, 10]), [0, 50, 100, 200]);
        assert_eq!(delays(&mut budget, &[1_000, 10]), [0, 50]);
        assert_eq!(delays(&mut budget, &[10; 10])[8..], [5_000, 5_000]);
    }

    #[test]
    fn what_keeps_a_successor_from_its_start_may_pass() {
        let mut budget = Budget::default();
        assert!(!budget.outlasts_failure(false), "the first one's failure is for the operator");
        budget.served();
        assert_eq!(delays(&mut budget, &[10; 9])[8..], [5_000]);
        assert!(budget.outlasts_failure(false), "components run, and wait for one");
        let mut budget = Budget { deaths: 0, has_served: true };
        assert!(budget.outlasts_failure(true));
        assert_eq!(delays(&mut budget, &[10, 10]), [0, 50]);
        assert!(!budget.outlasts_failure(true), "whoever asked for the end waits for an answer");
    }

    #[test]
    fn an_engine_that_never_served_is_tried_a_few_times() {
        let mut budget = Budget::default();
        assert_eq!(delays(&mut budget, &[5_000, 10]), [0, 50]);
        assert_eq!(budget.died(NOW, Duration::ZERO), Verdict::GiveUp(3));
    }
}
