//! The last line: a field or a question; else what was told; else a lost link; else the hints.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
};
use unicode_width::UnicodeWidthStr;

use super::{Skin, put};
use crate::console::{
    action::{ACTIONS, Action, Context, Entry},
    format,
    model::{Confirm, Field, LinkState, Model, Overlay, Screen, Shape},
};
use crate::wire::Severity;

pub fn render(model: &Model, skin: Skin, area: Rect, buf: &mut Buffer) -> Option<Position> {
    match &model.overlay {
        Some(Overlay::Field(field)) => return Some(self::field(field, skin, area, buf)),
        Some(Overlay::Confirm(question)) if question.shape == Shape::Footer => {
            put(buf, area, area.x + 1, &self::question(question, model, area), skin.strong());
            return None;
        }
        _ => {}
    }
    // The gravest, of those the latest; the others are told by number.
    if let Some(toast) = model.toasts.iter().max_by_key(|toast| toast.severity) {
        let style = skin.severity(toast.severity);
        let grave = |toast: &&crate::console::model::Toast| toast.severity > Severity::Info;
        let more = model.toasts.iter().filter(grave).count().saturating_sub(1);
        let text =
            if more > 0 { format!("{} (+{more}: e)", toast.text) } else { toast.text.clone() };
        let text = format::fit(&text, usize::from(area.width).saturating_sub(2));
        put(buf, area, area.x + 1, &text, style);
        return None;
    }
    let mut x = area.x + 1;
    if let Some(text) = link(model, skin) {
        x = put(buf, area, x, &text, skin.warn()) + 2;
    }
    hints(model, skin, x, area, buf);
    None
}

fn field(field: &Field, skin: Skin, area: Rect, buf: &mut Buffer) -> Position {
    let x = put(buf, area, area.x + 1, &field.label(), skin.dim());
    let room = usize::from(area.right().saturating_sub(x + 1));
    let scroll = field.input.visual_scroll(room);
    let mut skipped = 0;
    let visible: String = field
        .input
        .value()
        .chars()
        .skip_while(|character| {
            let hidden = skipped < scroll;
            skipped += unicode_width::UnicodeWidthChar::width(*character).unwrap_or(0);
            hidden
        })
        .collect();
    let end = put(buf, area, x, &visible, Style::new());
    if let Some(complaint) = &field.complaint {
        put(buf, area, end + 2, complaint, skin.error());
    }
    let cursor = field.input.visual_cursor().saturating_sub(scroll);
    let cursor = x.saturating_add(u16::try_from(cursor).unwrap_or(0));
    Position { x: cursor.min(area.right().saturating_sub(1)), y: area.y }
}

/// `restart ps (pid 42151)? r or y = yes, other = no`. The name gives way, never the keys.
fn question(question: &Confirm, model: &Model, area: Rect) -> String {
    let Some(target) = question.targets.first() else { return String::new() };
    let key = match question.verb {
        crate::wire::Verb::Stop => Action::Stop,
        crate::wire::Verb::Start => Action::Start,
        _ => Action::Restart,
    };
    let keys = model.settings.keymap.keys(key);
    let again = keys.first().map_or(String::new(), |key| format!("{key} or "));
    let pid = target.pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
    let end = format!("{pid}? {again}y = yes, other = no");
    let room =
        usize::from(area.width).saturating_sub(end.width() + question.verb.as_str().len() + 3);
    format!("{} {}{end}", question.verb, format::fit(&target.key.id, room.max(4)))
}

/// `STALE 14 s · reconnecting in 2 s · r now`.
fn link(model: &Model, skin: Skin) -> Option<String> {
    let dot = skin.dot();
    let host = model.facts.hosts.iter().find(|host| host.link != LinkState::Live)?;
    let name = if model.many_hosts() { format!("{} ", host.name) } else { String::new() };
    let old = host.stale_since().map(|since| format!("STALE {} s", model.age(since).as_secs()));
    Some(match &host.link {
        LinkState::Live => return None,
        LinkState::Connecting { .. } => format!("{name}connecting"),
        LinkState::Lost { retry_at, .. } => {
            let left = retry_at.since(model.now.mono).as_millis().div_ceil(1000);
            let next = if left == 0 {
                "reconnecting".to_owned()
            } else {
                format!("reconnecting in {left} s")
            };
            format!("{name}{} {dot} {next} {dot} r now", old.unwrap_or_default())
        }
        LinkState::VersionMismatch { ours, theirs, .. } => {
            format!("{name}{} {dot} it runs {theirs}, this is {ours}", old.unwrap_or_default())
        }
        LinkState::Refused { why, .. } => format!("{name}{why}"),
    })
}

/// What there is to do where there are no components.
fn needs_nothing(action: Action) -> bool {
    matches!(action, Action::Help | Action::Quit | Action::Events | Action::Palette | Action::Back)
}

/// Hints in their order, each whole or not at all.
fn hints(model: &Model, skin: Skin, mut x: u16, area: Rect, buf: &mut Buffer) {
    let context = match model.screen() {
        Screen::Components => Context::Components,
        Screen::Details(_) => Context::Details,
        Screen::Logs(_) => Context::Logs,
        Screen::SupervisorLog { .. } => Context::SupervisorLog,
        Screen::Events(_) | Screen::Help(_) => Context::Everywhere,
    };
    let mut entries: Vec<(&Entry, &str, u8)> = ACTIONS
        .iter()
        .filter(|entry| entry.context == Context::Everywhere || entry.context == context)
        .filter(|entry| !(entry.mutates && model.reads_only()))
        .filter(|entry| context != Context::Components || entry.action != Action::Back)
        .filter(|entry| !model.facts.order.is_empty() || needs_nothing(entry.action))
        .filter(|entry| !(entry.mutates && context == Context::Everywhere))
        .filter_map(|entry| entry.hint.map(|(word, rank)| (entry, word, rank)))
        .collect();
    entries.sort_by_key(|(.., rank)| *rank);
    for (entry, word, _) in entries {
        let keys = model.settings.keymap.keys(entry.action);
        // A key that the screen uses for something else is no hint here.
        let key = keys
            .iter()
            .find(|key| model.settings.keymap.action(context, **key) == Some(entry.action));
        let Some(key) = key else { continue };
        let key = key.to_string();
        let width = key.width() + 1 + word.width();
        if usize::from(x) + width >= usize::from(area.right()) {
            break;
        }
        let after = put(buf, area, x, &key, skin.strong());
        x = put(buf, area, after + 1, word, skin.dim()) + 2;
    }
}
