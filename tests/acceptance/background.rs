//! `start`, `restart` and `stop` of the whole: the original's three words.

use crate::support::{Place, Registry, Server, processes};

fn supervisor_pid(place: &Place) -> u32 {
    let pid = place.status()["supervisor"]["pid"].as_u64().expect("a pid");
    u32::try_from(pid).expect("a pid")
}

#[test]
fn start_answers_when_every_component_runs() {
    let place = Place::new(&Registry::of([
        Server::sleep("is").priority(1).start_delay(0.3),
        Server::sleep("ps").priority(2),
    ]));
    place.cli("start").assert_code(0);
    // No waiting here: the answer was the promise.
    for id in ["is", "ps"] {
        let component = place.component(id);
        assert_eq!(component["state"], "running", "{component:#}");
        assert!(processes::alive(place.pid(id)));
    }
    let pid = supervisor_pid(&place);
    let [engine, caller] =
        [pid, std::process::id()].map(|pid| processes::stat(pid).expect("it runs"));
    assert_eq!(engine.session, engine.parent, "its guardian leads a session");
    assert_ne!(engine.session, caller.session, "free of the caller's session and terminal");
    place.cli("status").assert_code(0);

    // A second start finds it running: not an error, and nothing doubled.
    let again = place.cli("start");
    again.assert_code(0);
    assert_eq!(supervisor_pid(&place), pid);
    assert_eq!(place.component_processes().len(), 2);

    place.cli("stop").assert_code(0);
    place.assert_nothing_runs();
    place.cli("status").assert_code(3);
}

#[test]
fn start_says_who_did_not_come_up_and_why() {
    let place = Place::new(&Registry::of([
        Server::sleep("sound"),
        Server::shell("broken", "echo no licence >&2; exit 9")
            .start_delay(600.0)
            .with("<restart delay=\"0\" maxRestarts=\"2\" window=\"600\"/>"),
    ]));
    let started = place.cli("start");
    started.assert_code(1);
    assert!(started.stderr.contains("broken") && started.stderr.contains('9'), "{started:?}");
    // What came up is kept: the operator decides.
    assert_eq!(place.component("sound")["state"], "running");
    place.cli("stop").assert_code(0);
    place.assert_nothing_runs();
}

#[test]
fn start_with_a_wrong_registry_starts_nothing() {
    let place = Place::new(&Registry::of([
        Server::sleep("ps"),
        Server::sleep("is").with("<stopTimeout>soon</stopTimeout>"),
    ]));
    for words in ["start", "run"] {
        let refused = place.cli(words);
        refused.assert_code(78);
        assert!(refused.stderr.contains("soon"), "{words}: {refused:?}");
        place.assert_nothing_runs();
    }
}

#[test]
fn restart_of_all_keeps_the_supervisors_pid() {
    let place = Place::new(&Registry::of([Server::sleep("is"), Server::sleep("ps").priority(2)]));
    let supervisor = place.start();
    place.await_state("ps", "running");
    let old = ["is", "ps"].map(|id| place.pid(id));
    place.rewrite_registry(&Registry::of([
        Server::sleep("is"),
        Server::sleep("ps").priority(2),
        Server::sleep("svg"),
    ]));
    place.cli("restart").assert_code(0);
    assert!(supervisor.exit().is_none(), "in place");
    assert_eq!(supervisor_pid(&place), supervisor.pid());
    for (id, old) in ["is", "ps"].into_iter().zip(old) {
        let component = place.component(id);
        assert_eq!(component["state"], "running", "{component:#}");
        assert!(component["pid"] != old && !processes::alive(old), "{component:#}");
    }
    assert_eq!(place.component("svg")["state"], "running", "edits take effect at a restart");
    assert_eq!(place.component_processes().len(), 3);
}

#[test]
fn a_background_supervisor_can_be_restarted_and_signalled() {
    let place = Place::new(&Registry::of([Server::sleep("ps")]));
    place.cli("start").assert_code(0);
    let pid = supervisor_pid(&place);
    place.cli("restart").assert_code(0);
    assert_eq!(supervisor_pid(&place), pid);
    processes::signal(pid, rustix::process::Signal::TERM);
    crate::support::until("all is gone", || place.processes().is_empty().then_some(()));
}
