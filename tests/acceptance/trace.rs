//! The Supervisor's own log.

use crate::support::{Place, Registry, Server, until};

#[test]
fn memory_statistics_stand_in_the_trace_log() {
    let place = Place::new(
        &Registry::of([Server::sleep("image-server")])
            .config("<tracestatsinterval>5</tracestatsinterval>"),
    );
    let _supervisor = place.start();
    until("a line of memory statistics", || {
        place
            .log_text("Supervisor")
            .lines()
            .any(|line| line.contains("memory") && line.contains("image-server"))
            .then_some(())
    });
}

#[test]
fn the_trace_log_tells_more_at_higher_levels() {
    let lines = |level: u32| {
        let place = Place::new(
            &Registry::of([Server::sleep("ps")])
                .config(&format!("<tracelevel>{level}</tracelevel>")),
        );
        let supervisor = place.start();
        place.await_state("ps", "running");
        place.achieve("restart", "ps");
        supervisor.stop();
        place.log_text("Supervisor").lines().count()
    };
    let counts = [1, 2, 4].map(lines);
    assert!(counts[0] <= counts[1] && counts[1] < counts[2], "{counts:?}");
    assert!(
        counts[1] >= 3,
        "start, restart and stop leave a trace at the default level: {counts:?}"
    );
}

#[test]
fn the_trace_log_has_its_place_and_date() {
    let place =
        Place::new(&Registry::of([Server::sleep("ps")]).config("<log>logs/own/Trace.txt</log>"));
    let _supervisor = place.start();
    until("a dated file", || {
        let files = std::fs::read_dir(place.path("logs/own")).ok()?.flatten();
        let names: Vec<_> = files.filter_map(|file| file.file_name().into_string().ok()).collect();
        names
            .iter()
            .any(|name| {
                let date = name.strip_prefix("Trace-").and_then(|rest| rest.strip_suffix(".txt"));
                date.is_some_and(|date| date.len() == 10)
            })
            .then_some(())
    });
}
