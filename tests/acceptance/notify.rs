//! The notification protocol, spoken by real processes.

use std::fs;

use rustix::process::Signal;

use crate::support::{Place, Registry, Server, processes, until};

/// A shell function that sends a message over the protocol, and waits until it has been read.
const SAY: &str = "say() { python3 - \"$@\" <<'E'
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
a = os.environ['NOTIFY_SOCKET']
s.connect('\\0' + a[1:] if a[0] == '@' else a)
s.send('\\n'.join(sys.argv[1:]).encode())
r, w = os.pipe()
socket.send_fds(s, [b'BARRIER=1'], [w])
os.close(w)
os.read(r, 1)
E
}; ";

fn server(id: &str, script: &str) -> Server {
    Server::shell(id, &format!("{SAY}{script}"))
}

#[test]
fn a_watchdog_that_falls_silent_is_cut_and_told_by_name() {
    let place = Place::new(&Registry::of([server(
        "ps",
        "say READY=1 WATCHDOG=1 STATUS=serving; exec sleep infinity",
    )
    .with("<ready timeout=\"60\"><notify/></ready><health interval=\"2\"><notify/></health>")
    .with("<restart delay=\"600\" maxDelay=\"600\" resetAfter=\"86400\"/>")]));
    let _supervisor = place.start();
    let down = place.await_state("ps", "backoff");
    let why = "watchdog: no WATCHDOG=1 for 2 s";
    assert_eq!(down["reason"], why, "{down:#}");
    let explained = place.cli("explain ps");
    assert!(explained.stdout.contains(why), "{explained:#?}");
    assert!(explained.stdout.contains("the next attempt is in"), "{explained:#?}");
    let dossier = until("the dossier is there", || {
        let answer = place.get("/v1/components/ps/explain").json();
        answer["dossiers"][0]["path"].as_str().map(str::to_owned)
    });
    let summary = fs::read_to_string(format!("{dossier}/summary.json")).expect("a summary");
    assert!(summary.contains("\"kind\": \"watchdog\""), "{summary}");
}

#[test]
fn a_stop_waits_for_whoever_asks_for_more_time_and_shows_what_it_says() {
    let place = Place::new(&Registry::of([server(
        "ps",
        "trap 'say EXTEND_TIMEOUT_USEC=60000000 STATUS=flushing; \
         while [ ! -e flushed ]; do sleep 0.05; done; echo clean; exit 0' TERM; \
         say READY=1 STATUS=serving; while :; do sleep 0.05; done",
    )
    .with("<ready timeout=\"60\"><notify/></ready>")
    // Long enough to say something even on a busy machine, and short against the extension.
    .stop_timeout(8.0)]));
    let _supervisor = place.start();
    place.running("ps");
    place.await_component("ps", "says what it does", |ps| ps["health_detail"] == "serving");
    let operation = place.ask("stop", "ps");
    place.await_component("ps", "says what it does", |ps| ps["health_detail"] == "flushing");
    let asked = crate::support::now();
    until("its own time-out is over", || {
        (crate::support::since(asked) > std::time::Duration::from_secs(9)).then_some(())
    });
    assert_eq!(place.component("ps")["state"], "stopping");
    place.write("flushed", "");
    assert_eq!(place.await_operation(operation)["state"], "done");
    assert!(place.log_text("ps").contains("clean"), "it was not killed");
}

/// Says that it is ready when it is told to, once; ends where nobody listens.
pub fn late_speaker(id: &str) -> Server {
    let script = "exec python3 - <<'E'
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
a = os.environ['NOTIFY_SOCKET']
while not os.path.exists('speak'):
    time.sleep(0.01)
s.connect('\\0' + a[1:] if a[0] == '@' else a)
s.send(b'READY=1\\nSTATUS=said once')
open('said', 'w')
time.sleep(1000)
E";
    Server::shell(id, script)
        .with("<ready timeout=\"600\"><notify/></ready><restart policy=\"never\"/>")
}

#[test]
fn what_is_said_while_no_engine_lives_is_heard_by_the_next_one() {
    let place = Place::new(&Registry::of([late_speaker("ps")]));
    let supervisor = place.start();
    let pid = place.await_component("ps", "lives", |ps| ps["pid"].is_u64())["pid"].clone();
    let engine = supervisor.pid();
    // Stopped, it cannot start another engine.
    supervisor.signal(Signal::STOP);
    processes::signal(engine, Signal::KILL);
    until("the engine is dead", || (!processes::alive(engine)).then_some(()));
    place.write("speak", "");
    until("it has spoken", || place.path("said").exists().then_some(()));
    supervisor.signal(Signal::CONT);
    let ps = place.await_state("ps", "running");
    assert_eq!((&ps["pid"], &ps["health_detail"]), (&pid, &"said once".into()), "{ps:#}");
}

#[test]
fn over_an_upgrade_nobody_speaks_in_vain() {
    let script = "exec python3 - <<'E'
import os, socket, time
n = 0
while True:
    n += 1
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    a = os.environ['NOTIFY_SOCKET']
    s.connect('\\0' + a[1:] if a[0] == '@' else a)
    s.send(b'READY=1\\nSTATUS=' + str(n).encode())
    s.close()
    time.sleep(0.003)
E";
    let place = Place::new(&Registry::of([Server::shell("ps", script)
        .with("<ready timeout=\"600\"><notify/></ready><restart policy=\"never\"/>")]));
    let _supervisor = place.start();
    let pid = place.running("ps");
    let said = || {
        let ps = place.component("ps");
        let count = ps["health_detail"].as_str().and_then(|text| text.parse::<u64>().ok());
        assert_eq!((&ps["state"], &ps["pid"]), (&"running".into(), &pid.into()), "{ps:#}");
        count.unwrap_or(0)
    };
    for _ in 0..3 {
        let binary = env!("CARGO_BIN_EXE_s7supervisor");
        place.cli(&format!("upgrade --binary {binary}")).assert_code(0);
        let before = said();
        until("it is heard on", || (said() > before + 3).then_some(()));
    }
}
