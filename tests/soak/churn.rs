//! Everything that people, programs and accidents do to a Supervisor, at random.

use std::{
    fmt,
    io::Read as _,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use super::fleet;
use crate::support::{Place, http, now, processes, since};

/// Threads that do things until they are told to end.
pub struct Churn {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    commands: AtomicU64,
    kills: AtomicU64,
    reloads: AtomicU64,
    readers: AtomicU64,
    stalled: AtomicU64,
    programs: AtomicU64,
    questions: AtomicU64,
    engines: AtomicU64,
}

/// What was done.
pub struct Did(Arc<Counts>);

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        write!(
            f,
            "{} commands, {} kills of processes, {} reloads, {} readers ({} stalled), {} consoles and \
             commands, {} questions, {} engines killed",
            of(&self.0.commands),
            of(&self.0.kills),
            of(&self.0.reloads),
            of(&self.0.readers),
            of(&self.0.stalled),
            of(&self.0.programs),
            of(&self.0.questions),
            of(&self.0.engines),
        )
    }
}

/// What each thread has.
struct Doer {
    socket: PathBuf,
    random: fastrand::Rng,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    /// The engine is killed now and then: a question may have no answer.
    has_gaps: bool,
}

impl Churn {
    /// With `kill_every` the engine is killed about so often, too.
    pub fn start(place: &Place, program: &Path, seed: u64, kill_every: Option<Duration>) -> Self {
        let (stop, counts) = (Arc::<AtomicBool>::default(), Arc::<Counts>::default());
        let mut threads = Vec::new();
        let doer = |number: u64| Doer {
            socket: place.socket(),
            random: fastrand::Rng::with_seed(seed ^ number << 32),
            stop: Arc::clone(&stop),
            counts: Arc::clone(&counts),
            has_gaps: kill_every.is_some(),
        };
        let mut spawn = |work: Box<dyn FnOnce() + Send>| threads.push(thread::spawn(work));
        for number in 0..2 {
            let mut doer = doer(number);
            spawn(Box::new(move || doer.commands()));
        }
        if let Some(every) = kill_every {
            let mut crash = doer(9);
            spawn(Box::new(move || crash.engines(every)));
        }
        let mut killer = doer(10);
        spawn(Box::new(move || killer.kills()));
        let (mut editor, registry) = (doer(11), place.path("conf/SupervisorRegistry.xml"));
        spawn(Box::new(move || editor.reloads(&registry)));
        for number in 20..24 {
            let mut doer = doer(number);
            spawn(Box::new(move || doer.readers()));
        }
        let mut asker = doer(30);
        spawn(Box::new(move || asker.questions()));
        let (mut user, program, folder) = (doer(31), program.to_owned(), place.path(""));
        let mut template = Command::new(&program);
        place.prepare(&mut template);
        let environment: Vec<_> = template
            .get_envs()
            .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
            .collect();
        spawn(Box::new(move || {
            user.programs(&|| {
                let mut command = Command::new(&program);
                for (name, value) in &environment {
                    match value {
                        Some(value) => command.env(name, value),
                        None => command.env_remove(name),
                    };
                }
                command.arg("-i").arg(&folder);
                command
            });
        }));
        Self { stop, threads, counts }
    }

    /// Ends all of it; a thread that failed fails the test.
    pub fn end(self) -> Did {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        Did(self.counts)
    }
}

impl Doer {
    /// Waits some time around `milliseconds`; false: it is time to end.
    fn pause(&mut self, milliseconds: u64) -> bool {
        let time = Duration::from_millis(self.random.u64(milliseconds / 2..=milliseconds * 3 / 2));
        let begin = now();
        while since(begin) < time && !self.stop.load(Ordering::Relaxed) {
            #[expect(clippy::disallowed_methods, reason = "the pace of the churn")]
            thread::sleep(Duration::from_millis(20));
        }
        !self.stop.load(Ordering::Relaxed)
    }

    fn component(&mut self) -> String {
        let ids: Vec<String> = fleet::ids().collect();
        ids[self.random.usize(0..ids.len())].clone()
    }

    /// None where the engine died over it.
    fn ask(&self, method: &str, path: &str) -> Option<http::Answer> {
        match http::unix(&self.socket, method, path, &[]) {
            Ok(answer) => Some(answer),
            Err(_) if self.has_gaps => None,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    /// As a fault of ours, or the kernel short of memory, would end it.
    fn engines(&mut self, every: Duration) {
        let milliseconds = u64::try_from(every.as_millis()).expect("a time of some seconds");
        while self.pause(milliseconds) {
            let Some(status) = self.ask("GET", "/v1/status") else { continue };
            let pid = status.json()["supervisor"]["pid"].as_u64().expect("a pid");
            processes::signal(u32::try_from(pid).expect("a pid"), Signal::KILL);
            self.counts.engines.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn commands(&mut self) {
        while self.pause(200) {
            let id = self.component();
            let path = match self.random.u8(0..20) {
                0..6 => format!("/v1/components/{id}/restart"),
                6..10 => format!("/v1/components/{id}/stop"),
                10..14 => format!("/v1/components/{id}/start"),
                14..17 => format!("/v1/components/{id}/kill"),
                17 => format!("/v1/components/{id}/hold?reason=soak&until=%2B5s"),
                18 => format!("/v1/components/{id}/release"),
                _ => "/v1/reopen".to_owned(),
            };
            let Some(answer) = self.ask("POST", &path) else { continue };
            // 404: this registry lacks it; 409: it is held, or was not running.
            assert!(matches!(answer.status, 200 | 202 | 204 | 404 | 409), "{path}: {answer:?}");
            self.counts.commands.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What the kernel, or a colleague, does to a component.
    fn kills(&mut self) {
        while self.pause(700) {
            let Some(answer) = self.ask("GET", "/v1/status") else { continue };
            let status = answer.json();
            let components = status["components"].as_array().expect("a list");
            let one = &components[self.random.usize(0..components.len())];
            let Some(pid) = one["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()) else {
                continue;
            };
            // Asked again: it may have ended, and the pid be another's by now.
            let path = format!("/v1/components/{}", one["id"].as_str().expect("an id"));
            let again = self.ask("GET", &path).map(|answer| answer.json());
            if again.is_some_and(|again: Value| again["pid"] == one["pid"]) {
                let signal = if self.random.bool() { Signal::KILL } else { Signal::TERM };
                processes::signal(pid, signal);
                self.counts.kills.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn reloads(&mut self, registry: &Path) {
        while self.pause(4_000) {
            let variant = if self.random.u8(0..3) == 0 { 0 } else { self.random.u64(1..1_000_000) };
            let beside = registry.with_extension("new");
            let text = fleet::registry(variant).xml();
            std::fs::write(&beside, text)
                .and_then(|()| std::fs::rename(&beside, registry))
                .expect("our folder");
            let Some(answer) = self.ask("POST", "/v1/reload") else { continue };
            assert!(matches!(answer.status, 200 | 202), "{answer:?}");
            self.counts.reloads.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connections that follow something: read for a while, or not at all, and gone.
    fn readers(&mut self) {
        const PATHS: [&str; 5] = [
            "/v1/updates",
            "/v1/logs?follow=true&tail=50",
            "/v1/events?follow=true&tail=20",
            "/v1/supervisor/logs?follow=true",
            "/v1/components/writer0/logs?follow=true",
        ];
        while self.pause(500) {
            let Ok(mut stream) = UnixStream::connect(&self.socket) else { continue };
            let path = PATHS[self.random.usize(0..PATHS.len())];
            let request = http::request("GET", path, "localhost", &[], "");
            let reads = self.random.u8(0..3) > 0;
            if std::io::Write::write_all(&mut stream, request.as_bytes()).is_err() {
                continue;
            }
            self.counts.readers.fetch_add(1, Ordering::Relaxed);
            if !reads {
                self.counts.stalled.fetch_add(1, Ordering::Relaxed);
                self.pause(3_000);
                continue;
            }
            let timeout = stream.set_read_timeout(Some(Duration::from_millis(200)));
            timeout.expect("a time above 0");
            let time = Duration::from_millis(self.random.u64(100..4_000));
            let begin = now();
            let mut buffer = [0; 4096];
            while since(begin) < time && !self.stop.load(Ordering::Relaxed) {
                match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) if self.has_gaps => break,
                    Err(error) => panic!("{path}: {error}"),
                }
            }
        }
    }

    fn questions(&mut self) {
        while self.pause(600) {
            let id = self.component();
            let path = match self.random.u8(0..7) {
                0 => "/metrics".to_owned(),
                1 => format!("/v1/components/{id}/explain"),
                2 => format!("/v1/components/{id}/details"),
                3 => format!("/v1/components/{id}/history?from=-1h&step=60"),
                4 => format!("/v1/components/{id}/logs?tail=100&grep=x"),
                5 => "/v1/events?tail=100".to_owned(),
                _ => "/v1/no/such/path".to_owned(),
            };
            let Some(answer) = self.ask("GET", &path) else { continue };
            assert!(matches!(answer.status, 200 | 404), "{path}: {answer:?}");
            self.counts.questions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Commands of the command line, and consoles that are killed.
    fn programs(&mut self, command: &dyn Fn() -> Command) {
        while self.pause(2_500) {
            let id = self.component();
            let mut command = command();
            let lives_on = match self.random.u8(0..6) {
                0 => {
                    command.args(["console", "--plain"]);
                    true
                }
                1 => {
                    command.args(["logs", "-f", "-n", "3"]);
                    true
                }
                2 => {
                    command.args(["status", "--watch"]);
                    true
                }
                3 => {
                    command.arg("status");
                    false
                }
                4 => {
                    command.args(["logs", "-n", "5", &id]);
                    false
                }
                _ => {
                    command.args(["doctor", "-q"]);
                    false
                }
            };
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            #[expect(clippy::disallowed_methods, reason = "programs beside the Supervisor")]
            let mut child = command.spawn().expect("the program can be started");
            if lives_on {
                self.pause(2_000);
                // As a lost terminal or an impatient colleague does.
                child.kill().expect("our child");
            }
            child.wait().expect("our child");
            self.counts.programs.fetch_add(1, Ordering::Relaxed);
        }
    }
}
