//! How the commands take a Supervisor's answers: waiting, exit statuses, what is said.
//!
//! A stand-in answers at the control socket with scripted answers, so that also those can be had
//! which a healthy engine does not give.

#![cfg(unix)]

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

const REGISTRY: &str = "<supervisor><servers>\
    <server id=\"ps\"><executable>/bin/true</executable></server>\
    </servers></supervisor>";

/// What the stand-in answers to `METHOD PATH` (without the query): the answers in order, the last
/// one again and again. A status of 0 ends the stand-in instead of an answer.
type Script = HashMap<&'static str, Vec<(u16, Value)>>;

struct StandIn {
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    asked: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
struct Shared {
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<String>>>,
    socket: PathBuf,
}

impl StandIn {
    fn new(script: Script) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("conf")).expect("a folder");
        fs::create_dir(folder.path().join("temp")).expect("a folder");
        fs::write(folder.path().join("conf/SupervisorRegistry.xml"), REGISTRY).expect("written");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let socket = folder.path().join("temp/supervisor.sock");
        let shared =
            Shared { script: Arc::new(Mutex::new(script)), asked: Arc::clone(&asked), socket };
        let (stop, stopped) = oneshot::channel();
        let (listens, listening) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let socket = shared.socket.clone();
                let listener = tokio::net::UnixListener::bind(socket).expect("the socket is free");
                listens.send(()).expect("the test waits");
                let router = Router::new().fallback(answer).with_state(shared);
                tokio::select! {
                    ended = async { axum::serve(listener, router).await } => ended.expect("serves"),
                    _asked = stopped => {}
                }
            });
        });
        listening.recv().expect("the stand-in listens");
        Self { folder, stop: Some(stop), thread: Some(thread), asked }
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        let output = self.command(arguments).output().expect("the binary can be run");
        Answer::of(&output)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_s7supervisor"));
        command.arg("-i").arg(self.folder.path()).args(arguments).stdin(Stdio::null());
        command.env_remove("S7_REGISTRY").env_remove("SV__temp").env_remove("SSH_CONNECTION");
        command
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panicked with it").clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ended_already = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the stand-in ends well");
        }
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let what = format!("{} {}", request.method(), request.uri().path());
    let full = format!("{} {}", request.method(), request.uri());
    shared.asked.lock().expect("not poisoned").push(full);
    let (status, body) = {
        let mut script = shared.script.lock().expect("not poisoned");
        let answers = script.get_mut(what.as_str()).unwrap_or_else(|| panic!("unscripted: {what}"));
        if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
    };
    if status == 0 {
        // What a Supervisor that has ended looks like: no socket, and the connection breaks.
        fs::remove_file(&shared.socket).expect("the socket is there");
        std::future::pending::<()>().await;
    }
    let status = StatusCode::from_u16(status).expect("a status");
    let server = concat!("s7supervisor/", env!("CARGO_PKG_VERSION"));
    let headers = [(header::SERVER, server), (header::CONTENT_TYPE, "application/json")];
    (status, headers, body.to_string()).into_response()
}

struct Answer {
    status: i32,
    out: String,
    err: String,
}

impl Answer {
    fn of(output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it writes text");
        let status = output.status.code().expect("it exits");
        Self { status, out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// A process to stand for another, ended and reaped with the value.
struct Process(Child);

impl Process {
    #[expect(clippy::disallowed_methods, reason = "a test needs a process")]
    fn new() -> Self {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        Self(child.expect("cat can be run"))
    }

    fn end(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("cat ends with its input");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn status(supervisor: u32, component: Option<u32>) -> Value {
    json!({
        "supervisor": {
            "pid": supervisor, "version": "0.1.0", "uptime_s": 5000.0, "registry": "/r.xml",
            "generation": 1, "cpu_percent": 0.0, "memory_bytes": 8_000_000,
            "containment": "cgroup", "shutting_down": false, "of_a_later_version": [1],
        },
        "components": [{
            "id": "ps", "description": "", "state": "running", "health": "none",
            "pid": component, "run": 1, "uptime_s": 5000.0, "cpu_percent": 0.5,
            "memory_bytes": 50_000_000, "processes": 1, "restarts": 2, "last_exit": null,
            "intent": "running", "waiting_for": null, "next_attempt_s": null, "attempt": 0,
            "enabled": true,
        }],
    })
}

fn operation(
    verb: &str,
    state: &str,
    outcome: &str,
    component: &str,
    detail: Option<&str>,
) -> Value {
    json!({
        "id": 7, "verb": verb, "origin": "root (cli)", "state": state, "age_s": 1.5,
        "components": [{
            "id": "ps", "outcome": outcome, "state": component, "pid": null, "detail": detail,
        }],
    })
}

fn problem(status: u16, code: &str, detail: &str, nearest: Option<&str>) -> (u16, Value) {
    let kind = format!("urn:s7supervisor:problem:{code}");
    let body = json!({
        "type": kind, "title": "t", "status": status, "detail": detail, "code": code,
        "nearest": nearest,
    });
    (status, body)
}

fn applied() -> (u16, Value) {
    (202, json!({"result": "applied", "operation": 7}))
}

#[test]
fn a_command_waits_and_tells_the_result() {
    let supervisor = StandIn::new(HashMap::from([
        ("POST /v1/components/ps/restart", vec![applied()]),
        (
            "GET /v1/operations/7",
            vec![
                (200, operation("restart", "pending", "pending", "stopping", Some("ends"))),
                (200, operation("restart", "done", "done", "running", None)),
            ],
        ),
    ]));
    let answer = supervisor.run(&["restart", "ps", "ps"]);
    assert_eq!(answer.status, 0, "{}", answer.err);
    assert_eq!(answer.out, "ps  running\n");
    assert_eq!(answer.err, "ps: stopping, ends\nps: running\n");
}

#[test]
fn what_did_not_come_up_is_named_with_its_reason() {
    let failed = operation("start", "failed", "failed", "failed", Some("exited with 1 ten times"));
    let supervisor = StandIn::new(HashMap::from([
        ("POST /v1/components/ps/start", vec![applied()]),
        ("GET /v1/operations/7", vec![(200, failed)]),
    ]));
    let answer = supervisor.run(&["start", "ps", "-q"]);
    assert_eq!(answer.status, 1);
    assert!(answer.err.contains("ps did not start: exited with 1 ten times"), "{}", answer.err);
    assert!(answer.out.contains("failed"), "{}", answer.out);
}

#[test]
fn refusals_have_their_exit_statuses_and_reasons() {
    for (refusal, exit, said) in [
        (problem(409, "denied", "ps cannot be killed: it is stopped", None), 1, "it is stopped"),
        (
            problem(404, "unknown_component", "no component \"pz\"", Some("ps")),
            2,
            "did you mean ps",
        ),
        (problem(403, "read_only", "this token only reads", None), 77, "only reads"),
    ] {
        let script = HashMap::from([("POST /v1/components/pz/kill", vec![refusal])]);
        let answer = StandIn::new(script).run(&["kill", "pz"]);
        assert_eq!(answer.status, exit, "{}", answer.err);
        assert!(answer.err.contains(said), "{}", answer.err);
    }
}

#[test]
fn a_command_that_changes_nothing_says_how_it_stands() {
    let supervisor = StandIn::new(HashMap::from([
        ("POST /v1/components/ps/start", vec![(200, json!({"result": "redundant"}))]),
        ("GET /v1/status", vec![(200, status(std::process::id(), None))]),
    ]));
    let answer = supervisor.run(&["start", "ps"]);
    assert_eq!((answer.status, answer.out.as_str()), (0, "ps is running already\n"));
}

#[test]
fn status_hands_the_object_on_unchanged() {
    let object = status(812, Some(4711));
    let supervisor = StandIn::new(HashMap::from([("GET /v1/status", vec![(200, object.clone())])]));
    let answer = supervisor.run(&["status", "--json"]);
    assert_eq!(answer.out, format!("{object}\n"), "what this version does not know stays, too");
    let table = supervisor.run(&["status", "ps"]);
    assert!(table.out.contains("ps  running"), "{}", table.out);
    let unknown = supervisor.run(&["status", "px"]);
    assert_eq!(unknown.status, 2);
    assert!(unknown.err.contains("did you mean ps"), "{}", unknown.err);
}

#[test]
fn stop_waits_until_the_process_of_the_supervisor_has_ended() {
    let mut process = Process::new();
    let supervisor = StandIn::new(HashMap::from([
        ("GET /v1/status", vec![(200, status(process.0.id(), None))]),
        ("POST /v1/shutdown", vec![applied()]),
        (
            "GET /v1/operations/7",
            vec![(200, operation("shutdown", "done", "done", "stopped", None))],
        ),
    ]));
    #[expect(clippy::disallowed_methods, reason = "a test runs the binary as a user does")]
    let mut stop = supervisor
        .command(&["stop"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    // It has been told that all is done and yet looks again: the socket still answers.
    while supervisor.asked().iter().filter(|asked| *asked == "GET /v1/status").count() < 3 {
        assert!(stop.try_wait().expect("our child").is_none(), "it did not wait");
        thread::yield_now();
    }
    let socket = supervisor.folder.path().join("temp/supervisor.sock");
    fs::remove_file(socket).expect("the socket is there");
    // That something does not happen takes a while to see: 20 times what it would need.
    let (_never, ends) = std::sync::mpsc::channel::<()>();
    ends.recv_timeout(Duration::from_millis(200)).expect_err("nobody sends");
    assert!(stop.try_wait().expect("our child").is_none(), "the process still lives");
    process.end();
    let answer = Answer::of(&stop.wait_with_output().expect("it ends"));
    assert_eq!((answer.status, answer.err.as_str()), (0, "ps: stopped\n"));
    assert_eq!(answer.out, "The component and the Supervisor have stopped.\n");
}

#[test]
fn a_supervisor_that_dies_on_the_way_is_no_stop() {
    let (mut process, component) = (Process::new(), Process::new());
    let running = status(process.0.id(), Some(component.0.id()));
    let mut supervisor = StandIn::new(HashMap::from([
        ("GET /v1/status", vec![(200, running)]),
        ("POST /v1/shutdown", vec![applied()]),
        ("GET /v1/operations/7", vec![(0, Value::Null)]),
    ]));
    #[expect(clippy::disallowed_methods, reason = "a test runs the binary as a user does")]
    let stop = supervisor
        .command(&["stop"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    while !supervisor.asked().iter().any(|asked| asked.starts_with("GET /v1/operations/7")) {
        thread::yield_now();
    }
    supervisor.stop.take().expect("it runs").send(()).expect("it listens");
    process.end();
    let answer = Answer::of(&stop.wait_with_output().expect("it ends"));
    assert_eq!(answer.status, 1, "{}{}", answer.out, answer.err);
    let named = format!("ps (pid {})", component.0.id());
    assert!(answer.err.contains(&named), "{}", answer.err);
}

#[test]
fn reload_shows_its_plan_first_and_a_dry_run_does_no_more() {
    let report = json!({
        "generation": 1, "added": [], "removed": [],
        "changed": [{"id": "ps", "differences": ["arguments"]}], "updated": [], "unchanged": [],
        "needs_supervisor_restart": ["tcpport"], "warnings": [],
    });
    let supervisor = StandIn::new(HashMap::from([("POST /v1/reload", vec![(200, report)])]));
    let answer = supervisor.run(&["reload", "--dry-run"]);
    assert_eq!(answer.status, 0, "{}", answer.err);
    assert!(answer.out.contains("~ restart  ps: arguments"), "{}", answer.out);
    assert!(answer.out.contains("tcpport"), "{}", answer.out);
    assert_eq!(supervisor.asked(), ["POST /v1/reload?dry_run=true"]);
}

#[test]
fn an_interrupt_ends_the_waiting_and_says_that_the_rest_goes_on() {
    let pending = operation("restart", "pending", "pending", "stopping", None);
    let supervisor = StandIn::new(HashMap::from([
        ("POST /v1/components/ps/restart", vec![applied()]),
        ("GET /v1/operations/7", vec![(200, pending)]),
    ]));
    #[expect(clippy::disallowed_methods, reason = "a test runs the binary as a user does")]
    let restart = supervisor
        .command(&["restart", "ps"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    while !supervisor.asked().iter().any(|asked| asked.starts_with("GET /v1/operations/7")) {
        thread::yield_now();
    }
    let pid = i32::try_from(restart.id()).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("our child");
    let answer = Answer::of(&restart.wait_with_output().expect("it ends"));
    assert_eq!(answer.status, 1, "{}", answer.err);
    assert!(answer.err.contains("goes on with what was asked for"), "{}", answer.err);
}
