//! A new registry in a running Supervisor: what changed restarts, the rest is not touched.

use serde_json::{Value, json};

use crate::support::{Place, Registry, Server, processes, until};

fn ids(plans: &Value) -> Vec<&str> {
    plans.as_array().expect("a list").iter().filter_map(|plan| plan["id"].as_str()).collect()
}

fn before() -> Registry {
    Registry::of([Server::sleep("same"), Server::sleep("changes"), Server::sleep("goes")])
}

fn after() -> Registry {
    let changed = "<environment><variable name=\"CHANGED\">yes</variable></environment>";
    Registry::of([
        Server::sleep("comes"),
        Server::sleep("same"),
        Server::sleep("changes").with(changed),
    ])
}

#[test]
fn only_what_changed_restarts() {
    let place = Place::new(&before());
    let _supervisor = place.start();
    for id in ["same", "changes", "goes"] {
        place.await_state(id, "running");
    }
    let [same, changes, goes] = ["same", "changes", "goes"].map(|id| place.pid(id));
    place.rewrite_registry(&after());

    let tried = place.post("/v1/reload?dry_run=true");
    assert_eq!(tried.status, 200, "{tried:?}");
    let plan = tried.json();
    assert_eq!(ids(&plan["added"]), ["comes"], "{plan:#}");
    assert_eq!(ids(&plan["removed"]), ["goes"], "{plan:#}");
    assert_eq!(ids(&plan["changed"]), ["changes"], "{plan:#}");
    assert_eq!(plan["unchanged"], json!(["same"]), "{plan:#}");
    assert_eq!(place.status()["supervisor"]["generation"], 1, "a dry run changes nothing");
    assert_eq!(place.pid("goes"), goes);

    let reloaded = place.post("/v1/reload");
    assert!(matches!(reloaded.status, 200 | 202), "{reloaded:?}");
    let report = reloaded.json();
    assert_eq!(report["generation"], 2, "{report:#}");
    assert_eq!(ids(&report["changed"]), ["changes"], "{report:#}");
    let operation = report["operation"].as_u64().expect("there is something to do");
    assert_eq!(place.await_operation(operation)["state"], "done");

    assert_eq!(place.pid("same"), same);
    let renewed = place.pid("changes");
    assert!(renewed != changes && !processes::alive(changes));
    assert_eq!(processes::environment(renewed, "CHANGED").as_deref(), Some("yes"));
    assert!(!processes::alive(goes));
    place.get("/v1/components/goes").assert_problem(404, "unknown_component");
    assert_eq!(place.component("comes")["state"], "running");
    let status = place.status();
    let order: Vec<_> =
        status["components"].as_array().expect("a list").iter().map(|c| &c["id"]).collect();
    assert_eq!(order, ["comes", "same", "changes"], "in the order of the new registry");
    assert_eq!(status["supervisor"]["generation"], 2);
    assert_eq!(place.component("same")["restarts"], 0);
}

#[test]
fn the_command_line_prints_the_plan() {
    let place = Place::new(&before());
    let _supervisor = place.start();
    place.await_state("goes", "running");
    place.rewrite_registry(&after());
    let reloaded = place.cli("reload");
    reloaded.assert_code(0);
    for id in ["comes", "goes", "changes"] {
        assert!(reloaded.all().contains(id), "{id}: {reloaded:?}");
    }
    assert_eq!(place.component("comes")["state"], "running", "it answers when it is done");

    // Nothing to do is no failure.
    let same = place.running("same");
    place.cli("reload").assert_code(0);
    assert_eq!(place.pid("same"), same);
}

#[test]
fn a_broken_registry_leaves_the_running_one_in_force() {
    let place = Place::new(&before());
    let supervisor = place.start();
    let pids = ["same", "changes", "goes"].map(|id| {
        place.await_state(id, "running");
        place.pid(id)
    });
    place.write(
        "conf/SupervisorRegistry.xml",
        "<supervisor>\n  <config><tcpport>99999</tcpport></config>\n  <servers>\n    \
         <server id=\"same\"><executable>/bin/sleep</executable><stopTimeout>soon</stopTimeout></server>\n    \
         <server id=\"same\"><profile ref=\"Tomcatt\"/></server>\n  </servers>\n</supervisor>\n",
    );
    let refused = place.cli("reload");
    refused.assert_code(78);
    // All of it in one pass: the port, the duration, the doubled id, and the profile's nearest name.
    for word in ["99999", "soon", "same", "Tomcatt", "Tomcat", "SupervisorRegistry.xml"] {
        assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
    }
    let refused = place.post("/v1/reload");
    refused.assert_problem(422, "registry_invalid");
    let diagnostics = refused.json()["diagnostics"].as_str().unwrap_or_default().to_owned();
    assert!(diagnostics.contains("Tomcatt") && diagnostics.contains("soon"), "{diagnostics}");

    assert_eq!(["same", "changes", "goes"].map(|id| place.pid(id)), pids);
    assert_eq!(place.status()["supervisor"]["generation"], 1);
    assert!(supervisor.exit().is_none());

    // Half a file, as an editor leaves it for a moment.
    let whole = after().xml();
    place.write("conf/SupervisorRegistry.xml", &whole[..whole.len() / 2]);
    place.cli("reload").assert_code(78);
    assert_eq!(place.pid("same"), pids[0]);
    place.write("conf/SupervisorRegistry.xml", &whole);
    place.cli("reload").assert_code(0);
    assert_eq!(place.pid("same"), pids[0]);
}

#[test]
fn a_component_that_was_stopped_by_hand_stays_stopped() {
    let place = Place::new(&Registry::of([Server::sleep("a"), Server::sleep("b")]));
    let _supervisor = place.start();
    place.await_state("a", "running");
    place.achieve("stop", "a");
    let changed = "<environment><variable name=\"X\">1</variable></environment>";
    place.rewrite_registry(&Registry::of([
        Server::sleep("a").with(changed),
        Server::sleep("b").with(changed),
    ]));
    place.cli("reload").assert_code(0);
    let a = place.component("a");
    assert_eq!(a["state"], "stopped", "the operator's wish outlives a reload: {a:#}");
    until("b carries the new variable", || {
        (processes::environment(place.running("b"), "X").as_deref() == Some("1")).then_some(())
    });
    place.achieve("start", "a");
    assert_eq!(processes::environment(place.pid("a"), "X").as_deref(), Some("1"));
}

#[test]
fn a_removed_component_leaves_nothing_behind() {
    let place = Place::new(&Registry::of([
        Server::sleep("stays"),
        Server::shell(
            "goes",
            "trap '' TERM; setsid sleep infinity & echo deaf; exec sleep infinity",
        )
        .stop_timeout(0.3),
    ]));
    let _supervisor = place.start();
    place.await_state("goes", "running");
    until("its grandchild runs", || (place.component_processes().len() == 3).then_some(()));
    place.rewrite_registry(&Registry::of([Server::sleep("stays")]));
    place.cli("reload").assert_code(0);
    let left = place.component_processes();
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!(left[0].pid, place.pid("stays"));
}
