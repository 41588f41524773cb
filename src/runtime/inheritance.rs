//! What an earlier Supervisor of this runtime folder left: processes are taken over, ended, or a
//! reason not to start, as `<leftovers>` says; what was decided about components goes on.
//!
//! A process is ours if the journal of this boot names its pid with its start time, or if it is
//! in one of our cgroups. Everything else is nobody's business.

use std::{
    collections::{BTreeSet, HashMap},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

use super::{
    clock,
    driver::Driver,
    journal::{self, Entry, Remembered, RememberedProcess},
    launch, loose_ends,
    recall::Recalled,
    telling::About,
    unclaimed,
};
use crate::{
    guardian::{self, Inheritance},
    logs,
    machine::{Adoption, EndedMeanwhile, Process, Resting},
    model::{ComponentId, Exit, Origin, RunId},
    process::{self, Child, Signal, Tree},
    registry::{Component, Leftovers},
    supervisor::{Answer, Command, Effect, Inherited, Left, Selection},
    wire::{ComponentState, EventKind, Intent, Verb},
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
    remembered: Remembered,
    /// `None`: it has ended, and nobody holds it any more.
    child: Option<Child>,
    /// The journal has its process.
    is_written: bool,
}

/// Descriptors that an earlier engine had kept, by name.
type Held = HashMap<String, OwnedFd>;

/// Deals with everything that is left. An error means that nothing was started or ended.
///
/// `may_be_outdated`: what was started otherwise than the registry says now is started anew.
pub(super) async fn take_over(
    driver: &mut Driver,
    (remembered, recalled): (&journal::State, &Recalled),
    inheritance: Inheritance,
    may_be_outdated: bool,
) -> Result<(), String> {
    // It is one Supervisor that goes on, whatever becomes of its engines: nothing is left by an
    // earlier one.
    let goes_on = inheritance.death.is_some() || driver.upgrades > 0;
    let leftovers = driver.supervisor.registry().config.leftovers;
    let policy = if goes_on { Leftovers::Adopt } else { leftovers };
    tell_damage(driver, remembered.damaged);
    let kept: Vec<String> = inheritance.kept.iter().map(|kept| kept.name.clone()).collect();
    let kept_with_descriptor = inheritance.kept.into_iter();
    let mut descriptors: Held =
        kept_with_descriptor.map(|kept| (kept.name, kept.descriptor)).collect();
    let mut found = find(driver, remembered, &mut descriptors);
    if policy == Leftovers::Refuse {
        refuse(driver, &found, recalled)?;
    }
    for one in &mut found {
        // Only its state has it, so that it is to be written down.
        one.is_written &= !recalled.leaders.contains(&one.id);
    }
    end_strays(driver, recalled).await?;
    let with_run: BTreeSet<ComponentId> = found.iter().map(|one| one.id.clone()).collect();
    let (mut inherited, mut unseen, mut outdated) = (Vec::new(), Vec::new(), Vec::new());
    let mut adopted = BTreeSet::new();
    for mut one in found {
        let config = driver.supervisor.config(&one.id).map(Arc::clone);
        // What is held goes on running, whatever the policy.
        let held = driver.supervisor.component(&one.id).is_some_and(|view| view.hold.is_some());
        let (id, run) = (one.id.clone(), one.run);
        let Some(child) = one.child.take() else {
            let mut tree = driver.containment.remains(&id, run);
            if !tree.is_empty() {
                end(driver, &id, tree, one.process.pid).await?;
            }
            if config.is_some() {
                read_output(driver, &id, &mut descriptors);
                let end = unseen_end(driver, &one);
                unseen.push((id, run, end, one.remembered.stopping.is_some()));
                inherited.push(one.inherited(Some(end)));
            } else {
                driver.journal.append(&Entry::Forgotten { id });
            }
            continue;
        };
        match config {
            Some(config) if policy == Leftovers::Adopt || held => {
                adopt(driver, &one, &config, child, &mut descriptors);
                let fingerprint = launch::fingerprint(&config);
                if fingerprint != one.process.fingerprint {
                    if may_be_outdated {
                        outdated.push(id.clone());
                    } else {
                        one.process.fingerprint = fingerprint;
                        driver.journal.append(&one.started());
                    }
                }
                adopted.insert(id);
                inherited.push(one.inherited(None));
            }
            Some(_) | None => {
                let tree = driver.containment.adopt(&id, run, &child);
                end(driver, &id, tree, child.pid()).await?;
                driver.journal.append(&Entry::Gone { id, run });
            }
        }
    }
    end_leaderless(driver, &adopted).await?;
    // As long as nothing is started.
    unclaimed::tidy(driver);
    for (id, one) in &remembered.components {
        if with_run.contains(id) {
            continue;
        }
        if driver.supervisor.config(id).is_none() {
            driver.journal.append(&Entry::Forgotten { id: id.clone() });
            continue;
        }
        let left = Left::Resting(rest_of(one));
        inherited.push(Inherited { id: id.clone(), record: one.record.clone(), left });
    }
    let mut effects = Vec::new();
    let goes_on: BTreeSet<ComponentId> =
        inherited.iter().filter(|one| !has_ended(one)).map(|one| one.id.clone()).collect();
    let refused = driver.supervisor.adopt(clock::now(), inherited, &mut effects);
    if driver.upgrades > 0 {
        // To everybody but us nothing has changed.
        effects.retain(|effect| match effect {
            Effect::Transition(it) => {
                it.from != ComponentState::Stopped || !goes_on.contains(&it.id)
            }
            _ => true,
        });
    }
    if let Some(one) = refused.first() {
        return Err(format!("cannot take {} over: it is there a second time", one.id));
    }
    for (id, run, end, expected) in unseen {
        driver.ended_unseen(&id, run, end, expected);
    }
    driver.settle(effects);
    restart_outdated(driver, outdated);
    // What became of all of them is in the journal now.
    unclaimed::let_go(driver, &kept);
    Ok(())
}

/// Ends what carries our mark and cannot be taken over.
async fn end_strays(driver: &mut Driver, recalled: &Recalled) -> Result<(), String> {
    for ((id, run), pids) in &recalled.strays {
        let mut tree = driver.containment.remains(id, *run);
        if !tree.is_empty() {
            end(driver, id, tree, pids.first().copied().unwrap_or_default()).await?;
        }
    }
    Ok(())
}

/// Ends what is left of trees whose leader has ended meanwhile, or was never written down.
async fn end_leaderless(
    driver: &mut Driver,
    adopted: &BTreeSet<ComponentId>,
) -> Result<(), String> {
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
    Ok(())
}

fn has_ended(one: &Inherited) -> bool {
    matches!(&one.left, Left::Run(run) if run.ended.is_some())
}

impl Found {
    /// For the journal.
    fn started(&self) -> Entry {
        let RememberedProcess { pid, start_time, at, fingerprint } = self.process;
        let (id, run) = (self.id.clone(), self.run);
        Entry::Started { id, run, pid, start_time, at, restarts: 0, fingerprint }
    }

    fn inherited(self, ended: Option<EndedMeanwhile>) -> Inherited {
        let Self { id, run, process, remembered, .. } = self;
        let started = process.at;
        let stopped = remembered.stopped_by_hand;
        let left = Left::Run(Adoption {
            run,
            process: Process { pid: process.pid.unsigned_abs(), started },
            // Ready since when is not always known; it was alive and well long before us.
            ready: remembered.ready.then(|| remembered.ready_since.unwrap_or(started)),
            wish: if stopped { Intent::Stopped } else { Intent::Running },
            stopping: remembered.stopping,
            ended,
        });
        Inherited { id, record: remembered.record, left }
    }
}

/// What was decided about a component that has no run.
fn rest_of(one: &Remembered) -> Resting {
    match &one.resting {
        _ if one.stopped_by_hand => Resting::Stopped,
        Some(known) => known.clone(),
        // Announced, and never made; or it was, and has been ended as nobody's.
        None if one.run.is_some() => Resting::Waiting,
        None => Resting::Stopped,
    }
}

/// How a run ended that nobody holds any more.
fn unseen_end(driver: &Driver, one: &Found) -> EndedMeanwhile {
    let (pid, start_time) = (one.process.pid, one.process.start_time);
    if let Some((exit, oom)) = one.remembered.ended {
        return EndedMeanwhile { exit, oom };
    }
    tracing::warn!(id = %one.id, pid, "ended while no Supervisor ran");
    let exit = driver.ends.of(pid, start_time).unwrap_or(Exit::Unknown);
    EndedMeanwhile { exit, oom: false }
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

fn find(driver: &Driver, remembered: &journal::State, held: &mut Held) -> Vec<Found> {
    let mut found = Vec::new();
    for (id, one) in &remembered.components {
        let Some(run) = one.run else { continue };
        let pidfd = held.remove(&guardian::name::pid(id, run));
        let known = match (&one.process, pidfd) {
            (Some(process), _) if one.ended.is_some() => Some((process.clone(), None)),
            (Some(process), pidfd) => {
                let (pid, start_time) = (process.pid, process.start_time);
                let child = match pidfd {
                    Some(pidfd) => Child::held(pid, start_time, pidfd),
                    None => Child::adopt(pid, start_time),
                };
                let child = child.unwrap_or_else(|error| {
                    tracing::error!(%id, pid = process.pid, %error, "cannot look at a process");
                    None
                });
                Some((process.clone(), child))
            }
            // It was being started when the Supervisor died.
            (None, _) => driver.containment.leader_of(run).map(|child| {
                let config = driver.supervisor.config(id);
                let process = RememberedProcess {
                    pid: child.pid(),
                    start_time: child.start_time(),
                    at: clock::now(),
                    fingerprint: config.map_or(0, |it| launch::fingerprint(it)),
                };
                (process, Some(child))
            }),
        };
        if let Some((process, child)) = known {
            let (id, remembered) = (id.clone(), one.clone());
            let is_written = remembered.process.is_some();
            found.push(Found { id, run, process, remembered, child, is_written });
        }
    }
    found
}

fn refuse(driver: &Driver, found: &[Found], recalled: &Recalled) -> Result<(), String> {
    let is_held = |id| driver.supervisor.component(id).is_some_and(|view| view.hold.is_some());
    let lives = |one: &Found| one.child.as_ref().is_some_and(Child::lives);
    let strangers = found.iter().filter(|one| lives(one) && !is_held(&one.id));
    let mut names: BTreeSet<String> =
        strangers.map(|one| format!("{} (pid {})", one.id, one.process.pid)).collect();
    for ((id, _run), pids) in &recalled.strays {
        names.extend(pids.iter().map(|pid| format!("{id} (pid {pid})")));
    }
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

fn adopt(driver: &mut Driver, found: &Found, config: &Component, child: Child, held: &mut Held) {
    let (id, run, pid) = (&found.id, found.run, child.pid().unsigned_abs());
    let tree = driver.containment.adopt(id, run, &child);
    let socket = held.remove(&guardian::name::notify(id, run));
    if let Err(error) = driver.probes.prepare_with(run, config, socket) {
        tracing::warn!(%id, %error, "cannot prepare the checks of a process taken over");
    }
    driver.keep_socket(id, run);
    if !found.is_written {
        driver.journal.append(&found.started());
    }
    driver.take_over(id, run, child, tree);
    driver.read_output_of(run);
    let_go_of_pipes(id, held);
    if driver.upgrades > 0 {
        tracing::debug!(%id, pid, %run, "goes on under this version");
        return;
    }
    tracing::info!(%id, pid, %run, "taken over from an earlier Supervisor");
    let about = Some(About { id, run: Some(run) });
    let text = format!("taken over from an earlier Supervisor as pid {pid}");
    driver.tell(about, EventKind::Adopted, text, None);
}

/// What one that has ended wrote while nobody read.
fn read_output(driver: &Driver, id: &ComponentId, held: &mut Held) {
    let Some(config) = driver.supervisor.config(id) else { return };
    let temp = &driver.supervisor.registry().config.temp;
    if let Err(error) = loose_ends::open_output(&driver.logs, config, temp) {
        tracing::error!(%id, %error, "cannot read what a process wrote that has ended meanwhile");
    }
    let_go_of_pipes(id, held);
}

/// What was held of its pipes is let go at once: with thousands of components there is no room for a
/// second of each.
fn let_go_of_pipes(id: &ComponentId, held: &mut Held) {
    for stream in logs::Stream::BOTH {
        held.remove(&logs::kept_name(id, stream));
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
