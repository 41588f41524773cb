//! What an earlier Supervisor of this runtime folder left: processes are taken over, ended, or a
//! reason not to start, as `<leftovers>` says; what was decided about components goes on.
//!
//! A process is ours if the journal of this boot names its pid with its start time, or if it is
//! in one of our cgroups. Everything else is nobody's business.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    clock,
    driver::Driver,
    journal::{self, Entry, Remembered, RememberedProcess},
    launch,
    telling::About,
};
use crate::{
    machine::{Adoption, EndedMeanwhile, Process, Resting},
    model::{ComponentId, Exit, Origin, RunId},
    process::{self, Child, Signal, Tree},
    registry::Leftovers,
    supervisor::{Answer, Command, Inherited, Left, Selection},
    wire::{EventKind, Intent, Verb},
};

/// Between two looks at a tree that is being ended.
const LOOK: Duration = Duration::from_millis(20);

/// For a polite end where the registry does not know the component any more, and for the kill.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that was found, and what it was.
struct Found {
    id: ComponentId,
    run: RunId,
    process: RememberedProcess,
    remembered: Remembered,
    child: Child,
}

/// Deals with everything that is left. An error means that nothing was started or ended.
pub(super) async fn take_over(
    driver: &mut Driver,
    remembered: &journal::State,
    policy: Leftovers,
) -> Result<(), String> {
    tell_damage(driver, remembered.damaged);
    let found = find(remembered);
    if policy == Leftovers::Refuse {
        refuse(driver, &found)?;
    }
    let living: BTreeSet<ComponentId> = found.iter().map(|one| one.id.clone()).collect();
    let mut inherited = Vec::new();
    let mut adopted = BTreeSet::new();
    let mut outdated = Vec::new();
    for one in found {
        let known = driver.supervisor.config(&one.id).is_some();
        // What is held goes on running, whatever the policy.
        let held = driver.supervisor.component(&one.id).is_some_and(|view| view.hold.is_some());
        if known && (policy == Leftovers::Adopt || held) {
            let (id, fingerprint) = (one.id.clone(), one.process.fingerprint);
            inherited.push(adopt(driver, one)?);
            let config = driver.supervisor.config(&id);
            if config.is_some_and(|config| launch::fingerprint(config) != fingerprint) {
                outdated.push(id.clone());
            }
            adopted.insert(id);
        } else {
            let tree = driver.containment.adopt(one.run, &one.child);
            let tree = tree.map_err(|error| format!("cannot look at {}: {error}", one.id))?;
            end(driver, &one.id, tree, one.child.pid()).await?;
            driver.journal.append(&Entry::Gone { id: one.id, run: one.run });
        }
    }
    // What is left of trees whose leader has ended meanwhile, or was never written down.
    for leftover in driver.containment.leftovers() {
        if adopted.contains(&leftover.component) {
            continue;
        }
        let id = &leftover.component;
        let cannot = |error| format!("cannot look at {id}: {error}");
        for pid in leftover.pids {
            let Some(start_time) = process::start_time(pid).map_err(cannot)? else { continue };
            let Some(member) = Child::adopt(pid, start_time).map_err(cannot)? else { continue };
            // By way of one member, the whole cgroup.
            let tree = driver.containment.adopt(RunId(0), &member).map_err(cannot)?;
            end(driver, id, tree, pid).await?;
        }
    }
    for (id, one) in &remembered.components {
        if living.contains(id) {
            continue;
        }
        if driver.supervisor.config(id).is_none() {
            driver.journal.append(&Entry::Forgotten { id: id.clone() });
            continue;
        }
        let left = what_is_left(driver, id, one);
        inherited.push(Inherited { id: id.clone(), record: one.record.clone(), left });
    }
    let mut effects = Vec::new();
    let refused = driver.supervisor.adopt(clock::now(), inherited, &mut effects);
    if let Some(one) = refused.first() {
        return Err(format!("cannot take {} over: it is there a second time", one.id));
    }
    driver.settle(effects);
    restart_outdated(driver, outdated);
    Ok(())
}

fn tell_damage(driver: &Driver, lines: usize) {
    if lines > 0 {
        let lines = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
        let were = if lines == "1 line" { "was" } else { "were" };
        let text = format!(
            "{lines} of the journal {were} not readable: what was said there of components is not \
             known"
        );
        tracing::error!("{text}");
        driver.tell(None, EventKind::Dropped, text, None);
    }
}

fn find(remembered: &journal::State) -> Vec<Found> {
    let mut found = Vec::new();
    for (id, one) in &remembered.components {
        let Some((run, process)) = one.run.zip(one.process.as_ref()) else { continue };
        let child = Child::adopt(process.pid, process.start_time).unwrap_or_else(|error| {
            tracing::error!(%id, pid = process.pid, %error, "cannot look at a process");
            None
        });
        if let Some(child) = child {
            let (process, remembered) = (process.clone(), one.clone());
            found.push(Found { id: id.clone(), run, process, remembered, child });
        }
    }
    found
}

fn refuse(driver: &Driver, found: &[Found]) -> Result<(), String> {
    let is_held = |id| driver.supervisor.component(id).is_some_and(|view| view.hold.is_some());
    let strangers = found.iter().filter(|one| !is_held(&one.id));
    let mut names: BTreeSet<String> =
        strangers.map(|one| format!("{} (pid {})", one.id, one.child.pid())).collect();
    for leftover in driver.containment.leftovers() {
        if !found.iter().any(|one| one.id == leftover.component) {
            let pids: Vec<String> = leftover.pids.iter().map(ToString::to_string).collect();
            names.insert(format!("{} (pid {})", leftover.component, pids.join(", ")));
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = names.into_iter().collect();
    Err(format!(
        "cannot start: an earlier Supervisor left processes, and <leftovers> says refuse: {}; \
         end them, or say adopt or stop",
        names.join(", ")
    ))
}

fn adopt(driver: &mut Driver, found: Found) -> Result<Inherited, String> {
    let Found { id, run, process: _, remembered, child } = found;
    let Some(config) = driver.supervisor.config(&id).map(Arc::clone) else {
        return Err(format!("cannot take {id} over: the registry does not know it"));
    };
    let pid = child.pid().unsigned_abs();
    let tree = driver.containment.adopt(run, &child);
    let tree = tree.map_err(|error| format!("cannot look at {id}: {error}"))?;
    read_output(driver, &id);
    driver.logs.started(&id, run, pid);
    if let Err(error) = driver.probes.prepare(run, &config) {
        tracing::warn!(%id, %error, "cannot prepare the checks of a process taken over");
    }
    if !driver.take_over(&id, run, child, tree) {
        return Err(format!("cannot watch {id} (pid {pid})"));
    }
    tracing::info!(%id, pid, %run, "taken over from an earlier Supervisor");
    let about = Some(About { id: &id, run: Some(run) });
    let text = format!("taken over from an earlier Supervisor as pid {pid}");
    driver.tell(about, EventKind::Adopted, text, None);
    let left = adoption(run, &remembered, None).map_or_else(Left::Resting, Left::Run);
    Ok(Inherited { id, record: remembered.record, left })
}

/// What is left of a component of which nothing lives.
fn what_is_left(driver: &Driver, id: &ComponentId, one: &Remembered) -> Left {
    let resting = |resting| Left::Resting(resting);
    let Some(run) = one.run else {
        return resting(match &one.resting {
            Some(known) if !one.stopped_by_hand => known.clone(),
            Some(_) | None => Resting::Stopped,
        });
    };
    let Some(process) = &one.process else {
        // Announced, and never made; or it was, and has been ended as nobody's.
        return resting(if one.stopped_by_hand { Resting::Stopped } else { Resting::Waiting });
    };
    let (exit, oom) = one.ended.unwrap_or((Exit::Unknown, false));
    if one.ended.is_none() {
        tracing::warn!(%id, pid = process.pid, %exit, "ended while no Supervisor ran");
        let about = Some(About { id, run: Some(run) });
        let text = format!("{exit}: ended while no Supervisor ran");
        driver.tell(about, EventKind::Crashed, text, None);
    }
    read_output(driver, id);
    driver.logs.exited(id, run, exit, one.stopping.is_some());
    adoption(run, one, Some(EndedMeanwhile { exit, oom })).map_or_else(resting, Left::Run)
}

fn adoption(
    run: RunId,
    one: &Remembered,
    ended: Option<EndedMeanwhile>,
) -> Result<Adoption, Resting> {
    let process = one.process.as_ref().ok_or(Resting::Waiting)?;
    let started = process.at;
    Ok(Adoption {
        run,
        process: Process { pid: process.pid.unsigned_abs(), started },
        // Ready since when is not always known; it was alive and well long before us.
        ready: one.ready.map(|at| at.unwrap_or(started)),
        wish: if one.stopped_by_hand { Intent::Stopped } else { Intent::Running },
        stopping: one.stopping.clone(),
        ended,
    })
}

/// What it writes, and what it wrote while nobody read.
fn read_output(driver: &Driver, id: &ComponentId) {
    let Some(config) = driver.supervisor.config(id) else { return };
    let owner = launch::pipe_owner(config).ok().flatten();
    let pipes = launch::pipes_folder(&driver.supervisor.registry().config.temp);
    // The write ends are dropped: the process holds its own.
    if let Err(error) = driver.logs.open(id, &config.output, &pipes, owner) {
        tracing::error!(%id, %error, "cannot read the output of a process taken over");
    }
}

/// Those that were started with other values than the registry has now.
fn restart_outdated(driver: &mut Driver, outdated: Vec<ComponentId>) {
    for id in outdated {
        let wanted =
            driver.supervisor.component(&id).is_some_and(|view| view.intent == Intent::Running);
        if !wanted {
            continue;
        }
        tracing::info!(%id, "the registry has changed since it was started");
        let selection = Selection::Ids(vec![id.to_string()]);
        let origin = Origin::default();
        let command = Command { verb: Verb::Restart, selection, if_run: None, origin };
        let mut effects = Vec::new();
        let answer = driver.supervisor.command(clock::now(), command, &mut effects);
        if let Answer::Denied(denial) = answer {
            tracing::warn!(%id, %denial, "it goes on with what it was started with");
        }
        driver.settle(effects);
    }
}

/// Ends a tree: politely, then not.
async fn end(driver: &Driver, id: &ComponentId, mut tree: Tree, pid: i32) -> Result<(), String> {
    let config = driver.supervisor.config(id);
    let timeout = config.map_or(PATIENCE, |config| config.stop.timeout);
    let signal = config.map_or(Signal::Term, |config| config.stop.signal.into());
    tracing::warn!(%id, pid, "an earlier Supervisor left it; it is ended");
    let _refusals_show_below = tree.signal(signal);
    if !is_gone_within(&mut tree, timeout).await {
        let _refusals_show_below = tree.kill();
        if !is_gone_within(&mut tree, PATIENCE).await {
            return Err(format!(
                "cannot start: an earlier Supervisor left {id} (pid {pid}), and it was killed but \
                 does not go away; look at it with `ps -o pid,stat,wchan -p {pid}`"
            ));
        }
    }
    Ok(())
}

async fn is_gone_within(tree: &mut Tree, patience: Duration) -> bool {
    let limit = clock::now().after(patience);
    loop {
        if tree.is_empty() {
            return true;
        }
        if clock::now() >= limit {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}
