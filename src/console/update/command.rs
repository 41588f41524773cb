//! From a wish to a request: who is meant, whether to ask first, what is sent.

use std::collections::BTreeMap;

use super::Effect;
use crate::{
    console::{
        feed::{Ask, HostIndex, Request},
        model::{Asked, Confirm, LinkState, Model, Overlay, Pending, RowKey, Screen},
    },
    wire::{Access, Severity, Verb},
};

/// Longest time that `…` is shown for something that the engine never showed.
pub(super) const PENDING: std::time::Duration = std::time::Duration::from_secs(30);

/// The operator wants `verb` for the selected or marked components, or for all that are shown.
pub(super) fn wish(model: &mut Model, verb: Verb, all: bool, effects: &mut Vec<Effect>) {
    let keys = if all { model.table.shown.clone() } else { model.targets() };
    // `r` on a lost connection means the connection.
    let lost: Vec<HostIndex> = lost_hosts(model, &keys);
    if verb == Verb::Restart && !lost.is_empty() {
        reconnect(model, &lost, effects);
        return;
    }
    if !may_ask(model, verb.as_str(), &keys) {
        return;
    }
    if Confirm::is_needed(verb, all) || keys.len() >= 10 {
        let question = Confirm::new(verb, &keys, all, &model.facts, model.now.mono);
        model.overlay = Some(Overlay::Confirm(question));
    } else {
        let runs = keys.into_iter().map(|key| {
            let run = model.facts.rows.get(&key).and_then(|row| row.status.run);
            (key, run)
        });
        let targets = runs.collect();
        send(model, verb, targets, effects);
    }
}

/// Whether a wish about these can be sent now; else it is said why not.
pub(super) fn may_ask(model: &mut Model, what: &str, keys: &[RowKey]) -> bool {
    if keys.is_empty() {
        model.toast(Severity::Info, format!("{what}: no component is selected"));
        return false;
    }
    if let Some(lost) = lost_hosts(model, keys).first() {
        let name = &model.facts.hosts[usize::from(*lost)].name;
        let text = format!("{what}: not sent, there is no connection to {name}");
        model.toast(Severity::Warning, text);
        return false;
    }
    let only_read = |key: &RowKey| {
        let host = model.facts.host(key.host);
        host.is_some_and(|host| host.access == Some(Access::ReadOnly))
    };
    if model.reads_only() || keys.iter().any(only_read) {
        model.toast(Severity::Warning, format!("{what}: not sent, this console only reads"));
        return false;
    }
    if model.frozen.is_some() {
        let text = format!("{what}: not sent, the screen is frozen - Z goes on, then ask again");
        model.toast(Severity::Warning, text);
        return false;
    }
    true
}

/// Sends it: one request for each host, in the engine's own order there.
pub(super) fn send(
    model: &mut Model,
    verb: Verb,
    targets: Vec<(RowKey, Option<u64>)>,
    effects: &mut Vec<Effect>,
) {
    let mut hosts: BTreeMap<HostIndex, Vec<(RowKey, Option<u64>)>> = BTreeMap::new();
    for (key, run) in targets {
        hosts.entry(key.host).or_default().push((key, run));
    }
    for (host, targets) in hosts {
        let number = model.next_number;
        model.next_number += 1;
        // A start is about no run: one that has ended meanwhile is what it is for.
        let if_run = match targets.as_slice() {
            [(_, run)] if verb != Verb::Start => *run,
            _ => None,
        };
        let mut ids = Vec::new();
        let mut keys = Vec::new();
        for (key, _) in targets {
            if let Some(row) = model.facts.rows.get_mut(&key) {
                row.pending = Some(Pending { verb, since: model.now.mono });
            }
            ids.push(key.id.to_string());
            keys.push(key);
        }
        model.asked.push(Asked { number, what: verb.as_str(), keys });
        let ask = Ask::Command { number, verb, ids, if_run };
        effects.push(Effect::Ask(Request { host, ask }));
    }
    // The marks have been used up.
    if matches!(model.screen(), Screen::Components) {
        model.table.marks.clear();
    }
}

/// Hosts of these rows that are not connected.
fn lost_hosts(model: &Model, keys: &[RowKey]) -> Vec<HostIndex> {
    let mut hosts: Vec<HostIndex> =
        keys.iter().filter(|key| !model.facts.is_live(key)).map(|key| key.host).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// Every lost host, or these.
pub(super) fn reconnect(model: &mut Model, hosts: &[HostIndex], effects: &mut Vec<Effect>) {
    for host in hosts {
        let state = &mut model.facts.hosts[usize::from(*host)].link;
        if let LinkState::Lost { retry_at, .. } = state {
            *retry_at = model.now.mono;
        }
        effects.push(Effect::Ask(Request { host: *host, ask: Ask::Reconnect }));
    }
}

pub(super) fn lost(model: &Model) -> Vec<HostIndex> {
    let hosts = model.facts.hosts.iter().enumerate();
    hosts
        .filter(|(_, host)| host.link != LinkState::Live)
        .filter_map(|(index, _)| u16::try_from(index).ok())
        .collect()
}
