//! Many clients, many commands, one truth.

use std::thread;

use crate::support::{Place, Registry, Server, http, report, until};

const CLIENTS: usize = 8;
const COMMANDS_OF_EACH: usize = 125;
const COMPONENTS: usize = 6;

/// Another seed for another schedule; a failure shows which one it was.
const SEED: u64 = 0x5370_6372;

#[test]
fn a_thousand_random_commands_end_in_what_was_commanded_last() {
    // Each run holds a lock for as long as any of its processes lives: a second run that finds it
    // taken says so. The kernel frees it at the very end of the process.
    let servers = (0..COMPONENTS).map(|n| {
        Server::shell(
            &format!("c{n}"),
            &format!(
                "exec 9>c{n}.lock; flock -n 9 || echo c{n} >>doubled\n\
                 exec sleep infinity"
            ),
        )
        .with("<restart delay=\"0\" maxRestarts=\"0\"/>")
        .priority(1 + u32::try_from(n % 3).expect("a small number"))
        .stop_timeout(5.0)
    });
    let place =
        Place::new(&Registry::of(servers).config("<startsPerMinute>100000</startsPerMinute>"));
    let _supervisor = place.start();
    report(&format!("random commands: seed {SEED:#x}"));

    let socket = place.socket();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let socket = &socket;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(SEED ^ client as u64);
                for _ in 0..COMMANDS_OF_EACH {
                    let verb = ["start", "stop", "restart", "kill"][random.usize(0..4)];
                    let id = random.usize(0..COMPONENTS);
                    let path = format!("/v1/components/c{id}/{verb}");
                    let answer = http::unix(socket, "POST", &path, &[]).expect("an answer");
                    assert!(matches!(answer.status, 200 | 202 | 409), "{path}: {answer:?}");
                }
            });
        }
    });

    // The last word.
    let mut random = fastrand::Rng::with_seed(SEED);
    let commanded: Vec<bool> = (0..COMPONENTS).map(|_| random.bool()).collect();
    for (n, &run) in commanded.iter().enumerate() {
        let verb = if run { "start" } else { "stop" };
        let answer = place.post(&format!("/v1/components/c{n}/{verb}?wait=60"));
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    }
    let mut expected = 0;
    for (n, &run) in commanded.iter().enumerate() {
        let id = format!("c{n}");
        if run {
            expected += 1;
            place.await_state(&id, "running");
        } else {
            let stopped = place.await_state(&id, "stopped");
            assert!(stopped["pid"].is_null(), "{stopped:#}");
        }
    }
    assert_eq!(place.read("doubled"), "", "seed {SEED:#x}");
    until("one process for each that runs", || {
        (place.component_processes().len() == expected).then_some(())
    });
    for process in place.component_processes() {
        let known =
            (0..COMPONENTS).any(|n| place.component(&format!("c{n}"))["pid"] == process.pid);
        assert!(known, "a process that status does not know: {process:?}");
    }
}
