//! What readiness and health checks cost: `cargo bench --bench probes`.
//!
//! The processor time of 1,000 HTTP probes that each ask every ten seconds, with the server in a
//! process of its own; and the memory of a probe that waits for its next turn.

#![expect(clippy::print_stdout, reason = "the figures are the answer")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use regex::bytes::Regex;
use s7supervisor::{
    model::{ComponentId, RunId},
    probes::{
        CommandEnd, CommandError, CommandRequest, Commands, Finding, LineSource, Members, Probes,
        Services, Since, Task, Watched,
    },
    registry::{Check, Component, Probe},
};
use tokio::sync::mpsc;

const PROBES: u64 = 1_000;
const IDLE_PROBES: u64 = 10_000;
const FLOOR_ROUNDS: u64 = 500;
const INTERVAL: Duration = Duration::from_secs(10);

struct Nothing;

impl Commands for Nothing {
    fn run(&self, _request: CommandRequest) -> Task<Result<CommandEnd, CommandError>> {
        Box::pin(std::future::pending())
    }
}

impl LineSource for Nothing {
    fn watch_lines(&self, _id: &ComponentId, _run: RunId, _pattern: Regex, _since: Since) {}
    fn unwatch(&self, _id: &ComponentId) {}
}

impl Members for Nothing {
    fn contains(&self, _run: RunId, _leader: u32, _pid: u32) -> bool {
        false
    }
}

/// The server, ended with the bench.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    if std::env::args().any(|argument| argument == "serve") {
        return serve();
    }
    let (_server, address) = server();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        floor(address);
        memory(address).await;
        processor_time(address).await;
    });
}

async fn memory(address: SocketAddr) {
    let (mut probes, _notices) = room();
    let before = resident_bytes();
    for n in 0..IDLE_PROBES {
        watch(&mut probes, n, address, Duration::from_hours(1));
    }
    // Let each of them come to its first wait.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let bytes = (resident_bytes() - before) / IDLE_PROBES;
    println!("an idle HTTP probe: {bytes} bytes resident");
}

/// What the kernel alone takes for the same exchange, on this machine.
fn floor(address: SocketAddr) {
    let cpu = cpu_nanos();
    for _ in 0..FLOOR_ROUNDS {
        // At the pace of the probes, so that caches are as cold as theirs.
        std::thread::park_timeout(INTERVAL / u32::try_from(PROBES).expect("few"));
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("written");
        stream.read_to_end(&mut Vec::new()).expect("answered");
    }
    let each = Duration::from_nanos((cpu_nanos() - cpu) / FLOOR_ROUNDS);
    println!("the floor: {each:?} for the same exchange by a plain loop");
}

async fn processor_time(address: SocketAddr) {
    let (mut probes, mut notices) = room();
    for n in 0..PROBES {
        watch(&mut probes, n, address, INTERVAL);
    }
    // All have had their first turn after an interval and the time that a check may take.
    let (mut passed, mut other) = (0, 0);
    let first_turns = INTERVAL + Duration::from_secs(2);
    let _ = tokio::time::timeout(first_turns, async {
        while let Some(notice) = notices.recv().await {
            match notice.finding {
                Finding::Passed { .. } => passed += 1,
                _ => other += 1,
            }
        }
    })
    .await;
    let (cpu, periods) = (cpu_nanos(), 3);
    tokio::time::sleep(INTERVAL * periods).await;
    let spent = Duration::from_nanos(cpu_nanos() - cpu);
    let share = 100.0 * spent.as_secs_f64() / (INTERVAL * periods).as_secs_f64();
    let each = spent / (u32::try_from(PROBES).expect("few") * periods);
    println!(
        "{passed} of {PROBES} passed, {other} other findings; every {INTERVAL:?}: {share:.2} % of a core, {each:?} a check"
    );
}

fn room() -> (Probes, mpsc::Receiver<s7supervisor::probes::ProbeNotice>) {
    let (sender, notices) = mpsc::channel(1024);
    let nothing = Arc::new(Nothing);
    let services = Services {
        commands: Arc::clone(&nothing) as Arc<dyn Commands>,
        lines: Arc::clone(&nothing) as Arc<dyn LineSource>,
        members: nothing,
        notify_folder: std::env::temp_dir(),
        seed: 1,
    };
    (Probes::new(sender, services), notices)
}

fn watch(probes: &mut Probes, n: u64, address: SocketAddr, interval: Duration) {
    let id = ComponentId::new(&format!("worker-{n}")).expect("a good id");
    let mut component = Component::new(id, "/bin/true");
    component.health = Some(
        Probe {
            check: Check::Http {
                url: format!("http://{address}/health"),
                status: vec![200..=299],
                header: None,
                body: None,
            },
            interval,
            timeout: Duration::from_secs(2),
            failures: 3,
            successes: 1,
            start_period: Duration::ZERO,
            jitter: Probe::JITTER,
        }
        .into(),
    );
    probes.prepare(RunId(n), &component).expect("nothing is to be prepared");
    let process = Watched { pid: 1, age: Duration::ZERO, ready: false };
    probes.watch(RunId(n), &component, process);
}

fn server() -> (Server, SocketAddr) {
    let mut command = Command::new(std::env::current_exe().expect("this file"));
    command.arg("serve").stdout(Stdio::piped());
    #[expect(clippy::disallowed_methods, reason = "not a component")]
    let mut child = command.spawn().expect("the server starts");
    let mut line = String::new();
    let output = child.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("the server tells its address");
    (Server(child), line.trim().parse().expect("an address"))
}

fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("it is bound"));
    for mut stream in listener.incoming().flatten() {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

/// Time on the processor of the main thread, which is the engine's.
fn cpu_nanos() -> u64 {
    let text = fs::read_to_string("/proc/self/schedstat").expect("Linux tells");
    text.split(' ').next().and_then(|field| field.parse().ok()).expect("nanoseconds")
}

fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: u64 = text.split(' ').nth(1).and_then(|field| field.parse().ok()).expect("pages");
    pages * 4096
}
