//! What the hosts tell.

use std::time::Duration;

use super::Effect;
use crate::{
    console::{
        feed::{Answer, HostIndex, Incoming, Link, News, Page},
        model::{
            LinkState, LogView, Model, Paged, Range, Row, RowKey, Screen, Urgency, keep_shown,
        },
    },
    wire::{
        ComponentStatus, EventRecord, LogRecord, Sample, Severity, Snapshot, Update, UpdateMessage,
    },
};

pub(super) fn take(model: &mut Model, incoming: Incoming, effects: &mut Vec<Effect>) {
    let host = incoming.host;
    if usize::from(host) >= model.facts.hosts.len() {
        return;
    }
    match incoming.news {
        News::Link(link) => self::link(model, host, link),
        News::Update(message) => update(model, host, message),
        News::Answer { number, answer } => self::answer(model, number, answer),
        News::SupervisorLog(records) => {
            let name = || model.facts.hosts[usize::from(host)].name.clone();
            effects.push(Effect::Keep { host: model.many_hosts().then(name), records });
            model.wants(Urgency::Lines);
        }
        News::Page { number, page } => self::page(model, host, number, page),
        News::Explanation(explanation) => {
            let key = RowKey::new(host, &explanation.status.id);
            if let Some(row) = model.facts.rows.get_mut(&key) {
                row.explanation = Some(explanation);
            }
            model.wants(Urgency::Lines);
        }
        News::Details(details) => {
            let key = RowKey::new(host, &details.id);
            if let Some(row) = model.facts.rows.get_mut(&key) {
                row.details = Some(details);
            }
            model.wants(Urgency::Lines);
        }
        News::History { range, mut history } => {
            let key = RowKey::new(host, &history.id);
            if let (Some(row), Some(range)) = (model.facts.rows.get_mut(&key), Range::of(range)) {
                if let Some(shown) = row.histories_before.get(&range) {
                    keep_shown(&mut history, shown);
                }
                row.histories.insert(range, *history);
            }
            model.wants(Urgency::Lines);
        }
    }
}

fn link(model: &mut Model, host: HostIndex, link: Link) {
    let now = model.now.mono;
    let state = &mut model.facts.hosts[usize::from(host)];
    let since = state.stale_since().unwrap_or(now);
    let name = state.name.clone();
    let was_live = state.link == LinkState::Live;
    let told = match link {
        Link::Connecting => {
            // A new attempt does not make what is shown any fresher, nor the last failure untrue.
            if let LinkState::Lost { retry_at, .. } = &mut state.link {
                *retry_at = now;
            }
            None
        }
        Link::Live => {
            // Live once the snapshot is here: until then the old facts are old.
            None
        }
        Link::Resumed => {
            let returned = state.link != LinkState::Live;
            current(model, host);
            returned.then(|| (Severity::Info, format!("{name}: connected again")))
        }
        Link::Lost { why, retry_in } => {
            let text = format!("{name}: connection lost: {why}");
            state.link = LinkState::Lost { why, since, retry_at: now.after(retry_in) };
            was_live.then_some((Severity::Warning, text))
        }
        Link::VersionMismatch { ours, theirs } => {
            let text =
                format!("{name} runs version {theirs}, this console is {ours}: use the same");
            let news = !matches!(state.link, LinkState::VersionMismatch { .. });
            state.link = LinkState::VersionMismatch { ours, theirs, since };
            news.then_some((Severity::Error, text))
        }
        Link::Refused { why } => {
            let text = format!("{name}: {why}");
            let refused = LinkState::Refused { why, since };
            let news = state.link != refused;
            state.link = refused;
            news.then_some((Severity::Error, text))
        }
    };
    if model.facts.hosts[usize::from(host)].link != LinkState::Live {
        // What was asked for and not confirmed is not known any more.
        for (_, row) in model.facts.rows.iter_mut().filter(|(key, _)| key.host == host) {
            row.pending = None;
            if was_live {
                row.histories_before.clone_from(&row.histories);
            }
        }
        model.table.dirty = true;
    }
    if let Some((severity, text)) = told {
        model.toast(severity, text);
    }
    model.wants(Urgency::Now);
}

fn update(model: &mut Model, host: HostIndex, message: UpdateMessage) {
    let now = model.now.mono;
    model.facts.hosts[usize::from(host)].heard = Some(now);
    match message.update {
        Update::Snapshot(snapshot) => self::snapshot(model, host, *snapshot),
        Update::Component { component } => self::component(model, host, *component),
        Update::Sample(sample) => self::sample(model, host, &sample),
        Update::Event { event } => self::event(model, host, event),
        Update::Log { id, records } => log(model, &RowKey::new(host, &id), &records),
        Update::Gap { missed } => {
            // A snapshot follows, so nothing on the screen is wrong. Logs come another way.
            let name = model.facts.hosts[usize::from(host)].name.clone();
            let text = format!(
                "{name}: {missed} updates were missed, the state is shown anew - e has the events"
            );
            model.toast(Severity::Warning, text);
        }
    }
}

fn snapshot(model: &mut Model, host: HostIndex, snapshot: Snapshot) {
    let now = model.now.mono;
    let returned = current(model, host);
    let facts = &mut model.facts;
    let state = &mut facts.hosts[usize::from(host)];
    if !snapshot.host.is_empty() {
        state.name = snapshot.host;
    }
    state.access = Some(snapshot.access);
    state.supervisor = Some(snapshot.status.supervisor);
    let name = state.name.clone();
    let mut order = Vec::new();
    for status in snapshot.status.components {
        let key = RowKey::new(host, &status.id);
        order.push(key.clone());
        let depends_on = snapshot.dependencies.get(&status.id).cloned().unwrap_or_default();
        let row = match facts.rows.entry(key) {
            std::collections::btree_map::Entry::Occupied(known) => {
                let row = known.into_mut();
                row.take(status, now);
                row
            }
            std::collections::btree_map::Entry::Vacant(new) => new.insert(Row::new(status, now)),
        };
        row.depends_on = depends_on;
    }
    facts.rows.retain(|key, _| key.host != host || order.contains(key));
    facts.order.retain(|key| key.host != host);
    facts.order.extend(order);
    facts.order.sort_by_key(|key| key.host); // stable: a registry keeps its order
    let known = facts.events.iter().rev().find(|(of, _)| *of == Some(host));
    let newest = known.map_or(0, |(_, event)| event.seq);
    for event in snapshot.events.into_iter().filter(|event| event.seq > newest) {
        facts.event(Some(host), event);
    }
    facts.as_of = Some(model.now.wall);
    model.table.other_rows = true;
    if returned {
        model.toast(Severity::Info, format!("{name}: connected again"));
    }
    model.wants(Urgency::Now);
}

/// After a link was lost for so long, what was written meanwhile is not fetched line by line.
const LONG: Duration = Duration::from_mins(1);

/// What is known of the host is true now. Tells whether it was old before.
fn current(model: &mut Model, host: HostIndex) -> bool {
    let state = &mut model.facts.hosts[usize::from(host)];
    if state.link == LinkState::Live {
        return false;
    }
    let returned = !matches!(state.link, LinkState::Connecting { .. });
    let away =
        state.stale_since().map_or_else(Default::default, |since| model.now.mono.since(since));
    state.link = LinkState::Live;
    if away >= LONG {
        let screens = model.screens.iter_mut().filter_map(|screen| match screen {
            Screen::Logs(view) => Some(&mut **view),
            _ => None,
        });
        let views = model.preview.view.iter_mut().chain(screens);
        views
            .filter(|view| view.keys.iter().any(|key| key.host == host))
            .for_each(LogView::begin_anew);
    }
    // Another connection knows nothing of what the one before was asked for.
    model.log_wishes[usize::from(host)].clear();
    model.asked_details = None;
    model.asked_history = None;
    returned
}

fn component(model: &mut Model, host: HostIndex, status: ComponentStatus) {
    let now = model.now.mono;
    let key = RowKey::new(host, &status.id);
    model.facts.as_of = Some(model.now.wall);
    if let Some(row) = model.facts.rows.get_mut(&key) {
        if row.status.run != status.run {
            row.cpu.clear();
            row.memory.clear();
        }
        row.take(status, now);
    } else {
        model.facts.rows.insert(key.clone(), Row::new(status, now));
        let at = model.facts.order.partition_point(|other| other.host <= host);
        model.facts.order.insert(at, key);
        model.table.other_rows = true;
    }
    model.table.dirty = true;
    model.wants(Urgency::Now);
}

fn sample(model: &mut Model, host: HostIndex, sample: &Sample) {
    let now = model.now.mono;
    if let Some(supervisor) = &mut model.facts.hosts[usize::from(host)].supervisor {
        supervisor.cpu_percent = sample.cpu_percent;
        supervisor.memory_bytes = sample.memory_bytes;
    }
    for measured in &sample.components {
        let key = RowKey::new(host, &measured.id);
        let Some(row) = model.facts.rows.get_mut(&key) else { continue };
        if row.status.run != Some(measured.run) || !row.has_process() {
            continue;
        }
        row.status.cpu_percent = measured.cpu_percent;
        row.status.memory_bytes = measured.memory_bytes;
        row.status.processes = measured.processes;
        row.cpu.push(now, measured.cpu_percent);
        #[expect(clippy::cast_precision_loss, reason = "a chart has some dozen steps")]
        row.memory.push(now, measured.memory_bytes.map(|bytes| bytes as f64));
    }
    model.facts.as_of = Some(sample.at.parse().unwrap_or(model.now.wall));
    model.wants(Urgency::Numbers);
}

fn event(model: &mut Model, host: HostIndex, event: EventRecord) {
    let severity = event.kind.severity();
    if severity > Severity::Info {
        let mut text = String::new();
        if model.many_hosts() {
            text.push_str(&model.facts.hosts[usize::from(host)].name);
            text.push(' ');
        }
        if let Some(component) = &event.component {
            text.push_str(component);
            text.push_str(": ");
        }
        text.push_str(&event.text);
        // It stands among the events by itself: only shown, not noted again.
        let since = model.now.mono;
        if model.toasts.len() == 8 {
            model.toasts.pop_front();
        }
        model.toasts.push_back(crate::console::model::Toast { text, severity, since });
    }
    model.facts.event(Some(host), event);
    model.wants(Urgency::Now);
}

fn log(model: &mut Model, key: &RowKey, records: &[LogRecord]) {
    let mut any = false;
    if let Some(view) = &mut model.preview.view {
        any |= view.take(key, records);
    }
    for screen in &mut model.screens {
        if let Screen::Logs(view) = screen {
            any |= view.take(key, records);
        }
    }
    if any {
        model.wants(Urgency::Lines);
    }
}

/// A piece of the past, for the view that asked for it, if that is still there.
fn page(model: &mut Model, host: HostIndex, number: u64, page: Result<Page, String>) {
    let screens = model.screens.iter_mut().filter_map(|screen| match screen {
        Screen::Logs(view) => Some(&mut **view),
        _ => None,
    });
    let mut all = model.preview.view.iter_mut().chain(screens);
    let asked = all.find(|view| view.paging.as_ref().is_some_and(|paging| paging.number == number));
    let Some(view) = asked else { return };
    if let Paged::Failed(why) = view.take_page(host, page) {
        let names: Vec<&str> = view.keys.iter().map(|key| &*key.id).take(3).collect();
        let text = format!("{}: older lines were not read: {why}", names.join(" "));
        model.toast(Severity::Warning, text);
    }
    model.wants(Urgency::Now);
}

fn answer(model: &mut Model, number: u64, answer: Answer) {
    let Some(at) = model.asked.iter().position(|asked| asked.number == number) else { return };
    let asked = model.asked.remove(at);
    let names: Vec<&str> = asked.keys.iter().map(|key| &*key.id).collect();
    let who = match names.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("{} components", many.len()),
    };
    let verb = asked.what;
    // Applied: `…` stays until the engine shows it in the row.
    if answer != Answer::Applied {
        for key in &asked.keys {
            if let Some(row) = model.facts.rows.get_mut(key) {
                row.pending = None;
            }
        }
    }
    let told = match answer {
        Answer::Applied if names.len() > 1 => {
            Some((Severity::Info, format!("{verb} {who}: asked for")))
        }
        // The row shows it itself.
        Answer::Applied => None,
        Answer::Redundant => {
            Some((Severity::Info, format!("{verb} {who}: nothing to do, it is so already")))
        }
        Answer::Denied { reason } => {
            Some((Severity::Error, format!("cannot {verb} {who}: {reason}")))
        }
        Answer::Unknown { reason } => {
            let text = format!(
                "{verb} {who}: not known whether it was done: {reason} - look before asking again"
            );
            Some((Severity::Error, text))
        }
    };
    if let Some((severity, text)) = told {
        model.toast(severity, text);
    }
    model.wants(Urgency::Now);
}
