//! What the process room does to the process that it runs in: hygiene, orphans, background
//! start, execution in place.
//!
//! Every scenario is a fresh process of this same program (`--scenario NAME`): what it changes is
//! the whole process's, and orphans are reaped whoever's they are.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use s7supervisor::{
    model::{ComponentId, Exit, RunId},
    process::{
        Child, Containment, Launch, Level, Tree, execute_self, hygiene, reap_orphans, spawn,
        spawn_detached, start_time,
    },
    registry::Limits,
};

/// Bits of a signal mask.
const SIGCHLD: u64 = 1 << 16;
const SIGPIPE: u64 = 1 << 12;
const CAP_SYS_RESOURCE: u64 = 1 << 24;

type Scenario = (&'static str, fn());

const SCENARIOS: [Scenario; 5] = [
    ("hygiene undoes what was inherited", hygiene_undoes_what_was_inherited),
    ("orphans are reaped around a leader", orphans_are_reaped_around_a_leader),
    ("sweep ends what nobody owns", sweep_ends_what_nobody_owns),
    ("start in the background", start_in_the_background),
    ("execution in place keeps the pid", execution_in_place_keeps_the_pid),
];

/// Roles that scenarios give to further processes of this program.
const ROLES: [Scenario; 3] =
    [("inherited", inherited), ("background", background), ("executed", executed)];

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, flag, name] = arguments.as_slice()
        && flag == "--scenario"
    {
        let role = SCENARIOS.iter().chain(&ROLES).find(|(known, _)| known == name);
        role.expect("a known scenario").1();
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    for (name, _) in SCENARIOS {
        let (text, exit) = output_of(this(&["--scenario", name]));
        let passed = exit == Exit::Code(0);
        failed |= !passed;
        let verdict = if passed { "ok" } else { "FAILED" };
        let report = format!("{name} ... {verdict}\n{}", if passed { "" } else { &text });
        io::stdout().write_all(report.as_bytes()).expect("written");
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn hygiene_undoes_what_was_inherited() {
    // SIGCHLD ignored (exits would be lost), a low limit, a descriptor left open.
    let inherit = "ulimit -Sn 64; ulimit -Hn 4096; exec 9</dev/null; \
         exec env --ignore-signal=CHLD --block-signal=TERM \"$0\" --scenario inherited";
    let this = std::env::current_exe().expect("we are somewhere");
    let shell = launch("/bin/sh", &["-c", inherit, this.to_str().expect("ASCII")]);
    let (text, exit) = output_of(shell);
    assert_eq!(exit, Exit::Code(0), "{text}");
}

fn inherited() {
    let signal_mask = |name: &str| {
        let status = fs::read_to_string("/proc/self/status").expect("readable");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a mask");
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("hexadecimal")
    };
    assert_ne!(signal_mask("SigIgn") & SIGCHLD, 0, "inherited");
    assert_ne!(signal_mask("SigBlk"), 0, "inherited");
    assert!(open_files() == (64, 4096) && Path::new("/proc/self/fd/9").exists(), "inherited");

    let before = hygiene().open_files.as_ref().expect("it was raised");
    assert_eq!((before.current, before.maximum), (Some(64), Some(4096)));
    assert_eq!(signal_mask("SigIgn") & (SIGCHLD | SIGPIPE), SIGPIPE);
    assert_eq!(signal_mask("SigBlk"), 0);
    let status = fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("a set");
    let capabilities = u64::from_str_radix(line.trim(), 16).expect("hexadecimal");
    let wanted = if capabilities & CAP_SYS_RESOURCE == 0 { 4096 } else { 65_536 };
    assert_eq!(open_files(), (wanted, wanted), "as high as the kernel lets us");

    let script = "ulimit -Sn; ulimit -Hn; ls /proc/self/fd; exit 5";
    let (text, exit) = output_of(launch("/bin/sh", &["-c", script]));
    assert_eq!(exit, Exit::Code(5));
    assert_eq!(text, "64\n4096\n0\n1\n2\n3\n", "the old limits; three streams, and what ls reads");
}

/// The soft limit and the hard one.
fn open_files() -> (u64, u64) {
    let limits = fs::read_to_string("/proc/self/limits").expect("readable");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let mut limits = line.split_whitespace().skip(3).map(|word| word.parse().expect("a number"));
    (limits.next().expect("a soft limit"), limits.next().expect("a hard one"))
}

fn orphans_are_reaped_around_a_leader() {
    let containment = Containment::probe("orphans", Some(Level::Subreaper));
    // Seven processes lose their parent, then the leader ends, and its zombie stays.
    let script = "for i in 1 2 3 4 5 6 7; do ( sh -c 'exit 1' & ) ; done; exit 9";
    let (_tree, leader, text) = grow(&containment, script);
    assert_eq!(text, "");
    let mut reaped = 0;
    while reaped < 7 {
        reaped += reap_orphans(|_| false).expect("nothing is being started");
        thread::yield_now();
    }
    await_zombie(&leader);
    assert_eq!(reap_orphans(|_| false), Some(0), "a leader is never reaped as an orphan");
    assert_eq!(leader.reap().expect("we may ask"), Some(Exit::Code(9)));

    // The same for one that only the caller knows to be somebody's.
    let (_tree, unknown, _) = grow(&containment, "exit 3");
    await_zombie(&unknown);
    let pid = unknown.pid();
    drop(unknown);
    assert_eq!(reap_orphans(|candidate| candidate == pid), Some(0));
    assert_eq!(
        reap_orphans(|_| false),
        Some(1),
        "dropped unreaped, it is an orphan like any other"
    );
    assert_eq!(start_time(pid).expect("readable"), None);
}

fn sweep_ends_what_nobody_owns() {
    let containment = Containment::probe("sweep", Some(Level::Subreaper));
    // A new session, a cleared environment, no parent: nothing tells whose it was.
    let script = "( env -i setsid sh -c 'sleep 1000 >/dev/null & echo $!' & ); exit 0";
    let (mut tree, leader, text) = grow(&containment, script);
    let daemon: i32 = text.trim().parse().expect("a pid");
    let since = start_time(daemon).expect("readable").expect("it lives");
    let (mut other_tree, other, _) =
        grow(&containment, "sleep 1000 >/dev/null 2>&1 & exec sleep 1000 >/dev/null");
    await_end(&leader);
    while reap_orphans(|_| false) != Some(0) {}
    assert!(tree.is_empty(), "it cannot be attributed");

    assert_eq!(containment.sweep(), 1, "the daemon, not the other component");
    while start_time(daemon).expect("readable") == Some(since) {
        reap_orphans(|_| false);
    }
    assert_eq!(other.reap().expect("we may ask"), None);
    assert_eq!(other_tree.members().len(), 2);
    other_tree.kill().expect("ours");
    await_end(&other);
    while !other_tree.is_empty() {
        thread::yield_now();
    }
}

fn start_in_the_background() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("output");
    fs::write(&output, "before\n").expect("written");
    let arguments = ["--scenario".into(), OsString::from("background")];
    let child = spawn_detached(&arguments, Some(&output)).expect("it starts");
    let pid = child.pid();
    assert_eq!(await_end(&child), Exit::Code(0));
    let text = fs::read_to_string(&output).expect("readable");
    assert_eq!(text, format!("before\n{pid} {pid} /dev/null\n"), "appended: pid, session, input");

    let silent = spawn_detached(&arguments, None).expect("it starts");
    assert_eq!(await_end(&silent), Exit::Code(0));
}

fn background() {
    let stat = fs::read_to_string("/proc/self/stat").expect("readable");
    let session = stat.rsplit(") ").next().and_then(|it| it.split(' ').nth(3)).expect("a session");
    let input = fs::read_link("/proc/self/fd/0").expect("it is open");
    say(&format!("{} {session} {}\n", std::process::id(), input.display()));
}

fn execution_in_place_keeps_the_pid() {
    hygiene();
    let before = std::process::id();
    say(&format!("{before}\n"));
    // Children stay children: the new program is told who, and reaps it.
    let child = spawn(&launch("/bin/sh", &["-c", "exit 6"]), None).expect("it starts");
    await_zombie(&child);
    fs::write(hand_over(before), format!("{} {}", child.pid(), child.start_time()))
        .expect("written");
    let error = execute_self(&["--scenario".into(), "executed".into()]);
    panic!("it was not executed: {error}");
}

fn executed() {
    let path = hand_over(std::process::id());
    let text = fs::read_to_string(&path).expect("the pid is the same, and so the name");
    fs::remove_file(path).expect("removed");
    let (pid, since) = text.split_once(' ').expect("two numbers");
    let numbers = (pid.parse().expect("a pid"), since.parse().expect("a time"));
    let child = Child::adopt(numbers.0, numbers.1).expect("an answer").expect("it is a zombie");
    assert_eq!(child.reap().expect("we may ask"), Some(Exit::Code(6)));
    let (soft, hard) = open_files();
    if let Some(original) = &hygiene().open_files {
        let original = (original.current, original.maximum);
        assert_eq!(original, (Some(soft), Some(hard)), "the original limit came over");
    }
}

fn hand_over(pid: u32) -> PathBuf {
    std::env::temp_dir().join(format!("own-process-{pid}"))
}

fn say(text: &str) {
    io::stdout().write_all(text.as_bytes()).expect("written");
}

fn null() -> File {
    OpenOptions::new().write(true).open("/dev/null").expect("it is there")
}

fn launch(executable: &str, arguments: &[&str]) -> Launch {
    Launch {
        executable: executable.into(),
        arguments: arguments.iter().map(OsString::from).collect(),
        environment: std::env::vars_os().collect(),
        working_directory: "/".into(),
        user: None,
        group: None,
        umask: None,
        limits: Limits::default(),
        stdout: null().into(),
        stderr: null().into(),
    }
}

fn this(arguments: &[&str]) -> Launch {
    let executable = std::env::current_exe().expect("we are somewhere");
    launch(executable.to_str().expect("ASCII"), arguments)
}

/// What it wrote to both streams, and its end.
fn output_of(mut launch: Launch) -> (String, Exit) {
    let (mut reader, writer) = io::pipe().expect("a pipe");
    launch.stderr = writer.try_clone().expect("a copy").into();
    launch.stdout = writer.into();
    let child = spawn(&launch, None).expect("it starts");
    drop(launch);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    (text, await_end(&child))
}

/// Starts a script in a tree of its own, and returns what it and its descendants wrote.
fn grow(containment: &Containment, script: &str) -> (Tree, Child, String) {
    let component = ComponentId::new("grown").expect("a good id");
    let mut tree = containment.tree(&component, RunId(1)).expect("a tree");
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let launch = Launch { stdout: writer.into(), ..launch("/bin/sh", &["-c", script]) };
    let child = spawn(&launch, Some(&mut tree)).expect("it starts");
    drop(launch);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    (tree, child, text)
}

fn await_zombie(child: &Child) {
    let mut descriptors = [rustix::event::PollFd::new(child, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut descriptors, None).expect("we may wait");
}

fn await_end(child: &Child) -> Exit {
    await_zombie(child);
    child.reap().expect("we may ask").expect("it has ended")
}
