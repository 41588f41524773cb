//! Processes that an earlier Supervisor of this runtime folder left: taken over, ended, or a
//! reason not to start, as `<leftovers>` says.
//!
//! A process is ours if the journal of this boot names its pid with its start time, or if it is
//! in one of our cgroups. Everything else is nobody's business.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    clock,
    driver::Driver,
    journal::{self, Entry, RememberedProcess},
    launch,
    telling::About,
};
use crate::{
    machine::Process,
    model::{ComponentId, Moment, Origin, RunId},
    process::{self, Child, Signal, Tree},
    registry::Leftovers,
    supervisor::{Answer, Command, Inherited, Selection},
    wire::{EventKind, Verb},
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
    ready: bool,
    child: Child,
}

/// Deals with everything that is left. An error means that nothing was started or ended.
pub(super) async fn take_over(
    driver: &mut Driver,
    remembered: &journal::State,
    policy: Leftovers,
) -> Result<(), String> {
    let found = find(driver, remembered);
    if policy == Leftovers::Refuse {
        refuse(driver, &found)?;
    }
    let mut adopted = BTreeSet::new();
    for one in found {
        let known = driver.supervisor.config(&one.id).is_some();
        // What is held goes on running, whatever the policy.
        let held = driver.supervisor.component(&one.id).is_some_and(|view| view.hold.is_some());
        if known && (policy == Leftovers::Adopt || held) {
            let id = one.id.clone();
            adopt(driver, one)?;
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
    Ok(())
}

fn find(driver: &mut Driver, remembered: &journal::State) -> Vec<Found> {
    let mut found = Vec::new();
    for (id, one) in &remembered.components {
        let Some(run) = one.run else { continue };
        let child = one.process.as_ref().and_then(|process| {
            Child::adopt(process.pid, process.start_time).unwrap_or_else(|error| {
                tracing::error!(%id, pid = process.pid, %error, "cannot look at a process");
                None
            })
        });
        if let (Some(child), Some(process)) = (child, &one.process) {
            found.push(Found {
                id: id.clone(),
                run,
                process: process.clone(),
                ready: one.ready,
                child,
            });
        } else {
            if let Some(process) = &one.process {
                tracing::warn!(%id, pid = process.pid, "ended while no Supervisor ran");
            }
            driver.journal.append(&Entry::Gone { id: id.clone(), run });
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

fn adopt(driver: &mut Driver, found: Found) -> Result<(), String> {
    let Found { id, run, process: remembered, ready, child } = found;
    let Some(config) = driver.supervisor.config(&id).map(Arc::clone) else { return Ok(()) };
    let pid = child.pid().unsigned_abs();
    let tree = driver.containment.adopt(run, &child);
    let tree = tree.map_err(|error| format!("cannot look at {id}: {error}"))?;
    let owner = launch::pipe_owner(&config).ok().flatten();
    let pipes = launch::pipes_folder(&driver.supervisor.registry().config.temp);
    // The write ends are dropped: the process holds its own.
    if let Err(error) = driver.logs.open(&id, &config.output, &pipes, owner) {
        tracing::error!(%id, %error, "cannot read the output of a process taken over");
    }
    driver.logs.started(&id, run, pid);
    if let Err(error) = driver.probes.prepare(run, &config) {
        tracing::warn!(%id, %error, "cannot prepare the checks of a process taken over");
    }
    if !driver.take_over(&id, run, child, tree) {
        return Err(format!("cannot watch {id} (pid {pid})"));
    }
    let started: Moment = remembered.at;
    let process = Process { pid, started };
    let restarts = remembered.restarts;
    let inherited = Inherited { id: id.clone(), run, process, ready, restarts };
    tracing::info!(%id, pid, %run, "taken over from an earlier Supervisor");
    let mut effects = Vec::new();
    let now = clock::now();
    if !driver.supervisor.adopt(now, &inherited, &mut effects) {
        return Err(format!("cannot take {id} over (pid {pid}): it is there a second time"));
    }
    let about = Some(About { id: &id, run: Some(run) });
    let text = format!("taken over from an earlier Supervisor as pid {pid}");
    driver.tell(about, EventKind::Adopted, text, None);
    if launch::fingerprint(&config) != remembered.fingerprint {
        tracing::info!(%id, "the registry has changed since it was started");
        let selection = Selection::Ids(vec![id.to_string()]);
        let origin = Origin::default();
        let command = Command { verb: Verb::Restart, selection, if_run: None, origin };
        let answer = driver.supervisor.command(now, command, &mut effects);
        if let Answer::Denied(denial) = answer {
            tracing::warn!(%id, %denial, "it goes on with what it was started with");
        }
    }
    driver.settle(effects);
    Ok(())
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
