//! What happens when a component ends by itself.

use rustix::process::Signal;

use crate::support::{Place, Registry, Server, place::pid_of, processes, until};

/// Back at once, for ever: what a test of restarts needs.
const AT_ONCE: &str = "<restart delay=\"0\" maxRestarts=\"0\"/>";

#[test]
fn a_killed_component_comes_back_and_status_tells_the_truth() {
    let place = Place::new(&Registry::of([
        Server::shell("ps", "echo $$ >>pids; exec sleep infinity"),
        Server::sleep("other"),
    ]));
    let _supervisor = place.start();
    let before = place.await_state("ps", "running");
    let first = pid_of(&before);
    let other = place.running("other");
    assert_eq!(before["restarts"], 0, "{before:#}");
    assert!(before["last_exit"].is_null(), "{before:#}");
    until("the script has said its pid", || (!place.read("pids").is_empty()).then_some(()));

    processes::signal(first, Signal::KILL);
    let after = place
        .await_component("ps", "runs again", |ps| ps["state"] == "running" && ps["pid"] != first);
    let second = pid_of(&after);
    until("the script has said its pid", || {
        (place.read("pids") == format!("{first}\n{second}\n")).then_some(())
    });
    assert!(processes::alive(second) && !processes::alive(first));
    assert_eq!(after["restarts"], 1, "{after:#}");
    assert_eq!(after["last_exit"]["signal"], 9, "{after:#}");
    assert_eq!(after["last_exit"]["expected"], false, "{after:#}");
    assert!(after["run"].as_u64() > before["run"].as_u64(), "{after:#}");
    assert_eq!(place.pid("other"), other, "nobody else is touched");
}

#[test]
fn a_crash_loop_backs_off_and_ends_in_failed() {
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        "test -e licence && exec sleep infinity; echo run >>runs; echo no licence >&2; exit 3",
    )
    .with("<restart delay=\"0.3\" maxDelay=\"0.5\" maxRestarts=\"3\" window=\"600\"/>")]));
    let _supervisor = place.start();
    let waiting = place.await_state("ps", "backoff");
    assert!(waiting["next_attempt_s"].as_f64().is_some_and(|s| s <= 0.6), "{waiting:#}");
    assert!(waiting["attempt"].as_u64() >= Some(1), "{waiting:#}");
    assert!(waiting["pid"].is_null(), "{waiting:#}");

    let failed = place.await_state("ps", "failed");
    assert_eq!(place.read("runs").lines().count(), 4, "one start and three restarts");
    assert_eq!(failed["restarts"], 3, "{failed:#}");
    assert_eq!(failed["last_exit"]["code"], 3, "{failed:#}");
    assert_eq!(failed["intent"], "running", "it is still wished for: {failed:#}");
    assert!(failed["next_attempt_s"].is_null(), "{failed:#}");
    assert!(failed["reason"].as_str().is_some_and(|reason| reason.contains('3')), "{failed:#}");

    let explained = place.get("/v1/components/ps/explain").json();
    let exits = explained["exits"].as_array().expect("a list");
    assert_eq!(exits.len(), 4, "{explained:#}");
    assert!(exits.iter().all(|exit| exit["exit"]["code"] == 3), "{explained:#}");
    assert_eq!(explained["max_restarts"], 3, "{explained:#}");
    assert!(
        explained["summary"].as_str().is_some_and(|text| text.contains("failed")),
        "{explained:#}"
    );
    let lines = explained["last_lines"].as_array().expect("a list");
    assert!(
        lines.iter().any(|line| line.as_str().is_some_and(|line| line.contains("no licence"))),
        "{explained:#}"
    );

    let table = place.cli("status");
    table.assert_code(0);
    let row = table.stdout.lines().find(|line| line.contains("ps")).expect("a row for ps");
    assert!(row.contains("failed"), "{row}");

    let told = place.cli("explain ps");
    told.assert_code(0);
    assert!(told.stdout.contains("failed") && told.stdout.contains("no licence"), "{told:?}");

    // An operator who repaired it starts it by hand, with a fresh budget.
    place.write("licence", "");
    place.achieve("start", "ps");
    let repaired = place.component("ps");
    assert_eq!(repaired["state"], "running", "{repaired:#}");
    assert_eq!(repaired["restarts"], 0, "counted from the operator's start: {repaired:#}");
}

#[test]
fn the_policy_decides_what_an_exit_leads_to() {
    let servant = |id: &str, code: u32, policy: &str| {
        Server::shell(id, &format!("echo run >>{id}.runs; exit {code}")).with(policy)
    };
    let place = Place::new(&Registry::of([
        servant("never", 1, "<restart policy=\"never\"/>"),
        servant(
            "clean",
            0,
            "<restart policy=\"on-failure\" delay=\"0\" maxRestarts=\"2\" window=\"600\"/>",
        ),
        servant(
            "listed",
            7,
            "<restart policy=\"on-failure\" delay=\"0\" maxRestarts=\"2\" window=\"600\" successCodes=\"0 7\"/>",
        ),
        servant(
            "unclean",
            1,
            "<restart policy=\"on-failure\" delay=\"0\" maxRestarts=\"2\" window=\"600\"/>",
        ),
        servant("always", 0, "<restart delay=\"0\" maxRestarts=\"2\" window=\"600\"/>"),
    ]));
    let _supervisor = place.start();
    place.await_state("clean", "exited");
    place.await_state("listed", "exited");
    place.await_state("unclean", "failed");
    place.await_state("always", "failed");
    let never =
        place.await_component("never", "has ended", |never| never["last_exit"]["code"] == 1);
    assert!(never["state"] == "exited" || never["state"] == "failed", "{never:#}");
    let runs = |id: &str| place.read(&format!("{id}.runs")).lines().count();
    assert_eq!(["never", "clean", "listed", "unclean", "always"].map(runs), [1, 1, 1, 3, 3]);
}

#[test]
fn a_missing_executable_is_a_failed_attempt_with_its_reason() {
    let place = Place::new(&Registry::of([
        Server::command("ghost", &["bin/ghost"])
            .with("<restart delay=\"0.05\" maxDelay=\"0.1\" maxRestarts=\"2\" window=\"600\"/>"),
        Server::sleep("other"),
    ]));
    let supervisor = place.start();
    let ghost = place.await_state("ghost", "failed");
    let reason = ghost["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("bin/ghost") && reason.contains("No such file"), "{ghost:#}");
    assert!(ghost["pid"].is_null(), "{ghost:#}");
    assert_eq!(place.component("other")["state"], "running");
    assert!(supervisor.exit().is_none());

    place.write("bin/ghost", "#!/bin/sh\nexec sleep infinity\n");
    let path = place.path("bin/ghost");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("our file");
    place.achieve("start", "ghost");
    assert!(processes::alive(place.pid("ghost")));
}

#[test]
fn a_component_that_stayed_up_restarts_without_delay() {
    // A delay of a minute: only the rule for the first restart of a stable one explains success.
    let place = Place::new(&Registry::of([
        Server::sleep("ps").with("<restart delay=\"60\" maxDelay=\"60\" resetAfter=\"0.5\"/>")
    ]));
    let _supervisor = place.start();
    let ps = place.await_component("ps", "is stable", |ps| ps["uptime_s"].as_f64() > Some(0.7));
    let first = pid_of(&ps);
    processes::signal(first, Signal::KILL);
    place.await_component("ps", "runs again", |ps| ps["state"] == "running" && ps["pid"] != first);
}

#[test]
fn a_grandchild_that_outlives_its_leader_is_gone_before_the_restart() {
    for level in ["subreaper", "cgroup"] {
        if !super::containment::available(level) {
            continue;
        }
        let place = Place::new(&Registry::of([Server::shell(
            "ps",
            "if test -e grandchild && grep -sq '^State:.[^ZX]' /proc/$(cat grandchild)/status\n\
             then echo overlap >>overlaps; fi\n\
             setsid sleep infinity &\n\
             echo $! >grandchild; echo $$ >>leaders; exec sleep infinity",
        )
        .with(AT_ONCE)]));
        let _supervisor = place.start_with(&["--containment", level]);
        for round in 1..=5 {
            until("the leader is up", || {
                (place.read("leaders").lines().count() == round).then_some(())
            });
            let leader = place.await_component("ps", "is the newest leader", |ps| {
                place.read("leaders").lines().last()
                    == ps["pid"].as_u64().map(|pid| pid.to_string()).as_deref()
            });
            let leader = pid_of(&leader);
            until("the grandchild has a session of its own", || {
                let grandchild = place.read("grandchild").trim().parse().ok()?;
                (processes::stat(grandchild)?.session == grandchild).then_some(())
            });
            processes::signal(leader, Signal::KILL);
        }
        until("the last one is back", || {
            (place.read("leaders").lines().count() == 6).then_some(())
        });
        assert_eq!(place.read("overlaps"), "", "with {level}");
    }
}
