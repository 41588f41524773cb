//! The details of one component, in tabs.

use std::collections::BTreeMap;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
};

use super::{Skin, charts, events, info, paragraph, put};
use crate::{
    console::{
        format,
        model::{Details, Model, Range, Row, RowKey, Scroll, Tab},
        sanitize,
    },
    wire::{EventKind, EventRecord, ProcessInfo},
};

pub fn render(model: &Model, details: &Details, skin: Skin, area: Rect, buf: &mut Buffer) {
    let mut x = area.x + 1;
    let row = Rect { height: 1.min(area.height), ..area };
    for tab in Tab::ALL {
        let chosen = tab == details.tab;
        // In a narrow terminal the chosen tab alone tells where one is.
        let short = area.width < 70 && !chosen;
        let title = if short { &tab.title()[..3] } else { tab.title() };
        let style = if chosen { Style::new().add_modifier(Modifier::REVERSED) } else { skin.dim() };
        x = put(buf, row, x, &format!(" {title} "), style);
    }
    let inner =
        Rect { y: area.y + 2.min(area.height), height: area.height.saturating_sub(2), ..area };
    if details.tab == Tab::Charts {
        charts::render(model, &details.key, details.range, skin, inner, buf);
        let line = Rect { y: area.y + 1.min(area.height), height: 1, ..area };
        if line.y < area.bottom() {
            let mut x = line.x + 1;
            for range in Range::ALL {
                let chosen = range == details.range;
                let style = if chosen { skin.strong() } else { skin.dim() };
                let text = if chosen {
                    format!("[{}]", range.title())
                } else {
                    format!(" {} ", range.title())
                };
                x = put(buf, line, x, &text, style) + 1;
            }
            let hint = if area.width >= 50 { "- shorter  + longer" } else { "- +" };
            put(buf, line, x + 1, hint, skin.dim());
        }
        return;
    }
    let lines = lines(model, details, skin, usize::from(area.width));
    let (height, count) = (usize::from(inner.height), lines.len());
    if count > height {
        let last = (details.scroll.min(count - height) + height).min(count);
        let text = format!("{last} of {count} lines");
        let line = Rect { y: area.y + 1.min(area.height), height: 1, ..area };
        let width = u16::try_from(text.len() + 1).unwrap_or(u16::MAX).min(line.width);
        put(buf, line, line.right() - width, &text, skin.dim());
    }
    paragraph(&lines, Scroll { top: Some(details.scroll) }, inner, buf);
}

/// The text of the chosen tab.
pub fn lines(model: &Model, details: &Details, skin: Skin, width: usize) -> Vec<Line<'static>> {
    let key = &details.key;
    let Some(row) = model.seen().rows.get(key) else {
        return vec![Line::raw(" this component is no longer in the registry")];
    };
    match details.tab {
        Tab::Info => info::lines(model, key, row, skin, width),
        Tab::Charts => Vec::new(),
        Tab::Events => own_events(model, key, skin, width),
        Tab::Environment => environment(row, skin, width),
        Tab::Dependencies => dependencies(model, key, row, skin),
        Tab::Processes => processes(row, skin, width),
    }
}

fn own_events(model: &Model, key: &RowKey, skin: Skin, width: usize) -> Vec<Line<'static>> {
    let facts = model.seen();
    let own = facts
        .events
        .iter()
        .rev()
        .filter(|(host, event)| *host == Some(key.host) && concerns(event, &key.id));
    let lines: Vec<Line<'static>> =
        own.map(|(_, event)| events::line(model, None, event, false, skin, width)).collect();
    if lines.is_empty() { vec![waiting("no events yet", skin)] } else { lines }
}

/// Whether an event is about this component: alone, or among those of a command.
fn concerns(event: &EventRecord, id: &str) -> bool {
    match &event.component {
        Some(component) => component == id,
        None if event.kind == EventKind::Command => {
            let names = event.text.split_once(": ").map_or("", |(_, names)| names);
            names.split(' ').any(|name| name == id) || names.ends_with(" components")
        }
        None => false,
    }
}

/// Names that give a secret away, whatever the engine thinks of them.
fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 9] = [
        "PASSWORD",
        "PASSWD",
        "SECRET",
        "TOKEN",
        "APIKEY",
        "API_KEY",
        "PRIVATE",
        "CREDENTIAL",
        "PASSPHRASE",
    ];
    let name = name.to_uppercase();
    PARTS.iter().any(|part| name.contains(part))
}

fn environment(row: &Row, skin: Skin, width: usize) -> Vec<Line<'static>> {
    let Some(details) = row.details.as_deref() else { return vec![waiting("asking", skin)] };
    if details.environment.is_empty() {
        return vec![waiting("the registry adds nothing to the environment", skin)];
    }
    let longest = details.environment.iter().map(|variable| variable.name.len()).max();
    let names = longest.unwrap_or(0).min(width / 2);
    let line = |variable: &crate::wire::EnvironmentVariable| {
        let name = format::pad(&sanitize::plain(&variable.name), names);
        let value = variable.value.as_deref().filter(|_| !is_secret(&variable.name));
        let value = match value {
            Some(value) => Span::raw(sanitize::plain(value)),
            None => Span::styled("********", skin.dim()),
        };
        Line::from(vec![Span::raw(format!(" {name}  ")), value])
    };
    details.environment.iter().map(line).collect()
}

fn dependencies(model: &Model, key: &RowKey, row: &Row, skin: Skin) -> Vec<Line<'static>> {
    let facts = model.seen();
    let mut lines = vec![Line::styled(" starts after", skin.dim())];
    let list = |lines: &mut Vec<Line<'static>>, ids: &[&str]| {
        if ids.is_empty() {
            lines.push(Line::styled("   nothing", skin.dim()));
        }
        for id in ids {
            let other = facts.rows.get(&RowKey::new(key.host, id));
            let line = match other {
                Some(other) => {
                    let (glyph, style) = skin.state(other, !facts.is_live(key));
                    Line::from(vec![
                        Span::styled(format!("   {glyph} "), style),
                        Span::raw(format!("{id}  ")),
                        Span::styled(other.status.state.to_string(), style),
                    ])
                }
                None => Line::raw(format!("   ? {id}")),
            };
            lines.push(line);
        }
    };
    let on: Vec<&str> = row.depends_on.iter().map(String::as_str).collect();
    list(&mut lines, &on);
    lines.push(Line::raw(""));
    lines.push(Line::styled(" needed by, directly or through others", skin.dim()));
    list(&mut lines, &facts.dependents(key));
    lines
}

/// The tree, children indented below their parents.
fn processes(row: &Row, skin: Skin, width: usize) -> Vec<Line<'static>> {
    let Some(details) = row.details.as_deref() else { return vec![waiting("asking", skin)] };
    if details.processes.is_empty() {
        return vec![waiting("no process lives", skin)];
    }
    let mut depths: BTreeMap<u32, usize> = BTreeMap::new();
    let wide = width >= 60;
    let more = if wide { "  THR    FD" } else { "" };
    let mut lines = vec![Line::styled(format!("     PID  CPU%   MEM{more}  COMMAND"), skin.dim())];
    for process in &details.processes {
        let depth = depths.get(&process.parent).map_or(0, |depth| (depth + 1).min(12));
        depths.insert(process.pid, depth);
        lines.push(Line::raw(process_line(process, depth, wide)));
    }
    lines
}

fn process_line(process: &ProcessInfo, depth: usize, wide: bool) -> String {
    let cpu = process.cpu_percent.map_or_else(|| "-".to_owned(), format::cpu);
    let memory = process.memory_bytes.map_or_else(|| "-".to_owned(), format::bytes);
    let files = process.open_files.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let more = if wide { format!("{:>5} {files:>5}", process.threads) } else { String::new() };
    let command = sanitize::plain(&process.command);
    format!(" {:>7} {cpu:>5} {memory:>5}{more}  {}{command}", process.pid, "  ".repeat(depth))
}

fn waiting(text: &str, skin: Skin) -> Line<'static> {
    Line::styled(format!(" {text}"), skin.dim())
}
