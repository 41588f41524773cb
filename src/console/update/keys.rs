//! Whom a key is for: the overlay, else the screen's keymap.

use super::{Effect, Leave, act, confirm, hold, logs, palette};
use crate::{
    console::{
        action::{Action, Context},
        key::{Code, Key},
        layout,
        model::{
            Column, Confirm, Field, Filter, Model, Overlay, Pane, Purpose, Screen, Sort, edit,
        },
    },
    wire::Severity,
};

/// Tells whether the table is to be sorted at once.
pub(super) fn key(model: &mut Model, key: Key, effects: &mut Vec<Effect>) -> bool {
    match model.overlay.take() {
        Some(Overlay::Confirm(question)) => {
            model.overlay = confirm::key(model, question, key, effects).map(Overlay::Confirm);
            false
        }
        Some(Overlay::Field(field)) => {
            model.overlay = self::field(model, field, key, effects).map(Overlay::Field);
            true
        }
        Some(Overlay::Palette(open)) => {
            palette::key(model, open, key, effects);
            true
        }
        Some(Overlay::SortMenu { selected }) => {
            model.overlay = sort_menu(model, selected, key);
            true
        }
        Some(Overlay::Quit { opened }) => {
            if model.now.mono.since(opened) < Confirm::DEAF {
                model.overlay = Some(Overlay::Quit { opened });
            } else {
                match key.typed() {
                    Some('d') => effects.push(Effect::Leave(Leave::Detach)),
                    Some('s') if !model.reads_only() => effects.push(Effect::Leave(Leave::StopAll)),
                    _ => {}
                }
            }
            false
        }
        None => match model.settings.keymap.action(context(model), key) {
            Some(action) => act::act(model, action, effects),
            None => false,
        },
    }
}

/// The context of the current screen.
pub(super) fn context(model: &Model) -> Context {
    match model.screen() {
        Screen::Components => Context::Components,
        Screen::Details(_) => Context::Details,
        Screen::Logs(_) => Context::Logs,
        Screen::SupervisorLog { .. } => Context::SupervisorLog,
        Screen::Events(_) | Screen::Help(_) => Context::Everywhere,
    }
}

/// Pasted text is typed into a field; elsewhere it would be a row of commands.
pub(super) fn paste(model: &mut Model, text: &str) {
    let line = text.lines().next().unwrap_or_default();
    let typed = line.chars().filter(|character| !character.is_control()).map(Key::char);
    match &mut model.overlay {
        Some(Overlay::Field(field)) => {
            typed.for_each(|key| {
                edit(&mut field.input, key);
            });
            let text = field.input.value().to_owned();
            if field.purpose == Purpose::Filter {
                apply_filter(model, &text);
            }
        }
        Some(Overlay::Palette(open)) => {
            typed.for_each(|key| {
                edit(&mut open.input, key);
            });
            palette::search(model);
        }
        _ => model.toast(Severity::Info, "pasted text is ignored: there is no field to paste into"),
    }
}

/// A click chooses a row.
pub(super) fn click(model: &mut Model, _column: u16, row: u16) {
    let Some(layout) = layout::of(model) else { return };
    if model.overlay.is_some() || !matches!(model.screen(), Screen::Components) {
        return;
    }
    if row > layout.table.y && row < layout.table.bottom() {
        let at = model.table.top + usize::from(row - layout.table.y - 1);
        if let Some(key) = model.table.shown.get(at) {
            model.table.cursor = Some(key.clone());
            model.focus = Pane::Table;
        }
    } else if layout.log.is_some_and(|log| row >= log.y && row < log.bottom()) {
        model.focus = Pane::Log;
    }
    model.wants(crate::console::model::Urgency::Now);
}

fn field(
    model: &mut Model,
    mut field: Field,
    key: Key,
    effects: &mut Vec<Effect>,
) -> Option<Field> {
    match key.code {
        Code::Esc => {
            if field.purpose == Purpose::Filter {
                apply_filter(model, &field.before);
            }
            return None;
        }
        Code::Enter => {
            let text = field.input.value().trim().to_owned();
            let done = match field.purpose {
                Purpose::Filter => {
                    let filter = Filter::parse(&text);
                    filter
                        .map(|filter| model.table.filter = filter)
                        .map_err(|error| error.to_string())
                }
                Purpose::Search { back } => logs::search(model, &text, back),
                Purpose::Keep => logs::keep(model, &text),
                Purpose::TimeJump => logs::jump(model, &text),
                Purpose::SaveLog => logs::save(model, &text, effects),
                Purpose::Hold => {
                    hold::hold(model, &field.about, &text, effects);
                    Ok(())
                }
            };
            return match done {
                Ok(()) => None,
                Err(complaint) => {
                    field.complaint = Some(complaint);
                    Some(field)
                }
            };
        }
        // Backspace in an empty field leaves it, as in vim and less.
        Code::Backspace if field.input.value().is_empty() => return None,
        _ => {}
    }
    if edit(&mut field.input, key) {
        field.complaint = None;
        if field.purpose == Purpose::Filter {
            let text = field.input.value().to_owned();
            field.complaint = apply_filter(model, &text);
        }
    }
    Some(field)
}

/// The table follows while one types; what cannot be understood changes nothing yet.
fn apply_filter(model: &mut Model, text: &str) -> Option<String> {
    match Filter::parse(text) {
        Ok(filter) => {
            model.table.filter = filter;
            model.table.dirty = true;
            None
        }
        Err(error) => Some(error.to_string()),
    }
}

fn sort_menu(model: &mut Model, selected: usize, key: Key) -> Option<Overlay> {
    let last = Column::ALL.len() - 1;
    let moved = match model.settings.keymap.action(Context::Components, key) {
        Some(Action::Up) => selected.saturating_sub(1),
        Some(Action::Down) => (selected + 1).min(last),
        Some(Action::Open) => {
            model.table.sort = Sort { column: Column::ALL[selected], inverted: false };
            return None;
        }
        Some(Action::SortInvert) => {
            model.table.sort.inverted = !model.table.sort.inverted;
            return None;
        }
        _ => return None,
    };
    Some(Overlay::SortMenu { selected: moved })
}
