//! What each action does.

use super::{Effect, Leave, LogMove, command, hold, keys, logs, palette};
use crate::{
    console::{
        action::{Action, Context, entry_of},
        layout,
        model::{
            Column, Details, Field, Frozen, LogLine, LogView, Model, Overlay, Pane, Purpose,
            RowKey, SCREEN_BYTES, Screen, Scroll, Sort, Urgency,
        },
    },
    wire::{Severity, Verb},
};

/// Tells whether the table is to be sorted at once.
#[expect(clippy::too_many_lines, reason = "a table: one arm for each action")]
pub(super) fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) -> bool {
    let entry = entry_of(action);
    // From the palette an action may come to a screen that it is not for.
    if entry.context != Context::Everywhere && entry.context != keys::context(model) {
        if entry.context == Context::Components {
            model.screens.truncate(1);
        } else if action == Action::Targets {
            model.screens.push(Screen::SupervisorLog { targets: false });
        } else {
            let text = format!("{}: only on the {} screen", entry.id, entry.context.word());
            model.toast(Severity::Info, text);
            return false;
        }
    }
    match action {
        Action::Up => move_by(model, -1, effects),
        Action::Down => move_by(model, 1, effects),
        Action::HalfUp => move_by(model, -half_page(model), effects),
        Action::HalfDown => move_by(model, half_page(model), effects),
        Action::PageUp => move_by(model, -full_page(model), effects),
        Action::PageDown => move_by(model, full_page(model), effects),
        Action::Top => to_edge(model, true, effects),
        Action::Bottom => to_edge(model, false, effects),

        Action::Start => command::wish(model, Verb::Start, false, effects),
        Action::Stop => command::wish(model, Verb::Stop, false, effects),
        Action::Restart => command::wish(model, Verb::Restart, false, effects),
        Action::Kill => command::wish(model, Verb::Kill, false, effects),
        Action::Hold => hold::ask(model),
        Action::Release => hold::release(model, effects),
        Action::StartShown => command::wish(model, Verb::Start, true, effects),
        Action::StopShown => command::wish(model, Verb::Stop, true, effects),
        Action::RestartShown => command::wish(model, Verb::Restart, true, effects),
        Action::Reconnect => {
            let lost = command::lost(model);
            command::reconnect(model, &lost, effects);
        }

        Action::Open | Action::Details => open_details(model),
        Action::Logs => open_logs(model),
        Action::SupervisorLog => {
            if !matches!(model.screen(), Screen::SupervisorLog { .. }) {
                model.screens.push(Screen::SupervisorLog { targets: false });
            }
        }
        Action::Events => {
            if !matches!(model.screen(), Screen::Events(_)) {
                model.screens.push(Screen::Events(Scroll { top: None }));
            }
        }
        Action::Help => {
            if !matches!(model.screen(), Screen::Help(_)) {
                model.screens.push(Screen::Help(Scroll { top: Some(0) }));
            }
        }
        Action::Palette => palette::open(model),
        Action::Back => back(model),
        Action::Quit => quit(model, effects),
        Action::Freeze => freeze(model),
        Action::Copy => copy(model, effects),
        Action::Mouse => {
            model.mouse = !model.mouse;
            effects.push(Effect::Mouse(model.mouse));
            let text = if model.mouse {
                "mouse on: hold shift to select with the terminal"
            } else {
                "mouse off"
            };
            model.toast(Severity::Info, text);
        }
        Action::Redraw => effects.push(Effect::Redraw),

        Action::Filter => {
            let text = model.table.filter.text().to_owned();
            model.overlay = Some(Overlay::Field(Field::new(Purpose::Filter, &text)));
        }
        Action::Problems => model.table.problems = !model.table.problems,
        Action::Mark => mark(model),
        Action::MarkRange => model.table.mark_range(),
        Action::MarkShown => model.table.marks.extend(model.table.shown.iter().cloned()),
        Action::Unmark => model.table.marks.clear(),
        Action::SortMenu => {
            let selected = Column::ALL.iter().position(|one| *one == model.table.sort.column);
            model.overlay = Some(Overlay::SortMenu { selected: selected.unwrap_or(0) });
        }
        Action::SortPrevious => step_sort(model, -1),
        Action::SortNext => step_sort(model, 1),
        Action::SortInvert => model.table.sort.inverted = !model.table.sort.inverted,
        Action::SortCpu => sort_by(model, Column::Cpu),
        Action::SortMemory => sort_by(model, Column::Memory),
        Action::SortUptime => sort_by(model, Column::Uptime),
        Action::SortName => sort_by(model, Column::Name),
        Action::NextPane => {
            model.focus = match model.focus {
                Pane::Table if layout::of(model).is_some_and(|layout| layout.log.is_some()) => {
                    Pane::Log
                }
                Pane::Table | Pane::Log => Pane::Table,
            };
        }
        Action::Zoom => model.zoomed = !model.zoomed,

        Action::NextTab => with_details(model, |details| {
            (details.tab, details.scroll) = (details.tab.step(1), 0);
        }),
        Action::PreviousTab => with_details(model, |details| {
            (details.tab, details.scroll) = (details.tab.step(-1), 0);
        }),
        Action::LongerRange => with_details(model, |details| details.range = details.range.step(1)),
        Action::ShorterRange => {
            with_details(model, |details| details.range = details.range.step(-1));
        }

        Action::Targets => {
            if let Screen::SupervisorLog { targets } = model.screen_mut() {
                *targets = !*targets;
            }
        }
        Action::TargetShow => effects.push(Effect::SupervisorLog(LogMove::Show)),
        Action::TargetHide => effects.push(Effect::SupervisorLog(LogMove::Hide)),
        Action::LevelUp => effects.push(Effect::SupervisorLog(LogMove::CaptureMore)),
        Action::LevelDown => effects.push(Effect::SupervisorLog(LogMove::CaptureLess)),

        Action::Follow
        | Action::Search
        | Action::SearchBack
        | Action::NextMatch
        | Action::PreviousMatch
        | Action::Keep
        | Action::NextError
        | Action::PreviousError
        | Action::Wrap
        | Action::Stamps
        | Action::WindowTail
        | Action::WindowHead
        | Action::Window1m
        | Action::Window5m
        | Action::Window15m
        | Action::Window30m
        | Action::Window1h
        | Action::TimeJump
        | Action::Left
        | Action::Right
        | Action::PlainCopy
        | Action::SaveLog => logs::act(model, action),
    }
    entry.context == Context::Components
}

fn full_page(model: &Model) -> isize {
    isize::try_from(layout::page(model).saturating_sub(1).max(1)).unwrap_or(isize::MAX)
}

fn half_page(model: &Model) -> isize {
    (full_page(model) / 2).max(1)
}

fn move_by(model: &mut Model, by: isize, effects: &mut Vec<Effect>) {
    let height = layout::page(model);
    let lines = crate::console::views::lines(model);
    let pane = layout::log_pane(model);
    let focus = model.focus;
    let size = match model.screen() {
        Screen::Logs(view) => layout::log_screen(model, view),
        _ => pane,
    };
    match model.screen_mut() {
        Screen::Components if focus == Pane::Log => {
            if let Some(view) = &mut model.preview.view {
                view.scroll(by, size.0, size.1);
            }
        }
        Screen::Components => {
            let before = model.table.cursor.clone();
            model.table.step(by);
            if model.table.cursor != before {
                model.preview.moved = Some(model.now.mono);
            }
        }
        Screen::Logs(view) => view.scroll(by, size.0, size.1),
        Screen::Details(details) => {
            let last = lines.saturating_sub(height);
            details.scroll = details.scroll.min(last).saturating_add_signed(by).min(last);
        }
        Screen::Events(scroll) => {
            let last = lines.saturating_sub(height);
            let top = scroll.top.unwrap_or(last).saturating_add_signed(by).min(last);
            scroll.top = (top < last).then_some(top);
        }
        Screen::Help(scroll) => {
            let last = lines.saturating_sub(height);
            scroll.top = Some(scroll.top.unwrap_or(0).saturating_add_signed(by).min(last));
        }
        Screen::SupervisorLog { targets } => {
            let by = match (by, *targets) {
                (-1, true) => LogMove::Up,
                (1, true) => LogMove::Down,
                (..0, _) => LogMove::PageUp,
                (0.., _) => LogMove::PageDown,
            };
            effects.push(Effect::SupervisorLog(by));
        }
    }
}

fn to_edge(model: &mut Model, top: bool, effects: &mut Vec<Effect>) {
    const FAR: isize = isize::MAX / 2;
    if !top && matches!(model.screen(), Screen::SupervisorLog { .. }) {
        effects.push(Effect::SupervisorLog(LogMove::End));
        return;
    }
    let in_pane = model.focus == Pane::Log;
    let view = match model.screens.last_mut() {
        Some(Screen::Logs(view)) => Some(&mut **view),
        Some(Screen::Components) if in_pane => model.preview.view.as_mut(),
        _ => None,
    };
    match view {
        Some(view) if top => view.to_top(),
        Some(view) => view.follow(),
        None => move_by(model, if top { -FAR } else { FAR }, effects),
    }
}

/// The wheel moves three lines of what is on the screen.
pub(super) fn wheel(model: &mut Model, down: bool, effects: &mut Vec<Effect>) {
    if model.overlay.is_none() {
        move_by(model, if down { 3 } else { -3 }, effects);
        model.wants(Urgency::Now);
    }
}

fn open_details(model: &mut Model) {
    if matches!(model.screen(), Screen::Details(_)) {
        return;
    }
    match model.current() {
        Some(key) => model.screens.push(Screen::Details(Details::new(key))),
        None => model.toast(Severity::Info, "details: no component is selected"),
    }
}

fn open_logs(model: &mut Model) {
    let keys: Vec<RowKey> = model.targets().into_iter().take(64).collect();
    if keys.is_empty() {
        model.toast(Severity::Info, "logs: no component is selected");
        return;
    }
    model.screens.push(Screen::Logs(Box::new(LogView::new(keys, SCREEN_BYTES))));
}

/// Back one level; on the table it clears what is set there, one thing at a time.
fn back(model: &mut Model) {
    if let Screen::Logs(view) = model.screen_mut()
        && view.plain
    {
        view.plain = false;
        return;
    }
    if model.screens.len() > 1 {
        model.screens.pop();
    } else if model.focus == Pane::Log {
        model.focus = Pane::Table;
    } else if model.zoomed {
        model.zoomed = false;
    } else if !model.table.marks.is_empty() {
        model.table.marks.clear();
    } else if !model.table.filter.is_empty() {
        model.table.filter = crate::console::model::Filter::default();
        model.table.dirty = true;
    } else if model.table.problems {
        model.table.problems = false;
    } else {
        model.first_run = false;
    }
}

fn quit(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.screens.len() > 1 {
        model.screens.pop();
    } else if model.settings.embedded {
        model.overlay = Some(Overlay::Quit { opened: model.now.mono });
    } else {
        effects.push(Effect::Leave(Leave::Quit));
    }
}

fn freeze(model: &mut Model) {
    if model.frozen.take().is_none() {
        let frozen = Frozen { facts: model.facts.clone(), since: model.now.mono };
        model.frozen = Some(frozen);
        if let Screen::Logs(view) = model.screens.last().expect("never empty") {
            let (height, width) = layout::log_screen(model, view);
            if let Screen::Logs(view) = model.screen_mut() {
                view.pause(height, width);
            }
        }
        let (height, width) = layout::log_pane(model);
        if let Some(view) = &mut model.preview.view {
            view.pause(height, width);
        }
    } else {
        model.table.dirty = true;
        if let Some(view) = &mut model.preview.view {
            view.follow();
        }
    }
}

/// More than this is not sent: terminals cut or refuse it.
const COPY_BYTES: usize = 64 << 10;

fn copy(model: &mut Model, effects: &mut Vec<Effect>) {
    let text = match model.screen() {
        Screen::Logs(view) => {
            let (height, width) = layout::log_screen(model, view);
            view.current(height, width).map(LogLine::plain)
        }
        Screen::Components if model.focus == Pane::Log => {
            let (height, width) = layout::log_pane(model);
            model
                .preview
                .view
                .as_ref()
                .and_then(|view| view.current(height, width))
                .map(LogLine::plain)
        }
        _ => {
            let names: Vec<String> = model.targets().iter().map(|key| key.id.to_string()).collect();
            (!names.is_empty()).then(|| names.join(" "))
        }
    };
    match text {
        Some(text) if text.len() <= COPY_BYTES => {
            let what: String = text.chars().take(30).collect();
            model.toast(Severity::Info, format!("sent to the terminal: {what}"));
            effects.push(Effect::Copy(text));
        }
        Some(_) => model.toast(Severity::Warning, "not sent: too long for a terminal's clipboard"),
        None => model.toast(Severity::Info, "copy: nothing is selected"),
    }
}

fn mark(model: &mut Model) {
    let Some(key) = model.table.cursor.clone() else { return };
    if !model.table.marks.remove(&key) {
        model.table.marks.insert(key.clone());
    }
    model.table.anchor = Some(key);
    model.table.step(1);
    model.preview.moved = Some(model.now.mono);
}

fn sort_by(model: &mut Model, column: Column) {
    // The same key again turns it round.
    let again = model.table.sort.column == column;
    let inverted = again && !model.table.sort.inverted;
    model.table.sort = Sort { column, inverted };
}

fn step_sort(model: &mut Model, by: isize) {
    let count = Column::ALL.len();
    let at = Column::ALL.iter().position(|one| *one == model.table.sort.column).unwrap_or(0);
    let column = Column::ALL[(at + count).wrapping_add_signed(by) % count];
    model.table.sort = Sort { column, inverted: false };
}

fn with_details(model: &mut Model, change: impl FnOnce(&mut Details)) {
    if let Screen::Details(details) = model.screen_mut() {
        change(details);
    }
}
