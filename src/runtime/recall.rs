//! Processes that carry our mark and that no journal names: it was deleted, or damaged.
//!
//! Without them a component would be started beside itself. What the mark tells is what the journal
//! would have said first, so they go the same way from there: taken over, ended, or a reason not to
//! start. What it does not tell (counters, budget, a stop by hand) begins anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use super::{
    clock,
    journal::{self, Journal, Remembered, RememberedProcess},
    launch,
};
use crate::{
    model::{ComponentId, Moment, RunId},
    process::{self, Containment, Marked},
    registry::Registry,
};

/// In the runtime folder: the journal is not complete, and was not when its file was made. A start that is
/// refused or killed leaves this to the next one.
const DUE: &str = "recall";

/// Opens the journal, and completes what it remembers where it may lack something.
pub(super) fn open(
    folder: &Path,
    containment: &Containment,
    registry: &Registry,
) -> io::Result<(journal::State, Journal, Recalled)> {
    let due = folder.join(DUE);
    if !folder.join(Journal::NAME).exists() {
        fs::write(&due, b"")?;
    }
    let (mut remembered, journal) = Journal::open(folder, process::boot_id()?)?;
    if remembered.damaged > 0 {
        fs::write(&due, b"")?;
    }
    let recalled = if due.exists() {
        recall(&mut remembered, containment, registry)
    } else {
        Recalled::default()
    };
    Ok((remembered, journal, recalled))
}

/// Everything that was recalled has been taken over or ended.
pub(super) fn done(folder: &Path) {
    let _was_not_due = fs::remove_file(folder.join(DUE));
}

/// What was found beside the journal.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    /// Leaders, which are in the journal's state now, but not in its file.
    pub leaders: BTreeSet<ComponentId>,
    /// Runs without a leader, or beside another one of the same component: nobody can take them over.
    pub strays: BTreeMap<(ComponentId, RunId), Vec<i32>>,
}

/// Completes what the journal remembers by what lives.
fn recall(
    remembered: &mut journal::State,
    containment: &Containment,
    registry: &Registry,
) -> Recalled {
    let mut runs: BTreeMap<(ComponentId, RunId), Vec<Marked>> = BTreeMap::new();
    for one in containment.marked() {
        remembered.next_run = remembered.next_run.max(RunId(one.run.0.saturating_add(1)));
        let is_known = |known: &Remembered| known.run == Some(one.run);
        if !remembered.components.get(&one.component).is_some_and(is_known) {
            runs.entry((one.component.clone(), one.run)).or_default().push(one);
        }
    }
    let mut recalled = Recalled::default();
    // The newest run of a component first.
    for ((id, run), members) in runs.into_iter().rev() {
        let pids = members.iter().map(|member| member.pid).collect();
        let has_run = remembered.components.get(&id).is_some_and(|one| one.run.is_some());
        // A daemon below it may lead a session of its own; the leader came first.
        let leaders = members.iter().filter(|member| member.leads);
        let leader = leaders.min_by_key(|member| member.start_time).filter(|_| !has_run);
        let Some(leader) = leader else {
            recalled.strays.insert((id, run), pids);
            continue;
        };
        tracing::warn!(%id, %run, pid = leader.pid, "found by its mark: the journal does not name it");
        let config = registry.components.iter().find(|component| component.id == id);
        let age = process::age(leader.pid).ok().flatten().unwrap_or_default();
        let process = RememberedProcess {
            pid: leader.pid,
            start_time: leader.start_time,
            at: Moment::from_boot(clock::now().since_boot().saturating_sub(age)),
            fingerprint: config.map_or(0, |config| launch::fingerprint(config)),
        };
        let one = remembered.components.entry(id.clone()).or_default();
        one.run = Some(run);
        one.process = Some(process);
        // It has lived without us; what it said at its start is not said again.
        one.ready = true;
        one.resting = None;
        recalled.leaders.insert(id);
    }
    recalled
}
