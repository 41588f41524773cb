//! What a component's details tell: how it is launched, its tree, and no secrets.

use serde_json::Value;

use crate::containment::available;
use crate::support::{Place, Registry, Server, until};

#[test]
fn details_show_the_process_tree_parents_first() {
    for containment in ["cgroup", "subreaper"].into_iter().filter(|level| available(level)) {
        let mut place = Place::new(&Registry::of([Server::shell(
            "ps",
            "sh -c 'sleep infinity & wait' & sh -c 'exec sleep infinity' & wait",
        )]));
        place.set("S7_CONTAINMENT", containment);
        let _supervisor = place.start();
        let leader = u64::from(place.running("ps"));
        let processes = until("all four processes are there", || {
            let details = place.get("/v1/components/ps/details").json();
            let list = details["processes"].as_array().expect("a list").clone();
            let sleeps = list.iter().filter(|it| command(it).starts_with("sleep infinity"));
            // One that has just executed has no pages of its own for a moment.
            let whole = list.iter().all(|it| it["memory_bytes"].as_u64() > Some(0));
            (list.len() == 4 && sleeps.count() == 2 && whole).then_some(list)
        });
        assert_eq!(processes[0]["pid"], leader, "the leader first: {processes:#?}");
        for (at, process) in processes.iter().enumerate().skip(1) {
            let parent = processes.iter().position(|other| other["pid"] == process["parent"]);
            assert!(parent.is_some_and(|parent| parent < at), "{processes:#?}");
            assert!(process["cpu_percent"].is_number(), "{process:#}");
            assert!(process["open_files"].as_u64() >= Some(3), "{process:#}");
            assert_eq!(process["threads"], 1, "{process:#}");
        }
    }
}

fn command(process: &Value) -> &str {
    process["command"].as_str().unwrap_or_default()
}

#[test]
fn details_tell_how_it_is_launched_without_its_secrets() {
    let place = Place::new(&Registry::of([
        Server::sleep("is"),
        Server::shell("ps", "echo hello; exec sleep infinity")
            .with(
                "<environment><variable name=\"MODE\">fast</variable>\
                   <variable name=\"DB_PASSWORD\">hunter2</variable></environment>",
            )
            .with("<dependsOn ref=\"is\"/>")
            .with("<limits><openFiles>512</openFiles></limits>"),
        Server::command("svg", &["/bin/sleep", "infinity"]).depends_on("ps"),
    ]));
    let _supervisor = place.start();
    place.running("svg");
    let answer = place.get("/v1/components/ps/details");
    assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    let details = answer.json();
    assert_eq!(details["depends_on"], serde_json::json!(["is"]));
    assert_eq!(details["needed_by"], serde_json::json!(["svg"]));
    let variable = |name: &str| {
        let all = details["environment"].as_array().expect("a list").iter();
        all.clone().find(|it| it["name"] == name).map(|it| it["value"].clone())
    };
    assert_eq!(variable("MODE"), Some("fast".into()));
    assert_eq!(variable("DB_PASSWORD"), Some(Value::Null));
    assert_eq!(details["restart_policy"], "always, at most 10 within 600 s");
    assert_eq!(details["limits"], serde_json::json!(["open files at most 512"]));
    let log = details["log_file"].as_str().expect("a path").to_owned();
    until("what it wrote is in that file", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text == "hello\n").then_some(())
    });
    place.get("/v1/components/pz/details").assert_problem(404, "unknown_component");
}
