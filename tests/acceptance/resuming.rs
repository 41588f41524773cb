//! The Supervisor is killed; what it had decided about components goes on in the next one.

use rustix::process::Signal;

use crate::support::{Place, Registry, Server, processes, until};

/// It writes down each start, and fails at once.
fn failing(id: &str, restart: &str) -> Server {
    Server::shell(id, &format!("echo x >>{id}.starts; exit 3")).with(restart)
}

fn starts(place: &Place, id: &str) -> usize {
    place.read(&format!("{id}.starts")).lines().count()
}

#[test]
fn a_back_off_and_its_counters_go_on() {
    let place = Place::new(&Registry::of([failing("a", "<restart delay=\"3\" maxDelay=\"3\"/>")]));
    let first = place.start();
    let before = place.await_component("a", "its second back-off", |a| {
        a["state"] == "backoff" && a["restarts"] == 2
    });
    let began = starts(&place, "a");
    first.crash();
    let _second = place.start();
    let after = place.component("a");
    assert_eq!(after["state"], "backoff", "{after:#}");
    assert_eq!((&after["restarts"], &after["attempt"]), (&before["restarts"], &before["attempt"]));
    assert_eq!(after["last_exit"]["code"], 3, "{after:#}");
    let left = |a: &serde_json::Value| a["next_attempt_s"].as_f64().expect("it is in back-off");
    assert!(left(&after) <= left(&before), "not later than it was to be: {after:#}");
    assert_eq!(starts(&place, "a"), began, "no attempt because of us");
    let next = place.await_component("a", "the next attempt", |a| a["restarts"] == 3);
    assert_eq!(next["state"], "backoff", "{next:#}");
    assert_eq!(starts(&place, "a"), began + 1);
}

#[test]
fn what_was_given_up_stays_given_up_until_an_ordinary_start() {
    let place = Place::new(&Registry::of([
        failing("loop", "<restart delay=\"0\" maxRestarts=\"2\"/>"),
        failing("never", "<restart policy=\"never\"/>"),
        Server::shell("job", "echo x >>job.starts; exit 0")
            .with("<restart policy=\"on-failure\"/>"),
    ]));
    let first = place.start();
    place.await_state("loop", "failed");
    place.await_state("never", "failed");
    place.await_state("job", "exited");
    first.crash();
    let second = place.start();
    for (id, state, count) in [("loop", "failed", 3), ("never", "failed", 1), ("job", "exited", 1)]
    {
        assert_eq!(place.component(id)["state"], state, "{:#}", place.component(id));
        assert_eq!(starts(&place, id), count, "{id} was not tried again");
    }
    assert!(place.cli("explain loop").stdout.contains("exit 3"));
    second.stop();
    let _third = place.start();
    until("they begin anew", || (starts(&place, "loop") == 6).then_some(()));
    until("they begin anew", || (starts(&place, "job") == 2).then_some(()));
}

#[test]
fn a_stop_that_had_begun_is_carried_through() {
    let deaf = |id| {
        let script = format!("trap '' TERM; echo >{id}.deaf; while :; do sleep 0.1; done");
        Server::shell(id, &script).stop_timeout(2.0)
    };
    let place = Place::new(&Registry::of(["a", "b"].map(deaf)));
    let first = place.start();
    for id in ["a", "b"] {
        let file = place.path(&format!("{id}.deaf"));
        until("it does not listen any more", || file.exists().then_some(()));
    }
    let pids = ["a", "b"].map(|id| place.running(id));
    place.ask("stop", "a");
    place.ask("restart", "b");
    for id in ["a", "b"] {
        place.await_state(id, "stopping");
    }
    first.crash();
    assert!(pids.iter().all(|&pid| processes::alive(pid)), "they do not listen to SIGTERM");
    let _second = place.start();
    place.await_state("a", "stopped");
    let b = place.await_component("b", "runs anew", |b| b["state"] == "running");
    assert_ne!(b["pid"], pids[1]);
    assert_eq!(b["restarts_asked"], 1, "{b:#}");
    assert!(!pids.iter().any(|&pid| processes::alive(pid)));
}

#[test]
fn one_that_ended_in_between_counts_as_an_end_and_a_damaged_journal_is_told() {
    let place = Place::new(&Registry::of([Server::sleep("a"), Server::sleep("b")]));
    let first = place.start();
    let [a, b] = ["a", "b"].map(|id| place.running(id));
    first.crash();
    processes::signal(a, Signal::KILL);
    until("it has ended", || (!processes::alive(a)).then_some(()));
    let journal = place.read("temp/journal");
    place.write("temp/journal", format!("{journal}what is this\n"));
    let _second = place.start();
    let a = place.await_component("a", "runs anew", |a| a["state"] == "running");
    assert_eq!(a["restarts"], 1, "{a:#}");
    assert_eq!(place.running("b"), b);
    let told = place.cli("events").stdout;
    // Where nobody reaps it in between its exit can still be read.
    assert!(told.contains("SIGKILL") || told.contains("unknown"), "{told}");
    assert!(told.contains("1 line of the journal was not readable"), "{told}");
}

#[test]
fn a_journal_of_a_newer_format_is_refused_and_nothing_is_touched() {
    let place = Place::new(&Registry::of([Server::sleep("a")]));
    let first = place.start();
    let a = place.running("a");
    first.crash();
    let journal = place.read("temp/journal");
    place.write("temp/journal", journal.replace("\"version\":2", "\"version\":99"));
    let refused = place.cli("run");
    refused.assert_code(1);
    assert!(refused.stderr.contains("is of version 99"), "{refused:#?}");
    assert!(processes::alive(a));
    place.write("temp/journal", journal);
    let _second = place.start();
    assert_eq!(place.running("a"), a);
}
