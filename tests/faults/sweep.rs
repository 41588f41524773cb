//! The calls of a whole scenario fail, one after the other.

use std::{
    collections::BTreeMap,
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
};

use crate::{
    calls::{CALLS, Effect},
    injector::{Fault, Role},
    scenario::{LAST_HITS, live},
    support::report,
};

/// The n-th call of this name by this process comes to this, and so many after it.
#[derive(Debug, Clone, Copy)]
struct Point {
    role: Role,
    call: &'static str,
    at: u64,
    times: u64,
    effect: Effect,
}

impl Point {
    fn fault(self) -> Fault {
        Fault::of(&[self.call], self.effect).by(self.role).at(self.at, self.times)
    }
}

/// Lives a life for each point, some at a time; what failed, with why.
fn sweep(points: Vec<Point>, descriptors: usize) -> Vec<String> {
    let (points, failed) = (Mutex::new(points.into_iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let point = points.lock().expect("nothing panics under it").next();
                    let Some(point) = point else { return };
                    let lived = catch_unwind(AssertUnwindSafe(|| {
                        let life = live(vec![point.fault()]);
                        // Connections that are just being closed are open, too.
                        let most = descriptors + 4;
                        assert!(life.descriptors <= most, "{} descriptors", life.descriptors);
                    }));
                    if let Err(panic) = lived {
                        let text = panic.downcast_ref::<String>().map(String::as_str);
                        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                        let text = text.unwrap_or("a panic without words");
                        let hits = LAST_HITS.take().join("\n  ");
                        let why = format!("{point:?}:\n  {hits}\n  {text}");
                        report(&why);
                        failed.lock().expect("nothing panics under it").push(why);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("nothing panics under it")
}

/// Every `stride`-th of the calls that a life without faults makes, each with one effect after the
/// other.
fn points(counts: &BTreeMap<(Role, &'static str), u64>, most: u64, times: u64) -> Vec<Point> {
    let mut points = Vec::new();
    for (&(role, name), &count) in counts {
        let effects = CALLS.iter().find(|call| call.name == name).map_or(&[][..], |it| it.effects);
        let step = count.div_ceil(most).max(1);
        for (n, at) in (1..=count).step_by(step.try_into().expect("small")).enumerate() {
            // Where a call is made a few times, with each effect; else they take turns.
            let turns = (count > 12).then_some(n % effects.len());
            let effects = effects.iter().enumerate();
            let chosen = effects.filter(|(index, _)| turns.is_none_or(|turn| turn == *index));
            points.extend(chosen.map(|(_, &effect)| Point { role, call: name, at, times, effect }));
        }
    }
    points
}

/// `cargo test --test faults sweep::every_call -- --ignored --nocapture`; `S7_FAULTS=openat,write` takes
/// these calls alone, `S7_FAULTS_TIMES=3` has so many fail in a row.
#[test]
#[ignore = "forty minutes"]
fn every_call_may_fail() {
    let only = env::var("S7_FAULTS").unwrap_or_default();
    let times = env::var("S7_FAULTS_TIMES").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let most = env::var("S7_FAULTS_MOST").ok().and_then(|it| it.parse().ok()).unwrap_or(u64::MAX);
    let life = live(Vec::new());
    let mut counts = life.counts;
    counts.retain(|(_, call), _| only.is_empty() || only.split(',').any(|it| it == *call));
    let points = points(&counts, most, times);
    let count = points.len();
    report(&format!("{count} lives"));
    let failed = sweep(points, life.descriptors);
    report(&format!("{count} lives, {} not as they must be", failed.len()));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Some of them: [`every_call_may_fail`] takes long.
#[test]
fn whatever_call_fails_nothing_is_lost_doubled_or_left() {
    let life = live(Vec::new());
    assert_eq!(life.hits, [""; 0]);
    let points = points(&life.counts, 2, 1);
    let step = points.len() / 20;
    let failed = sweep(points.into_iter().step_by(step).collect(), life.descriptors);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
