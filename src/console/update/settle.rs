//! After every message: what follows from the new state of things.

use std::{collections::BTreeMap, time::Duration};

use super::{Effect, command, confirm};
use crate::{
    console::{
        feed::{Ask, HostIndex, LogWish, Request},
        layout,
        model::{
            LinkState, LogView, Model, Overlay, PANE_BYTES, Paging, Pane, Range, RowKey, Screen,
            Tab, Urgency,
        },
    },
    wire::Severity,
};

/// The pane follows the cursor when it has stood still for so long.
const REST: Duration = Duration::from_millis(150);

/// Details are asked for again after so long.
const STALE_DETAILS: Duration = Duration::from_secs(5);

/// How often a chart of a short time is brought up to date.
const ADVANCE: Duration = Duration::from_secs(5);

/// Entries that a log screen asks for at first, and the pane below the table.
const SCREEN_TAIL: u32 = 5000;
const PANE_TAIL: u32 = 200;

pub(super) fn settle(model: &mut Model, sort_now: bool, effects: &mut Vec<Effect>) {
    let now = model.now.mono;
    if let Some(Overlay::Confirm(question)) = model.overlay.take_if(|overlay| {
        matches!(overlay, Overlay::Confirm(question) if question.overtaken(&model.facts).is_some())
    }) {
        confirm::cancel_if_overtaken(model, &question);
    }
    let held = matches!(model.overlay, Some(Overlay::Confirm(_))) || model.frozen.is_some();
    let before = model.table.cursor.clone();
    model.table.refresh(&model.facts, now, held, sort_now);
    if model.table.cursor != before {
        model.preview.moved = Some(now);
    }
    let rows = layout::table_rows(model);
    model.table.keep_in_view(rows);
    leave_what_is_gone(model);
    forget_pending(model);
    let count = model.toasts.len();
    model.toasts.retain(|toast| toast.lives(now));
    if model.toasts.len() != count {
        model.wants(Urgency::Now);
    }
    preview(model);
    ask_for_page(model, effects);
    wish_for_logs(model, effects);
    wish_for_supervisor_log(model, effects);
    ask_for_details(model, effects);
}

/// A screen about a component that the registry no longer has.
fn leave_what_is_gone(model: &mut Model) {
    let mut gone = None;
    let facts = &model.facts;
    model.screens.retain(|screen| match screen {
        Screen::Details(details) if !facts.rows.contains_key(&details.key) => {
            gone = Some(details.key.clone());
            false
        }
        _ => true,
    });
    if let Some(key) = gone {
        model.toast(Severity::Warning, format!("{}: no longer in the registry", key.id));
    }
}

/// What was asked for and never showed is said, not kept for ever.
fn forget_pending(model: &mut Model) {
    let now = model.now.mono;
    let mut silent = Vec::new();
    for (key, row) in &mut model.facts.rows {
        if let Some(pending) =
            row.pending.take_if(|pending| now.since(pending.since) >= command::PENDING)
        {
            silent.push(format!("{} {}: the engine has not shown it yet", pending.verb, key.id));
        }
    }
    for text in silent {
        model.toast(Severity::Warning, text);
    }
}

fn preview(model: &mut Model) {
    let now = model.now.mono;
    if layout::of(model).is_none_or(|layout| layout.log.is_none()) {
        model.preview.view = None;
        return;
    }
    if model.preview.moved.is_some_and(|moved| now.since(moved) < REST) {
        return;
    }
    model.preview.moved = None;
    let shown = model.preview.view.as_ref().and_then(|view| view.keys.first());
    if shown != model.table.cursor.as_ref() {
        model.preview.view =
            model.table.cursor.clone().map(|key| LogView::new(vec![key], PANE_BYTES));
        model.wants(Urgency::Now);
    }
}

/// Asks for the piece of the past that the log under the reader's eyes calls for.
fn ask_for_page(model: &mut Model, effects: &mut Vec<Effect>) {
    let pane = layout::log_pane(model);
    let in_pane = model.focus == Pane::Log;
    let (height, width) = match model.screen() {
        Screen::Logs(view) => layout::log_screen(model, view),
        _ => pane,
    };
    let hosts = &model.facts.hosts;
    let view = match model.screens.last_mut() {
        Some(Screen::Logs(view)) => Some(&mut **view),
        Some(Screen::Components) if in_pane => model.preview.view.as_mut(),
        _ => None,
    };
    let Some(view) = view else { return };
    let Some(part) = view.wants_page(height, width) else { return };
    let mut ids: BTreeMap<HostIndex, Vec<String>> = BTreeMap::new();
    for key in &view.keys {
        let live =
            hosts.get(usize::from(key.host)).is_some_and(|host| host.link == LinkState::Live);
        // While one is lost the others are not read on: there would be holes.
        if !live {
            return;
        }
        ids.entry(key.host).or_default().push(key.id.to_string());
    }
    let number = model.next_number;
    model.next_number += 1;
    let most = view.page_entries();
    view.paging = Some(Paging::new(number, part.clone(), ids.keys().copied().collect()));
    for (host, ids) in ids {
        let ask = Ask::Page { number, ids, part: part.clone(), most };
        effects.push(Effect::Ask(Request { host, ask }));
    }
    model.wants(Urgency::Lines);
}

/// Asks each host for the logs on its screen, where that differs from the last wish.
fn wish_for_logs(model: &mut Model, effects: &mut Vec<Effect>) {
    for index in 0..model.facts.hosts.len() {
        let Ok(host) = u16::try_from(index) else { return };
        let mut wanted = wanted_logs(model, host);
        // How far each log has come meanwhile makes it no other wish.
        let same = |(old, new): (&LogWish, &LogWish)| (&old.id, old.tail) == (&new.id, new.tail);
        let before = &model.log_wishes[index];
        let again = views(model)
            .any(|(view, _)| view.rewish && view.keys.iter().any(|key| key.host == host));
        if !again && before.len() == wanted.len() && before.iter().zip(&wanted).all(same) {
            continue;
        }
        for wish in &mut wanted {
            wish.after = known(model, &RowKey::new(host, &wish.id));
        }
        model.log_wishes[index].clone_from(&wanted);
        effects.push(Effect::Ask(Request { host, ask: Ask::Logs { wanted } }));
    }
    for screen in &mut model.screens {
        if let Screen::Logs(view) = screen {
            view.rewish = false;
        }
    }
    if let Some(view) = &mut model.preview.view {
        view.rewish = false;
    }
}

/// Where the engine is another process, its own log is asked for while a screen shows it. Where
/// it is in this one, its events come by themselves.
fn wish_for_supervisor_log(model: &mut Model, effects: &mut Vec<Effect>) {
    let shown = model.screens.iter().any(|screen| matches!(screen, Screen::SupervisorLog { .. }));
    let wanted = shown && !model.settings.embedded;
    if wanted != model.supervisor_log {
        model.supervisor_log = wanted;
        let hosts = 0..u16::try_from(model.facts.hosts.len()).unwrap_or(u16::MAX);
        let ask = |host| Request { host, ask: Ask::SupervisorLog { wanted } };
        effects.extend(hosts.map(|host| Effect::Ask(ask(host))));
    }
}

/// The logs on screens, and the one in the pane.
fn views(model: &Model) -> impl Iterator<Item = (&LogView, u32)> {
    let screens = model.screens.iter().filter_map(|screen| match screen {
        Screen::Logs(view) => Some((&**view, SCREEN_TAIL)),
        _ => None,
    });
    screens.chain(model.preview.view.iter().map(|view| (view, PANE_TAIL)))
}

fn wanted_logs(model: &Model, host: HostIndex) -> Vec<LogWish> {
    let mut wanted: Vec<LogWish> = Vec::new();
    for (view, tail) in views(model).filter(|(view, _)| !view.adrift) {
        for key in view.keys.iter().filter(|key| key.host == host) {
            match wanted.iter_mut().find(|wish| *wish.id == *key.id) {
                Some(wish) => wish.tail = wish.tail.max(tail),
                None => wanted.push(LogWish { id: key.id.to_string(), after: None, tail }),
            }
        }
    }
    wanted
}

/// What every view of a log has; none where one of them has nothing yet.
fn known(model: &Model, key: &RowKey) -> Option<u64> {
    let of_key = views(model).filter(|(view, _)| !view.adrift && view.keys.contains(key));
    let newest: Option<Vec<u64>> = of_key.map(|(view, _)| view.reached(key)).collect();
    newest?.into_iter().min()
}

/// The details screen, and the pane at the right of a wide one, ask for what they show.
fn ask_for_details(model: &mut Model, effects: &mut Vec<Effect>) {
    let key = match model.screen() {
        Screen::Details(details) => Some(details.key.clone()),
        Screen::Components if layout::of(model).is_some_and(|layout| layout.side.is_some()) => {
            let shown = model.preview.view.as_ref().and_then(|view| view.keys.first());
            shown.cloned()
        }
        _ => None,
    };
    let Some(key) = key.filter(|key| model.facts.is_live(key)) else { return };
    let Some(row) = model.facts.rows.get(&key) else { return };
    let now = model.now.mono;
    let run = row.status.run;
    let mut ask = |ask| effects.push(Effect::Ask(Request { host: key.host, ask }));
    let fresh = model.asked_details.as_ref().is_some_and(|(of, of_run, at)| {
        *of == key && *of_run == run && now.since(*at) < STALE_DETAILS
    });
    if !fresh {
        ask(Ask::Explain { id: key.id.to_string() });
        ask(Ask::Details { id: key.id.to_string() });
        model.asked_details = Some((key.clone(), run, now));
    }
    if model.frozen.is_some() {
        return;
    }
    let range = match model.screen() {
        Screen::Details(details) if details.tab == Tab::Charts => details.range,
        Screen::Components => Range::TwoMinutes,
        _ => return,
    };
    // A chart advances every five seconds at most: in between it stands still and costs nothing.
    let renewed = (range.duration() / 240).clamp(ADVANCE, Duration::from_mins(1));
    let known = model
        .asked_history
        .as_ref()
        .is_some_and(|(of, asked, at)| *of == key && *asked == range && now.since(*at) < renewed);
    if !known {
        let columns = u64::from(model.size.0.saturating_sub(8).clamp(40, 240));
        let steps = range.duration().as_secs() / ADVANCE.as_secs();
        let points = u32::try_from(columns.min(steps)).unwrap_or(u32::MAX);
        let id = key.id.to_string();
        let ask = Ask::History { id, range: range.duration(), points };
        effects.push(Effect::Ask(Request { host: key.host, ask }));
        model.asked_history = Some((key, range, now));
    }
}
