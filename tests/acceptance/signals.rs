//! What the operating system's signals do to the Supervisor.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Place, Registry, Server, now, processes, since, until};

#[test]
fn int_stops_everything_as_term_does() {
    let place = Place::new(&Registry::of([Server::sleep("a"), Server::sleep("b")]));
    let supervisor = place.start();
    place.await_state("b", "running");
    supervisor.signal(Signal::INT);
    assert_eq!(supervisor.ended().code(), Some(0));
    place.assert_nothing_runs();
    assert!(!place.socket().exists(), "the socket goes with the Supervisor");
}

#[test]
fn a_second_term_kills_now() {
    let place = Place::new(&Registry::of([
        Server::stubborn("deaf").stop_timeout(600.0),
        Server::sleep("first").depends_on("deaf"),
    ]));
    let supervisor = place.start();
    place.await_state("first", "running");
    until("it is deaf", || place.log_text("deaf").contains("deaf").then_some(()));
    supervisor.signal(Signal::TERM);
    let stopping = place.await_state("deaf", "stopping");
    assert_eq!(place.status()["supervisor"]["shutting_down"], true);
    assert_eq!(place.component("first")["state"], "stopped", "the order is kept: {stopping:#}");
    // While it goes it takes no orders.
    place.post("/v1/components/first/start").assert_problem(503, "shutting_down");

    let asked = now();
    supervisor.signal(Signal::TERM);
    supervisor.ended();
    assert!(since(asked) < Duration::from_secs(10), "{:?}", since(asked));
    place.assert_nothing_runs();
}

#[test]
fn hup_reloads() {
    let place = Place::new(&Registry::of([Server::sleep("old")]));
    let supervisor = place.start();
    let old = place.running("old");
    place.rewrite_registry(&Registry::of([Server::sleep("old"), Server::sleep("new")]));
    supervisor.signal(Signal::HUP);
    until("the new one is known", || {
        place.try_get("/v1/components/new").filter(|answer| answer.status == 200)
    });
    place.await_state("new", "running");
    assert_eq!(place.pid("old"), old);
    assert_eq!(place.status()["supervisor"]["generation"], 2);

    // A broken registry does not bring it down.
    place.write("conf/SupervisorRegistry.xml", "<supervisor><servers>");
    supervisor.signal(Signal::HUP);
    until("the trace log says that it was refused", || {
        place.log_text("Supervisor").to_lowercase().contains("registry").then_some(())
    });
    assert_eq!(place.pid("old"), old);
    assert_eq!(place.status()["supervisor"]["generation"], 2);
}

#[test]
fn a_paused_component_can_be_stopped() {
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        "trap 'echo polite >ending; exit 0' TERM; echo up >up; while :; do sleep 0.05; done",
    )
    .stop_timeout(600.0)]));
    let _supervisor = place.start();
    until("it is up", || (place.read("up") == "up\n").then_some(()));
    let pid = place.running("ps");
    processes::signal(pid, Signal::STOP);
    until("it is paused", || (processes::stat(pid)?.state == 'T').then_some(()));
    place.achieve("stop", "ps");
    assert_eq!(place.read("ending"), "polite\n", "it was woken to handle the signal");
}

#[test]
fn shutdown_by_http_answers_and_ends() {
    let place = Place::new(&Registry::of([Server::sleep("ps")]));
    let supervisor = place.start();
    place.await_state("ps", "running");
    let answer = place.post("/v1/shutdown");
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(supervisor.ended().code(), Some(0));
    place.assert_nothing_runs();
}

#[test]
fn stop_answers_when_all_is_gone() {
    let place = Place::new(&Registry::of([
        Server::stubborn("deaf").stop_timeout(0.5),
        Server::sleep("other"),
    ]));
    let supervisor = place.start();
    until("it is deaf", || place.log_text("deaf").contains("deaf").then_some(()));
    let stopped = place.cli("stop");
    // Before the child is reaped: a zombie is gone, a living process is not.
    place.assert_nothing_runs();
    stopped.assert_code(0);
    assert_eq!(supervisor.ended().code(), Some(0));
    place.cli("status").assert_code(3);
    place.cli("stop").assert_code(0);
}
