//! What a component used over a time, and in which states it was meanwhile: two charts, a line of
//! states and the clock below them, all over the same columns.

use jiff::{SignedDuration, Timestamp};
use ratatui::{buffer::Buffer, layout::Rect};
use unicode_width::UnicodeWidthStr;

use super::{Skin, chart, put, rule};
use crate::{
    console::{
        format,
        model::{Model, Range, Row, RowKey},
    },
    wire::ComponentState,
};

/// A chart's height with its title: higher tells no more, and costs bytes.
const HIGHEST: u16 = 11;

/// Columns of the scale at the left, and where there is no room for it.
const SCALE: u16 = 7;
const WITH_SCALE: u16 = 30;

/// The measured steps of a range, oldest first.
struct Course {
    cpu: Vec<Option<f64>>,
    memory: Vec<Option<f64>>,
    states: Vec<Option<ComponentState>>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

pub fn render(model: &Model, key: &RowKey, range: Range, skin: Skin, area: Rect, buf: &mut Buffer) {
    let Some(row) = model.seen().rows.get(key) else { return };
    let course = course(model, row, range);
    let below = if area.height >= 8 { 2 } else { 0 };
    let height = ((area.height - below.min(area.height)) / 2).min(HIGHEST);
    let upper = Rect { height, ..area };
    let lower = Rect { y: upper.bottom(), ..upper };
    let now = row.status.cpu_percent.map(format::cpu);
    let name = now.map_or_else(|| "CPU".to_owned(), |now| format!("CPU {now}% of a core"));
    // Most components use a few per cent: against a whole core they would all look flat.
    let top = chart::ceiling(&course.cpu, 10.0);
    plot(&name, &course.cpu, top, |value| format!("{value:.0}%"), skin, upper, buf);
    let now = row.status.memory_bytes.map(format::bytes);
    let name = now.map_or_else(|| "memory".to_owned(), |now| format!("memory {now}"));
    let top = bytes_ceiling(&course.memory);
    plot(&name, &course.memory, top, bytes, skin, lower, buf);
    if below == 0 {
        return;
    }
    let line = Rect { y: lower.bottom(), height: 1, ..area };
    states(&course.states, skin, line, buf);
    clock(model, range, &course, skin, Rect { y: line.y + 1, ..line }, buf);
}

/// The engine's history; for two minutes what this console has seen, until that has come.
fn course(model: &Model, row: &Row, range: Range) -> Course {
    if let Some(history) = row.histories.get(&range) {
        let points = &history.points;
        #[expect(clippy::cast_precision_loss, reason = "a chart has some dozen steps")]
        let memory = |bytes: u64| bytes as f64;
        let from: Option<Timestamp> = history.from.parse().ok();
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        let lasts = SignedDuration::try_from_secs_f64(history.step_s * points.len() as f64);
        return Course {
            cpu: points.iter().map(|point| point.cpu_percent).collect(),
            memory: points.iter().map(|point| point.memory_bytes.map(memory)).collect(),
            states: points.iter().map(|point| point.state).collect(),
            from,
            to: from.zip(lasts.ok()).and_then(|(from, lasts)| from.checked_add(lasts).ok()),
        };
    }
    let to = model.seen().as_of;
    let lasts = SignedDuration::try_from(range.duration()).unwrap_or_default();
    let from = to.and_then(|to| to.checked_sub(lasts).ok());
    if range != Range::TwoMinutes {
        return Course { cpu: Vec::new(), memory: Vec::new(), states: Vec::new(), from, to };
    }
    let full = |mut points: Vec<Option<f64>>| {
        // Young series stand at the right, where now is.
        let missing = 23_usize.saturating_sub(points.len());
        points.splice(0..0, std::iter::repeat_n(None, missing));
        points
    };
    let (cpu, memory) = (full(row.cpu.finished()), full(row.memory.finished()));
    Course { cpu, memory, states: Vec::new(), from, to }
}

/// A titled chart with its scale at the left.
fn plot(
    title: &str,
    points: &[Option<f64>],
    top: f64,
    label: impl Fn(f64) -> String,
    skin: Skin,
    area: Rect,
    buf: &mut Buffer,
) {
    let peak = points.iter().flatten().copied().reduce(f64::max);
    let peak = peak.map_or_else(
        || "nothing measured yet".to_owned(),
        |peak| format!("highest {}", label(peak)),
    );
    rule(buf, skin, area, title, (&peak, skin.dim()), false);
    let inner =
        Rect { y: area.y + 1.min(area.height), height: area.height.saturating_sub(1), ..area };
    let inside = inside(inner);
    if inside.x > inner.x {
        let half =
            (inner.height >= 6 && inner.height.is_multiple_of(2)).then_some(inner.height / 2);
        for (index, row) in (0..).zip(inner.rows()) {
            let text = match index {
                0 => label(top),
                _ if index + 1 == inner.height => "0".to_owned(),
                _ if Some(index) == half => label(top / 2.0),
                _ => String::new(),
            };
            put(buf, row, row.x, &format::pad_left(&text, usize::from(SCALE) - 2), skin.dim());
            put(buf, row, inside.x - 1, skin.scale(!text.is_empty()), skin.dim());
        }
    }
    chart::bars(points, top, skin, inside, buf);
}

/// Without the scale at the left, and a column of air at the right.
fn inside(area: Rect) -> Rect {
    let left = if area.width >= WITH_SCALE { SCALE } else { 1.min(area.width) };
    Rect { x: area.x + left, width: area.width.saturating_sub(left + 1), ..area }
}

/// A glyph where a state begins, a line while it lasts, nothing where nobody looked. The gravest
/// of a column's states is the one that is shown.
fn states(states: &[Option<ComponentState>], skin: Skin, area: Rect, buf: &mut Buffer) {
    let inside = inside(area);
    if inside.x > area.x + 1 && states.iter().any(Option::is_some) {
        put(buf, area, area.x, &format::pad_left("state", usize::from(SCALE) - 2), skin.dim());
    }
    let mut before = None;
    let columns = chart::columns(states.len(), usize::from(inside.width));
    for (x, range) in (inside.left()..inside.right()).zip(columns) {
        let state = states[range].iter().flatten().min_by_key(|state| gravity(**state)).copied();
        if let Some(state) = state {
            let (glyph, style) = skin.glyph(state);
            let (symbol, style) =
                if before == Some(state) { (skin.line(), skin.dim()) } else { (glyph, style) };
            put(buf, inside, x, symbol, style);
        }
        before = state;
    }
}

fn gravity(state: ComponentState) -> u8 {
    match state {
        ComponentState::Unkillable => 0,
        ComponentState::Failed => 1,
        ComponentState::Backoff => 2,
        ComponentState::Stopping | ComponentState::Starting => 3,
        ComponentState::Waiting => 4,
        ComponentState::Stopped | ComponentState::Exited => 5,
        ComponentState::Running => 6,
    }
}

/// Times below the first, the middle and the last column.
fn clock(model: &Model, range: Range, course: &Course, skin: Skin, area: Rect, buf: &mut Buffer) {
    let (Some(from), Some(to)) = (course.from, course.to) else { return };
    let form = match range {
        Range::TwoMinutes => "%H:%M:%S",
        Range::QuarterHour | Range::Hour => "%H:%M",
        Range::Day => "%a %H:%M",
    };
    let text = |at| format::local_time(at, &model.settings.zone, form);
    let inside = inside(area);
    let (left, right) = (text(from), text(to));
    let width = |text: &str| u16::try_from(text.width()).unwrap_or(u16::MAX);
    if width(&left) + width(&right) + 2 > inside.width {
        return;
    }
    put(buf, inside, inside.x, &left, skin.dim());
    put(buf, inside, inside.right() - width(&right), &right, skin.dim());
    let middle = from.checked_add(to.duration_since(from) / 2).map(text).unwrap_or_default();
    let x = inside.x + (inside.width - width(&middle).min(inside.width)) / 2;
    let free =
        x > inside.x + width(&left) + 1 && x + width(&middle) + 1 < inside.right() - width(&right);
    if free {
        put(buf, inside, x, &middle, skin.dim());
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes for show")]
fn bytes(value: f64) -> String {
    format::bytes(value.max(0.0) as u64)
}

/// A round number of the unit that the highest value has.
fn bytes_ceiling(points: &[Option<f64>]) -> f64 {
    let highest = points.iter().flatten().copied().fold(1_048_576.0, f64::max);
    let mut unit = 1.0;
    while highest >= unit * 1000.0 {
        unit *= 1024.0;
    }
    chart::ceiling(&[Some(highest / unit)], 0.1) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_of_memory_is_round_in_its_own_unit() {
        let mib = f64::from(1 << 20);
        assert_eq!(bytes(bytes_ceiling(&[Some(858.0 * mib)])), "1.0G");
        assert_eq!(bytes(bytes_ceiling(&[Some(700.0 * mib)])), "800M");
        assert_eq!(bytes(bytes_ceiling(&[Some(1500.0 * mib)])), "1.5G");
        assert_eq!(bytes(bytes_ceiling(&[])), "1.0M");
    }
}
