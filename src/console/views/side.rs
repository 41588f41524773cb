//! At the right of a wide terminal: what the selected component is, and its charts.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{Skin, chart, details, info, put, rule};
use crate::console::model::{Model, Range, RowKey};

/// Rows of the charts below the facts.
const CHARTS: u16 = 16;

/// A chart's height with its title: higher tells no more, and costs bytes.
const HIGHEST: u16 = 11;

pub fn render(model: &Model, skin: Skin, area: Rect, buf: &mut Buffer) {
    for row in area.rows() {
        if row.x > 0 {
            put(buf, Rect { x: row.x - 1, width: 1, ..row }, row.x - 1, skin.bar(), skin.dim());
        }
    }
    // The pane follows the cursor with the log: when it stands still.
    let shown = model.preview.view.as_ref().and_then(|view| view.keys.first());
    let Some(key) = shown.or(model.table.cursor.as_ref()) else { return };
    let Some(row) = model.seen().rows.get(key) else { return };
    rule(buf, skin, area, &key.id, ("", Style::new()), false);
    let facts = Rect { y: area.y + 1, height: area.height.saturating_sub(CHARTS + 1), ..area };
    let lines = info::lines(model, key, row, skin, usize::from(area.width));
    for (place, line) in facts.rows().zip(&lines) {
        buf.set_line(place.x, place.y, line, place.width);
    }
    let charts = Rect { y: facts.bottom(), height: area.bottom() - facts.bottom(), ..area };
    pair(model, key, Range::TwoMinutes, skin, charts, buf);
}

/// The charts of CPU and memory, one above the other.
pub fn pair(model: &Model, key: &RowKey, range: Range, skin: Skin, area: Rect, buf: &mut Buffer) {
    let Some(row) = model.seen().rows.get(key) else { return };
    let (cpu, memory) = details::points(row, range);
    let height = (area.height / 2).min(HIGHEST);
    let upper = Rect { height, ..area };
    let lower = Rect { y: upper.bottom(), ..upper };
    // Most components use a few per cent: against a whole core they would all look flat.
    let ceiling = chart::ceiling(&cpu, 10.0);
    let now = row.status.cpu_percent.map(crate::console::format::cpu).unwrap_or_default();
    titled(&format!("CPU {now}%"), &format!("{ceiling:.0}%"), range, skin, upper, buf);
    chart::bars(&cpu, ceiling, skin, inner(upper), buf);
    let ceiling = chart::ceiling_of_bytes(&memory);
    let now = row.status.memory_bytes.map(crate::console::format::bytes).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes for show")]
    let top = crate::console::format::bytes(ceiling as u64);
    titled(&format!("memory {now}"), &top, range, skin, lower, buf);
    chart::bars(&memory, ceiling, skin, inner(lower), buf);
}

fn titled(title: &str, top: &str, range: Range, skin: Skin, area: Rect, buf: &mut Buffer) {
    let right = format!("{}  top {top}", range.title());
    rule(buf, skin, area, title, (&right, skin.dim()), false);
}

/// Below the title, with a column of air at both sides.
fn inner(area: Rect) -> Rect {
    Rect {
        x: area.x + 1.min(area.width),
        y: area.y + 1.min(area.height),
        width: area.width.saturating_sub(2),
        height: area.height.saturating_sub(1),
    }
}
