//! The harness of the black-box tests: an installation in a folder of its own, and the real
//! binary working in it with real processes.
//!
//! Owns everything that a test starts and ends it. A [`Place`] that goes away looks for
//! processes that carry its mark; one that is left over fails the test, for nothing left behind
//! is the first promise. Knows the written interface alone (command line, HTTP, files) and
//! nothing of the library, so that it cannot share the library's mistakes.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests stand outside of the engine: they start programs and look at the clock"
)]

pub mod http;
pub mod place;
pub mod processes;
pub mod receivers;
pub mod registry;
pub mod running;

use std::{
    net::TcpListener,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

pub use http::Answer;
pub use place::Place;
pub use registry::{Registry, Server};
pub use running::Supervisor;

/// How long an outside condition may take before the test fails: far above what an idle machine
/// needs, for the tests share two cores with whatever else runs there.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls `probe` until it yields a value; fails loudly with `what` when it never does.
#[track_caller]
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// As [`until`], with another deadline.
#[track_caller]
pub fn within<T>(patience: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain: {what}");
        // The conditions lie in other processes: there is no event of theirs to wait for.
        thread::sleep(Duration::from_millis(5));
    }
}

/// The time since `then`, for answers that must come at once.
pub fn since(then: Instant) -> Duration {
    then.elapsed()
}

/// The moment, for measurements.
pub fn now() -> Instant {
    Instant::now()
}

/// A TCP port of 127.0.0.1 that nobody listens on, and that no other test of this process got.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().expect("no test panics while it holds this lock");
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
    }
}

/// Writes past libtest's capture: a figure that is measured is always shown.
pub fn report(text: &str) {
    use std::io::Write;
    writeln!(std::io::stderr().lock(), "{text}").expect("standard error is open");
}
