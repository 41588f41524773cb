//! The console in a real terminal: a child of this test's own binary runs it, in a pty whose
//! other end is here. Assertions are on the screen as a terminal shows it.

use std::{
    io::{Read, Write},
    num::NonZero,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags},
    process::{Pid, Signal},
    pty::OpenptFlags,
    termios::Termios,
};

use super::demo;
use crate::{
    console::{
        ConsoleOptions, Outcome,
        feed::{self, Answer, Ask, News},
        run::{guarded, run},
        terminal::tty::Tty,
    },
    wire::{ComponentState, Update, UpdateMessage},
};

const LONG: Duration = Duration::from_secs(20);

/// What the other end of the pty sees.
#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    closed: bool,
}

struct Session {
    child: Child,
    /// Our end; `None` once it is closed.
    master: Option<std::fs::File>,
    slave: std::fs::File,
    before: Termios,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    reader: Option<std::thread::JoinHandle<()>>,
    /// Dropped, it ends the reader.
    stop: Option<std::os::unix::net::UnixStream>,
    outcome: PathBuf,
    _folder: tempfile::TempDir,
    size: (u16, u16),
}

impl Session {
    #[expect(clippy::disallowed_methods, reason = "the test's own child, ended by its own pid")]
    fn start(mode: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let outcome = folder.path().join("outcome");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).expect("a pty");
        rustix::pty::grantpt(&master).expect("a pty");
        rustix::pty::unlockpt(&master).expect("a pty");
        let name = rustix::pty::ptsname(&master, Vec::new()).expect("a name");
        let name = name.to_str().expect("plain").to_owned();
        let master = std::fs::File::from(master);
        let slave =
            std::fs::File::options().read(true).write(true).open(&name).expect("the other end");
        set_size(slave.as_fd(), 80, 24);
        let before = rustix::termios::tcgetattr(&slave).expect("a terminal");
        let own = || Stdio::from(slave.try_clone().expect("a descriptor"));
        // `setsid` makes the pty its controlling terminal, as a login does.
        let mut command = Command::new("setsid");
        let child = command
            .args(["--ctty", "--wait"])
            .arg(std::env::current_exe().expect("this binary"))
            .args(["--ignored", "--exact", "console::tests::pty::child", "--nocapture"])
            .env("CONSOLE_MODE", mode)
            .env("CONSOLE_OUTCOME", &outcome)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .stdin(own())
            .stdout(own())
            .stderr(own())
            .spawn()
            .expect("setsid of util-linux");
        let seen = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
        let (stop, stopped) = std::os::unix::net::UnixStream::pair().expect("sockets");
        let ours = master.try_clone().expect("a descriptor");
        let sink = Arc::clone(&seen);
        let reader = std::thread::spawn(move || read(ours, &stopped, &sink));
        let master = Some(master);
        let size = (80, 24);
        let reader = Some(reader);
        let stop = Some(stop);
        Self { child, master, slave, before, seen, reader, stop, outcome, _folder: folder, size }
    }

    fn terminal(&self) -> vt100::Parser {
        let size = |size| NonZero::new(size).expect("not zero");
        let mut terminal = vt100::Parser::new(size(self.size.1), size(self.size.0), 0);
        terminal.process(&self.seen.0.lock().expect("whole").bytes);
        terminal
    }

    fn screen(&self) -> String {
        self.terminal().screen().contents()
    }

    /// Waits until the terminal is as wanted.
    #[track_caller]
    fn until(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let pause = Duration::from_millis(50);
        let mut passed = Duration::ZERO;
        while !wanted(self.terminal().screen()) {
            assert!(passed < LONG, "waited for {what}; the screen is\n{}", self.screen());
            let seen = self.seen.0.lock().expect("whole");
            let (_seen, woken) = self.seen.1.wait_timeout(seen, pause).expect("whole");
            if woken.timed_out() {
                passed += pause;
            }
        }
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        self.until(text, |screen| screen.contents().contains(text));
    }

    fn send(&mut self, keys: &str) {
        self.master.as_mut().expect("open").write_all(keys.as_bytes()).expect("the child reads");
    }

    /// A key, and then the time that a finger needs before the next.
    fn press(&mut self, key: &str) {
        self.send(key);
        self.rest(Duration::from_millis(200));
    }

    /// Lets time pass in which nothing is expected to happen.
    fn rest(&self, time: Duration) {
        let seen = self.seen.0.lock().expect("whole");
        let closed = |seen: &mut Seen| !seen.closed;
        let _timeout = self.seen.1.wait_timeout_while(seen, time, closed).expect("whole");
    }

    fn bytes(&self) -> usize {
        self.seen.0.lock().expect("whole").bytes.len()
    }

    /// The console's own process: the child of `setsid`.
    fn pid(&self) -> Pid {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = std::fs::read_to_string(path).expect("the kernel tells children");
        let own = children.split_whitespace().next().map(str::parse::<i32>);
        let pid = own
            .and_then(Result::ok)
            .unwrap_or_else(|| i32::try_from(self.child.id()).expect("a pid"));
        Pid::from_raw(pid).expect("a pid")
    }

    /// How often its threads have gone to sleep so far.
    fn switches(&self) -> u64 {
        let tasks = format!("/proc/{}/task", self.pid().as_raw_nonzero());
        let tasks = std::fs::read_dir(tasks).expect("it lives");
        tasks
            .filter_map(|task| {
                let status = std::fs::read_to_string(task.ok()?.path().join("status")).ok()?;
                let line = status.lines().find(|line| line.starts_with("voluntary"))?;
                line.split_whitespace().last()?.parse::<u64>().ok()
            })
            .sum()
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("it lives");
    }

    /// How it ended, in its own words.
    #[track_caller]
    fn ended(&mut self) -> String {
        let mut waited = Duration::ZERO;
        while self.child.try_wait().expect("our child").is_none() {
            assert!(waited < LONG, "it does not end; the screen is\n{}", self.screen());
            self.rest(Duration::from_millis(20));
            waited += Duration::from_millis(20);
        }
        std::fs::read_to_string(&self.outcome).expect("it left its outcome")
    }

    /// Closes our end, as a killed terminal or a lost ssh does.
    fn close(&mut self) {
        self.stop = None;
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        self.master = None;
    }

    /// The terminal is as it was before.
    #[track_caller]
    fn is_restored(&self) {
        // It has ended; what it wrote at last may still be on its way.
        self.until("the main screen", |screen| !screen.alternate_screen());
        let terminal = self.terminal();
        let screen = terminal.screen();
        assert!(!screen.alternate_screen(), "the alternate screen is left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
        assert!(!screen.bracketed_paste(), "bracketed paste is off");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        let after = rustix::termios::tcgetattr(&self.slave).expect("a terminal");
        let modes = |modes: &Termios| {
            (modes.input_modes, modes.output_modes, modes.local_modes, modes.control_modes)
        };
        assert_eq!(modes(&after), modes(&self.before), "echo and line modes are back");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Only a failed test leaves it running.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = rustix::process::kill_process(self.pid(), Signal::KILL);
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
        self.close();
    }
}

/// Takes what the terminal is sent until it is stopped, or the other end is closed.
fn read(
    mut ours: std::fs::File,
    stopped: &std::os::unix::net::UnixStream,
    sink: &(Mutex<Seen>, Condvar),
) {
    let mut block = [0; 8192];
    loop {
        let mut watched = [PollFd::new(&ours, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        rustix::event::poll(&mut watched, None).expect("two descriptors");
        if !watched[1].revents().is_empty() {
            return;
        }
        let read = ours.read(&mut block);
        let mut seen = sink.0.lock().expect("whole");
        match read {
            Ok(count) if count > 0 => seen.bytes.extend_from_slice(&block[..count]),
            _ => seen.closed = true,
        }
        sink.1.notify_all();
        if seen.closed {
            return;
        }
    }
}

fn set_size(tty: BorrowedFd<'_>, columns: u16, rows: u16) {
    let size =
        rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(tty, size).expect("a terminal");
}

/// The child: not a test of its own.
#[test]
#[ignore = "the child of the tests beside it"]
fn child() {
    let Ok(mode) = std::env::var("CONSOLE_MODE") else { return };
    let outcome = std::env::var("CONSOLE_OUTCOME").expect("the parent sets it");
    if mode == "ignores-hangup" || mode == "embedded" {
        // As under nohup, or as somebody else's: the console itself does not listen then.
        let ignored = signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::default());
        ignored.expect("a signal");
    }
    let result = if mode == "console-panics" {
        let tty = Tty::enter(None).expect("a terminal");
        guarded(tty, |_tty| panic!("on purpose"))
    } else {
        let (feed, remote, requests) = feed::channel(vec!["demo".to_owned()]).expect("sockets");
        let quiet = mode == "quiet";
        let host = std::thread::spawn(move || host(&remote, requests, quiet));
        if mode == "worker-panics" {
            let worker = std::thread::spawn(|| panic!("a worker, on purpose"));
            assert!(worker.join().is_err());
        }
        let options = ConsoleOptions {
            embedded: mode == "embedded",
            stderr: std::fs::File::options().write(true).open("/dev/null").ok(),
            ..ConsoleOptions::from_environment()
        };
        let worker = (mode == "worker-panics-later").then(|| {
            std::thread::spawn(|| {
                let pause = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
                let _slept = rustix::thread::nanosleep(&pause);
                panic!("a worker, on purpose")
            })
        });
        let result = run(feed, options);
        drop(worker.map(std::thread::JoinHandle::join));
        host.join().expect("the host ends with the console");
        result
    };
    let text = match result {
        Ok(outcome) => format!("{outcome:?}"),
        Err(error) => error.to_string(),
    };
    std::fs::write(outcome, text).expect("the parent's folder");
}

/// A host that does what it is asked: a restart gives a new pid. It samples once a second, unless
/// it is quiet.
fn host(remote: &feed::Remote, mut requests: feed::Requests, quiet: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let mut components = demo::components();
        for status in &mut components {
            status.uptime_s = status.pid.map(|_| 90_000.0);
        }
        let mut seq = 1;
        let _gone = remote.tell(0, News::Link(feed::Link::Live)).await;
        let _gone = remote.snapshot(0, seq, demo::snapshot("demo", components.clone())).await;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            let request = tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => request,
                    None => return,
                },
                _ = second.tick(), if !quiet => {
                    seq += 1;
                    components[0].cpu_percent = Some(f64::from(u32::try_from(seq % 90).unwrap_or(0)));
                    let component = Box::new(components[0].clone());
                    let update = Update::Component { component };
                    let _gone = remote.tell(0, News::Update(UpdateMessage { seq, update })).await;
                    continue;
                }
            };
            match request.ask {
                Ask::Command { number, ids, .. } => {
                    let _gone =
                        remote.tell(0, News::Answer { number, answer: Answer::Applied }).await;
                    for status in components.iter_mut().filter(|one| ids.contains(&one.id)) {
                        for state in [ComponentState::Stopping, ComponentState::Running] {
                            status.state = state;
                            if state == ComponentState::Running {
                                status.pid = Some(77_777);
                                status.run = status.run.map(|run| run + 1);
                                status.restarts += 7;
                            }
                            seq += 1;
                            let update = Update::Component { component: Box::new(status.clone()) };
                            let message = UpdateMessage { seq, update };
                            let _gone = remote.tell(0, News::Update(message)).await;
                        }
                    }
                }
                Ask::Logs { wanted } => {
                    for wish in wanted.into_iter().filter(|wish| wish.after.is_none()) {
                        let at = "2026-11-23T14:25:01.000Z";
                        let records = (1..=60).map(|seq| demo::log_record(seq, at)).collect();
                        seq += 1;
                        let update = Update::Log { id: wish.id, records };
                        let _gone =
                            remote.tell(0, News::Update(UpdateMessage { seq, update })).await;
                    }
                }
                _ => {}
            }
        }
    });
}

#[test]
fn an_operator_works_and_leaves() {
    let mut session = Session::start("attached");
    session.shows("6/12 up");
    session.press("\u{1b}[B");
    session.shows("ps stdout+stderr");
    session.press("r");
    session.shows("restart ps (pid 42151)?");
    session.press("r");
    session.shows("77777");
    session.press("K");
    session.shows("and its whole tree at once?");
    session.press("\u{1b}");
    session.press("/");
    session.press("mailer\r");
    session.until("one row", |screen| !screen.contents().contains("gateway"));
    session.press("\u{1b}");
    session.shows("gateway");
    session.press("l");
    session.shows("FOLLOW");
    session.press("/");
    session.press("broken\r");
    session.shows("PAUSED");
    set_size(session.slave.as_fd(), 100, 30);
    session.size = (100, 30);
    session.signal(Signal::WINCH);
    session.press("\u{1b}");
    session.press("?");
    session.shows("Acting on components");
    session.press("q");
    session.press("q");
    assert_eq!(session.ended(), format!("{:?}", Outcome::Quit));
    session.is_restored();
}

#[test]
fn an_idle_console_writes_nothing() {
    let mut session = Session::start("quiet");
    session.shows("stdout+stderr");
    session.rest(Duration::from_millis(2500));
    let before = session.bytes();
    session.rest(Duration::from_secs(3));
    assert_eq!(session.bytes(), before);
    let stat = std::fs::read_to_string(format!("/proc/{}/status", session.pid().as_raw_nonzero()));
    assert!(stat.expect("it lives").contains("State:\tS"), "it sleeps");
    let before = session.switches();
    session.rest(Duration::from_secs(5));
    let switches = session.switches() - before;
    assert!(switches <= 10, "{switches} wake-ups in 5 s");
    session.press("q");
    assert_eq!(session.ended(), "Quit");
}

#[test]
fn stray_bytes_and_pastes_do_nothing() {
    let mut session = Session::start("attached");
    session.shows("stdout+stderr");
    session.press("\u{1b}]11;rgb:1e1e/1e1e/1e1e\u{7}");
    session.press("\u{1b}[200~r\ry\rx\u{1b}[201~");
    session.shows("pasted text is ignored");
    session.press("rm -rf / sxrKy");
    session.shows("stray input");
    session.send("\u{1b}");
    session.rest(Duration::from_millis(15));
    session.press("[3;5R");
    session.until("no question", |screen| !screen.contents().contains("yes, other"));
    session.shows("24189");
    session.press("q");
    assert_eq!(session.ended(), "Quit");
    session.is_restored();
}

#[test]
fn signals_give_the_terminal_back() {
    for (mode, signal, outcome) in [
        ("attached", Signal::TERM, "Quit"),
        ("attached", Signal::INT, "Quit"),
        ("attached", Signal::HUP, "TerminalLost"),
    ] {
        let mut session = Session::start(mode);
        session.shows("stdout+stderr");
        session.signal(signal);
        assert_eq!(session.ended(), outcome, "{signal:?}");
        session.is_restored();
    }
}

#[test]
fn a_terminal_that_is_closed_ends_the_console_at_once() {
    for mode in ["embedded", "ignores-hangup"] {
        let mut session = Session::start(mode);
        session.shows("stdout+stderr");
        session.close();
        assert_eq!(session.ended(), "TerminalLost", "{mode}");
    }
}

/// Nothing is read at the other end, as over a stalled ssh: the console skips frames, and what it
/// is told still reaches it.
#[test]
fn a_terminal_that_takes_nothing_blocks_nothing() {
    let mut session = Session::start("attached");
    session.shows("stdout+stderr");
    session.stop = None;
    session.reader.take().expect("it runs").join().expect("the reader ends");
    for _ in 0..400 {
        session.send("\u{c}");
        session.rest(Duration::from_millis(5));
    }
    session.signal(Signal::TERM);
    // The console is over; the test binary around it still has to print to that terminal.
    let mut waited = Duration::ZERO;
    while std::fs::read_to_string(&session.outcome).unwrap_or_default() != "Quit" {
        assert!(waited < LONG, "it does not end");
        session.rest(Duration::from_millis(20));
        waited += Duration::from_millis(20);
    }
    let after = rustix::termios::tcgetattr(&session.slave).expect("a terminal");
    assert_eq!(after.local_modes, session.before.local_modes, "echo and line modes are back");
    session.close();
    session.ended();
}

#[test]
fn panics_give_the_terminal_back_or_leave_it_alone() {
    let mut session = Session::start("console-panics");
    let said = session.ended();
    assert!(said.contains("the console made a mistake and ended: on purpose"), "{said}");
    session.is_restored();
    let mut session = Session::start("worker-panics-later");
    session.shows("stdout+stderr");
    session.rest(Duration::from_millis(1800));
    assert!(session.terminal().screen().alternate_screen());
    session.shows("stdout+stderr");
    assert!(!session.screen().contains("panicked"), "{}", session.screen());
    session.press("q");
    assert_eq!(session.ended(), "Quit");
    session.is_restored();
}

#[test]
fn leaving_an_embedded_console_asks() {
    for (key, outcome) in [("d", "Detach"), ("s", "StopAll")] {
        let mut session = Session::start("embedded");
        session.shows("stdout+stderr");
        session.press("q");
        session.shows("The Supervisor runs in this console.");
        session.press(key);
        assert_eq!(session.ended(), outcome);
        session.is_restored();
    }
}
