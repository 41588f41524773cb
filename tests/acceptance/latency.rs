//! How long a service is interrupted when its process is killed.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    time::Duration,
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};

use crate::support::{Place, Registry, Server, now, processes, report, since};

/// Measures from the kill to the first act of the new process: a line in a pipe that the test
/// holds. Says what it found and judges nothing: the figure belongs to an idle machine, which a
/// test run is not.
#[test]
fn kill_to_new_process_is_measured() {
    const ROUNDS: usize = 60;
    let place =
        Place::new(&Registry::of([Server::shell("tiny", "echo $$ >starts; exec sleep infinity")
            .with("<restart delay=\"0\" maxRestarts=\"0\"/>")]));
    let pipe = place.path("starts");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("our folder");
    // For reading and writing: no open blocks, and the pipe has no end while we read.
    let file = File::options().read(true).write(true).open(&pipe).expect("our pipe");
    let mut starts = BufReader::new(file).lines();
    let mut next = || -> u32 {
        let line = starts.next().expect("the pipe has no end").expect("the pipe can be read");
        line.parse().expect("a pid")
    };
    let _supervisor = place.start();
    let mut pid = next();
    let mut latencies: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            // The engine knows of the run before the next kill, or it would not be a restart.
            place.await_component("tiny", "is known to run", |tiny| {
                tiny["state"] == "running" && tiny["pid"] == pid
            });
            let killed = now();
            processes::signal(pid, Signal::KILL);
            pid = next();
            since(killed)
        })
        .collect();
    place.await_component("tiny", "counts every restart", |tiny| {
        tiny["restarts"] == ROUNDS && tiny["pid"] == pid
    });
    latencies.sort();
    report(&format!(
        "kill -9 to the first line of the new process (sh), {ROUNDS} rounds: \
         median {:?}, 95 % {:?}, worst {:?}",
        latencies[ROUNDS / 2],
        latencies[ROUNDS * 95 / 100],
        latencies[ROUNDS - 1]
    ));
}
