//! Who starts when, and who stops when.

use crate::support::{Place, Registry, Server, processes, until};

/// A server that writes its start and its polite end into `journal`. It is ready when it has
/// written its start: a process that lives may not have come to that.
fn chronicler(id: &str) -> Server {
    let ready = "<ready interval=\"0.1\" timeout=\"5\" failures=\"10000\"><exec>\
                 <argument>/bin/grep</argument><argument>-q</argument><argument>+ID</argument>\
                 <argument>journal</argument></exec></ready>";
    let script = "trap 'echo -ID >>journal; exit 0' TERM; echo +ID >>journal\n\
                  while :; do sleep 0.05; done";
    Server::shell(id, &script.replace("ID", id)).with(&ready.replace("ID", id))
}

fn journal(place: &Place) -> Vec<String> {
    place.read("journal").lines().map(str::to_owned).collect()
}

#[test]
fn starts_by_priority_and_dependency_and_stops_in_reverse() {
    // In the file the wrong way round, so that only the order of the plan can explain the result.
    let place = Place::new(&Registry::of([
        chronicler("last").priority(2),
        chronicler("middle").priority(1).depends_on("first"),
        chronicler("first").priority(1),
    ]));
    let supervisor = place.start();
    let last = place.await_state("last", "running");
    assert_eq!(last["restarts"], 0, "{last:#}");
    until("all have written their start", || (journal(&place).len() == 3).then_some(()));
    assert_eq!(journal(&place), ["+first", "+middle", "+last"]);

    supervisor.stop();
    assert_eq!(journal(&place)[3..], ["-last", "-middle", "-first"]);
}

#[test]
fn the_next_priority_waits_for_the_start_delay() {
    let place = Place::new(&Registry::of([
        Server::sleep("early").priority(1).start_delay(1.0),
        Server::sleep("late").priority(2),
    ]));
    let _supervisor = place.start();
    let late = place.await_component("late", "waits for early", |late| late["state"] == "waiting");
    let waiting_for = late["waiting_for"].as_str().unwrap_or_default();
    assert!(waiting_for.contains("early"), "{late:#}");
    assert_eq!(place.component("early")["state"], "starting");

    let late = place.running("late");
    let early = place.pid("early");
    let started = |pid| processes::stat(pid).expect("it runs").started;
    let apart = started(late) - started(early);
    // Clock ticks of 10 ms, each cut off: one may be missing.
    assert!(apart >= 99, "started {apart} ticks apart, not 1 s");
}

#[test]
fn the_next_priority_waits_for_the_readiness_check() {
    let place = Place::new(&Registry::of([
        Server::sleep("early").priority(1).with(
            "<ready interval=\"0.1\" timeout=\"5\" failures=\"10000\"><exec>\
             <argument>/usr/bin/test</argument><argument>-e</argument><argument>ready</argument>\
             </exec></ready>",
        ),
        Server::shell("late", "test -e ready || echo too soon >&2; exec sleep infinity")
            .priority(2),
    ]));
    let _supervisor = place.start();
    place.await_state("early", "starting");
    assert_eq!(place.component("late")["state"], "waiting");
    let ready = place.get("/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.body.contains("early"), "{ready:?}");

    place.write("ready", "");
    place.await_state("late", "running");
    assert_eq!(place.component("early")["state"], "running");
    assert_eq!(place.log_text("late"), "");
    assert_eq!(place.get("/readyz").status, 200);
}

#[test]
fn a_line_in_the_log_is_a_readiness_check() {
    let place = Place::new(&Registry::of([
        Server::shell(
            "early",
            "echo warming up; while ! test -e go; do sleep 0.02; done; echo Server is up; exec sleep infinity",
        )
        .priority(1)
        .with("<ready timeout=\"60\"><log match=\"Server .* up\"/></ready>"),
        Server::sleep("late").priority(2),
    ]));
    let _supervisor = place.start();
    until("early has warmed up", || place.log_text("early").contains("warming up").then_some(()));
    assert_eq!(place.component("early")["state"], "starting");
    assert_eq!(place.component("late")["state"], "waiting");
    place.write("go", "");
    place.await_state("late", "running");
    assert_eq!(place.component("early")["state"], "running");
}

#[test]
fn a_component_that_failed_for_good_opens_the_gate() {
    let place = Place::new(&Registry::of([
        // Without a delay it would count as running for the moment that it lives.
        Server::shell("broken", "exit 3")
            .priority(1)
            .start_delay(600.0)
            .with("<restart delay=\"0\" maxRestarts=\"1\" window=\"600\"/>"),
        Server::sleep("sound").priority(2),
    ]));
    let _supervisor = place.start();
    place.await_state("sound", "running");
    let broken = place.component("broken");
    assert_eq!(broken["state"], "failed", "{broken:#}");
    assert_eq!(broken["last_exit"]["code"], 3, "{broken:#}");

    // The failure is reported, not forgotten: the whole is not ready.
    let ready = place.get("/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert_eq!(ready.json()["not_ready"], serde_json::json!(["broken"]));
}

#[test]
fn a_component_that_is_not_enabled_starts_by_hand_alone() {
    let place = Place::new(&Registry::of([
        Server::sleep("spare").priority(1).with("<enabled>false</enabled>"),
        Server::sleep("usual").priority(2),
    ]));
    let _supervisor = place.start();
    place.await_state("usual", "running");
    let spare = place.component("spare");
    assert_eq!(spare["state"], "stopped", "{spare:#}");
    assert_eq!(spare["enabled"], false, "{spare:#}");
    assert_eq!(place.get("/readyz").status, 200, "what is not wished for is not missed");

    place.achieve("start", "spare");
    assert!(processes::alive(place.pid("spare")));
}
