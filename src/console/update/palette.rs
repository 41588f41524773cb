//! The palette: every action by name, and the few commands that take a text.

use tui_input::Input;

use super::{Effect, act, logs};
use crate::{
    console::{
        action::{ACTIONS, Entry},
        key::{Code, Key},
        model::{Filter, Model, Overlay, Palette, PaletteItem, edit, score},
    },
    wire::Severity,
};

const HISTORY: usize = 50;

pub(super) fn open(model: &mut Model) {
    let items = items(model, "");
    let palette = Palette { input: Input::default(), items, selected: 0, recalled: 0 };
    model.overlay = Some(Overlay::Palette(palette));
}

/// Lists what fits the text anew.
pub(super) fn search(model: &mut Model) {
    let Some(Overlay::Palette(palette)) = &model.overlay else { return };
    let items = items(model, palette.input.value());
    if let Some(Overlay::Palette(palette)) = &mut model.overlay {
        palette.items = items;
        palette.selected = 0;
    }
}

fn items(model: &Model, text: &str) -> Vec<PaletteItem> {
    let text = text.trim().to_lowercase();
    let offered = ACTIONS.iter().filter(|entry| !(entry.mutates && model.reads_only()));
    let scored = offered.filter_map(|entry| {
        let score = fit(&text, entry)?;
        Some(PaletteItem { action: entry.action, score })
    });
    let mut items: Vec<PaletteItem> = scored.collect();
    items.sort_by_key(|item| item.score);
    items
}

/// The id counts more than the explanation.
fn fit(text: &str, entry: &Entry) -> Option<u32> {
    let in_help = || entry.help.to_lowercase().contains(text).then_some(300);
    score(text, entry.id).or_else(in_help)
}

pub(super) fn key(model: &mut Model, mut palette: Palette, key: Key, effects: &mut Vec<Effect>) {
    match key.code {
        Code::Esc => return,
        Code::Enter => {
            run(model, &palette, effects);
            return;
        }
        Code::Backspace if palette.input.value().is_empty() => return,
        Code::Down | Code::Tab => {
            palette.selected = (palette.selected + 1).min(palette.items.len().saturating_sub(1));
        }
        Code::Up if palette.selected > 0 => palette.selected -= 1,
        // At the top of the list, up goes through what was entered before.
        Code::Up => {
            palette.recalled = (palette.recalled + 1).min(model.palette_history.len());
            let at = model.palette_history.len() - palette.recalled;
            if let Some(before) = model.palette_history.get(at) {
                palette.input = Input::new(before.clone());
                palette.items = items(model, before);
            }
        }
        _ => {
            if edit(&mut palette.input, key) {
                palette.items = items(model, palette.input.value());
                palette.selected = 0;
            }
        }
    }
    model.overlay = Some(Overlay::Palette(palette));
}

fn run(model: &mut Model, palette: &Palette, effects: &mut Vec<Effect>) {
    let text = palette.input.value().trim().to_owned();
    if !text.is_empty() {
        model.palette_history.retain(|before| *before != text);
        if model.palette_history.len() == HISTORY {
            model.palette_history.remove(0);
        }
        model.palette_history.push(text.clone());
    }
    let result = match text.split_once(' ') {
        Some(("w", file)) => logs::save(model, file.trim(), effects),
        Some(("filter", wanted)) => {
            Filter::parse(wanted).map_err(|error| error.to_string()).map(|filter| {
                model.screens.truncate(1);
                model.table.filter = filter;
                model.table.dirty = true;
            })
        }
        _ => {
            // `:q` leaves as in vim.
            let chosen = if text == "q" { "quit" } else { &text };
            let exact = palette
                .items
                .iter()
                .find(|item| crate::console::action::entry_of(item.action).id == chosen);
            let exact = exact.filter(|_| palette.selected == 0);
            match exact.or(palette.items.get(palette.selected)) {
                Some(item) => {
                    act::act(model, item.action, effects);
                    Ok(())
                }
                None => Err(format!("no action is called \"{text}\"")),
            }
        }
    };
    if let Err(why) = result {
        model.toast(Severity::Warning, why);
    }
}
