//! A schedule: what operators, chance and fate do, one act after the other. Each act draws its
//! chances from its own number, so a failing schedule can be made shorter without becoming
//! another one.

use std::{collections::BTreeSet, time::Duration};

use fastrand::Rng;

use super::{
    kernel::{KILLED, Mood},
    life::{Life, operator},
    oracle::Oracle,
    registries,
};
use crate::{
    model::{ComponentId, Exit, RunId},
    supervisor::{Command, Fact, Hold, Selection, Until},
    wire::{ComponentState, Verb},
};

/// Acts of one schedule.
pub const ACTS: usize = 300;

fn rng(seed: u64, act: usize) -> Rng {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ act as u64);
    // Seeds that are close begin alike.
    rng.u64(..);
    rng
}

/// Runs those acts of a seed's schedule that `keeps` names, and the quiet after it. Breaks of a
/// promise are panics.
pub fn run(life: &mut Life, seed: u64, keeps: &BTreeSet<usize>) {
    change_mood(life, &mut rng(seed, ACTS + 2));
    life.boot(&BTreeSet::new());
    for &act in keeps {
        let mut rng = rng(seed, act);
        if life.is_dead() {
            let registry = (rng.u8(..6) == 0).then(|| registries::edited(&life.registry, &mut rng));
            life.go_on(registry, &mut rng);
        }
        perform(life, &mut rng);
    }
    let mut rng = rng(seed, ACTS);
    if life.is_dead() {
        life.go_on(None, &mut rng);
    }
    quiet(life, &mut rng);
}

/// The first registry of a seed.
pub fn first_registry(seed: u64) -> crate::registry::Registry {
    registries::some(&mut rng(seed, ACTS + 1))
}

fn perform(life: &mut Life, rng: &mut Rng) {
    match rng.u8(..128) {
        0..20 => command(life, rng),
        20..22 => reload(life, rng),
        22..30 => change_mood(life, rng),
        30..36 => old_news(life, rng),
        36..39 => news_of_nobody(life, rng),
        39..45 => crash(life, rng),
        45..46 => vanish(life, rng),
        46..50 => hold_or_release(life, rng),
        50..51 => life.stall(Duration::from_millis(rng.u64(..20_000))),
        51..52 => life.busy = !life.busy,
        52..54 => trouble(life, rng),
        54 => end_all(life, rng),
        55 if rng.u8(..4) == 0 => restart_under_holds(life, rng),
        55..57 => life.dies_in = Some(rng.u64(..12)),
        57..66 => life.pass(Duration::from_millis(rng.u64(..100_000))),
        _ => life.pass(Duration::from_millis(rng.u64(..6000))),
    }
    if !life.is_dead() {
        life.tick();
    }
}

fn some_id(life: &Life, rng: &mut Rng) -> Option<ComponentId> {
    let ids: Vec<&ComponentId> = life.supervisor.ids().collect();
    rng.choice(ids).cloned()
}

fn command(life: &mut Life, rng: &mut Rng) {
    let verbs = [Verb::Start, Verb::Start, Verb::Stop, Verb::Restart, Verb::Kill];
    let verb = *rng.choice(&verbs).unwrap_or(&Verb::Start);
    let mut if_run = None;
    let selection = if rng.u8(..4) == 0 {
        Selection::All
    } else {
        let count = rng.usize(1..4);
        let mut ids: Vec<String> =
            (0..count).filter_map(|_| some_id(life, rng)).map(String::from).collect();
        if rng.u8(..20) == 0 {
            ids.push("nobody".to_owned());
        }
        if let ([id], 0) = (&ids[..], rng.u8(..3)) {
            let run = life.supervisor.component(id).and_then(|view| view.run);
            if_run = run.map(|run| RunId(run.0.saturating_sub(rng.u64(..2))));
        }
        Selection::Ids(ids)
    };
    life.command(Command { verb, selection, if_run, origin: operator() });
}

fn reload(life: &mut Life, rng: &mut Rng) {
    let new = registries::edited(&life.registry, rng);
    life.reload(new);
}

fn change_mood(life: &mut Life, rng: &mut Rng) {
    let moods = [Mood::Calm, Mood::Wild, Mood::Wild, Mood::Crashing, Mood::Stubborn];
    let ids: Vec<ComponentId> = life.supervisor.ids().cloned().collect();
    for id in ids {
        if rng.bool() {
            let mood = *rng.choice(&moods).unwrap_or(&Mood::Wild);
            life.note(&(&id, mood));
            life.kernel.set_mood(&id, mood);
        }
    }
}

/// Something is told a second time. Only what is still under way or over: a lie about a living
/// process would be another matter.
fn old_news(life: &mut Life, rng: &mut Rng) {
    let old: Vec<Fact> = life.old_news.iter().cloned().collect();
    if let Some(fact) = rng.choice(old) {
        life.fact(fact);
    }
}

/// Every kind of news of a run that is long over, or never was.
fn news_of_nobody(life: &mut Life, rng: &mut Rng) {
    let newest = life.kernel.trees.keys().next_back().map_or(1, |run| run.0);
    let run = RunId(rng.u64(..newest + 2));
    if life.supervisor.component_of(run).is_some() || life.kernel.trees.contains_key(&run) {
        return;
    }
    let why = || "late".to_owned();
    for fact in [
        Fact::Exited { run, exit: Exit::Code(0), oom: false, tree_gone: true },
        Fact::TreeGone { run },
        Fact::Ready { run },
        Fact::NotReady { run, why: why() },
        Fact::Unhealthy { run, why: why() },
        Fact::OverLimit { run, why: why() },
        Fact::SpawnFailed { run, error: why() },
        Fact::EvidenceGathered { run },
        Fact::ExtendTimeout { run, by: Duration::from_mins(10) },
        Fact::StatusText { run, text: why() },
    ] {
        if !life.is_dead() {
            life.tell(fact);
        }
    }
}

fn some_run(life: &Life, rng: &mut Rng) -> Option<RunId> {
    rng.choice(life.kernel.trees.keys().copied().collect::<Vec<_>>())
}

fn crash(life: &mut Life, rng: &mut Rng) {
    if let Some(run) = some_run(life, rng) {
        let exit = if rng.bool() { KILLED } else { Exit::Code(rng.i32(0..3)) };
        life.note(&("crashes", run, exit));
        let now = life.now;
        life.kernel.end_leader(now, run, exit, rng.u8(..8) == 0);
    }
}

fn vanish(life: &mut Life, rng: &mut Rng) {
    let stuck = |run: &RunId| {
        life.supervisor
            .component_of(*run)
            .and_then(|id| life.supervisor.component(id))
            .is_some_and(|view| view.state == ComponentState::Unkillable)
    };
    let stuck: Vec<RunId> = life.kernel.trees.keys().copied().filter(stuck).collect();
    if let Some(run) = rng.choice(stuck) {
        life.kernel.vanish(life.now, run);
    }
}

fn hold_or_release(life: &mut Life, rng: &mut Rng) {
    let Some(id) = some_id(life, rng) else { return };
    if rng.u8(..4) == 0 {
        let _nobody_to_release = life.release(&id);
        return;
    }
    let until = rng.bool().then(|| Until {
        at: life.now.after(Duration::from_millis(rng.u64(1..30_000))),
        time: "2026-11-27T14:30:00Z".to_owned(),
    });
    let (by, since) = (operator().to_string(), "2026-11-27T12:00:00Z".to_owned());
    let hold = Hold { by, reason: Some("disk swap".to_owned()), since, until };
    let _one_that_leaves = life.hold(&id, hold);
}

/// A verdict about a living run.
fn trouble(life: &mut Life, rng: &mut Rng) {
    let Some(run) = some_run(life, rng) else { return };
    let fact = match rng.u8(..5) {
        0 => Fact::Unhealthy { run, why: "no answer".into() },
        1 => Fact::NotReady { run, why: "not ready in time".into() },
        2 => Fact::OverLimit { run, why: "too much memory".into() },
        3 => Fact::ExtendTimeout { run, by: Duration::from_secs(rng.u64(..60)) },
        _ => Fact::StatusText { run, text: "busy".into() },
    };
    life.fact(fact);
}

fn end_all(life: &mut Life, rng: &mut Rng) {
    // Not too often, since little happens from then on.
    if rng.bool() {
        life.shut_down(rng.bool(), rng.u8(..4) == 0);
    }
}

/// Everything restarts but what is held, and what is held does not stay as it is meanwhile.
fn restart_under_holds(life: &mut Life, rng: &mut Rng) {
    let ids: Vec<ComponentId> = life.supervisor.ids().cloned().collect();
    let (by, since) = (operator().to_string(), "2026-11-27T12:00:00Z".to_owned());
    for id in &ids {
        if rng.bool() && !life.is_dead() {
            let hold = Hold { by: by.clone(), reason: None, since: since.clone(), until: None };
            let _one_that_leaves = life.hold(id, hold);
        }
    }
    if !life.is_dead() {
        life.shut_down(true, false);
    }
    crash(life, rng);
    life.pass(Duration::from_millis(rng.u64(..3000)));
    for id in &ids {
        if rng.bool() && !life.is_dead() {
            let _nobody_to_release = life.release(id);
        }
    }
}

/// The world calms down: every operation ends, every wish is fulfilled; and then the end of all.
fn quiet(life: &mut Life, rng: &mut Rng) {
    life.note(&"the world calms down");
    (life.busy, life.dies_in) = (false, None);
    life.kernel.calm_down(life.now);
    if rng.bool() {
        let held: Vec<ComponentId> = life.supervisor.holds().map(|(id, _)| id.clone()).collect();
        for id in held {
            if !life.is_dead() {
                life.release(&id).expect("it is held");
            }
        }
    }
    life.pass(Duration::from_hours(1));
    if life.ended.is_some() {
        life.go_on(None, rng);
        life.pass(Duration::from_hours(1));
    }
    if !life.is_dead() && !life.supervisor.is_shutting_down() {
        life.oracle.check_rest(&life.supervisor);
        life.shut_down(false, false);
        life.pass(Duration::from_mins(10));
    }
    assert_eq!(life.ended, Some(false), "the shutdown ends");
    Oracle::ended_in_order(&life.supervisor, &life.kernel);
}
