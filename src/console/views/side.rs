//! At the right of a wide terminal: what the selected component is, and its charts.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{Skin, charts, info, put, rule};
use crate::console::model::{Model, Range};

/// Rows of the charts below the facts.
const CHARTS: u16 = 16;

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
    let below = Rect { y: facts.bottom(), height: area.bottom() - facts.bottom(), ..area };
    charts::render(model, key, Range::TwoMinutes, skin, below, buf);
}
