//! Commands are accepted in every state, and answered at once.

use std::time::Duration;

use crate::support::{
    Answer, Place, Registry, Server, now, place::pid_of, processes, since, until,
};

/// Long against "at once", short against what it would take to wait for the obstacle.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Stops `id` through the API's own waiting, and checks that nothing held it up.
#[track_caller]
fn stop_at_once(place: &Place, id: &str) {
    let asked = now();
    let answer = place.post(&format!("/v1/components/{id}/stop?wait=60"));
    assert!(answer.status == 200 || answer.status == 202, "{answer:?}");
    let took = since(asked);
    assert!(took < AT_ONCE, "the stop took {took:?}: {answer:?}");
    let component = place.component(id);
    assert_eq!(component["state"], "stopped", "{component:#}");
    assert_eq!(component["intent"], "stopped", "{component:#}");
    assert!(component["next_attempt_s"].is_null(), "{component:#}");
}

#[test]
fn stop_while_waiting() {
    let place = Place::new(&Registry::of([
        Server::sleep("early").priority(1).start_delay(600.0),
        Server::sleep("late").priority(2),
    ]));
    let _supervisor = place.start();
    place.await_state("late", "waiting");
    stop_at_once(&place, "late");
}

#[test]
fn stop_while_starting() {
    let place = Place::new(&Registry::of([Server::sleep("ps").start_delay(600.0)]));
    let _supervisor = place.start();
    let pid = pid_of(&place.await_component("ps", "is starting", |ps| {
        ps["state"] == "starting" && ps["pid"].is_u64()
    }));
    stop_at_once(&place, "ps");
    assert!(!processes::alive(pid));
}

#[test]
fn stop_while_backing_off() {
    let place = Place::new(&Registry::of([Server::shell("ps", "echo run >>runs; exit 1")
        .with("<restart delay=\"600\" maxDelay=\"600\"/>")]));
    let _supervisor = place.start();
    place.await_state("ps", "backoff");
    stop_at_once(&place, "ps");
    assert_eq!(place.read("runs"), "run\n");
}

#[test]
fn stop_while_stopping_joins_the_stop_under_way() {
    let place = Place::new(&Registry::of([Server::stubborn("ps").stop_timeout(600.0)]));
    let _supervisor = place.start();
    until("it is deaf", || place.log_text("ps").contains("deaf").then_some(()));
    place.await_state("ps", "running");
    let operation = place.ask("stop", "ps");
    let stopping = place.await_state("ps", "stopping");
    assert_eq!(stopping["intent"], "stopped", "{stopping:#}");
    assert!(stopping["pid"].is_u64(), "it lives still: {stopping:#}");

    let asked = now();
    let again = place.post("/v1/components/ps/stop");
    assert!(since(asked) < AT_ONCE);
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.json()["result"], "redundant", "{again:?}");
    let joined = again.json()["operation"].as_u64().expect("the one that is under way");
    let pending = place.get(&format!("/v1/operations/{operation}")).json();
    assert_eq!(pending["state"], "pending", "{pending:#}");
    assert_eq!(pending["components"][0]["id"], "ps", "{pending:#}");

    // Escalation is always possible.
    let kill = place.post("/v1/components/ps/kill");
    assert_eq!(kill.status, 202, "{kill:?}");
    for operation in [operation, joined] {
        assert_eq!(place.await_operation(operation)["state"], "done");
    }
    let ps = place.await_state("ps", "stopped");
    assert_eq!(ps["last_exit"]["signal"], 9, "{ps:#}");
    assert_eq!(place.component_processes(), []);
}

#[test]
fn start_while_stopping_starts_afterwards() {
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        "trap 'while ! test -e leave; do sleep 0.02; done; exit 0' TERM\n\
         echo $$ >>starts\n\
         while :; do sleep 0.05; done",
    )
    .stop_timeout(600.0)]));
    let _supervisor = place.start();
    let first = place.running("ps");
    until("it has set its trap", || (!place.read("starts").is_empty()).then_some(()));
    let stop = place.ask("stop", "ps");
    place.await_state("ps", "stopping");
    let start = place.ask("start", "ps");
    let stopping = place.component("ps");
    assert_eq!(stopping["state"], "stopping", "the stop is not cut short: {stopping:#}");
    assert_eq!(stopping["intent"], "running", "the wish is kept: {stopping:#}");
    assert_eq!(stopping["pid"], first, "{stopping:#}");

    place.write("leave", "");
    let started = place.await_operation(start);
    assert_eq!(started["state"], "done", "{started:#}");
    place.await_operation(stop);
    let ps = place.component("ps");
    assert_eq!(ps["state"], "running", "{ps:#}");
    assert!(!processes::alive(first) && processes::alive(pid_of(&ps)), "{ps:#}");
    assert_eq!(place.read("starts"), format!("{first}\n{}\n", pid_of(&ps)));
}

#[test]
fn restart_of_one_leaves_the_others_alone() {
    let place = Place::new(&Registry::of([
        Server::sleep("is").priority(1),
        Server::sleep("svg").priority(1),
        Server::sleep("ps").priority(2),
    ]));
    let supervisor = place.start();
    place.await_state("ps", "running");
    let before = ["is", "svg", "ps"].map(|id| place.pid(id));
    let restarted = place.cli("restart ps");
    restarted.assert_code(0);
    let after = ["is", "svg", "ps"].map(|id| place.pid(id));
    assert_eq!(after[..2], before[..2]);
    assert_ne!(after[2], before[2]);
    let ps = place.component("ps");
    assert_eq!(ps["state"], "running", "{ps:#}");
    assert_eq!(ps["last_exit"]["expected"], true, "{ps:#}");
    assert_eq!(ps["restarts_asked"], 1, "and yet it is counted: {ps:#}");
    assert_eq!(ps["restarts"], 0, "what an operator asks for is not a crash: {ps:#}");
    assert_eq!(place.status()["supervisor"]["pid"], supervisor.pid());
}

#[test]
fn a_command_can_be_tied_to_a_run() {
    let place = Place::new(&Registry::of([Server::sleep("ps")]));
    let _supervisor = place.start();
    let run = |place: &Place| place.await_state("ps", "running")["run"].as_u64().expect("a number");
    let old = run(&place);
    place.achieve("restart", "ps");
    let current = run(&place);
    assert!(current > old);

    let pid = place.pid("ps");
    let late: Answer = place.post_with("/v1/components/ps/stop", &[&format!("If-Match: {old}")]);
    late.assert_problem(412, "run_ended");
    assert_eq!(place.pid("ps"), pid);
    let timely =
        place.post_with("/v1/components/ps/stop?wait=30", &[&format!("If-Match: {current}")]);
    assert!(timely.status == 200 || timely.status == 202, "{timely:?}");
    place.await_state("ps", "stopped");
}

#[test]
fn an_unknown_id_names_the_nearest_known_one() {
    let place = Place::new(&Registry::of([Server::sleep("platform"), Server::sleep("image")]));
    let _supervisor = place.start();
    let answer = place.post("/v1/components/platfrom/restart");
    answer.assert_problem(404, "unknown_component");
    assert_eq!(answer.json()["nearest"], "platform", "{answer:?}");
    place.get("/v1/components/nobody").assert_problem(404, "unknown_component");
    place.get("/v1/nothing").assert_problem(404, "unknown_path");
    place.get("/v1/operations/4711").assert_problem(404, "unknown_operation");

    let refused = place.cli("restart platfrom");
    refused.assert_code(2);
    assert!(refused.stderr.contains("platform"), "{refused:?}");
    assert_eq!(refused.stdout, "", "{refused:?}");
}

#[test]
fn status_is_the_same_object_on_both_ways() {
    let place = Place::new(&Registry::of([
        Server::sleep("ps").with("<description>Platform Server</description>"),
        Server::sleep("is"),
    ]));
    let supervisor = place.start();
    place.await_state("ps", "running");
    place.await_state("is", "running");

    let printed = place.cli("status --json");
    printed.assert_code(0);
    let printed: serde_json::Value = serde_json::from_str(&printed.stdout).expect("JSON");
    let asked = place.status();
    for (object, name) in [(&printed, "command line"), (&asked, "HTTP")] {
        assert_eq!(object["supervisor"]["pid"], supervisor.pid(), "{name}");
        assert_eq!(object["supervisor"]["generation"], 1, "{name}");
        let ids: Vec<_> =
            object["components"].as_array().expect("a list").iter().map(|c| &c["id"]).collect();
        assert_eq!(ids, ["ps", "is"], "{name}: in the order of the registry");
        assert_eq!(object["components"][0]["description"], "Platform Server", "{name}");
        assert_eq!(object["components"][0]["pid"], asked["components"][0]["pid"], "{name}");
    }
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    for key in [
        "id",
        "description",
        "state",
        "health",
        "pid",
        "run",
        "uptime_s",
        "cpu_percent",
        "memory_bytes",
        "processes",
        "restarts",
        "last_exit",
        "intent",
        "waiting_for",
        "next_attempt_s",
        "attempt",
        "enabled",
    ] {
        assert!(keys(&printed["components"][0]).iter().any(|known| known == key), "{key}");
    }
    for key in
        ["pid", "version", "uptime_s", "registry", "generation", "cpu_percent", "memory_bytes"]
    {
        assert!(keys(&printed["supervisor"]).iter().any(|known| known == key), "{key}");
    }

    let table = place.cli("status ps");
    table.assert_code(0);
    assert!(
        table.stdout.contains("running") && table.stdout.contains(&place.pid("ps").to_string()),
        "{table:?}"
    );
    assert!(
        !table.stdout.lines().any(|line| line.starts_with("is ")),
        "one was asked for: {table:?}"
    );
}

#[test]
fn the_verbs_of_the_command_line_answer_when_it_is_done() {
    let place = Place::new(&Registry::of([Server::sleep("ps"), Server::sleep("is")]));
    let _supervisor = place.start();
    place.await_state("ps", "running");
    let pid = place.pid("ps");
    place.cli("stop ps").assert_code(0);
    assert_eq!(place.component("ps")["state"], "stopped");
    assert!(!processes::alive(pid));
    place.cli("stop ps").assert_code(0);
    place.cli("start ps").assert_code(0);
    assert_eq!(place.component("ps")["state"], "running");
    place.cli("start ps is").assert_code(0);
}

#[test]
fn a_start_that_fails_says_who_and_why() {
    let place = Place::new(&Registry::of([
        Server::sleep("sound"),
        // Alive for a moment is not up: the delay leaves no doubt.
        Server::shell("broken", "echo the key is missing >&2; exit 9").start_delay(600.0).with(
            "<enabled>false</enabled><restart delay=\"0\" maxRestarts=\"1\" window=\"600\"/>",
        ),
    ]));
    let _supervisor = place.start();
    let failed = place.cli("start broken sound");
    failed.assert_code(1);
    assert!(failed.stderr.contains("broken") && failed.stderr.contains('9'), "{failed:?}");
    assert_eq!(place.component("broken")["state"], "failed");
}
