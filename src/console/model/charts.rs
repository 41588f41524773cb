//! Measured numbers over time.

use std::{collections::VecDeque, time::Duration};

use crate::model::Moment;

/// How far a chart looks back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Range {
    TwoMinutes,
    QuarterHour,
    Hour,
    Day,
}

impl Range {
    pub const ALL: [Self; 4] = [Self::TwoMinutes, Self::QuarterHour, Self::Hour, Self::Day];

    pub fn duration(self) -> Duration {
        match self {
            Self::TwoMinutes => Duration::from_mins(2),
            Self::QuarterHour => Duration::from_mins(15),
            Self::Hour => Duration::from_hours(1),
            Self::Day => Duration::from_hours(24),
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::TwoMinutes => "2 m",
            Self::QuarterHour => "15 m",
            Self::Hour => "1 h",
            Self::Day => "24 h",
        }
    }

    pub fn of(duration: Duration) -> Option<Self> {
        Self::ALL.into_iter().find(|range| range.duration() == duration)
    }

    #[must_use]
    pub fn step(self, by: isize) -> Self {
        let at = Self::ALL.iter().position(|range| *range == self).unwrap_or(0);
        Self::ALL[at.saturating_add_signed(by).min(Self::ALL.len() - 1)]
    }
}

/// The last two minutes of one number, in steps of five seconds, so that a chart stands still in
/// between and costs nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Oldest first; none where nothing was measured.
    points: VecDeque<Option<f64>>,
    /// Number of the step of the newest point.
    step: u64,
}

const STEP_SECONDS: u64 = 5;
const POINTS: usize = 24;

impl Series {
    /// Takes one measurement: each step shows the highest of its time.
    pub fn push(&mut self, now: Moment, value: Option<f64>) {
        let step = now.since_boot().as_secs() / STEP_SECONDS;
        let behind = step.saturating_sub(self.step);
        if self.points.is_empty() || behind > 0 {
            let holes = if self.points.is_empty() { 1 } else { behind.min(POINTS as u64) };
            for _ in 1..holes {
                self.points.push_back(None);
            }
            self.points.push_back(value);
            self.step = step;
            while self.points.len() > POINTS {
                self.points.pop_front();
            }
        } else if let (Some(last), Some(value)) = (self.points.back_mut(), value) {
            *last = Some(last.map_or(value, |before| before.max(value)));
        }
    }

    /// Oldest first, without the step that is still being measured.
    pub fn finished(&self) -> Vec<Option<f64>> {
        let end = self.points.len().saturating_sub(1);
        self.points.iter().take(end).copied().collect()
    }

    pub fn clear(&mut self) {
        self.points.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn a_step_keeps_its_highest_value_and_holes_stay_holes() {
        let mut series = Series::default();
        for (second, value) in [(100, 1.0), (101, 7.0), (102, 2.0), (105, 3.0), (116, 4.0)] {
            series.push(at(second), Some(value));
        }
        assert_eq!(series.finished(), [Some(7.0), Some(3.0), None]);
    }

    #[test]
    fn a_series_is_bounded() {
        let mut series = Series::default();
        for second in 0..10_000 {
            series.push(at(second), Some(1.0));
        }
        assert_eq!(series.finished().len(), POINTS - 1);
        series.push(at(1_000_000), None);
        assert!(series.finished().len() < POINTS);
    }
}
