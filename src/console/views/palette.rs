//! The palette: a line to type, and the actions that fit it.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
};

use super::{Skin, put, select};
use crate::console::{
    action::entry_of,
    format,
    model::{Model, Palette},
};

pub fn render(
    model: &Model,
    palette: &Palette,
    skin: Skin,
    area: Rect,
    buf: &mut Buffer,
) -> Position {
    let prompt = Rect { height: 1, ..area };
    let x = put(buf, prompt, area.x, ":", skin.strong());
    let room = usize::from(area.width).saturating_sub(2);
    let scroll = palette.input.visual_scroll(room);
    let text: String = palette.input.value().chars().skip(scroll).collect();
    put(buf, prompt, x, &text, Style::new());
    let list = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let height = usize::from(list.height);
    let top = (palette.selected + 1).saturating_sub(height);
    for (index, (row, item)) in list.rows().zip(palette.items.iter().skip(top)).enumerate() {
        let entry = entry_of(item.action);
        let keys = model.settings.keymap.keys(item.action);
        let key = keys.first().map(ToString::to_string).unwrap_or_default();
        put(buf, row, row.x, &format::pad(&key, 6), skin.info());
        put(buf, row, row.x + 7, &format::fit(entry.id, 25), Style::new());
        // Cut to a few letters it would say nothing.
        if area.width >= 56 {
            put(buf, row, row.x + 33, entry.help, skin.dim());
        }
        if top + index == palette.selected {
            select(row, buf);
        }
    }
    if palette.items.is_empty() {
        put(buf, list, list.x, "no action fits; also: w FILE, filter WORDS", skin.dim());
    }
    let cursor = palette.input.visual_cursor().saturating_sub(scroll);
    let x = x.saturating_add(u16::try_from(cursor).unwrap_or(0));
    Position { x: x.min(area.right().saturating_sub(1)), y: area.y }
}
