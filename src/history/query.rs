//! From rows to the steps of a chart.

use super::{
    Figure, Recorder,
    codec::{self, Visitor},
    recorder::MINUTES,
    tier::Tier,
};
use crate::wire::{ComponentState, HistoryPoint};

/// A longer answer is of use to nobody; the step grows instead.
pub const MOST_POINTS: i64 = 1_500;

/// A state that nobody confirmed for so long is not known any more: no Supervisor ran.
const CONFIRMED: i64 = 2 * MINUTES.row as i64;

/// A stretch of time in steps; milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    from: i64,
    step: i64,
    steps: i64,
    to: i64,
}

/// A row of one component.
#[derive(Debug, Clone, Copy)]
struct Row {
    from: i64,
    to: i64,
    figure: Figure,
}

/// What all tiers know of one component.
#[derive(Debug, Default)]
struct Known {
    rows: Vec<Row>,
    /// When it was in which state: from rows and from the changes between them.
    states: Vec<(i64, Option<ComponentState>)>,
}

impl Query {
    /// The steps begin at multiples of their length, so that one who asks again gets the same
    /// ones. Without `step`: about 120 of them.
    pub fn new(from: i64, to: i64, step: Option<i64>) -> Self {
        let range = (to - from).max(1);
        let step = step.unwrap_or(range / 120).max(1_000).max(ceil(range, MOST_POINTS - 1));
        let from = from.div_euclid(step) * step;
        Self { from, step, steps: ceil((to - from).max(1), step), to }
    }

    pub fn from(&self) -> i64 {
        self.from
    }

    pub fn step(&self) -> i64 {
        self.step
    }
}

fn ceil(number: i64, by: i64) -> i64 {
    -(-number).div_euclid(by)
}

impl Recorder {
    /// One point for each step, oldest first. Reads files.
    pub fn points(&self, id: &str, query: &Query) -> Vec<HistoryPoint> {
        let end = query.from + query.step * query.steps;
        let mut known = Known::default();
        for tier in [&self.seconds, &self.tens.tier, &self.minutes.tier] {
            known.read(tier, id, query.from - CONFIRMED, end);
        }
        if let (Some((from, figure)), Some((_, to))) = (self.unwritten(id), self.last) {
            known.rows.push(Row { from, to, figure });
            known.states.push((to, figure.state));
        }
        let changes = self.changes.iter().filter(|change| change.id.as_str() == id);
        known.states.extend(changes.map(|change| (change.at, Some(change.state))));
        known.points(query)
    }
}

impl Known {
    fn read(&mut self, tier: &Tier, id: &str, from: i64, to: i64) {
        tier.segments(from, to, |bytes| {
            let mut reader =
                Reader { known: self, id, index: None, names: 0, last: None, row: (0, 0) };
            codec::read(bytes, &mut reader);
        });
    }

    fn points(mut self, query: &Query) -> Vec<HistoryPoint> {
        let Query { from, step, steps, to } = *query;
        let count = usize::try_from(steps).unwrap_or_default();
        let mut fine: Vec<Option<Figure>> = vec![None; count];
        // What a step is told by that no row belongs to: the shortest row that reaches into it.
        let mut reaching: Vec<Option<(i64, Figure)>> = vec![None; count];
        let place = |at: i64| usize::try_from((at - from).div_euclid(step)).ok();
        for row in &self.rows {
            let span = row.to - row.from;
            // Ticks are a little late or early, so a row may be a little longer than its step.
            if span <= step + step / 4
                // It belongs to where it ends: a row that ends with a step is of that step.
                && let Some(slot) = place(row.to - 1).and_then(|place| fine.get_mut(place))
            {
                *slot = Some(slot.map_or(row.figure, |before| before.and_then(row.figure)));
            }
            let first = place(row.from.max(from)).unwrap_or(count);
            let last = place(row.to - 1).map_or(0, |last| (last + 1).min(count));
            for slot in reaching.iter_mut().take(last).skip(first) {
                if slot.is_none_or(|(shortest, _)| span < shortest) {
                    *slot = Some((span, row.figure));
                }
            }
        }
        self.states.sort_by_key(|(at, _)| *at);
        let mut states = self.states.into_iter().peekable();
        let mut state: Option<(i64, Option<ComponentState>)> = None;
        let points = fine.into_iter().zip(reaching).zip(0..).map(|((fine, reaching), at)| {
            let end = (from + step * (at + 1)).min(to);
            while let Some(next) = states.next_if(|(at, _)| *at <= end) {
                state = Some(next);
            }
            let figure = fine.or(reaching.map(|(_, figure)| figure));
            let usage = figure.and_then(|figure| figure.usage);
            let begin = from + step * at;
            let confirmed = state.filter(|(at, _)| *at >= begin || end - at <= CONFIRMED);
            HistoryPoint {
                cpu_percent: usage.map(|usage| f64::from(usage.cpu) / 10.0),
                memory_bytes: usage.map(|usage| usage.memory << 10),
                state: confirmed.and_then(|(_, state)| state),
            }
        });
        points.collect()
    }
}

/// Picks one component out of a segment.
struct Reader<'a> {
    known: &'a mut Known,
    id: &'a str,
    index: Option<usize>,
    names: usize,
    last: Option<Figure>,
    row: (i64, u32),
}

impl Visitor for Reader<'_> {
    fn named(&mut self, name: &str) {
        if name == self.id {
            self.index = Some(self.names);
        }
        self.names += 1;
    }

    fn row(&mut self, at: i64, span: u32) {
        self.row = (at, span);
    }

    fn entry(&mut self, index: usize, figure: Figure) {
        if self.index == Some(index) {
            self.last = Some(figure);
        }
    }

    fn row_ends(&mut self) {
        let Some(figure) = self.last else { return };
        let (to, span) = self.row;
        self.known.rows.push(Row { from: to - i64::from(span), to, figure });
        self.known.states.push((to, figure.state));
    }

    fn change(&mut self, at: i64, index: usize, state: Option<ComponentState>) {
        if self.index == Some(index) {
            if let Some(last) = &mut self.last {
                last.state = state;
            }
            self.known.states.push((at, state));
        }
    }
}
