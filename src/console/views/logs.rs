//! Lines of a log: on a screen of their own, or in the pane below the table.

use ansi_to_tui::IntoText;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Skin, Theme, columns, put, rule};
use crate::console::{
    feed::Part,
    format,
    model::{LineKind, LogLine, LogView, Model, Pane},
};

/// The pane below the table, about the selected component.
pub fn pane(model: &Model, skin: Skin, area: Rect, buf: &mut Buffer) {
    let focus = model.focus == Pane::Log;
    let Some(view) = &model.preview.view else {
        rule(buf, skin, area, "", ("", Style::new()), focus);
        return;
    };
    let key = view.keys.first();
    let row = key.and_then(|key| model.seen().rows.get(key));
    let name = key.map_or("", |key| &key.id);
    let at = model.seen_at(key.map_or(0, |key| key.host));
    let note = row.map(|row| columns::note(row, at)).unwrap_or_default();
    let title =
        if note.is_empty() { format!("{name} stdout+stderr") } else { format!("{name}: {note}") };
    let (text, style) = position(view, skin, size(below(area)));
    rule(buf, skin, area, &title, (&text, style), focus);
    lines(model, view, skin, below(area), buf);
}

/// A whole screen.
pub fn screen(model: &Model, view: &LogView, skin: Skin, area: Rect, buf: &mut Buffer) {
    let names: Vec<&str> = view.keys.iter().map(|key| &*key.id).collect();
    let mut title = format!("{} stdout+stderr", names.join(" "));
    if let Some(keep) = &view.keep {
        title = format!("{title}  only /{}/", keep.text);
    }
    if let Some(search) = &view.search {
        title = format!("{title}  search /{}/", search.text);
    }
    let (text, style) = position(view, skin, size(below(area)));
    rule(buf, skin, area, &title, (&text, style), true);
    lines(model, view, skin, below(area), buf);
}

/// Bare lines over the whole terminal, for its own selection.
pub fn plain(view: &LogView, skin: Skin, area: Rect, buf: &mut Buffer) {
    let (height, width) = (usize::from(area.height), usize::from(area.width));
    let mut y = area.y;
    for line in view.visible(height, width) {
        if y >= area.bottom() {
            break;
        }
        y = text(view, line, skin, Rect { y, height: area.bottom() - y, ..area }, buf);
    }
}

fn size(area: Rect) -> (usize, usize) {
    (usize::from(area.height), usize::from(area.width))
}

fn below(area: Rect) -> Rect {
    Rect { y: area.y + 1.min(area.height), height: area.height.saturating_sub(1), ..area }
}

/// `FOLLOW`, or `PAUSED +37 new (G)`.
fn position(view: &LogView, skin: Skin, (height, width): (usize, usize)) -> (String, Style) {
    let side = if view.left > 0 { format!("+{} columns  ", view.left) } else { String::new() };
    let place = match view.paging.as_ref().map(|paging| &paging.part) {
        Some(Part::Until(_)) => "reading older lines  ",
        Some(Part::Since(_)) => "going there  ",
        Some(Part::After(_)) => "reading on  ",
        None if view.is_at_beginning(height, width) => "first line  ",
        None => "",
    };
    match (view.follows(), view.unread) {
        (true, _) => (format!("{place}{side}FOLLOW"), skin.ok()),
        (false, 0) => (format!("{place}{side}PAUSED (G follows)"), skin.warn()),
        (false, unread) => (format!("{place}{side}PAUSED +{unread} new (G)"), skin.warn()),
    }
}

fn lines(model: &Model, view: &LogView, skin: Skin, area: Rect, buf: &mut Buffer) {
    let (height, width) = (usize::from(area.height), usize::from(area.width));
    if height == 0 {
        return;
    }
    let mut y = area.y;
    let mut any = false;
    for line in view.visible(height, width) {
        if y >= area.bottom() {
            return;
        }
        any = true;
        let place = Rect { y, height: area.bottom() - y, ..area };
        y = match line.kind {
            LineKind::Out | LineKind::Err => {
                gutter(model, view, line, skin, place, buf);
                let indent = u16::try_from(view.gutter()).unwrap_or(u16::MAX).min(place.width);
                let inner = Rect { x: place.x + indent, width: place.width - indent, ..place };
                text(view, line, skin, inner, buf)
            }
            LineKind::Marker | LineKind::Lost => {
                marker(model, view, line, skin, place, buf);
                y + 1
            }
        };
    }
    if !any {
        let why = if view.keep.is_some() && !view.lines().is_empty() {
            "no line matches - & changes what is kept"
        } else {
            "no output yet"
        };
        put(buf, area, area.x + 3, why, skin.dim());
    }
}

fn gutter(model: &Model, view: &LogView, line: &LogLine, skin: Skin, area: Rect, buf: &mut Buffer) {
    let mut x = area.x;
    if view.stamps {
        put(buf, area, x, &stamp(model, line), skin.dim());
        x += 13;
    }
    if view.is_merged() {
        let name = view.keys.get(usize::from(line.id.source)).map_or("", |key| &key.id);
        let name = format::pad(name, view.name_width());
        x = put(buf, area, x, &name, skin.info()) + 1;
    }
    let style = if line.error { skin.error() } else { skin.dim() };
    if view.found == Some(line.id) {
        put(buf, area, x, ">", skin.strong());
    } else if line.kind == LineKind::Err {
        put(buf, area, x, skin.bar(), style);
        put(buf, area, x + 1, "e", style);
    } else if line.error {
        put(buf, area, x, skin.bar(), style);
    }
}

fn stamp(model: &Model, line: &LogLine) -> String {
    let at = jiff::Timestamp::from_millisecond(line.id.at).unwrap_or_default();
    format::local_time(at, &model.settings.zone, "%H:%M:%S%.3f")
}

/// `── exit SIGSEGV · restart 4/10 ──`, `── 312 lines dropped ──`.
fn marker(model: &Model, view: &LogView, line: &LogLine, skin: Skin, area: Rect, buf: &mut Buffer) {
    let name = view.keys.get(usize::from(line.id.source)).filter(|_| view.is_merged());
    let name = name.map_or(String::new(), |key| format!("{} ", key.id));
    let rule = skin.line().repeat(2);
    let at = if view.stamps { format!("{} ", stamp(model, line)) } else { String::new() };
    let shown = format!("{at}{rule} {name}{} {rule}", line.text);
    let style = match line.kind {
        LineKind::Lost => skin.warn(),
        _ if line.error => skin.error(),
        _ => skin.dim(),
    };
    put(buf, area, area.x, &shown, style);
}

/// Draws a line's text and returns the row below it.
fn text(view: &LogView, line: &LogLine, skin: Skin, area: Rect, buf: &mut Buffer) -> u16 {
    let plain = line.plain();
    let marks = view.search.as_ref().map(|search| search.ranges(&plain)).unwrap_or_default();
    let styled = if line.text.len() == plain.len() {
        vec![(plain, Style::new())]
    } else {
        styles(&line.text, skin)
    };
    let rows = if view.wrap { view.rows(line, usize::from(area.width) + view.gutter()) } else { 1 };
    let bottom = area.y.saturating_add(u16::try_from(rows).unwrap_or(u16::MAX)).min(area.bottom());
    let mut brush = Brush { area, bottom, x: area.x, y: area.y, skip: view.left };
    let mut at = 0;
    for (part, style) in styled {
        for character in part.chars() {
            let found = marks.iter().any(|mark| mark.contains(&at));
            let style = if found { style.add_modifier(Modifier::REVERSED) } else { style };
            at += character.len_utf8();
            if !brush.draw(character, style, buf) {
                return bottom;
            }
        }
    }
    bottom
}

/// Draws characters one after the other within some rows.
struct Brush {
    area: Rect,
    bottom: u16,
    x: u16,
    y: u16,
    /// Columns at the left that are scrolled away.
    skip: usize,
}

impl Brush {
    /// Tells whether there is room for more.
    fn draw(&mut self, character: char, style: Style, buf: &mut Buffer) -> bool {
        let width = character.width().unwrap_or(0);
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(width);
            return true;
        }
        let columns = u16::try_from(width).unwrap_or(0);
        if width == 0 {
            // A combining mark joins the cell before it.
            if self.x > self.area.x
                && let Some(cell) = buf.cell_mut((self.x - 1, self.y))
            {
                let joined = format!("{}{character}", cell.symbol());
                cell.set_symbol(&joined);
            }
            return true;
        }
        if self.x + columns > self.area.right() {
            self.x = self.area.x;
            self.y += 1;
        }
        if self.y >= self.bottom || self.x + columns > self.area.right() {
            return false;
        }
        let mut text = [0; 4];
        buf.set_stringn(self.x, self.y, character.encode_utf8(&mut text), width, style);
        self.x += columns;
        true
    }
}

/// Parts of a text with SGR sequences. Without colours, only the modifiers are kept.
fn styles(text: &str, skin: Skin) -> Vec<(String, Style)> {
    let Ok(parsed) = text.into_text() else {
        return vec![(crate::console::sanitize::strip(text), Style::new())];
    };
    let spans = parsed.lines.into_iter().flat_map(|line| line.spans);
    spans
        .map(|span| {
            let mut style = span.style;
            if skin.theme == Theme::Mono {
                (style.fg, style.bg) = (None, None);
            }
            if style.fg == Some(Color::Reset) {
                style.fg = None;
            }
            // Nothing of ours blinks, and nothing can be hidden.
            style = style
                .remove_modifier(Modifier::SLOW_BLINK | Modifier::RAPID_BLINK | Modifier::HIDDEN);
            (span.content.into_owned(), style)
        })
        .filter(|(content, _)| content.width() > 0 || !content.is_empty())
        .collect()
}
