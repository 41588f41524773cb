//! Components and clients that mean harm, or act as if they did; and places that others could
//! write to.
//!
//! What a test needs of the kernel and does not get (a cgroup of the old hierarchy, root) is said
//! aloud. Whatever multiplies here is bounded by the kernel, not by its own good will.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::{PermissionsExt as _, chown},
            net::{SocketAddr, UnixDatagram, UnixStream},
        },
    },
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    containment::available,
    support::{
        Place, Registry, Server, free_port, http, now, place::finish, processes, report, since,
        until, within,
    },
};

const NEVER: &str = "<restart policy=\"never\"/>";

/// How long an operator's command to somebody else may take meanwhile; it takes some milliseconds.
const PROMPT: Duration = Duration::from_secs(5);

/// The operator restarts another component, as if nothing were. By the command line alone: to the
/// Supervisor the test itself may be the crowd.
#[track_caller]
fn assert_operator_works(place: &Place, other: &str) {
    let pid = || {
        let status = place.cli("status --json");
        status.assert_code(0);
        let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
        let components = status["components"].as_array().expect("a list").clone();
        components.iter().find(|one| one["id"] == other).expect("it is there")["pid"].as_u64()
    };
    let (before, asked) = (pid(), now());
    place.cli(&format!("restart {other}")).assert_code(0);
    assert!(since(asked) < PROMPT, "the operator waited {:?}", since(asked));
    let after = pid();
    assert!(after.is_some() && after != before, "{before:?} and {after:?}");
}

/// A cgroup of the old hierarchy, which needs no delegation.
struct OldGroup(PathBuf);

impl OldGroup {
    fn make(controller: &str) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.split_once(&format!(":{controller}:")))?.1;
        let own = own.trim_end_matches('/');
        let name = format!("s7t-{}", std::process::id());
        let folder = PathBuf::from(format!("/sys/fs/cgroup/{controller}{own}/{name}"));
        fs::create_dir(&folder).ok()?;
        Some(Self(folder))
    }

    #[track_caller]
    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).expect("our own cgroup");
    }

    fn number(&self, file: &str) -> usize {
        let text = fs::read_to_string(self.0.join(file)).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }

    /// A line of a script that takes its shell into the group.
    fn enter(&self) -> String {
        format!("echo $$ >{}/cgroup.procs || exit 99\n", self.0.display())
    }
}

impl Drop for OldGroup {
    fn drop(&mut self) {
        until("the cgroup is empty", || fs::remove_dir(&self.0).ok());
    }
}

// ---- components ------------------------------------------------------------------------------

#[test]
fn a_fork_bomb_is_ended_as_a_whole() {
    const MOST: usize = 100;
    let Some(group) = OldGroup::make("pids") else {
        report("no pids cgroup can be made here: fork bombs are not tested");
        return;
    };
    group.write("pids.max", &MOST.to_string());
    // Each one deaf, in a session of its own, and starting others as fast as it can.
    let bomb = "trap '' TERM HUP INT\nwhile :; do setsid sh ./bomb & sleep 0.05; done";
    let leader = format!("{}sh ./bomb & exec sleep infinity", group.enter());
    for level in ["cgroup", "subreaper"].into_iter().filter(|level| available(level)) {
        let place = Place::new(&Registry::of([
            Server::shell("bomb", &leader).with(NEVER).stop_timeout(0.3),
            Server::sleep("other"),
        ]));
        place.write("bomb", bomb);
        let supervisor = place.start_with(&["--containment", level]);
        for verb in ["kill", "stop"] {
            until("it has gone off", || {
                (group.number("pids.current") > MOST * 8 / 10).then_some(())
            });
            assert_operator_works(&place, "other");
            let asked = now();
            place.cli(&format!("{verb} bomb")).assert_code(0);
            report(&format!("{verb} of a fork bomb, {level}: {:?}", since(asked)));
            assert_eq!(group.number("pids.current"), 0, "{verb}, {level}: something is left");
            assert_eq!(place.component_processes().len(), 1, "{verb}, {level}");
            place.achieve("start", "bomb");
        }
        // And at the end of everything.
        supervisor.stop();
        assert_eq!(group.number("pids.current"), 0, "{level}: something is left");
    }
}

#[test]
fn what_cannot_be_killed_is_said_to_be_and_never_doubled() {
    let Some(group) = OldGroup::make("freezer") else {
        report("no freezer cgroup can be made here: an unkillable process is not tested");
        return;
    };
    let script = format!("{}echo $$ >>starts; exec sleep infinity", group.enter());
    let place = Place::new(&Registry::of([
        Server::shell("ps", &script).stop_timeout(0.2),
        Server::sleep("other"),
    ]));
    let _supervisor = place.start();
    let pid = place.running("ps");
    until("it is in the freezer", || (!place.read("starts").is_empty()).then_some(()));
    // From here on the kernel lets no signal through, as in uninterruptible sleep.
    group.write("freezer.state", "FROZEN");
    let stop = place.ask("stop", "ps");
    let stuck = place.await_state("ps", "unkillable");
    assert_eq!(stuck["pid"], pid, "it is still shown: {stuck:#}");
    assert_eq!(place.await_operation(stop)["state"], "failed", "and not said to be stopped");
    for verb in ["start", "restart"] {
        let refused = place.cli(&format!("{verb} ps"));
        refused.assert_code(1);
        assert!(refused.all().contains("never started beside it"), "{refused:?}");
    }
    let told = place.cli("explain ps");
    assert!(
        told.all().contains("unkillable") || told.all().contains("does not go away"),
        "{told:?}"
    );
    assert_operator_works(&place, "other");
    assert_eq!(place.read("starts").lines().count(), 1);

    group.write("freezer.state", "THAWED");
    place.await_state("ps", "stopped");
    assert!(!processes::alive(pid));
    place.achieve("start", "ps");
    assert_eq!(place.read("starts").lines().count(), 2);
}

#[test]
fn a_flood_costs_us_no_memory_and_nobody_else_anything() {
    const MEBIBYTES: usize = 40;
    let flood = |id: &str, source: &str, sink: &str| {
        let script =
            format!("{source} | head -c {MEBIBYTES}M {sink}; touch {id}.done; exec sleep infinity");
        Server::shell(id, &script)
            .with("<output><maxSize>8M</maxSize><keepSize>16M</keepSize></output>")
    };
    let place = Place::new(&Registry::of([
        flood("lines", "yes a line of a flood that goes on and on", ""),
        flood("endless", "tr '\\0' x </dev/zero", ""),
        flood("errors", "yes to standard error", ">&2"),
        Server::sleep("other"),
    ]));
    let supervisor = place.start();
    place.running("other");
    let mut most = 0;
    let all = |most: &mut u64| {
        *most = processes::resident(supervisor.pid()).max(*most);
        ["lines", "endless", "errors"].iter().all(|id| place.path(&format!("{id}.done")).exists())
    };
    assert_operator_works(&place, "other");
    until("they have written it all", || all(&mut most).then_some(()));
    assert_operator_works(&place, "other");
    // Rings, pipes and what is read at once have bounds, all of them together some MiB.
    assert!(most < 96 << 20, "{} MiB resident", most >> 20);
    report(&format!("3 x {MEBIBYTES} MiB flooded: at most {} MiB resident (debug)", most >> 20));
}

#[test]
fn one_that_ignores_every_signal_is_ended() {
    let all: String = (1..=31)
        .filter(|n| ![9, 19].contains(n))
        .fold(String::new(), |all, n| format!("{all} {n}"));
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        &format!("trap '' {all}\ntouch deaf; while :; do sleep 1000; done"),
    )
    .stop_timeout(0.3)]));
    let _supervisor = place.start();
    until("it is deaf", || place.path("deaf").exists().then_some(()));
    place.cli("stop ps").assert_code(0);
    let ps = place.component("ps");
    assert_eq!(
        (&ps["state"], &ps["last_exit"]["signal"]),
        (&"stopped".into(), &9.into()),
        "{ps:#}"
    );
    assert_eq!(place.component_processes(), []);
}

#[test]
fn what_a_component_does_to_its_own_streams_harms_it_alone() {
    // It closes them, opens them anew, takes the files away, and calls itself something else.
    let script = "case $(wc -l <starts) in\n\
        0) echo 1 >>starts; echo before; exec >&- 2>&-; echo lost; exec sleep infinity ;;\n\
        1) echo 2 >>starts; echo again >/dev/stderr; rm -f temp/pipes/*; echo gone;\n\
           echo kworker/0:1 >/proc/$$/comm; while :; do sleep 1000; done ;;\n\
        2) echo 3 >>starts; echo anew; chmod 0 temp/pipes/*; echo shut; exec sleep infinity ;;\n\
        *) echo 4 >>starts; echo as ever; exec sleep infinity ;;\n\
        esac";
    let place = Place::new(&Registry::of([Server::shell("ps", script), Server::sleep("other")]));
    place.write("starts", "");
    let _supervisor = place.start();
    let said = |words: &str| {
        until(words, || place.log_text("ps").contains(words).then_some(()));
    };
    let written = |round: usize| {
        until("it has come so far", || {
            (place.read("starts").lines().count() == round).then_some(())
        });
    };
    said("before\n");
    written(1);
    for (round, words) in [(2, "gone\n"), (3, "shut\n"), (4, "as ever\n")] {
        place.cli("restart ps").assert_code(0);
        written(round);
        said(words);
        // It is known by its process, whatever it calls itself and does with its files.
        let ps = place.component("ps");
        assert_eq!((&ps["state"], &ps["restarts"]), (&"running".into(), &0.into()), "{ps:#}");
        assert_operator_works(&place, "other");
    }
    assert!(place.log_text("ps").contains("again\n") && place.log_text("ps").contains("anew\n"));
}

#[test]
fn a_component_of_another_user_reaches_none_of_our_doors() {
    if !rustix::process::geteuid().is_root() {
        report("not root: components of other users are not tested");
        return;
    }
    let script = "for file in temp/supervisor.sock temp/control.token temp/journal temp/holds.json \
          temp/pipes/other.out temp/pipes/other.err temp/notify/other.sock temp/pipes/new; do\n\
          if (echo garbage >>$file) 2>/dev/null; then echo $file; fi; done >reached\n\
        rm -rf temp conf 2>/dev/null; touch tried; exec sleep infinity";
    let place = Place::new(&Registry::of([
        Server::command(
            "evil",
            &["/bin/sh", "-c", &format!("cd open; ln -s ../temp ../conf . \n{script}")],
        )
        .with("<user>65534</user><group>65534</group>"),
        Server::shell("other", "exec sleep infinity"),
    ]));
    fs::create_dir(place.path("open")).expect("our folder");
    chown(place.path("open"), Some(65534), Some(65534)).expect("we are root");
    let _supervisor = place.start();
    until("it has tried", || place.path("open/tried").exists().then_some(()));
    assert_eq!(place.read("open/reached"), "");
    assert_eq!(place.log_text("other"), "");
    assert_operator_works(&place, "other");
}

#[test]
fn garbage_from_our_own_user_does_no_more_than_that() {
    let ready = "<ready><notify/></ready>";
    let place = Place::new(&Registry::of([
        Server::sleep("ps").with(ready).start_delay(0.0),
        Server::sleep("other"),
    ]));
    let _supervisor = place.start();
    place.running("other");
    let ps = until("it has a process", || place.component("ps")["pid"].as_u64());
    let ps = u32::try_from(ps).expect("a pid");
    let socket = until("its notify socket", || processes::environment(ps, "NOTIFY_SOCKET"));
    let socket = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).expect("a name"),
        None => SocketAddr::from_pathname(&socket).expect("a path"),
    };
    // In somebody else's name: thousands of datagrams, as fast as they are taken.
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.set_nonblocking(true).expect("ours");
    let mut taken = 0;
    for number in 0..20_000_u32 {
        let forged: &[u8] = if number % 2 == 0 { b"READY=1" } else { &[0xff; 3000] };
        taken += u32::from(sender.send_to_addr(forged, &socket).is_ok());
    }
    assert!(taken > 0, "not one came through");
    // What is no request, and half of one, to the control socket.
    let mut held = Vec::new();
    for bytes in
        [&b"\0\xff\xfe"[..], b"GET", b"POST /v1/stop HTTP/1.1\r\nContent-Length: 9\r\n\r\n"]
    {
        let mut stream = UnixStream::connect(place.socket()).expect("ours");
        stream.write_all(bytes).expect("it listens");
        held.push(stream);
    }
    assert_operator_works(&place, "other");
    let ps = place.component("ps");
    assert_eq!(ps["state"], "starting", "nobody speaks for it: {ps:#}");
}

// ---- clients ---------------------------------------------------------------------------------

#[test]
fn hundreds_of_stalled_clients_do_not_keep_the_operator_out() {
    let port = free_port();
    let place = Place::new(
        &Registry::of([Server::sleep("ps"), Server::sleep("other")])
            .config(&format!("<tcpport>{port}</tcpport>")),
    );
    let supervisor = place.start();
    place.running("other");
    let token = format!("Authorization: Bearer {}", place.read("temp/control.token").trim());
    until("it listens on TCP", || TcpStream::connect(("127.0.0.1", port)).ok());
    let stream = http::request("GET", "/v1/events?follow=true", "localhost", &[&token], "");
    let endless = "GET /v1/updates HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let half = "GET /v1/status HTTP/1.1\r\nHost: local";
    let body = "POST /v1/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{";
    let kinds = [half, &stream, body, endless, ""];
    // By TCP and over the socket, by a process that is allowed there: 400 in all.
    let (mut tcp, mut unix) = (Vec::new(), Vec::new());
    for number in 0..200 {
        let say = kinds[number % kinds.len()].as_bytes();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the kernel accepts");
        // Those that are refused at once are closed already.
        let _refused = stream.write_all(say);
        tcp.push(stream);
        if let Ok(mut stream) = UnixStream::connect(place.socket()) {
            let _refused = stream.write_all(say);
            unix.push(stream);
        }
    }
    for _round in 0..3 {
        assert_operator_works(&place, "other");
    }
    let figures = place.cli("status");
    assert!(figures.stdout.contains("running"), "{figures:?}");
    // What is held for them has a bound.
    let descriptors = fs::read_dir(format!("/proc/{}/fd", supervisor.pid())).expect("ours").count();
    assert!(descriptors < 200, "{descriptors} descriptors");
    drop((tcp, unix));
    until("strangers are served again", || {
        let answer = http::tcp(port, "GET", "/v1/status", &[&token]).ok()?;
        (answer.status == 200).then_some(())
    });
}

#[test]
fn too_many_headers_and_endless_bodies_are_refused() {
    let place = Place::new(&Registry::of([Server::sleep("other")]));
    let _supervisor = place.start();
    place.running("other");
    let many = "X-Many: y\r\n".repeat(500);
    let ask = |text: &str| {
        let mut stream = UnixStream::connect(place.socket()).expect("ours");
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("above 0");
        let _closed_early = stream.write_all(text.as_bytes());
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = ask(&format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer:?}");
    // Chunks that never end: cut when they are more than a body may have.
    let chunk = format!("{:x}\r\n{}\r\n", 4096, "z".repeat(4096));
    let endless = chunk.repeat(64);
    let head = "POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = ask(&format!("{head}{endless}"));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer:?}");
    assert_operator_works(&place, "other");
}

// ---- places ----------------------------------------------------------------------------------

#[test]
fn a_full_runtime_folder_keeps_nobody_from_anything() {
    let place = Place::new(&Registry::of([
        Server::sleep("ps").with("<restart delay=\"0\" maxRestarts=\"0\"/>"),
        Server::sleep("other"),
    ]));
    fs::create_dir(place.path("temp")).expect("our folder");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m,mode=700", "none"]).arg(place.path("temp"));
    if !mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        report("nothing can be mounted here: a full runtime folder is not tested");
        return;
    }
    let full = Mounted(&place);
    let supervisor = place.start();
    let first = place.running("ps");
    place.running("other");
    let mut filler = fs::File::create(place.path("temp/filler")).expect("there is room");
    while filler.write_all(&[0; 4096]).is_ok() {}

    // Crashes are mended, commands are taken; what cannot be kept is said.
    processes::signal(first, Signal::KILL);
    place.await_component("ps", "is back", |ps| ps["state"] == "running" && ps["pid"] != first);
    // The journal has the rest of a page until it is full.
    until("it is told that the journal cannot be written", || {
        assert_operator_works(&place, "other");
        place.log_text("Supervisor").contains("cannot write the journal").then_some(())
    });
    assert_operator_works(&place, "other");
    let held = place.cli("hold ps --reason because");
    if held.code != Some(0) {
        assert!(held.all().contains("No space left"), "{held:?}");
    }
    place.cli("release ps");
    supervisor.stop();
    drop(full);
}

/// A file system on the runtime folder of a place.
struct Mounted<'a>(&'a Place);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        unmount.arg("-l").arg(self.0.path("temp"));
        finish(unmount);
    }
}

#[test]
fn a_registry_that_others_could_write_is_refused_under_root() {
    if !rustix::process::geteuid().is_root() {
        report("not root: nothing is refused for its permissions, and that is not tested");
        return;
    }
    let mut place = Place::new(&Registry::of([Server::sleep("ps")]));
    let mode = |place: &Place, path: &str, mode: u32| {
        fs::set_permissions(place.path(path), fs::Permissions::from_mode(mode)).expect("ours");
    };
    let registry = "conf/SupervisorRegistry.xml";
    let refused = |place: &Place, why: &str| {
        for verb in ["check", "run", "start", "restart"] {
            let answer = place.cli(verb);
            answer.assert_code(78);
            assert!(answer.stderr.contains(why), "{verb}: {answer:?}");
            assert!(answer.stderr.contains("; do: ch"), "{verb}: what to do? {answer:?}");
            place.assert_nothing_runs();
        }
    };
    mode(&place, "conf", 0o777);
    refused(&place, "conf: everybody may write to it (mode 0777)");
    mode(&place, "conf", 0o755);
    mode(&place, registry, 0o646);
    refused(&place, "everybody may write to it (mode 0646)");
    mode(&place, registry, 0o644);
    chown(place.path(registry), Some(65534), None).expect("we are root");
    refused(&place, "it belongs to ");
    // Whom the operator trusts may own it.
    place.set("S7_TRUST", "65534");
    place.cli("check").assert_code(0);
    chown(place.path(registry), Some(0), None).expect("we are root");
    place.set("S7_TRUST", "");

    // What runs goes on, and takes nothing over from a registry that others could have written.
    let supervisor = place.start();
    let pid = place.running("ps");
    place.rewrite_registry(&Registry::of([Server::shell("ps", "exec sleep 100000")]));
    mode(&place, registry, 0o666);
    for verb in ["reload", "restart"] {
        let answer = place.cli(verb);
        answer.assert_code(78);
        assert!(answer.all().contains("everybody may write to it"), "{answer:?}");
    }
    assert_eq!(place.running("ps"), pid);
    mode(&place, registry, 0o644);
    place.cli("reload").assert_code(0);
    assert_ne!(place.running("ps"), pid);
    supervisor.stop();
    drop(supervisor);

    // What somebody could have put into the runtime folder is not believed.
    mode(&place, "temp", 0o777);
    refused(&place, "the runtime folder");
    place.set("S7_TRUST", "everybody");
    place.cli("check").assert_code(0);
    place.start().stop();
    place.set("S7_TRUST", "");
    // An empty one is taken back.
    fs::remove_dir_all(place.path("temp")).expect("ours");
    fs::create_dir(place.path("temp")).expect("ours");
    mode(&place, "temp", 0o777);
    place.cli("start").assert_code(0);
    let kept = fs::metadata(place.path("temp")).expect("there").permissions().mode() & 0o777;
    assert_eq!(kept, 0o755);
    place.cli("stop").assert_code(0);
    // Programs are warned of, and run.
    mode(&place, "logs", 0o777);
    let warned = place.cli("check");
    warned.assert_code(0);
    assert!(warned.stderr.contains("the log folder"), "{warned:?}");
    place.cli("check --strict").assert_code(78);
    within(PROMPT, "nothing is left", || place.processes().is_empty().then_some(()));
}
