//! Every action with its keys, made from the table of actions.

use ratatui::text::{Line, Span};

use super::Skin;
use crate::console::{
    action::{ACTIONS, Context, Group},
    format,
    model::Model,
};

const KEYS: usize = 14;

pub fn lines(model: &Model, skin: Skin, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![
        Line::raw(" An action is about the marked components, else about the selected one."),
        Line::raw(""),
    ];
    for group in Group::ALL {
        lines.push(Line::styled(format!(" {}", group.title()), skin.strong()));
        for entry in ACTIONS.iter().filter(|entry| entry.group == group) {
            if entry.mutates && model.reads_only() {
                continue;
            }
            let keys: Vec<String> =
                model.settings.keymap.keys(entry.action).iter().map(ToString::to_string).collect();
            let keys = if keys.is_empty() { ":".to_owned() } else { keys.join(" ") };
            let place = match entry.context {
                Context::Everywhere | Context::Components => String::new(),
                other => format!("{}: ", other.word()),
            };
            let id = if width >= 100 { format::pad(entry.id, 29) } else { String::new() };
            lines.push(Line::from(vec![
                Span::styled(format!("  {}", format::pad(&keys, KEYS)), skin.info()),
                Span::styled(id, skin.dim()),
                Span::raw(format!("{place}{}", entry.help)),
            ]));
        }
        lines.push(Line::raw(""));
    }
    lines.push(Line::styled(" In questions", skin.strong()));
    lines.push(Line::raw("  y or the key once more says yes, Esc says no; keys within the first"));
    lines.push(Line::raw("  0.15 s are not taken for an answer. When a component's run changes"));
    lines.push(Line::raw("  while a question is open, the question cancels itself and says so."));
    lines
}
