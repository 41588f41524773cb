//! The whole supervisor in a simulated world, by chance and repeatable.
//!
//! A seed gives a registry and a schedule: operators with every command, reloads, holds, crashes,
//! trees that outlive their leader, ignore signals or cannot be killed, starts that fail, checks
//! that pass, fail or come late, old and doubled news, an engine that stands still, and Supervisors
//! that are killed between any two effects, so that the next one goes on with what the journal
//! holds. After every step an oracle looks whether the promises hold (`oracle.rs`, `past.rs`,
//! `order.rs`), and every so many steps whether all indexes agree (`tests/oracle.rs`).
//!
//! A failing seed is named with its shortest schedule: `S7_SEED=n cargo test --lib simulation` runs
//! it alone, `S7_SEEDS=n` runs more of them.

mod kernel;
mod life;
mod memory;
mod oracle;
mod order;
mod past;
mod registries;
mod schedule;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt::Write as _,
    panic::{self, AssertUnwindSafe, catch_unwind},
    str::FromStr,
    sync::{
        Mutex, Once,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use life::Life;
use schedule::ACTS;

/// Schedules of a usual run.
const SEEDS: u64 = 1000;

/// Schedules that are tried to make a failing one shorter.
const SHORTENINGS: usize = 400;

struct Run {
    steps: u64,
    deaths: u64,
    /// What broke, and the last steps.
    broken: Option<(String, Vec<String>)>,
}

thread_local! {
    /// What the last panic of a schedule on this thread said. None outside of schedules.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of schedules are what we look for: each is told once, in the report.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let ours = SAID.with_borrow_mut(|said| {
                said.as_mut().map(|said| *said = info.to_string()).is_some()
            });
            if !ours {
                usual(info);
            }
        }));
    });
}

fn live(seed: u64, keeps: &BTreeSet<usize>, told: bool) -> Run {
    let mut life = Life::new(schedule::first_registry(seed), seed, told);
    SAID.set(Some(String::new()));
    let held = catch_unwind(AssertUnwindSafe(|| schedule::run(&mut life, seed, keeps)));
    let said = SAID.take().unwrap_or_default();
    let broken = held.err().map(|_said| (said, life.story.take().into_iter().flatten().collect()));
    Run { steps: life.steps, deaths: life.deaths, broken }
}

/// Leaves out what is not needed for the schedule to fail.
fn shorten(seed: u64, place: &str) -> BTreeSet<usize> {
    let mut keeps: BTreeSet<usize> = (0..ACTS).collect();
    let mut tries = 0;
    let mut size = ACTS / 2;
    while size > 0 {
        let acts: Vec<usize> = keeps.iter().copied().collect();
        for chunk in acts.chunks(size) {
            tries += 1;
            if tries > SHORTENINGS {
                return keeps;
            }
            let fewer: BTreeSet<usize> =
                keeps.iter().copied().filter(|act| !chunk.contains(act)).collect();
            let again = live(seed, &fewer, false).broken;
            if again.is_some_and(|(said, _)| said.starts_with(place)) {
                keeps = fewer;
            }
        }
        size /= 2;
    }
    keeps
}

fn report(seed: u64, first: &str) -> String {
    // The same promise is broken at the same place.
    let place = first.lines().next().unwrap_or_default();
    let keeps = shorten(seed, place);
    let shortest = live(seed, &keeps, true);
    let (what, story) = shortest.broken.unwrap_or_default();
    let mut text = format!("seed {seed}: {first}\n");
    if what != first {
        let _infallible = writeln!(text, "shortened: {what}");
    }
    let _infallible = writeln!(text, "the last steps of {} acts {keeps:?}:", keeps.len());
    for line in story {
        let _infallible = writeln!(text, "{line}");
    }
    let _infallible = write!(text, "again: S7_SEED={seed} cargo test --lib simulation");
    text
}

fn number<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_happens_the_promises_hold() {
    listen_to_panics();
    let all: BTreeSet<usize> = (0..ACTS).collect();
    let (first, end) = match number("S7_SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, number("S7_SEEDS").unwrap_or(SEEDS)),
    };
    let (next, steps, deaths) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end || failed.load(Ordering::Relaxed) {
                return;
            }
            let run = live(seed, &all, false);
            steps.fetch_add(run.steps, Ordering::Relaxed);
            deaths.fetch_add(run.deaths, Ordering::Relaxed);
            if let Some((what, _)) = run.broken
                && !failed.swap(true, Ordering::Relaxed)
            {
                let text = report(seed, &what);
                *failure.lock().expect("no thread dies with it") = Some(text);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let failure = failure.into_inner().expect("no thread died with it");
    let seeds = end - first;
    let (steps, deaths) = (steps.into_inner(), deaths.into_inner());
    assert!(failure.is_none(), "{}", failure.unwrap_or_default());
    assert!(steps > seeds * 100, "{steps} steps only");
    // For `--nocapture`: what was run.
    let told = format!("{seeds} seeds, {steps} steps, {deaths} deaths of Supervisors\n");
    std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes()).expect("standard error");
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    let all: BTreeSet<usize> = (0..ACTS).collect();
    for seed in [3, 17] {
        let story = || {
            let mut life = Life::new(schedule::first_registry(seed), seed, true);
            schedule::run(&mut life, seed, &all);
            (life.steps, life.story)
        };
        assert_eq!(story(), story());
    }
}
