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
    guardian::{self, Inheritance},
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

/// A run that was found, and what it was.
struct Found {
    id: ComponentId,
    run: RunId,
    process: RememberedProcess,
    ready: bool,
    stopped_by_hand: bool,
    /// `None`: it has ended, and nobody holds it any more.
    child: Option<Child>,
}

/// A run that ended unseen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vanished {
    pub run: RunId,
    pub pid: i32,
    pub start_time: u64,
}

/// Deals with everything that is left. An error means that nothing was started or ended.
///
/// Returns the runs that ended unseen: their ends are to be told when everything has been asked
/// to start, as if they had ended just then.
pub(super) async fn take_over(
    driver: &mut Driver,
    remembered: &journal::State,
    mut inheritance: Inheritance,
) -> Result<Vec<Vanished>, String> {
    let policy = driver.supervisor.registry().config.leftovers;
    let found = find(driver, remembered, &mut inheritance);
    if policy == Leftovers::Refuse {
        refuse(driver, &found)?;
    }
    let mut adopted = BTreeSet::new();
    let mut vanished = Vec::new();
    for one in found {
        let known = driver.supervisor.config(&one.id).is_some();
        // What is held goes on running, whatever the policy.
        let held = driver.supervisor.component(&one.id).is_some_and(|view| view.hold.is_some());
        let (id, run) = (one.id.clone(), one.run);
        let Some(child) = &one.child else {
            let mut tree = driver.containment.remains(&id, run);
            if !tree.is_empty() {
                end(driver, &id, tree, one.process.pid).await?;
            }
            if known {
                let RememberedProcess { pid, start_time, .. } = one.process;
                adopt(driver, one)?;
                vanished.push(Vanished { run, pid, start_time });
            } else {
                driver.journal.append(&Entry::Gone { id, run });
            }
            continue;
        };
        if known && (policy == Leftovers::Adopt || held) {
            adopt(driver, one)?;
            adopted.insert(id);
        } else {
            let tree = driver.containment.adopt(&id, run, child);
            end(driver, &id, tree, child.pid()).await?;
            driver.journal.append(&Entry::Gone { id, run });
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
            let tree = driver.containment.adopt(id, RunId(0), &member);
            end(driver, id, tree, pid).await?;
        }
    }
    Ok(vanished)
}

fn find(
    driver: &mut Driver,
    remembered: &journal::State,
    inheritance: &mut Inheritance,
) -> Vec<Found> {
    let mut found = Vec::new();
    for (id, one) in &remembered.components {
        let Some(run) = one.run else { continue };
        let held = inheritance.take(&guardian::name::pid(id, run));
        let known = match (&one.process, held) {
            (Some(process), Some(pidfd)) => {
                let child = Child::held(process.pid, process.start_time, pidfd);
                Some((process.clone(), Some(child)))
            }
            (Some(process), None) => {
                let child = Child::adopt(process.pid, process.start_time);
                let child = child.unwrap_or_else(|error| {
                    tracing::error!(%id, pid = process.pid, %error, "cannot look at a process");
                    None
                });
                Some((process.clone(), child))
            }
            // It was being started when the Supervisor died.
            (None, _) => driver.containment.leader_of(run).map(|child| {
                let process = RememberedProcess {
                    pid: child.pid(),
                    start_time: child.start_time(),
                    at: clock::now(),
                    restarts: 0,
                    fingerprint: driver
                        .supervisor
                        .config(id)
                        .map_or(0, |it| launch::fingerprint(it)),
                };
                (process, Some(child))
            }),
        };
        match known {
            Some((process, child)) => {
                if child.is_none() {
                    tracing::warn!(%id, pid = process.pid, "ended while no Supervisor ran");
                }
                let (id, ready, stopped_by_hand) = (id.clone(), one.ready, one.stopped_by_hand);
                found.push(Found { id, run, process, ready, stopped_by_hand, child });
            }
            None => driver.journal.append(&Entry::Gone { id: id.clone(), run }),
        }
    }
    found
}

fn refuse(driver: &Driver, found: &[Found]) -> Result<(), String> {
    let is_held = |id| driver.supervisor.component(id).is_some_and(|view| view.hold.is_some());
    let strangers = found.iter().filter(|one| one.child.is_some() && !is_held(&one.id));
    let mut names: BTreeSet<String> =
        strangers.map(|one| format!("{} (pid {})", one.id, one.process.pid)).collect();
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
    let Found { id, run, process: remembered, ready, stopped_by_hand, child } = found;
    let Some(config) = driver.supervisor.config(&id).map(Arc::clone) else { return Ok(()) };
    let pid = remembered.pid.unsigned_abs();
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
    let is_there = child.is_some();
    if let Some(child) = child {
        let tree = driver.containment.adopt(&id, run, &child);
        if !driver.take_over(&id, run, child, tree) {
            return Err(format!("cannot watch {id} (pid {pid})"));
        }
    }
    let started: Moment = remembered.at;
    let process = Process { pid, started };
    let restarts = remembered.restarts;
    let inherited = Inherited { id: id.clone(), run, process, ready, restarts };
    let mut effects = Vec::new();
    let now = clock::now();
    if !driver.supervisor.adopt(now, &inherited, &mut effects) {
        return Err(format!("cannot take {id} over (pid {pid}): it is there a second time"));
    }
    if is_there {
        tracing::info!(%id, pid, %run, "taken over from an earlier Supervisor");
        let about = Some(About { id: &id, run: Some(run) });
        let text = format!("taken over from an earlier Supervisor as pid {pid}");
        driver.tell(about, EventKind::Adopted, text, None);
    }
    let mut command = |verb| {
        let selection = Selection::Ids(vec![id.to_string()]);
        let command = Command { verb, selection, if_run: None, origin: Origin::default() };
        driver.supervisor.command(now, command, &mut effects)
    };
    if stopped_by_hand {
        // That stop was under way: it goes on to its end.
        let _answered_before = command(Verb::Stop);
    } else if is_there && launch::fingerprint(&config) != remembered.fingerprint {
        tracing::info!(%id, "the registry has changed since it was started");
        if let Answer::Denied(denial) = command(Verb::Restart) {
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
