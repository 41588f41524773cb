//! Boxes over the screen: questions about several components, the sort menu, the palette, and
//! how to leave.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
};

use super::{Skin, palette, put, select};
use crate::{
    console::{
        format,
        model::{Column, Confirm, Model, Overlay, Shape},
    },
    wire::Verb,
};

pub fn render(model: &Model, skin: Skin, area: Rect, buf: &mut Buffer) -> Option<Position> {
    match model.overlay.as_ref()? {
        Overlay::Confirm(question) => {
            if question.shape != Shape::Footer {
                confirm(model, question, skin, area, buf);
            }
            None
        }
        Overlay::Field(_) => None,
        Overlay::Palette(open) => {
            let inner = frame("palette", 76, 16, skin, area, buf);
            Some(palette::render(model, open, skin, inner, buf))
        }
        Overlay::SortMenu { selected } => {
            let rows = u16::try_from(Column::ALL.len()).unwrap_or(u16::MAX);
            let inner = frame("sort by", 30, rows, skin, area, buf);
            let top = (selected + 1).saturating_sub(usize::from(inner.height));
            for (index, (row, column)) in inner.rows().zip(&Column::ALL[top..]).enumerate() {
                put(buf, row, row.x, column.title(), Style::new());
                if top + index == *selected {
                    select(row, buf);
                }
            }
            None
        }
        Overlay::Quit { .. } => {
            quit(model, skin, area, buf);
            None
        }
    }
}

fn quit(model: &Model, skin: Skin, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width.saturating_sub(4)).clamp(12, 52);
    let mut lines = vec![Line::raw("The Supervisor runs in this console."), Line::raw("")];
    lines.extend(choice("d", "detach: everything goes on without a console", width, skin));
    if !model.reads_only() {
        lines.extend(choice("s", "stop all components, then quit", width, skin));
    }
    lines.extend(choice("Esc", "stay here", width, skin));
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let inner = frame("quit", 52, height, skin, area, buf);
    draw(&lines, inner, buf);
}

fn choice(key: &str, text: &str, width: usize, skin: Skin) -> Vec<Line<'static>> {
    let parts = super::info::wrap(text, width.saturating_sub(6).max(6));
    let keys = std::iter::once(key).chain(std::iter::repeat(""));
    let line = |(key, part)| {
        Line::from(vec![Span::styled(format!("{key:>4}  "), skin.strong()), Span::raw(part)])
    };
    keys.zip(parts).map(line).collect()
}

/// The question, who is meant, what depends on them, and at last how to answer: in a low
/// terminal the lists give way, the answer never.
fn confirm(model: &Model, question: &Confirm, skin: Skin, area: Rect, buf: &mut Buffer) {
    let count = question.targets.len();
    let title = match (question.verb, question.targets.as_slice()) {
        (Verb::Kill, [one]) => {
            let pid = one.pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
            format!("kill {}{pid} and its whole tree at once?", one.key.id)
        }
        (verb, [one]) => format!("{verb} {}?", one.key.id),
        (verb, _) => format!("{verb} {count} components?"),
    };
    let text = usize::from(area.width.saturating_sub(4)).clamp(12, 60);
    let mut lists = Vec::new();
    let name = |target: &crate::console::model::Target| {
        let host = model.facts.host(target.key.host).filter(|_| model.many_hosts());
        host.map_or_else(
            || target.key.id.to_string(),
            |host| format!("{}/{}", host.name, target.key.id),
        )
    };
    if count > 1 {
        let names: Vec<String> = question.targets.iter().map(name).collect();
        lists.extend(names_in(&names, "  ", text));
    }
    let dependents = dependents(model, question);
    if !dependents.is_empty() && question.verb != Verb::Start {
        lists.push(Line::styled("these depend on them:", skin.warn()));
        lists.extend(names_in(&dependents, "  ", text));
    }
    let answer = match &question.shape {
        Shape::Footer => Vec::new(),
        Shape::List { yes } => {
            let style = |on: bool| {
                if on { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() }
            };
            vec![Line::from(vec![
                Span::styled(format!("  {}  ", question.verb), style(*yes)),
                Span::raw("   "),
                Span::styled("  cancel  ", style(!*yes)),
                Span::styled(
                    if text < 60 { "   y = yes" } else { "   Tab chooses, Enter does, y = yes" },
                    skin.dim(),
                ),
            ])]
        }
        Shape::Count { typed } => vec![Line::from(vec![
            Span::raw(if text < 60 {
                format!("type {count}, Enter: ")
            } else {
                format!("type {count} and Enter to {}: ", question.verb)
            }),
            Span::styled(format!("{typed}_"), skin.strong()),
            Span::styled("   Esc cancels", skin.dim()),
        ])],
    };
    let titles = super::info::wrap(&title, text);
    let wanted = u16::try_from(lists.len() + answer.len() + titles.len() + 1).unwrap_or(u16::MAX);
    let inner = frame(question.verb.as_str(), 60, wanted, skin, area, buf);
    let room = usize::from(inner.height).saturating_sub(answer.len() + titles.len());
    let mut lines: Vec<Line<'static>> =
        titles.into_iter().map(|title| Line::styled(title, skin.strong())).collect();
    if lists.len() + 1 > room {
        let hidden = lists.len() + 1 - room.saturating_sub(1).min(lists.len());
        lists.truncate(room.saturating_sub(1));
        if room > 0 {
            lists.push(Line::styled(format!("  and {hidden} lines more"), skin.dim()));
        }
    }
    lines.append(&mut lists);
    while lines.len() + answer.len() < usize::from(inner.height) {
        lines.push(Line::raw(""));
    }
    lines.truncate(usize::from(inner.height).saturating_sub(answer.len()));
    lines.extend(answer);
    draw(&lines, inner, buf);
}

/// What depends on the targets and is none of them.
fn dependents(model: &Model, question: &Confirm) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for target in &question.targets {
        for id in model.facts.dependents(&target.key) {
            let meant = question
                .targets
                .iter()
                .any(|other| other.key.host == target.key.host && &*other.key.id == id);
            if !meant && !found.iter().any(|known| known == id) {
                found.push(id.to_owned());
            }
        }
    }
    found
}

fn names_in(names: &[String], indent: &str, width: usize) -> Vec<Line<'static>> {
    let wrapped = super::info::wrap(&names.join(" "), width.saturating_sub(indent.len()));
    wrapped.into_iter().map(|line| Line::raw(format!("{indent}{line}"))).collect()
}

fn draw(lines: &[Line<'_>], area: Rect, buf: &mut Buffer) {
    for (row, line) in area.rows().zip(lines) {
        buf.set_line(row.x, row.y, line, row.width);
    }
}

/// Draws a box of at most this inner size in the middle, and returns its inside.
fn frame(title: &str, width: u16, height: u16, skin: Skin, area: Rect, buf: &mut Buffer) -> Rect {
    let width = width.saturating_add(4).min(area.width);
    let height = height.saturating_add(2).min(area.height);
    let outer = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    for position in outer.positions() {
        if let Some(cell) = buf.cell_mut(position) {
            cell.reset();
        }
    }
    let corners = if skin.ascii { ["+", "+", "+", "+"] } else { ["┌", "┐", "└", "┘"] };
    let last = outer.bottom().saturating_sub(1);
    for row in outer.rows() {
        let edge = row.y == outer.y || row.y == last;
        let (left, right) = match (row.y == outer.y, row.y == last) {
            (true, _) => (corners[0], corners[1]),
            (_, true) => (corners[2], corners[3]),
            _ => (skin.bar(), skin.bar()),
        };
        if edge {
            for x in row.left()..row.right() {
                put(buf, row, x, skin.line(), Style::new());
            }
        }
        put(buf, row, row.x, left, Style::new());
        put(buf, row, row.right().saturating_sub(1), right, Style::new());
    }
    let top = Rect { height: 1.min(outer.height), width: outer.width.saturating_sub(1), ..outer };
    put(
        buf,
        top,
        outer.x + 2,
        &format::fit(&format!(" {title} "), usize::from(width)),
        skin.strong(),
    );
    Rect {
        x: outer.x + 2.min(outer.width),
        y: outer.y + 1.min(outer.height),
        width: outer.width.saturating_sub(4),
        height: outer.height.saturating_sub(2),
    }
}
