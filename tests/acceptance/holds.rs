//! Holds: no start and no restart, by hand or by itself, until released or expired.

use rustix::process::Signal;

use crate::support::{Place, Registry, Server, processes, until};

#[test]
fn a_held_component_that_dies_stays_down_and_starts_at_its_release() {
    let place = Place::new(&Registry::of([Server::sleep("ps"), Server::sleep("is")]));
    let _supervisor = place.start();
    let pid = place.running("ps");
    let held = place.cli("hold ps --until +2h --reason disk-swap");
    held.assert_code(0);
    assert!(held.stdout.contains("ps is running and held by"), "{held:#?}");
    assert!(held.stdout.contains("(for 1h 59m): disk-swap"), "{held:#?}");
    assert_eq!(place.pid("ps"), pid, "it goes on running");

    let denied = place.cli("restart ps");
    denied.assert_code(1);
    for part in ["ps is held by", "UTC: disk-swap", "s7supervisor release ps"] {
        assert!(denied.stderr.contains(part), "{denied:#?}");
    }
    assert_eq!(place.post("/v1/components/ps/restart").status, 409);
    assert_eq!(place.pid("ps"), pid);

    processes::signal(pid, Signal::KILL);
    let down = place.await_state("ps", "waiting");
    assert_eq!(down["waiting_for"], "the end of its hold", "{down:#}");
    assert_eq!(down["hold"]["reason"], "disk-swap", "{down:#}");
    place.cli("start ps").assert_code(1);
    let explained = place.cli("explain ps");
    assert!(explained.stdout.contains("disk-swap"), "{explained:#?}");
    assert!(explained.stdout.contains("s7supervisor release ps"), "{explained:#?}");
    let table = place.cli("status");
    assert!(table.stdout.contains("ps: held by"), "{table:#?}");

    let released = place.cli("release ps");
    released.assert_code(0);
    assert!(released.stdout.starts_with("ps is released"), "{released:#?}");
    assert_ne!(place.running("ps"), pid);
    assert!(place.component("ps")["hold"].is_null());
    assert!(place.cli("release ps").stdout.contains("ps was not held"));
}

#[test]
fn a_hold_expires_by_itself() {
    let place = Place::new(&Registry::of([Server::sleep("ps")]));
    let _supervisor = place.start();
    let pid = place.running("ps");
    assert_eq!(place.post("/v1/components/ps/hold?until=%2B2s").status, 200);
    processes::signal(pid, Signal::KILL);
    place.await_state("ps", "waiting");
    // Nobody releases it.
    assert_ne!(place.running("ps"), pid);
}

#[test]
fn a_hold_is_known_to_the_next_supervisor() {
    let place = Place::new(&Registry::of([Server::sleep("ps"), Server::sleep("is")]));
    let supervisor = place.start();
    place.running("ps");
    place.cli("hold ps").assert_code(0);
    supervisor.stop();
    let supervisor = place.start();
    place.running("is");
    let ps = place.await_state("ps", "waiting");
    assert!(ps["hold"]["by"].is_string(), "{ps:#}");
    supervisor.crash();
    let _supervisor = place.start();
    place.await_state("ps", "waiting");
    place.cli("release ps").assert_code(0);
    place.running("ps");
}

#[test]
fn a_restart_of_everything_leaves_what_is_held_running_and_says_so() {
    let place = Place::new(
        &Registry::of([Server::shell("ps", "echo up; exec sleep infinity"), Server::sleep("is")])
            .config("<leftovers>stop</leftovers>"),
    );
    let supervisor = place.start();
    let (ps, is) = (place.running("ps"), place.running("is"));
    place.cli("hold ps --reason debugging").assert_code(0);
    let restarted = place.cli("restart");
    restarted.assert_code(0);
    assert!(restarted.stderr.contains("ps is left running: it is held by"), "{restarted:#?}");
    assert_eq!(supervisor.exit(), None, "the same process goes on");
    assert_ne!(place.running("is"), is);
    assert_eq!(place.running("ps"), ps, "it was not touched");
    // Its output is read still, and its end is seen.
    place.cli("release ps").assert_code(0);
    processes::signal(ps, Signal::KILL);
    until("it starts anew", || (place.log_text("ps").matches("up").count() == 2).then_some(()));
    assert_ne!(place.running("ps"), ps);
}

#[test]
fn a_time_that_is_none_or_has_passed_is_refused() {
    let place = Place::new(&Registry::of([Server::sleep("ps")]));
    let _supervisor = place.start();
    for until in ["soon", "2020-01-01T00:00:00Z"] {
        place.cli(&format!("hold ps --until {until}")).assert_code(2);
        assert_eq!(place.post(&format!("/v1/components/ps/hold?until={until}")).status, 400);
    }
    assert!(place.component("ps")["hold"].is_null());
    place.cli("hold nobody").assert_code(2);
}
