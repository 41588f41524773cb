//! One registry has one Supervisor.

use std::{os::unix::fs::symlink, process::Command};

use crate::support::{
    Place, Registry, Server,
    place::{finish, text},
    processes,
};

fn place() -> Place {
    Place::new(&Registry::of([Server::sleep("ps")]))
}

#[test]
fn a_second_supervisor_refuses_with_the_pid_of_the_first() {
    let place = place();
    let first = place.start();
    place.await_state("ps", "running");
    let pid = place.pid("ps");

    let second = place.cli("run");
    assert!(!matches!(second.code, Some(0) | None), "{second:?}");
    assert!(second.stderr.contains(&first.pid().to_string()), "{second:?}");
    assert_eq!(place.pid("ps"), pid, "the first one goes on");
    assert!(place.socket().exists());

    // By another name of the same folder as well.
    let other_name = place.path("alias");
    symlink(place.path(""), &other_name).expect("our folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_s7supervisor"));
    place.prepare(&mut command);
    command.args(["-i", text(&other_name), "run"]);
    let third = finish(command);
    assert!(!matches!(third.code, Some(0) | None), "{third:?}");
    assert!(third.stderr.contains(&first.pid().to_string()), "{third:?}");
    assert_eq!(place.pid("ps"), pid);
    assert_eq!(place.component_processes().len(), 1);
}

#[test]
fn the_lock_holds_though_somebody_removed_the_socket() {
    let place = place();
    let first = place.start();
    let pid = place.running("ps");
    std::fs::remove_file(place.socket()).expect("it is there");
    let second = place.cli("run");
    assert!(!matches!(second.code, Some(0) | None), "{second:?}");
    assert!(second.stderr.contains(&first.pid().to_string()), "{second:?}");
    let left: Vec<_> = place.component_processes().iter().map(|process| process.pid).collect();
    assert_eq!(left, [pid], "one live run");
}

#[test]
fn a_lock_that_a_crash_left_behind_holds_nobody_up() {
    let place = place();
    let first = place.start();
    place.await_state("ps", "running");
    let pid = place.pid("ps");
    first.crash();
    processes::signal(pid, rustix::process::Signal::KILL);
    assert!(place.socket().exists(), "a crash removes nothing");
    let _second = place.start();
    let ps =
        place.await_component("ps", "runs anew", |ps| ps["state"] == "running" && ps["pid"] != pid);
    assert!(ps["pid"].is_u64());
}

#[test]
fn commands_without_a_supervisor_say_so() {
    let place = place();
    for words in ["stop", "stop ps"] {
        place.cli(words).assert_code(0);
    }
    let status = place.cli("status");
    status.assert_code(3);
    assert!(status.all().contains("not running"), "{status:?}");
    for words in ["restart ps", "kill ps", "reload"] {
        let refused = place.cli(words);
        refused.assert_code(69);
        assert!(refused.stderr.contains("not running"), "{words}: {refused:?}");
        assert_eq!(refused.stdout, "", "{words}: {refused:?}");
    }
    for words in ["frobnicate", "kill", "status --frobnicate"] {
        place.cli(words).assert_code(2);
    }
}
