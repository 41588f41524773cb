//! The table of components: only the rows on the screen are made.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{Skin, columns, put, select};
use crate::console::{
    format,
    model::{Column as SortColumn, Model, Pane},
};

pub fn render(model: &Model, skin: Skin, area: Rect, buf: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let facts = model.seen();
    let columns = columns::fit(usize::from(area.width), facts);
    heading(model, skin, area, &columns, buf);
    let places = area.rows().skip(1);
    let keys = model.table.shown.iter().skip(model.table.top);
    if model.table.shown.is_empty() && area.height > 1 {
        let first = Rect { y: area.y + 1, height: 1, ..area };
        put(buf, first, area.x + 3, nothing(model), skin.dim());
    }
    for (line, key) in places.zip(keys) {
        let Some(row) = facts.rows.get(key) else { continue };
        let old = !facts.is_live(key);
        let (glyph, style) = skin.state(row, old);
        let mark = if model.table.marks.contains(key) { "+" } else { " " };
        put(buf, line, line.x, mark, skin.strong());
        put(buf, line, line.x + 1, glyph, style);
        if row.status.hold.is_some() {
            // The note is the first to go where there is no room; this stays.
            put(buf, line, line.x + 2, "H", skin.warn());
        }
        let mut x = usize::from(line.x) + columns::GUTTER;
        for (column, width) in &columns {
            let (text, style) =
                columns::cell(*column, key, row, facts, skin, model.seen_at(key.host));
            let text = if column.is_number() {
                format::pad_left(&text, *width)
            } else {
                format::fit(&text, *width)
            };
            put(buf, line, u16::try_from(x).unwrap_or(u16::MAX), &text, style);
            x += width + 1;
        }
        if old {
            buf.set_style(line, skin.dim());
        }
        if model.table.cursor.as_ref() == Some(key) {
            select(line, buf);
            if model.focus == Pane::Log {
                // The keys move elsewhere: still chosen, less loud.
                buf.set_style(line, skin.dim());
            }
        }
    }
}

fn nothing(model: &Model) -> &'static str {
    match (model.table.filter.is_empty(), model.table.problems) {
        (true, true) => "no problems - ! shows all",
        (false, _) => "nothing fits the filter - / changes it, Esc clears it",
        (true, false) => "no components",
    }
}

fn heading(
    model: &Model,
    skin: Skin,
    area: Rect,
    columns: &[(columns::Column, usize)],
    buf: &mut Buffer,
) {
    let row = Rect { height: 1, ..area };
    let mut x = usize::from(area.x) + columns::GUTTER;
    for (column, width) in columns {
        let sorted = sorts(model.table.sort.column, *column);
        let title = column.title();
        let title = if column.is_number() {
            format::pad_left(title, *width)
        } else {
            format::fit(title, *width)
        };
        let style = if sorted { skin.strong() } else { skin.dim() };
        put(buf, row, u16::try_from(x).unwrap_or(u16::MAX), &title, style);
        x += width + 1;
    }
}

/// Whether the table is sorted by this column: its heading is bold.
fn sorts(sort: SortColumn, column: columns::Column) -> bool {
    use columns::Column as C;
    matches!(
        (sort, column),
        (SortColumn::Name, C::Name)
            | (SortColumn::State, C::State)
            | (SortColumn::Health, C::Health)
            | (SortColumn::Uptime, C::Uptime)
            | (SortColumn::Cpu, C::Cpu)
            | (SortColumn::Memory, C::Memory)
            | (SortColumn::Restarts, C::Restarts)
    )
}
