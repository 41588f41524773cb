//! Measured numbers over time.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use crate::{model::Moment, wire::History};

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

/// What was shown when the connection was lost stays: an engine that is killed takes the rows with
/// it that it has not stored. Each step has the highest that either knows.
pub fn keep_shown(history: &mut History, shown: &History) {
    let Some(shift) = steps_between(shown, history) else { return };
    for (point, known) in history.points.iter_mut().zip(shown.points.iter().skip(shift)) {
        let cpu = [point.cpu_percent, known.cpu_percent];
        point.cpu_percent = cpu.into_iter().flatten().reduce(f64::max);
        point.memory_bytes = point.memory_bytes.max(known.memory_bytes);
        point.state = point.state.or(known.state);
    }
}

/// How many steps the one begins after the other; none where their steps are not the same ones.
fn steps_between(earlier: &History, later: &History) -> Option<usize> {
    let step = |history: &History| Duration::try_from_secs_f64(history.step_s).ok();
    let from = |history: &History| history.from.parse::<Timestamp>().ok();
    let step = step(later).filter(|length| step(earlier) == Some(*length))?.as_millis();
    let moved = Duration::try_from(from(later)?.duration_since(from(earlier)?)).ok()?.as_millis();
    let is_whole = moved.checked_rem(step)? == 0;
    is_whole.then(|| usize::try_from(moved / step).ok()).flatten()
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
    use crate::wire::HistoryPoint;

    fn at(seconds: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(seconds))
    }

    fn history(from: &str, step_s: f64, memory: &[Option<u64>]) -> History {
        let point = |memory_bytes: &Option<u64>| HistoryPoint {
            memory_bytes: *memory_bytes,
            ..HistoryPoint::default()
        };
        let points = memory.iter().map(point).collect();
        History { id: "is".to_owned(), from: from.to_owned(), step_s, points }
    }

    #[test]
    fn what_was_shown_stays_in_its_own_steps_alone() {
        let shown = history("2026-03-01T10:00:00.000Z", 5.0, &[Some(1), Some(2), None, Some(4)]);
        let kept = |from, step_s, memory: &[Option<u64>]| {
            let mut later = history(from, step_s, memory);
            keep_shown(&mut later, &shown);
            later.points.iter().map(|point| point.memory_bytes).collect::<Vec<_>>()
        };
        let later = "2026-03-01T10:00:05.000Z";
        let highest = kept(later, 5.0, &[Some(1), Some(7), Some(8), None]);
        assert_eq!(highest, [Some(2), Some(7), Some(8), None]);
        assert_eq!(kept(later, 5.0, &[None; 4]), [Some(2), None, Some(4), None]);
        for (from, step_s) in [
            (later, 2.5),
            (later, 0.0),
            ("2026-03-01T10:00:04.000Z", 5.0),
            ("2026-03-01T09:59:55.000Z", 5.0),
            ("2026-03-01T11:00:00.000Z", 5.0),
            ("yesterday", 5.0),
        ] {
            assert_eq!(kept(from, step_s, &[None; 4]), [None; 4], "{from} {step_s}");
        }
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
