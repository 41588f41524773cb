//! Dossiers: what is known of an end that nobody asked for is kept, and found by `explain`.

use std::{fs, path::PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Place, Registry, Server, processes, until};

/// The folders of a component's dossiers that are whole, oldest first.
fn dossiers(place: &Place, id: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(place.path("logs/dossiers")) else { return Vec::new() };
    let prefix = format!("{id}-");
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .filter(|path| path.join("summary.json").exists())
        .collect();
    found.sort_by_key(|path| summary(path)["run"].as_u64());
    found
}

#[track_caller]
fn await_dossiers(place: &Place, id: &str, count: usize) -> Vec<PathBuf> {
    until(&format!("{count} dossiers of {id}"), || {
        Some(dossiers(place, id)).filter(|found| found.len() >= count)
    })
}

fn summary(folder: &std::path::Path) -> Value {
    let text = fs::read(folder.join("summary.json")).expect("a summary");
    serde_json::from_slice(&text).expect("JSON")
}

fn text(folder: &std::path::Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_crash_is_kept_with_its_last_words_and_those_of_its_neighbours() {
    let place = Place::new(&Registry::of([
        Server::shell("ps", "echo one; echo token=hunter2 >&2; while [ ! -e go ]; do sleep 0.05; done; echo last; kill -SEGV $$")
            .with("<restart policy=\"never\"/>"),
        Server::shell("svg", "echo here too; exec sleep infinity"),
    ]));
    let _supervisor = place.start();
    let pid = place.running("ps");
    place.running("svg");
    until("both have spoken", || {
        (place.log_text("ps").contains("one") && place.log_text("svg").contains("too"))
            .then_some(())
    });
    place.write("go", "");
    place.await_state("ps", "failed");
    let folder = await_dossiers(&place, "ps", 1).remove(0);

    let facts = summary(&folder);
    assert_eq!(facts["cause"]["kind"], "exit", "{facts:#}");
    assert_eq!(facts["exit"]["signal_name"], "SIGSEGV", "{facts:#}");
    assert_eq!(facts["pid"], pid, "{facts:#}");
    assert_eq!(facts["registry"]["generation"], 1, "{facts:#}");
    let output = text(&folder, "output.log");
    let (one, last) = (output.find("out one"), output.find("out last"));
    assert!(one.is_some() && last > one, "{output}");
    assert!(output.contains("err token=***"), "{output}");
    assert!(text(&folder, "neighbours.log").contains("svg out here too"));
    assert!(text(&folder, "processes.txt").contains("svg"));

    let explained = place.cli("explain ps");
    let path = folder.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(explained.stdout.contains(&path), "{explained:#?}");
    let answer = place.get("/v1/components/ps/explain").json();
    assert_eq!(answer["dossiers"][0]["run"], 1, "{answer:#}");
}

#[test]
fn a_component_that_hangs_is_looked_at_before_it_is_restarted() {
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.1; done",
    )
    .with(
        "<health interval=\"0.1\" timeout=\"1\" failures=\"2\"><exec><argument>/bin/false</argument>\
         </exec></health>",
    )]));
    let _supervisor = place.start();
    let folder = await_dossiers(&place, "ps", 1).remove(0);
    let facts = until("its end is added", || {
        Some(summary(&folder)).filter(|facts| facts["exit"].is_object())
    });
    assert_eq!(facts["cause"]["kind"], "unhealthy", "{facts:#}");
    let why = facts["cause"]["text"].as_str().expect("words");
    assert!(why.contains("/bin/false") && why.contains("2 failures in a row"), "{why}");
    assert_eq!(facts["exit"]["code"], 0, "{facts:#}");
    let pid = facts["pid"].as_u64().expect("a pid");
    assert!(text(&folder, "stacks.txt").contains(&format!("== pid {pid}\n")));
    assert!(text(&folder, "processes.txt").contains(&pid.to_string()));
    place.cli("stop ps").assert_code(0);
}

#[test]
fn a_deliberate_end_and_a_success_leave_no_dossier() {
    let place = Place::new(&Registry::of([
        Server::sleep("ps"),
        Server::shell("job", "exit 0").with("<restart policy=\"on-failure\"/>"),
        Server::sleep("crash").with("<restart policy=\"never\"/>"),
    ]));
    let _supervisor = place.start();
    place.await_state("job", "exited");
    place.running("ps");
    place.achieve("restart", "ps");
    place.achieve("kill", "ps");
    // The one that has a dossier comes last: the others would have theirs before.
    processes::signal(place.running("crash"), Signal::KILL);
    await_dossiers(&place, "crash", 1);
    assert_eq!(dossiers(&place, "ps"), Vec::<PathBuf>::new());
    assert_eq!(dossiers(&place, "job"), Vec::<PathBuf>::new());
}

#[test]
fn a_crash_loop_keeps_its_first_and_its_latest_end() {
    let place = Place::new(&Registry::of([Server::shell("ps", "echo run >>runs; exit 3")
        .with("<restart delay=\"0\" maxRestarts=\"40\" window=\"600\"/>")]));
    let _supervisor = place.start();
    place.await_state("ps", "failed");
    let runs = place.read("runs").lines().count() as u64;
    assert_eq!(runs, 41);
    let found = until("the last end is kept", || {
        let found = dossiers(&place, "ps");
        let last = summary(found.last()?);
        (last["run"] == runs).then_some(found)
    });
    assert!(found.len() <= 4, "{found:#?}");
    let left_out = summary(found.last().expect("one"))["left_out"].as_u64();
    assert!(left_out.is_some_and(|count| count > 0), "{left_out:?}");
}

#[test]
fn a_place_that_takes_no_dossier_harms_nothing() {
    let place = Place::new(&Registry::of([Server::sleep("ps")]));
    place.write("logs/dossiers", "in the way");
    let _supervisor = place.start();
    for _ in 0..2 {
        let pid = place.running("ps");
        processes::signal(pid, Signal::KILL);
        place.await_component("ps", "another pid", |ps| {
            ps["state"] == "running" && ps["pid"] != pid
        });
    }
    let told = "cannot keep what is known of this end";
    until("it is told", || place.log_text("Supervisor").contains(told).then_some(()));
}
