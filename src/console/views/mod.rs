//! How the model looks. Every view is a function of the model, the skin and a place in the
//! buffer; none changes anything, none knows what is elsewhere on the screen.

mod chart;
mod charts;
mod columns;
mod details;
mod dialog;
mod empty;
mod events;
mod footer;
mod header;
mod help;
mod info;
mod logs;
mod palette;
mod side;
mod skin;
mod supervisor_log;
mod table;

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::{Modifier, Style},
    text::Line,
};

pub use skin::{Skin, Theme};
pub use supervisor_log::Position as SupervisorLogPosition;

use super::{
    layout,
    model::{Model, Screen, Scroll},
};

/// What a frame needs beside the model: how it looks, and what tui-logger keeps by itself.
#[derive(Debug)]
pub struct Stage {
    pub skin: Skin,
    pub supervisor_log: SupervisorLogPosition,
}

/// Draws everything. The cursor stands at the returned place, or is hidden.
pub fn render(model: &Model, stage: &Stage, buf: &mut Buffer) -> Option<Position> {
    let skin = stage.skin;
    let area = buf.area;
    if let Screen::Logs(view) = model.screen()
        && view.plain
    {
        logs::plain(view, skin, area, buf);
        return None;
    }
    let Some(layout) = layout::of(model) else {
        let text = format!("too small: {}x{} needed", layout::SMALLEST.0, layout::SMALLEST.1);
        buf.set_stringn(area.x, area.y, text, usize::from(area.width), Style::new());
        return None;
    };
    header::render(model, skin, layout.header, buf);
    if let Some(strip) = layout.strip {
        empty::first_run(model, skin, strip, buf);
    }
    match model.screen() {
        Screen::Components if model.seen().order.is_empty() => {
            empty::render(model, skin, layout.body, buf);
        }
        Screen::Components => {
            table::render(model, skin, layout.table, buf);
            if let Some(log) = layout.log {
                logs::pane(model, skin, log, buf);
            }
            if let Some(side) = layout.side {
                side::render(model, skin, side, buf);
            }
        }
        Screen::Details(details) => details::render(model, details, skin, layout.body, buf),
        Screen::Logs(view) => logs::screen(model, view, skin, layout.body, buf),
        Screen::SupervisorLog { targets } => {
            supervisor_log::render(model, *targets, stage, layout.body, buf);
        }
        Screen::Events(scroll) => events::render(model, *scroll, skin, layout.body, buf),
        Screen::Help(scroll) => {
            let lines = help::lines(model, skin, usize::from(layout.body.width));
            paragraph(&lines, *scroll, layout.body, buf);
        }
    }
    if model.facts.hosts.iter().all(|host| host.stale_since().is_some()) {
        buf.set_style(layout.body, skin.dim());
    }
    let cursor = footer::render(model, skin, layout.footer, buf);
    dialog::render(model, skin, layout.body, buf).or(cursor)
}

/// Lines of the current screen's text, to scroll in.
pub fn lines(model: &Model) -> usize {
    let width = usize::from(model.size.0);
    match model.screen() {
        Screen::Details(details) => details::lines(model, details, Skin::DARK, width).len() + 2,
        Screen::Events(_) => model.seen().events.len(),
        Screen::Help(_) => help::lines(model, Skin::DARK, width).len(),
        Screen::Components | Screen::Logs(_) | Screen::SupervisorLog { .. } => 0,
    }
}

/// Lines from a scrolled place on.
fn paragraph(lines: &[Line<'_>], scroll: Scroll, area: Rect, buf: &mut Buffer) {
    let last = lines.len().saturating_sub(usize::from(area.height));
    let top = scroll.top.unwrap_or(last).min(last);
    for (row, line) in area.rows().zip(&lines[top..]) {
        buf.set_line(row.x, row.y, line, row.width);
    }
}

/// Text at a place, cut to what is left of `area`'s first row; returns the column behind it.
fn put(buf: &mut Buffer, area: Rect, x: u16, text: &str, style: Style) -> u16 {
    if x >= area.right() || area.height == 0 {
        return x;
    }
    buf.set_stringn(x, area.y, text, usize::from(area.right() - x), style).0
}

/// The one look of a selected line: reverse, without colours of its own.
fn select(area: Rect, buf: &mut Buffer) {
    for position in area.positions() {
        if let Some(cell) = buf.cell_mut(position) {
            let style = Style::reset().add_modifier(Modifier::REVERSED);
            cell.set_style(style);
        }
    }
}

/// A titled rule across an area's first row.
fn rule(buf: &mut Buffer, skin: Skin, area: Rect, title: &str, right: (&str, Style), focus: bool) {
    use unicode_width::UnicodeWidthStr;
    let row = Rect { height: 1.min(area.height), ..area };
    for position in row.positions() {
        if let Some(cell) = buf.cell_mut(position) {
            cell.set_symbol(skin.line()).set_style(skin.dim());
        }
    }
    let style = if focus { skin.strong() } else { Style::new() };
    let room = usize::from(row.width).saturating_sub(right.0.width() + 4);
    let title = super::format::fit(title, room.saturating_sub(2));
    put(buf, row, row.x, &format!(" {title} "), style);
    let width = u16::try_from(right.0.width() + 2).unwrap_or(u16::MAX);
    if !right.0.is_empty() && width < row.width {
        put(buf, row, row.right() - width, &format!(" {} ", right.0), right.1);
    }
}
