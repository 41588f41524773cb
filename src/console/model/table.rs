//! Which rows the table shows, in which order, and where the cursor is.

use std::{cmp::Ordering, collections::BTreeSet, time::Duration};

use super::{Facts, Filter, Row, RowKey};
use crate::model::Moment;

/// Rows that moved under the cursor more often than this would be missed.
const RESORT: Duration = Duration::from_secs(3);

/// With more rows than this, those in trouble stand first.
pub const MANY: usize = 50;

#[derive(Debug, Default)]
pub struct Table {
    pub cursor: Option<RowKey>,
    /// First row that is shown on the screen.
    pub top: usize,
    pub marks: BTreeSet<RowKey>,
    /// Where a range of marks begins.
    pub anchor: Option<RowKey>,
    pub sort: Sort,
    pub filter: Filter,
    pub problems: bool,
    /// The rows, filtered and sorted.
    pub shown: Vec<RowKey>,
    /// What decides the order has changed.
    pub dirty: bool,
    /// Rows came or went.
    pub other_rows: bool,
    sorted: Option<Moment>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sort {
    pub column: Column,
    pub inverted: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Column {
    /// The order of the registry; with many components those in trouble first.
    #[default]
    Natural,
    Name,
    State,
    Health,
    Uptime,
    Cpu,
    Memory,
    Restarts,
}

impl Column {
    pub const ALL: [Self; 8] = [
        Self::Natural,
        Self::Name,
        Self::State,
        Self::Health,
        Self::Uptime,
        Self::Cpu,
        Self::Memory,
        Self::Restarts,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Natural => "registry order",
            Self::Name => "name",
            Self::State => "state, trouble first",
            Self::Health => "health, failing first",
            Self::Uptime => "uptime, youngest first",
            Self::Cpu => "CPU, highest first",
            Self::Memory => "memory, highest first",
            Self::Restarts => "restarts, most first",
        }
    }

    /// Whether its values move by themselves.
    fn is_measured(self) -> bool {
        matches!(self, Self::Cpu | Self::Memory)
    }

    fn compare(self, left: &Row, right: &Row) -> Ordering {
        let number = |row: &Row| match self {
            Self::Cpu => row.status.cpu_percent,
            #[expect(clippy::cast_precision_loss, reason = "only compared")]
            Self::Memory => row.status.memory_bytes.map(|bytes| bytes as f64),
            _ => None,
        };
        match self {
            Self::Natural => Ordering::Equal,
            Self::Name => left.status.id.cmp(&right.status.id),
            Self::State => left.rank().cmp(&right.rank()),
            Self::Health => health_rank(left).cmp(&health_rank(right)),
            // The younger started later.
            Self::Uptime => {
                let started = |row: &Row| row.started.unwrap_or(f64::NEG_INFINITY);
                started(right).total_cmp(&started(left))
            }
            Self::Cpu | Self::Memory => {
                let key = |row| number(row).unwrap_or(-1.0);
                key(right).total_cmp(&key(left))
            }
            Self::Restarts => right.status.restarts.cmp(&left.status.restarts),
        }
    }
}

fn health_rank(row: &Row) -> u8 {
    match row.status.health {
        crate::wire::Health::Failing => 0,
        crate::wire::Health::Unknown => 1,
        crate::wire::Health::Ok => 2,
        crate::wire::Health::None => 3,
    }
}

impl Table {
    /// Brings the shown rows up to date. While `held` (a prompt is open) they keep their order,
    /// only rows that are gone leave; `now_please` sorts at once, because a key asked for it.
    pub fn refresh(&mut self, facts: &Facts, now: Moment, held: bool, now_please: bool) {
        self.marks.retain(|key| facts.rows.contains_key(key));
        if held && !now_please {
            self.shown.retain(|key| facts.rows.contains_key(key));
            self.place_cursor(None);
            return;
        }
        let rested = self.sorted.is_none_or(|sorted| now.since(sorted) >= RESORT);
        let moving = self.sort.column.is_measured() || facts.order.len() > MANY;
        let wanted = now_please
            || self.other_rows
            || (self.dirty && (!moving || rested))
            || (self.sort.column.is_measured() && rested)
            || self.sorted.is_none();
        if !wanted {
            return;
        }
        let before = self.position();
        self.dirty = false;
        self.other_rows = false;
        self.sorted = Some(now);
        let holds = |key: &&RowKey| {
            let Some(row) = facts.rows.get(*key) else { return false };
            let host = facts.host(key.host).map_or("", |host| host.name.as_str());
            (!self.problems || row.is_trouble()) && self.filter.holds(key, row, host, now)
        };
        let mut shown: Vec<RowKey> = facts.order.iter().filter(holds).cloned().collect();
        let trouble_first = self.sort.column == Column::Natural && facts.order.len() > MANY;
        // Stable: equal rows keep the registry's order.
        shown.sort_by(|left, right| {
            let (Some(left), Some(right)) = (facts.rows.get(left), facts.rows.get(right)) else {
                return Ordering::Equal;
            };
            if trouble_first {
                let calm = |row: &Row| if row.is_trouble() { row.rank() } else { u8::MAX };
                return calm(left).cmp(&calm(right));
            }
            let order = self.sort.column.compare(left, right);
            if self.sort.inverted { order.reverse() } else { order }
        });
        if self.sort.column == Column::Natural && self.sort.inverted {
            shown.reverse();
        }
        self.shown = shown;
        self.place_cursor(before);
    }

    /// Where the cursor's row is among the shown ones.
    pub fn position(&self) -> Option<usize> {
        let cursor = self.cursor.as_ref()?;
        self.shown.iter().position(|key| key == cursor)
    }

    /// The cursor stays on its component; where that is gone, on its neighbour.
    fn place_cursor(&mut self, before: Option<usize>) {
        if self.position().is_none() {
            let at = before.unwrap_or(0).min(self.shown.len().saturating_sub(1));
            self.cursor = self.shown.get(at).cloned();
        }
    }

    /// Moves the cursor by so many rows, and stays within the table.
    pub fn step(&mut self, by: isize) {
        let last = self.shown.len().saturating_sub(1);
        let at = self.position().unwrap_or(0).saturating_add_signed(by).min(last);
        self.cursor = self.shown.get(at).cloned();
    }

    /// Scrolls so that the cursor is among the `height` rows on the screen.
    pub fn keep_in_view(&mut self, height: usize) {
        let at = self.position().unwrap_or(0);
        let furthest = self.shown.len().saturating_sub(height.max(1));
        self.top = self.top.min(at).max((at + 1).saturating_sub(height.max(1))).min(furthest);
    }

    /// Marks everything from the anchor (or the cursor) to the cursor.
    pub fn mark_range(&mut self) {
        let Some(here) = self.position() else { return };
        let anchor = self.anchor.as_ref();
        let from = anchor
            .and_then(|anchor| self.shown.iter().position(|key| key == anchor))
            .unwrap_or(here);
        let range = from.min(here)..=from.max(here);
        self.marks.extend(self.shown[range].iter().cloned());
        self.anchor = self.cursor.clone();
    }
}
