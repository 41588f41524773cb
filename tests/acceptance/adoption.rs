//! The Supervisor dies; the components must not notice.

use rustix::process::Signal;

use crate::support::{Place, Registry, Server, processes, until};

#[test]
fn the_next_supervisor_adopts_what_the_last_one_left() {
    for level in ["subreaper", "cgroup"] {
        if !super::containment::available(level) {
            continue;
        }
        let lock = "exec 9>ID.lock; flock -n 9 || echo ID >>doubled; echo $$ >>ID.starts; exec sleep infinity";
        let place = Place::new(&Registry::of(["a", "b", "c"].map(|id| {
            Server::shell(id, &lock.replace("ID", id))
                .with("<restart delay=\"0\" maxRestarts=\"0\"/>")
        })));
        let first = place.start_with(&["--containment", level]);
        let pids = ["a", "b", "c"].map(|id| place.running(id));
        until("all have started", || {
            ["a", "b", "c"]
                .iter()
                .all(|id| !place.read(&format!("{id}.starts")).is_empty())
                .then_some(())
        });

        first.crash();
        for _ in 0..2 {
            // It has hardly looked around when it dies as well.
            place.start_with(&["--containment", level]).crash();
            assert!(pids.iter().all(|&pid| processes::alive(pid)), "with {level}: they live on");
        }

        let second = place.start_with(&["--containment", level]);
        for (id, pid) in ["a", "b", "c"].into_iter().zip(pids) {
            let adopted = place.await_state(id, "running");
            assert_eq!(adopted["pid"], pid, "with {level}: {adopted:#}");
            assert!(adopted["uptime_s"].as_f64() > Some(0.0), "{adopted:#}");
        }
        assert_eq!(place.component_processes().len(), 3, "none is doubled");

        // Adopted means supervised: the end is seen, and the place is taken again.
        processes::signal(pids[0], Signal::KILL);
        let a = place
            .await_component("a", "runs again", |a| a["state"] == "running" && a["pid"] != pids[0]);
        assert_eq!(a["restarts"], 1, "{a:#}");
        place.achieve("stop", "b");
        assert!(!processes::alive(pids[1]));
        second.stop();
        assert_eq!(place.read("doubled"), "", "with {level}");
    }
}

#[test]
fn what_a_component_writes_meanwhile_is_neither_lost_nor_doubled() {
    // It counts, and would die of SIGPIPE or block for ever if its output led nowhere.
    let place = Place::new(&Registry::of([Server::shell(
        "counter",
        "n=0; while test $n -lt 100000; do n=$((n+1)); echo line $n; test $((n % 50)) = 0 && sleep 0.01; done; exec sleep infinity",
    )]));
    let lines = |place: &Place| place.log_text("counter").lines().count();
    let first = place.start();
    let pid = place.running("counter");
    until("it has written something", || (lines(&place) > 100).then_some(()));
    first.crash();
    let seen = lines(&place);
    let second = place.start();
    until("the count goes on", || (lines(&place) > seen + 1000).then_some(()));
    assert_eq!(place.pid("counter"), pid);
    second.stop();
    for (n, line) in place.log_text("counter").lines().enumerate() {
        // The last line may be cut short: the component was ended while it wrote.
        let expected = format!("line {}", n + 1);
        let last = n + 1 == lines(&place);
        assert!(
            line == expected || last && expected.starts_with(line),
            "{line:?}, not {expected:?}"
        );
    }
}

#[test]
fn a_component_that_died_meanwhile_is_started_anew() {
    let place = Place::new(&Registry::of([Server::sleep("a"), Server::sleep("b")]));
    let first = place.start();
    let [a, b] = ["a", "b"].map(|id| place.running(id));
    first.crash();
    processes::signal(a, Signal::KILL);
    until("it has ended", || (!processes::alive(a)).then_some(()));
    let _second = place.start();
    let anew = place.await_component("a", "runs anew", |a| a["state"] == "running");
    assert_ne!(anew["pid"], a);
    // Its end is told as any other, with how it ended, or that nobody knows.
    assert_eq!(anew["restarts"], 1, "{anew:#}");
    let events = place.cli("events --json").stdout;
    let ends: Vec<&str> = events.lines().filter(|line| line.contains("\"crashed\"")).collect();
    assert_eq!(ends.len(), 1, "{events}");
    // Exact while nobody has reaped it (whose child it is now depends on the machine).
    let told = ends[0].contains("SIGKILL") || ends[0].contains("unknown");
    assert!(ends[0].contains("\"component\":\"a\"") && told, "{ends:?}");
    assert_eq!(place.await_state("b", "running")["pid"], b);
    assert_eq!(place.component_processes().len(), 2);
}

#[test]
fn what_has_left_the_registry_meanwhile_is_ended() {
    let place = Place::new(&Registry::of([Server::sleep("stays"), Server::sleep("goes")]));
    let first = place.start();
    let stays = place.running("stays");
    let goes = place.running("goes");
    first.crash();
    place.rewrite_registry(&Registry::of([Server::sleep("stays")]));
    let _second = place.start();
    assert_eq!(place.await_state("stays", "running")["pid"], stays);
    until("nobody is left without a master", || (!processes::alive(goes)).then_some(()));
}

#[test]
fn what_was_stopped_by_hand_stays_stopped_after_a_crash() {
    let place = Place::new(&Registry::of([Server::sleep("a"), Server::sleep("b").priority(2)]));
    let first = place.start();
    let b = place.running("b");
    place.achieve("stop", "a");
    first.crash();
    let _second = place.start();
    // It is second in the order, so that the first has had its turn.
    assert_eq!(place.await_state("b", "running")["pid"], b);
    let a = place.component("a");
    assert_eq!(a["state"], "stopped", "nobody asked for it: {a:#}");
    assert_eq!(a["intent"], "stopped", "{a:#}");
}
