//! An installation folder of its own for each test, and everything that happens in it.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Answer, PATIENCE, Registry, Supervisor, http,
    processes::{self, Process},
    until,
};

/// An installation: `conf/`, `logs/`, `temp/` and whatever the test puts there.
pub struct Place {
    folder: TempDir,
    environment: Vec<(String, String)>,
    /// A failure is described once.
    shown: AtomicBool,
}

/// What a command of the command line came to.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    /// An installation with this registry.
    pub fn new(registry: &Registry) -> Self {
        Self::with_text(&registry.xml())
    }

    /// An installation whose registry is this text.
    pub fn with_text(registry: &str) -> Self {
        // Short: the path of a socket in it may have 107 bytes.
        let folder = tempfile::Builder::new().prefix("s7t-").tempdir().expect("a folder");
        // A component that runs as another user must be able to come here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our folder");
        let place = Self { folder, environment: Vec::new(), shown: AtomicBool::new(false) };
        place.write("conf/SupervisorRegistry.xml", registry);
        fs::create_dir_all(place.path("logs")).expect("our folder");
        place
    }

    /// A variable for everything that is started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Puts a file there, whole or not at all.
    pub fn write(&self, relative: &str, text: impl AsRef<[u8]>) {
        let path = self.path(relative);
        let folder = path.parent().expect("a file stands in a folder");
        fs::create_dir_all(folder).expect("our folder");
        let half = path.with_extension("new");
        fs::write(&half, text).and_then(|()| fs::rename(&half, &path)).expect("our folder");
    }

    /// The text of a file; empty where there is none (yet).
    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_default()
    }

    pub fn rewrite_registry(&self, registry: &Registry) {
        self.write("conf/SupervisorRegistry.xml", registry.xml());
    }

    /// All that stands in the daily files `logs/NAME-*.log`, oldest first.
    pub fn log(&self, name: &str) -> Vec<u8> {
        let prefix = format!("{name}-");
        let mut files: Vec<_> = fs::read_dir(self.path("logs"))
            .expect("our folder")
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
                name.starts_with(&prefix) && path.extension() == Some(OsStr::new("log"))
            })
            .collect();
        files.sort();
        files.iter().flat_map(|path| fs::read(path).unwrap_or_default()).collect()
    }

    pub fn log_text(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.log(name)).into_owned()
    }

    /// The binary under test, set up for this place and free of the environment's own ideas.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_s7supervisor"));
        self.prepare(&mut command);
        command.arg("-i").arg(self.folder.path());
        command
    }

    /// Gives any command this place's mark and folder.
    pub fn prepare(&self, command: &mut Command) {
        for name in [
            "S7_INSTALL_FOLDER",
            "S7_REGISTRY",
            "S7_CONTAINMENT",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "WATCHDOG_PID",
            "FDSTORE",
        ] {
            command.env_remove(name);
        }
        command.env("S7_TEST_PLACE", self.folder.path()).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
    }

    /// `s7supervisor run` in the foreground, ready to answer.
    #[track_caller]
    pub fn start(&self) -> Supervisor<'_> {
        self.start_with(&[])
    }

    #[track_caller]
    pub fn start_with(&self, options: &[&str]) -> Supervisor<'_> {
        let supervisor = self.launch(options);
        self.await_answer(&supervisor);
        supervisor
    }

    /// `s7supervisor run`, not yet ready, perhaps never.
    pub fn launch(&self, options: &[&str]) -> Supervisor<'_> {
        let mut command = self.command();
        command.arg("run").args(options);
        Supervisor::new(self, self.spawn(command))
    }

    /// Starts a command whose output goes to `run.out` and `run.err` in the folder.
    pub fn spawn(&self, mut command: Command) -> Child {
        let open = |name: &str| {
            fs::File::options().create(true).append(true).open(self.path(name)).expect("our folder")
        };
        command.stdout(open("run.out")).stderr(open("run.err"));
        command.spawn().expect("the binary under test can be started")
    }

    /// Waits until the Supervisor answers on its socket.
    #[track_caller]
    pub fn await_answer(&self, supervisor: &Supervisor<'_>) {
        until("the Supervisor answers", || {
            if let Some(status) = supervisor.exit() {
                panic!("the Supervisor ended before it answered: {status}");
            }
            self.try_get("/v1/status").filter(|answer| answer.status == 200)
        });
    }

    /// Runs a command to its end; the words are separated by blanks.
    #[track_caller]
    pub fn cli(&self, words: &str) -> Finished {
        let mut command = self.command();
        command.args(words.split_whitespace());
        finish(command)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("temp/supervisor.sock")
    }

    pub fn try_get(&self, path: &str) -> Option<Answer> {
        http::unix(&self.socket(), "GET", path, &[]).ok()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        http::unix(&self.socket(), "GET", path, &[])
            .unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    #[track_caller]
    pub fn post(&self, path: &str) -> Answer {
        self.post_with(path, &[])
    }

    #[track_caller]
    pub fn post_with(&self, path: &str, headers: &[&str]) -> Answer {
        http::unix(&self.socket(), "POST", path, headers)
            .unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// `GET /v1/status`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let answer = self.get("/v1/status");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The component's entry in the status.
    #[track_caller]
    pub fn component(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v1/components/{id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The pid of a component that is known to have one.
    #[track_caller]
    pub fn pid(&self, id: &str) -> u32 {
        pid_of(&self.component(id))
    }

    /// Waits until the component runs; yields its pid.
    #[track_caller]
    pub fn running(&self, id: &str) -> u32 {
        pid_of(&self.await_state(id, "running"))
    }

    /// Waits until the component is in this state; yields its entry.
    #[track_caller]
    pub fn await_state(&self, id: &str, state: &str) -> Value {
        self.await_component(id, state, |component| component["state"] == state)
    }

    /// Waits until the component's entry is as wished.
    #[track_caller]
    pub fn await_component(&self, id: &str, what: &str, wished: impl Fn(&Value) -> bool) -> Value {
        until(&format!("{id}: {what}"), || Some(self.component(id)).filter(&wished))
    }

    /// Asks for `verb` and yields the operation's number; fails where it is denied or redundant.
    #[track_caller]
    pub fn ask(&self, verb: &str, id: &str) -> u64 {
        let answer = self.post(&format!("/v1/components/{id}/{verb}"));
        assert_eq!(answer.status, 202, "{verb} {id}: {answer:?}");
        answer.json()["operation"].as_u64().unwrap_or_else(|| panic!("no number: {answer:?}"))
    }

    /// Waits for an operation's end.
    #[track_caller]
    pub fn await_operation(&self, operation: u64) -> Value {
        until(&format!("operation {operation} ends"), || {
            let answer = self.get(&format!("/v1/operations/{operation}"));
            assert_eq!(answer.status, 200, "{answer:?}");
            Some(answer.json()).filter(|operation| operation["state"] != "pending")
        })
    }

    /// Asks for `verb`, and waits until it is done.
    #[track_caller]
    pub fn achieve(&self, verb: &str, id: &str) {
        let operation = self.await_operation(self.ask(verb, id));
        assert_eq!(operation["state"], "done", "{verb} {id}: {operation:#}");
    }

    /// Everything that this place started and that lives.
    pub fn processes(&self) -> Vec<Process> {
        processes::marked(self.folder.path())
    }

    /// The components' processes: all but the Supervisor's own.
    pub fn component_processes(&self) -> Vec<Process> {
        self.processes().into_iter().filter(|process| !process.own).collect()
    }

    #[track_caller]
    pub fn assert_nothing_runs(&self) {
        let left = self.processes();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    /// What is known about this place, for the report of a failure.
    #[expect(clippy::print_stderr, reason = "libtest shows it with the failed test")]
    pub fn show(&self) {
        if self.shown.swap(true, Ordering::Relaxed) {
            return;
        }
        let status = self.try_get("/v1/status").map_or_else(
            || "(no answer)".to_owned(),
            |answer| {
                serde_json::from_str(&answer.body)
                    .map_or(answer.body, |value: Value| format!("{value:#}"))
            },
        );
        eprintln!(
            "--- standard output\n{}--- standard error\n{}--- trace log\n{}--- processes\n{:#?}\n--- status\n{status}",
            self.read("run.out"),
            self.read("run.err"),
            self.log_text("Supervisor"),
            self.processes(),
        );
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show();
        }
        let left = self.processes();
        // Parents could start more while we end their children: until two looks find nothing.
        let mut remaining = left.clone();
        while !remaining.is_empty() {
            for process in &remaining {
                processes::signal(process.pid, Signal::KILL);
            }
            until("what is left has ended", || {
                remaining.iter().all(|process| !processes::alive(process.pid)).then_some(())
            });
            remaining = self.processes();
        }
        if let Some(folder) = processes::cgroup_of(&self.path("temp")) {
            remove_cgroups(&folder);
        }
        assert!(left.is_empty() || thread::panicking(), "left behind: {left:#?}");
    }
}

/// A Supervisor that was killed and never started again leaves its cgroups, empty by now.
fn remove_cgroups(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_cgroups(&entry.path());
        }
    }
    let _gone_already = fs::remove_dir(folder);
}

/// Runs any command to its end and collects what it wrote.
///
/// Through pipes and up to their end: a background process that kept them open would show here.
#[track_caller]
pub fn finish(mut command: Command) -> Finished {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be started");
    let pid = child.id();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(Duration::from_mins(2)) else {
        // The thread still waits for it, so the pid is the child's own.
        processes::signal(pid, Signal::KILL);
        let output = receiver.recv_timeout(PATIENCE);
        panic!("{command:?} did not end, or something holds its output open: {output:?}");
    };
    let output = output.expect("a child can be waited for");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Finished {
    #[track_caller]
    pub fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{self:#?}");
    }

    /// Standard output and standard error.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

/// The pid in a component's entry.
#[track_caller]
pub fn pid_of(component: &Value) -> u32 {
    component["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .unwrap_or_else(|| panic!("no pid: {component:#}"))
}

/// An absolute path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("the tests' paths are ASCII")
}
