//! systemd's descriptor store, with the test in systemd's place: guardian and engine are both
//! killed, and the service is started again with what it had left in the store.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixDatagram, UnixStream},
    },
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use rustix::{
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt::set_socket_passcred,
    },
    process::Signal,
};

use crate::support::{
    PATIENCE, Place, Registry, Server, Supervisor, place::text, processes, until,
};

const ROOM: usize = 64;

/// What follows a fork in systemd: descriptors at 3 and up, and variables that tell of them.
const EXECUTE: &str = "
import os, socket, sys
_, fds, _, _ = socket.recv_fds(socket.socket(fileno=os.dup(0)), 1, 250)
nothing = os.open('/dev/null', os.O_RDONLY)
os.dup2(nothing, 0)
high = [os.dup2(fd, 500 + n) for n, fd in enumerate(fds)]
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n)
os.closerange(3 + len(high), 1000)
os.environ['LISTEN_PID'] = str(os.getpid())
os.environ['LISTEN_FDS'] = str(len(fds))
os.environ['LISTEN_FDNAMES'] = sys.argv[1]
os.execv(sys.argv[2], sys.argv[2:])
";

/// The manager's side of one service.
struct Manager {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    main: u32,
    store: Vec<(String, OwnedFd)>,
    /// The largest store that there was.
    most: usize,
    /// Who is not the main process and spoke.
    strangers: Vec<String>,
    ready: usize,
    watchdogs: usize,
}

impl Manager {
    /// Listens for the service in this place, and gives it room for so many descriptors.
    fn of(place: &mut Place, room: usize) -> Self {
        let path = place.path("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("our folder");
        set_socket_passcred(&socket, true).expect("a socket of ours");
        socket.set_read_timeout(Some(std::time::Duration::from_millis(50))).expect("above 0");
        place.set("NOTIFY_SOCKET", text(&path));
        place.set("FDSTORE", &room.to_string());
        let state = Arc::new(Mutex::new(State::default()));
        let weak = Arc::downgrade(&state);
        thread::spawn(move || {
            while let Some(state) = weak.upgrade() {
                if let Some((pid, text, descriptor)) = receive(&socket) {
                    state.lock().expect("unbroken").hear(pid, &text, descriptor, room);
                }
            }
        });
        Self { state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("unbroken")
    }

    /// Starts the service, with what is in the store; other descriptors before and after.
    fn start<'a>(&self, place: &'a Place, options: &[&str]) -> Supervisor<'a> {
        let supervisor = self.launch(place, options);
        place.await_answer(&supervisor);
        supervisor
    }

    fn launch<'a>(&self, place: &'a Place, options: &[&str]) -> Supervisor<'a> {
        let (ours, theirs) = UnixStream::pair().expect("two ends");
        let program = place.command().get_program().to_owned();
        let mut command = Command::new("python3");
        place.prepare(&mut command);
        let names = self.names();
        let activated = std::iter::once("s7supervisor.socket");
        let listed: Vec<&str> = activated.chain(names.iter().map(String::as_str)).collect();
        command.args(["-c", EXECUTE, &listed.join(":")]);
        let folder = place.path("temp").parent().expect("it stands in one").to_owned();
        command.arg(program).arg("-i").arg(folder).arg("run").args(options);
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        let mut state = self.state();
        let child = place.spawn(command);
        state.main = child.id();
        let stranger = UnixStream::pair().expect("two ends").0;
        let store = state.store.iter().map(|(_, descriptor)| descriptor.as_fd());
        let all: Vec<_> = std::iter::once(stranger.as_fd()).chain(store).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(250))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&all)), "more than one message takes");
        sendmsg(&ours, &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL).expect("sent");
        drop(state);
        Supervisor::new(place, child)
    }

    fn names(&self) -> Vec<String> {
        self.state().store.iter().map(|(name, _)| name.clone()).collect()
    }

    fn has(&self, name: &str) -> usize {
        self.names().iter().filter(|known| *known == name).count()
    }

    #[track_caller]
    fn await_names(&self, expected: &[&str]) {
        let mut expected: Vec<String> = expected.iter().map(|&name| name.to_owned()).collect();
        expected.sort();
        until(&format!("the store has {expected:?}"), || {
            let mut names = self.names();
            names.sort();
            (names == expected).then_some(())
        });
    }
}

impl State {
    fn hear(&mut self, pid: u32, text: &str, descriptor: Option<OwnedFd>, room: usize) {
        if pid != self.main {
            self.strangers.push(format!("{pid}: {text}"));
            return;
        }
        let has = |line: &str| text.lines().any(|known| known == line);
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored");
        assert!(name.len() <= 255 && !name.contains(':'), "{name}");
        self.ready += usize::from(has("READY=1"));
        self.watchdogs += usize::from(has("WATCHDOG=1"));
        if has("FDSTOREREMOVE=1") {
            self.store.retain(|(known, _)| known != name);
        } else if has("FDSTORE=1") && self.store.len() < room {
            assert!(has("FDPOLL=0"), "what has ended is to stay: {text}");
            self.store.push((name.to_owned(), descriptor.expect("with its descriptor")));
            self.most = self.most.max(self.store.len());
        }
    }
}

fn receive(socket: &UnixDatagram) -> Option<(u32, String, Option<OwnedFd>)> {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
    let (mut pid, mut descriptor) = (0, None);
    for part in control.drain() {
        match part {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptor = descriptors.next(),
            RecvAncillaryMessage::ScmCredentials(known) => {
                pid = known.pid.as_raw_nonzero().get().unsigned_abs();
            }
            _ => {}
        }
    }
    let text = String::from_utf8_lossy(&bytes[..message.bytes]).into_owned();
    Some((pid, text, descriptor))
}

/// Writes numbered lines, slowly; more while `fast` is there; says how often it was started.
fn writer() -> Server {
    Server::shell(
        "writer",
        "echo $$ >>writer.starts; n=0; while :; do n=$((n+1)); echo \"line $n\"; \
         sleep 0.01; done",
    )
}

/// Ends with 7 when it is told to, with last words.
fn leaver() -> Server {
    Server::shell(
        "leaver",
        "echo $$ >>leaver.starts; until test -e leave; do sleep 0.01; done; \
         echo last words; exit 7",
    )
    .with("<restart policy=\"never\"/>")
}

fn lines(place: &Place) -> usize {
    let log = place.log_text("writer");
    let mut count = 0;
    for (n, line) in log.lines().enumerate() {
        assert_eq!(line, format!("line {}", n + 1), "none is lost or doubled");
        count += 1;
    }
    count
}

/// Both are killed; what ends and is written meanwhile must not be lost.
fn both_die(options: &[&str]) {
    let mut place = Place::new(&Registry::of([writer(), leaver(), Server::sleep("other")]));
    let manager = Manager::of(&mut place, ROOM);
    let supervisor = manager.start(&place, options);
    let pids = ["writer", "leaver", "other"].map(|id| place.running(id));
    let runs = ["writer", "leaver", "other"].map(|id| place.component(id)["run"].clone());
    let all: Vec<String> = ["s7.control".to_owned()]
        .into_iter()
        .chain(["writer", "leaver", "other"].into_iter().zip(&runs).flat_map(|(id, run)| {
            [format!("s7.out.{id}"), format!("s7.err.{id}"), format!("s7.pid.{id}.{run}")]
        }))
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    manager.await_names(&all);
    until("it is ready", || (manager.state().ready == 1).then_some(()));
    until("it writes", || (lines(&place) > 10).then_some(()));

    supervisor.crash();
    drop(supervisor);
    let before = lines(&place);
    place.write("leave", "");
    until("the leaver has ended", || (!processes::alive(pids[1])).then_some(()));
    let mut early = UnixStream::connect(place.socket()).expect("nobody is refused");
    let request = crate::support::http::request("GET", "/v1/status", "localhost", &[], "");
    std::io::Write::write_all(&mut early, request.as_bytes()).expect("there is room");
    assert_eq!(lines(&place), before, "nobody reads");

    let supervisor = manager.start(&place, options);
    let left = place.await_component("leaver", "has ended", |one| one["pid"].is_null());
    assert_eq!(left["last_exit"]["code"], 7, "{left:#}");
    assert_eq!(left["run"], runs[1], "{left:#}");
    for (id, pid) in [("writer", pids[0]), ("other", pids[2])] {
        assert_eq!(place.running(id), pid, "{id} was not restarted");
    }
    until("its last words are stored", || {
        (place.log_text("leaver") == "last words\n").then_some(())
    });
    until("what was written meanwhile is stored", || (lines(&place) > before + 10).then_some(()));
    early.set_read_timeout(Some(PATIENCE)).expect("a time-out above 0");
    let answer = std::io::read_to_string(early).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let pid_of_leaver = format!("s7.pid.leaver.{}", runs[1]);
    let rest: Vec<&str> = all.iter().copied().filter(|name| *name != pid_of_leaver).collect();
    manager.await_names(&rest);
    for id in ["writer", "leaver"] {
        assert_eq!(place.read(&format!("{id}.starts")).lines().count(), 1, "{id}");
    }
    for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "FDSTORE", "NOTIFY_SOCKET"] {
        assert_eq!(processes::environment(pids[0], name), None, "{name} is not a component's");
    }
    supervisor.stop();
    drop(supervisor);
    lines(&place);
    manager.await_names(&[]);
    assert!(manager.state().strangers.is_empty(), "{:?}", manager.state().strangers);
}

#[test]
fn nothing_is_lost_when_guardian_and_engine_both_die() {
    both_die(&[]);
}

#[test]
fn nothing_is_lost_when_an_engine_without_a_guardian_dies() {
    both_die(&["--no-guardian"]);
}

#[test]
fn engines_that_follow_each_other_leave_the_store_as_it_is() {
    let mut place = Place::new(&Registry::of([Server::sleep("a")]));
    let manager = Manager::of(&mut place, ROOM);
    let supervisor = manager.start(&place, &[]);
    let a = place.running("a");
    let run = place.component("a")["run"].clone();
    let all = ["s7.control", "s7.out.a", "s7.err.a", &format!("s7.pid.a.{run}")];
    manager.await_names(&all);
    for _ in 0..2 {
        let engine = supervisor.pid();
        processes::signal(engine, Signal::KILL);
        until("another engine answers", || {
            let status = place.try_get("/v1/status")?.json();
            (status["supervisor"]["pid"] != engine).then_some(())
        });
    }
    assert_eq!(place.pid("a"), a);
    // The end of a run, and the beginning of another.
    place.achieve("restart", "a");
    let run = place.component("a")["run"].clone();
    let pid = format!("s7.pid.a.{run}");
    until("the store has the new run", || (manager.has(&pid) == 1).then_some(()));
    manager.await_names(&["s7.control", "s7.out.a", "s7.err.a", &pid]);
    assert_eq!(manager.state().most, 4, "nothing came a second time");
    supervisor.stop();
}

#[test]
fn a_store_that_is_too_small_has_pipes_before_processes_and_holds_nobody_up() {
    let servers = (0..5).map(|n| Server::sleep(&format!("c{n}")));
    let mut place = Place::new(&Registry::of(servers));
    let manager = Manager::of(&mut place, 4);
    let supervisor = manager.start(&place, &[]);
    for n in 0..5 {
        place.running(&format!("c{n}"));
    }
    until("it is ready", || (manager.state().ready == 1).then_some(()));
    until("the listener and pipes", || {
        let names = manager.names();
        let pipes =
            names.iter().filter(|name| name.starts_with("s7.out") || name.starts_with("s7.err"));
        (names.len() == 4 && manager.has("s7.control") == 1 && pipes.count() == 3).then_some(())
    });
    assert!(place.log_text("Supervisor").contains("FileDescriptorStoreMax="), "it is told");
    supervisor.stop();
}

#[test]
fn what_the_store_has_of_long_ago_is_let_go_and_believed_of_nobody() {
    let mut place = Place::new(&Registry::of([Server::sleep("a")]));
    let manager = Manager::of(&mut place, ROOM);
    let supervisor = manager.start(&place, &[]);
    let a = place.running("a");
    let run = place.component("a")["run"].clone();
    let pid = format!("s7.pid.a.{run}");
    until("the store has it", || (manager.has(&pid) == 1).then_some(()));
    supervisor.crash();
    drop(supervisor);
    // The pidfd of another process under its name, one of a run that is no more, and a name that
    // came twice.
    let mut sleeper = Command::new("sleep");
    sleeper.arg("60");
    let other = place.spawn(sleeper);
    let other_pid = i32::try_from(other.id()).ok().and_then(rustix::process::Pid::from_raw);
    let open = || {
        let flags = rustix::process::PidfdFlags::empty();
        rustix::process::pidfd_open(other_pid.expect("above 0"), flags).expect("our child")
    };
    for (name, descriptor) in &mut manager.state().store {
        if *name == pid {
            *descriptor = open();
        }
    }
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").expect("it is there"));
    let more = [("s7.pid.gone.1", open()), ("s7.out.gone", null()), ("s7.out.a", null())];
    manager.state().store.extend(more.map(|(name, descriptor)| (name.to_owned(), descriptor)));
    let supervisor = manager.start(&place, &[]);
    assert_eq!(place.running("a"), a, "found by its number");
    manager.await_names(&["s7.control", "s7.out.a", "s7.err.a", &pid]);
    supervisor.stop();
    let mut other = other;
    assert!(matches!(other.try_wait(), Ok(None)), "nobody else was ended");
    other.kill().and_then(|()| other.wait()).expect("our child");
}

#[test]
fn who_starts_it_by_hand_meanwhile_is_not_in_the_way_of_what_is_kept() {
    let mut place = Place::new(&Registry::of([Server::sleep("a")]));
    let manager = Manager::of(&mut place, ROOM);
    let supervisor = manager.start(&place, &[]);
    let a = place.running("a");
    until("the store has the listener", || (manager.has("s7.control") == 1).then_some(()));
    supervisor.crash();
    drop(supervisor);
    // Who asks too early waits in a queue that nobody serves any more.
    let by_hand = place.launch(&[]);
    until("it has taken over", || {
        place.read("run.err").contains("taken over from an earlier Supervisor").then_some(())
    });
    place.await_answer(&by_hand);
    assert_eq!(place.running("a"), a);
    // Who has taken the listener over is known by name to the next one, and not replaced.
    let engine = by_hand.pid();
    processes::signal(engine, Signal::KILL);
    until("another engine answers", || {
        let status = place.try_get("/v1/status")?.json();
        (status["supervisor"]["pid"] != engine).then_some(())
    });
    std::fs::remove_file(place.path("temp/supervisor.lock")).expect("it is there");
    let second = place.cli("run");
    second.assert_code(1);
    assert!(second.stderr.contains("in use by pid"), "{second:?}");
    let engine = place.status()["supervisor"]["pid"].clone();
    assert!(second.stderr.contains(&format!("in use by pid {engine}")), "{second:?}");
    assert_eq!(place.running("a"), a);
    place.cli("stop").assert_code(0);
    by_hand.ended();
    place.assert_nothing_runs();
}

#[test]
fn what_is_said_while_neither_lives_is_heard() {
    let mut place = Place::new(&Registry::of([crate::notify::late_speaker("ps")]));
    let manager = Manager::of(&mut place, ROOM);
    let supervisor = manager.start(&place, &[]);
    let ps = place.await_component("ps", "lives", |ps| ps["pid"].is_u64());
    let name = format!("s7.notify.ps.{}", ps["run"]);
    until("the store has its socket", || (manager.has(&name) == 1).then_some(()));
    supervisor.crash();
    drop(supervisor);
    place.write("speak", "");
    until("it has spoken", || place.path("said").exists().then_some(()));
    let supervisor = manager.start(&place, &[]);
    let after = place.await_state("ps", "running");
    assert_eq!((&after["pid"], &after["health_detail"]), (&ps["pid"], &"said once".into()));
    supervisor.stop();
    drop(supervisor);
    manager.await_names(&[]);
}
