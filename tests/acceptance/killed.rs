//! The engine is killed after each entry of its journal, in turn: whatever it was about to do, the
//! next one loses nothing and doubles nothing. (`S7_TEST_KILL_AFTER`: debug builds alone have it.)

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use crate::support::{Place, Registry, Server, until};

/// More entries than the scenario writes.
const MOST: u64 = 100;

fn registry(generation: &str) -> Registry {
    let value =
        format!("<environment><variable name=\"GENERATION\">{generation}</variable></environment>");
    let failing = Server::shell("fails", "exit 3");
    Registry::of([
        Server::sleep("steady").with(&value),
        failing.with("<restart delay=\"0.05\" maxRestarts=\"2\"/>"),
        Server::sleep("other").with("<dependsOn ref=\"steady\"/>"),
    ])
}

/// Whether the engine was killed before the scenario came to its end.
fn killed_after(entries: u64) -> bool {
    let mut place = Place::new(&registry("1"));
    place.set("S7_TEST_KILL_AFTER", &entries.to_string());
    let first = place.launch(&["--no-guardian"]);
    let dead = || first.exit().is_some();
    let answers = || place.try_get("/v1/status").is_some_and(|answer| answer.status == 200);
    until("it answers or is dead", || (dead() || answers()).then_some(()));
    let mut is_stopped = false;
    for words in ["restart steady", "stop other", "start other", "reload", "stop other"] {
        if dead() {
            break;
        }
        if words == "reload" {
            place.rewrite_registry(&registry("2"));
        }
        // Where nothing runs any more, a stop is content as well.
        let told = place.cli(words).stdout;
        is_stopped = words == "stop other" && told.contains("other") && told.contains("stopped");
    }
    let failed = || {
        let answer = place.try_get("/v1/components/fails");
        answer.is_some_and(|it| it.status == 200 && it.json()["state"] == "failed")
    };
    until("nothing is left to be written, or it is dead", || (dead() || failed()).then_some(()));
    let was_killed = dead();
    first.kill();
    drop(first);

    place.set("S7_TEST_KILL_AFTER", "");
    let second = place.start_with(&["--no-guardian"]);
    let settled = |id: &str, states: &[&str]| {
        place.await_component(id, "its rest", |one| {
            states.iter().any(|state| one["state"] == *state)
        })
    };
    settled("steady", &["running"]);
    settled("fails", &["failed"]);
    let other = settled("other", &["running", "stopped"]);
    if is_stopped {
        assert_eq!(other["state"], "stopped", "killed after {entries}: a stop was answered");
    }
    let expected = if other["state"] == "running" { 2 } else { 1 };
    let processes = place.component_processes();
    assert_eq!(processes.len(), expected, "killed after {entries}: {processes:#?}");
    second.stop();
    was_killed
}

#[test]
fn killed_after_any_entry_of_the_journal_nothing_is_lost_or_doubled() {
    let (next, survived) = (AtomicU64::new(1), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while survived.load(Ordering::Relaxed) == 0 {
                    let entries = next.fetch_add(1, Ordering::Relaxed);
                    if !killed_after(entries) {
                        survived.fetch_max(entries, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let survived = survived.into_inner();
    assert!((10..MOST).contains(&survived), "{survived} entries are written");
}
