//! From single answers to a verdict: pure, told what time it is.
//!
//! ```text
//!                `successes` good answers in a row
//!        ┌─────────────────────────────────────────────► good ◄──┐
//!   undecided                                             │      │ `successes` in a row
//!        └──────────────────────────────────────► bad ◄───┘      │
//!            `failures` bad ones in a row,         └─────────────┘
//!            none of them within the start period
//! ```

use std::time::Duration;

use crate::{model::Moment, registry::Probe};

/// Counts answers in a row and says when they amount to something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    failures: u32,
    successes: u32,
    /// Failures before it do not count.
    lenient_until: Moment,
    verdict: Option<bool>,
    good_in_a_row: u32,
    bad_in_a_row: u32,
}

/// The judgement has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// After so many failures in a row.
    Failed {
        failures: u32,
    },
}

impl Judge {
    /// A judge of a process that started at `started`. A threshold of 0 is taken for 1.
    pub fn new(probe: &Probe, started: Moment) -> Self {
        Self::with(probe.failures, probe.successes, probe.start_period, started)
    }

    /// A judge with these thresholds.
    pub fn with(failures: u32, successes: u32, start_period: Duration, started: Moment) -> Self {
        Self {
            failures: failures.max(1),
            successes: successes.max(1),
            lenient_until: started.after(start_period),
            verdict: None,
            good_in_a_row: 0,
            bad_in_a_row: 0,
        }
    }

    /// Takes an answer that came at `now`; the verdict where this answer changed it.
    #[must_use]
    pub fn answer(&mut self, now: Moment, ok: bool) -> Option<Verdict> {
        if ok {
            self.bad_in_a_row = 0;
            self.good_in_a_row = self.good_in_a_row.saturating_add(1);
            let passed = self.verdict != Some(true) && self.good_in_a_row >= self.successes;
            passed.then(|| {
                self.verdict = Some(true);
                Verdict::Passed
            })
        } else {
            // A failure ends a row of successes even while it does not count as a failure.
            self.good_in_a_row = 0;
            if now < self.lenient_until && self.verdict.is_none() {
                return None;
            }
            self.bad_in_a_row = self.bad_in_a_row.saturating_add(1);
            let failed = self.verdict != Some(false) && self.bad_in_a_row >= self.failures;
            failed.then(|| {
                self.verdict = Some(false);
                Verdict::Failed { failures: self.bad_in_a_row }
            })
        }
    }

    /// Whether the last verdict was good; none before the first.
    pub fn verdict(&self) -> Option<bool> {
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(100 + seconds))
    }

    fn judge(failures: u32, successes: u32, start_period: u64) -> Judge {
        Judge::with(failures, successes, Duration::from_secs(start_period), at(0))
    }

    /// Feeds one answer a second: `+` good, `-` bad; what was judged at which of them.
    fn verdicts(mut judge: Judge, answers: &str) -> Vec<(usize, Verdict)> {
        let judged = answers.chars().enumerate().filter_map(|(second, answer)| {
            let verdict = judge.answer(at(second as u64), answer == '+')?;
            Some((second, verdict))
        });
        judged.collect()
    }

    #[test]
    fn one_good_answer_passes_by_default() {
        assert_eq!(verdicts(judge(3, 1, 0), "--+++"), [(2, Verdict::Passed)]);
    }

    #[test]
    fn successes_and_failures_count_only_in_a_row() {
        assert_eq!(verdicts(judge(3, 2, 0), "+-+-+-+-"), []);
        assert_eq!(verdicts(judge(3, 2, 0), "+-++"), [(3, Verdict::Passed)]);
        let failed = Verdict::Failed { failures: 3 };
        assert_eq!(verdicts(judge(3, 2, 0), "--+---"), [(5, failed)]);
    }

    #[test]
    fn a_verdict_is_told_once_and_can_be_taken_back() {
        let failed = Verdict::Failed { failures: 2 };
        assert_eq!(
            verdicts(judge(2, 2, 0), "++++----++--"),
            [(1, Verdict::Passed), (5, failed), (9, Verdict::Passed), (11, failed)],
        );
    }

    #[test]
    fn failures_within_the_start_period_do_not_count() {
        let failed = Verdict::Failed { failures: 2 };
        assert_eq!(verdicts(judge(2, 1, 5), "-------"), [(6, failed)]);
    }

    #[test]
    fn a_failure_within_the_start_period_still_ends_a_row_of_successes() {
        assert_eq!(verdicts(judge(2, 2, 60), "+-+-++"), [(5, Verdict::Passed)]);
    }

    #[test]
    fn once_it_has_passed_the_start_period_excuses_nothing() {
        let failed = Verdict::Failed { failures: 2 };
        assert_eq!(verdicts(judge(2, 1, 60), "-+--"), [(1, Verdict::Passed), (3, failed)]);
    }

    #[test]
    fn a_threshold_of_zero_is_one() {
        assert_eq!(verdicts(judge(0, 0, 0), "+"), [(0, Verdict::Passed)]);
        assert_eq!(verdicts(judge(0, 0, 0), "-"), [(0, Verdict::Failed { failures: 1 })]);
    }
}
