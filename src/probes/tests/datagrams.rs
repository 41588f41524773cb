//! The notification protocol with real datagrams.

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use ProbeKind::{Health, Ready};

use super::*;

/// Sends as a component's library would.
fn send(environment: &[(String, String)], datagram: &[u8]) -> std::io::Result<usize> {
    let address =
        &environment.iter().find(|(name, _)| name == "NOTIFY_SOCKET").expect("it is set").1;
    let socket = UnixDatagram::unbound()?;
    match address.strip_prefix('@') {
        Some(name) => socket.send_to_addr(datagram, &SocketAddr::from_abstract_name(name)?),
        None => socket.send_to(datagram, address),
    }
}

fn notifying() -> Component {
    let mut ps = component("ps");
    let timeout = Duration::from_mins(1);
    ps.ready = Some(Probe { timeout, ..probe(Check::Notify) }.into());
    ps
}

#[tokio::test]
async fn what_was_said_before_it_was_watched_counts() {
    let mut lab = Lab::new();
    let ps = notifying();
    let environment = lab.probes.prepare(RUN, &ps).expect("it can be prepared");
    send(&environment, b"READY=1\nSTATUS=up").expect("the socket is there before the start");
    let process = Watched { pid: std::process::id(), age: Duration::ZERO, ready: false };
    lab.probes.watch(RUN, &ps, process);
    assert_eq!(lab.next().await, (Ready, passed("ready: READY=1")));
    assert_eq!(lab.next().await, (Health, Finding::Status("up".to_owned())));
}

#[tokio::test]
async fn health_of_another_kind_follows_ready_by_notify() {
    let mut lab = Lab::new();
    lab.script(&[(0, 0, "")]);
    let mut ps = notifying();
    let interval = Duration::from_millis(20);
    ps.health = Some(Probe { interval, ..probe(exec()) }.into());
    let environment = lab.start(RUN, &ps);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(lab.commands.started.lock().expect("not poisoned").is_empty());
    send(&environment, b"READY=1").expect("sent");
    assert_eq!(lab.next().await, (Ready, passed("ready: READY=1")));
    assert_eq!(lab.next().await, (Health, passed("ask -q ended with exit 0")));
}

#[tokio::test]
async fn silence_of_the_watchdog_is_a_failure() {
    let mut lab = Lab::new();
    let mut ps = notifying();
    let interval = Duration::from_millis(200);
    ps.health = Some(Probe { interval, ..probe(Check::Notify) }.into());
    let environment = lab.start(RUN, &ps);
    let usec = ("WATCHDOG_USEC".to_owned(), "200000".to_owned());
    assert!(environment.contains(&usec), "{environment:?}");
    send(&environment, b"READY=1\nWATCHDOG=1").expect("sent");
    assert_eq!(lab.next().await, (Ready, passed("ready: READY=1")));
    assert_eq!(lab.next().await, (Health, passed("watchdog: WATCHDOG=1")));
    assert_eq!(lab.next().await, (Health, failed("watchdog: no WATCHDOG=1 for 0.2 s")));
    send(&environment, b"WATCHDOG=1").expect("sent");
    assert_eq!(lab.next().await, (Health, passed("watchdog: WATCHDOG=1")));
}

#[tokio::test]
async fn the_watchdog_counts_from_readiness_of_another_kind() {
    let mut lab = Lab::new();
    lab.script(&[(0, 0, "")]);
    let mut ps = component("ps");
    ps.ready = Some(probe(exec()).into());
    let interval = Duration::from_millis(100);
    ps.health = Some(Probe { interval, ..probe(Check::Notify) }.into());
    lab.start(RUN, &ps);
    assert_eq!(lab.next().await, (Ready, passed("ask -q ended with exit 0")));
    assert_eq!(lab.next().await, (Health, failed("watchdog: no WATCHDOG=1 for 0.1 s")));
}

#[tokio::test]
async fn garbage_is_refused_and_does_no_harm() {
    let mut lab = Lab::new();
    let environment = lab.start(RUN, &notifying());
    let refusal = format!(
        "notify: a message of pid {} over 4096 bytes or with zero bytes",
        std::process::id()
    );
    send(&environment, &[b'x'; 5000]).expect("sent");
    assert_eq!(lab.next().await, (Health, Finding::Refused(refusal)));
    // The same refusal is not told again; an empty and a nonsensical datagram say nothing.
    for garbage in [b"READY=1\0".as_slice(), b"", b"\xff\xfe\n=\n\n", b"READY"] {
        send(&environment, garbage).expect("sent");
    }
    send(&environment, b"WATCHDOG_USEC=often").expect("sent");
    let senseless = "notify: the value of WATCHDOG_USEC makes no sense".to_owned();
    assert_eq!(lab.next().await, (Health, Finding::Refused(senseless)));
    send(&environment, b"READY=1").expect("sent");
    assert_eq!(lab.next().await, (Ready, passed("ready: READY=1")));
}

#[tokio::test]
async fn only_the_component_itself_is_listened_to() {
    let mut lab = Lab::new();
    let ps = notifying();
    let environment = lab.probes.prepare(RUN, &ps).expect("it can be prepared");
    // The leader is another process, so this one must be a member of its tree.
    lab.probes.watch(RUN, &ps, Watched { pid: 1, age: Duration::ZERO, ready: false });
    let me = std::process::id();
    send(&environment, b"READY=1").expect("sent");
    let foreign = format!("notify: a message of pid {me}, which is not of this component");
    assert_eq!(lab.next().await, (Health, Finding::Refused(foreign)));
    lab.members.0.lock().expect("not poisoned").insert(me);
    send(&environment, b"READY=1").expect("sent");
    assert_eq!(lab.next().await, (Ready, passed("ready: READY=1")));
}

#[tokio::test]
async fn a_main_pid_is_believed_only_of_the_own_tree() {
    let mut lab = Lab::new();
    let environment = lab.start(RUN, &notifying());
    send(&environment, b"MAINPID=1").expect("sent");
    let foreign = "notify: MAINPID=1 is not a process of this component".to_owned();
    assert_eq!(lab.next().await, (Health, Finding::Refused(foreign)));
    lab.members.0.lock().expect("not poisoned").insert(1);
    send(&environment, b"MAINPID=1").expect("sent");
    assert_eq!(lab.next().await, (Health, Finding::MainPid(1)));
}

#[tokio::test]
async fn everything_else_that_a_component_can_say() {
    let mut lab = Lab::new();
    let environment = lab.start(RUN, &notifying());
    let said = b"RELOADING=1\nEXTEND_TIMEOUT_USEC=5000000\nERRNO=12\nSTOPPING=1\nFDSTORE=1\nX_Y=z";
    send(&environment, said).expect("sent");
    let expected = [
        Finding::Reloading,
        Finding::ExtendTimeout(Duration::from_secs(5)),
        Finding::Stopping,
        Finding::Errno(12),
    ];
    for finding in expected {
        assert_eq!(lab.next().await, (Health, finding));
    }
}

#[tokio::test]
async fn a_forgotten_run_leaves_no_socket_and_cannot_speak() {
    let mut lab = Lab::new();
    let environment = lab.start(RUN, &notifying());
    send(&environment, b"STATUS=a").expect("sent");
    assert_eq!(lab.next().await.1, Finding::Status("a".to_owned()));
    lab.probes.forget(RUN);
    tokio::task::yield_now().await;
    assert!(send(&environment, b"STATUS=b").is_err());
    assert!(!lab.folder.path().join("notify/ps.sock").exists());
    // Its successor starts from nothing, even when the old run is forgotten only afterwards.
    let _old = lab.start(RunId(8), &notifying());
    let environment = lab.start(RunId(9), &notifying());
    lab.probes.forget(RunId(8));
    send(&environment, b"READY=1").expect("the new socket is there");
    let notice = lab.notices.recv().await.expect("a notice");
    assert_eq!(notice.run, RunId(9));
}

#[tokio::test]
async fn a_component_of_another_user_could_reach_its_socket() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut lab = Lab::new();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(lab.folder.path(), open).expect("it is ours");
    let environment = lab.probes.prepare(RUN, &notifying()).expect("it can be prepared");
    let expected = lab.folder.path().join("notify/ps.sock");
    assert_eq!(environment[0].1, expected.to_string_lossy());
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&expected), 0o666);
    assert_eq!(mode(&lab.folder.path().join("notify")), 0o711);
}

#[tokio::test]
async fn a_path_that_is_too_long_or_closed_gives_way_to_a_name_that_stays_the_same() {
    let mut lab = Lab::new();
    let long = component(&"x".repeat(64));
    let long = Component { ready: notifying().ready, ..long };
    lab.probes = {
        let mut services = lab.probes.shared.services.clone();
        services.notify_folder = lab.folder.path().join("n".repeat(60));
        Probes::new(lab.probes.shared.notices.clone(), services)
    };
    let environment = lab.start(RUN, &long);
    let address = environment[0].1.clone();
    assert!(address.starts_with("@s7supervisor/"), "{address}");
    send(&environment, b"READY=1").expect("sent");
    assert_eq!(lab.next().await, (Ready, passed("ready: READY=1")));
    lab.probes.forget(RUN);
    tokio::task::yield_now().await;
    assert_eq!(lab.start(RUN, &long)[0].1, address, "a run that is taken over knows no other");
}

#[tokio::test]
async fn a_flood_of_datagrams_leaves_the_engine_its_time() {
    let mut lab = Lab::new();
    let environment = lab.start(RUN, &notifying());
    let flood = std::thread::spawn(move || {
        // Each blocks while the socket's queue is full; the last finds the socket closed.
        let mut sent = 0;
        while send(&environment, format!("STATUS={sent}").as_bytes()).is_ok() {
            sent += 1;
        }
        sent
    });
    let found = lab.within(Duration::from_millis(500)).await;
    assert!((100..=600).contains(&found.len()), "{}", found.len());
    lab.probes.forget(RUN);
    tokio::task::yield_now().await;
    assert!(flood.join().expect("it ended by itself") >= found.len());
}
