//! A thousand components.

use std::{collections::HashSet, time::Duration};

use crate::support::{Place, Registry, Server, now, report, since, within};

const FLEET: usize = 1_000;

#[test]
fn a_thousand_components_start_report_and_stop() {
    let place = Place::new(&Registry::of((0..FLEET).map(|n| Server::sleep(&format!("c{n}")))));
    let begin = now();
    let supervisor = place.start();
    // By the last one first: the whole list, asked for all the time, would be the load itself.
    let patience = Duration::from_mins(2);
    within(patience, "the last one runs", || {
        let last = place.component(&format!("c{}", FLEET - 1));
        (last["state"] == "running").then_some(())
    });
    let status = within(patience, "all of them run", || {
        let status = place.status();
        let all = status["components"].as_array().expect("a list");
        all.iter().all(|component| component["state"] == "running").then_some(status)
    });
    let started = since(begin);
    let components = status["components"].as_array().expect("a list");
    let pids: HashSet<_> =
        components.iter().filter_map(|component| component["pid"].as_u64()).collect();
    assert_eq!(pids.len(), FLEET, "each has a pid of its own");
    let living: HashSet<_> =
        place.component_processes().iter().map(|process| u64::from(process.pid)).collect();
    assert_eq!(living, pids, "and status tells the truth");

    let table = place.cli("status");
    table.assert_code(0);
    let rows = table.stdout.lines().filter(|line| line.contains("running")).count();
    assert!(rows >= FLEET, "{rows} rows");

    let begin = now();
    supervisor.stop();
    assert!(!place.path("temp/pipes").exists(), "pipes of what is gone");
    report(&format!("{FLEET} components: started in {started:?}, stopped in {:?}", since(begin)));
}

#[test]
fn the_table_of_descriptors_does_not_grow_while_components_start() {
    let servers =
        (0..200).map(|n| Server::sleep(&format!("c{n}")).with("<enabled>false</enabled>"));
    let place = Place::new(&Registry::of(servers));
    let supervisor = place.start();
    // Each doubling of it would hold up whoever opens something for some milliseconds.
    let status = std::fs::read_to_string(format!("/proc/{}/status", supervisor.pid()));
    let status = status.expect("it lives");
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).expect("Linux tells");
    let size: usize = size.trim().parse().expect("a number");
    assert!(size >= 3 * 200, "room for {size}, and none of 200 components was started yet");
}
