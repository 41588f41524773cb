//! The conversation with systemd, with the test in systemd's place.

use std::{os::unix::net::UnixDatagram, time::Duration};

use rustix::{
    process::Signal,
    time::{ClockId, clock_gettime},
};

use crate::support::{PATIENCE, Place, Registry, Server, Supervisor, place::text, until};

/// A place whose Supervisor talks to the socket that comes with it.
fn place() -> (Place, UnixDatagram) {
    let mut place = Place::new(&Registry::of([Server::sleep("ps").start_delay(0.2)]));
    let path = place.path("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("our folder");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out above 0");
    let path = text(&path).to_owned();
    place.set("NOTIFY_SOCKET", &path);
    (place, socket)
}

/// The next message, as its lines.
#[track_caller]
fn message(socket: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes).expect("a message in time");
    String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned).collect()
}

/// Reads on until a message holds this line; yields that message.
#[track_caller]
fn await_line(socket: &UnixDatagram, line: &str) -> Vec<String> {
    until(line, || Some(message(socket)).filter(|lines| lines.iter().any(|known| known == line)))
}

fn monotonic_microseconds() -> u128 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = Duration::from_secs(now.tv_sec.try_into().expect("after the start"));
    (seconds + Duration::from_nanos(now.tv_nsec.try_into().expect("below a second"))).as_micros()
}

#[test]
fn ready_reloading_and_stopping_are_told() {
    let (place, socket) = place();
    let supervisor = place.launch(&[]);
    let mut told_status = false;
    until("READY=1", || {
        let lines = message(&socket);
        told_status |= lines.iter().any(|line| line.starts_with("STATUS="));
        lines.iter().any(|line| line == "READY=1").then_some(())
    });
    assert!(told_status, "STATUS= tells what it does");
    place.await_state("ps", "running");

    let before = monotonic_microseconds();
    supervisor.signal(Signal::HUP);
    let reloading = await_line(&socket, "RELOADING=1");
    let stamp: u128 = reloading
        .iter()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="))
        .expect("in the same message")
        .parse()
        .expect("microseconds");
    assert!((before..=monotonic_microseconds()).contains(&stamp), "{stamp}");
    await_line(&socket, "READY=1");

    supervisor.signal(Signal::TERM);
    await_line(&socket, "STOPPING=1");
    assert_eq!(supervisor.ended().code(), Some(0));
}

#[test]
fn the_watchdog_is_fed() {
    let (mut place, socket) = place();
    place.set("WATCHDOG_USEC", "400000");
    let supervisor: Supervisor<'_> = place.launch(&[]);
    for _ in 0..3 {
        await_line(&socket, "WATCHDOG=1");
    }
    place.await_state("ps", "running");
    supervisor.stop();
}

#[test]
fn a_watchdog_that_is_another_processes_is_left_alone() {
    let (mut place, socket) = place();
    place.set("WATCHDOG_USEC", "400000");
    place.set("WATCHDOG_PID", "1");
    let supervisor = place.launch(&[]);
    place.await_answer(&supervisor);
    place.await_state("ps", "running");
    supervisor.stop();
    // All there is has been said by now.
    socket.set_nonblocking(true).expect("a socket of ours");
    let mut bytes = [0; 4096];
    while let Ok(length) = socket.recv(&mut bytes) {
        let text = String::from_utf8_lossy(&bytes[..length]);
        assert!(!text.contains("WATCHDOG=1"), "{text}");
    }
}
