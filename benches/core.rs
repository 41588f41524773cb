//! The hot paths, one by one: `cargo bench --bench core`, or `… -- supervisor` for one group.
//!
//! Wall time, so a quiet machine is wanted; `benches/instructions.py` counts instead, and does not
//! mind company.

#[path = "fixtures/console.rs"]
mod console;

use std::{
    cell::RefCell, collections::BTreeSet, fmt::Write as _, fs::File, hint::black_box,
    io::Write as _, path::Path, sync::Arc, thread, time::Duration,
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use regex::bytes::Regex;
use rustix::event::{PollFd, PollFlags, poll};
use s7supervisor::{
    console::feed::News,
    logs::{Logs, Options, Streams},
    machine::{Context, Event, Machine, Process},
    model::{ComponentId, Exit, Moment, RunId},
    process::{self, Child, Launch, Signal},
    registry::{self, Component, Limits, Output, Registry, Sources},
    sampler::{Sampler, Source},
    supervisor::{Effect, Fact, Supervisor},
    updates::{Delivery, Reader, Updates},
    wire::{ComponentStatus, EventKind, EventRecord, Update},
};
use serde_json::json;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(30);
    targets = machine, supervisor, parse, spawn, log_chunk, ring_search, sampler, status, fan_out, frame
}
criterion_main!(benches);

fn id(number: usize) -> ComponentId {
    ComponentId::new(&format!("c{number:05}")).expect("an id")
}

fn second(seconds: u64) -> Moment {
    Moment::from_boot(Duration::from_secs(seconds))
}

const KILLED: Exit = Exit::Signal { signal: 9, core: false };

/// A crash and the next start of one component: five events.
fn machine(c: &mut Criterion) {
    let config = Component::new(id(0), "/bin/true");
    let at = |seconds, run| Context {
        now: second(seconds),
        config: &config,
        chance: 0.5,
        next_run: RunId(run),
        may_start: true,
        may_stop: true,
        restart_from: second(0),
    };
    let process = |seconds| Process { pid: 1, started: second(seconds) };
    c.bench_function("machine/start, crash, restart", |b| {
        let mut effects = Vec::new();
        b.iter(|| {
            let mut machine = Machine::new();
            machine.step(Event::Start, &at(1, 1), &mut effects);
            let spawned = Event::Spawned { run: RunId(1), process: process(1) };
            machine.step(spawned, &at(1, 2), &mut effects);
            let exited = Event::Exited { run: RunId(1), exit: KILLED, oom: false, tree_gone: true };
            machine.step(exited, &at(100, 2), &mut effects);
            let spawned = Event::Spawned { run: RunId(2), process: process(100) };
            machine.step(spawned, &at(100, 3), &mut effects);
            effects.clear();
            black_box(machine)
        });
    });
}

/// One of 10,000 components crashes and is started again: two facts.
fn supervisor(c: &mut Criterion) {
    let registry = Arc::new(registry_of(10_000));
    let mut supervisor = Supervisor::new(&registry, RunId(1), 1);
    let mut effects = Vec::new();
    supervisor.boot(second(1), &BTreeSet::new(), &mut effects);
    let starts = std::mem::take(&mut effects).into_iter().filter_map(|effect| match effect {
        Effect::Spawn { run, .. } => Some(run),
        _ => None,
    });
    for run in starts.collect::<Vec<_>>() {
        let process = Process { pid: 1, started: second(1) };
        supervisor.handle(second(1), Fact::Spawned { run, process }, &mut effects);
    }
    effects.clear();
    let mut run = supervisor.component(&id(5_000)).and_then(|view| view.run).expect("it runs");
    let mut now = 1_000;
    c.bench_function("supervisor/crash and restart of one of 10,000", |b| {
        b.iter(|| {
            now += 100;
            let exited = Fact::Exited { run, exit: KILLED, oom: false, tree_gone: true };
            supervisor.handle(second(now), exited, &mut effects);
            for effect in effects.drain(..) {
                if let Effect::Spawn { run: next, .. } = effect {
                    run = next;
                }
            }
            let process = Process { pid: 1, started: second(now) };
            supervisor.handle(second(now), Fact::Spawned { run, process }, &mut effects);
            effects.clear();
            black_box(supervisor.take_changed())
        });
    });
}

fn registry_of(count: usize) -> Registry {
    let text = xml(count);
    let loaded = registry::parse(
        text.as_bytes(),
        Path::new("/s7/conf/SupervisorRegistry.xml"),
        Path::new("/s7"),
        &Sources::default(),
    );
    loaded.expect("a right registry").registry
}

fn xml(count: usize) -> String {
    let mut text = String::from("<supervisor><config><tcpport>0</tcpport></config><servers>\n");
    for number in 0..count {
        let _ = writeln!(
            text,
            "<server id=\"c{number:05}\"><executable>/opt/worker</executable><arguments><argument>\
             --port</argument><argument>{}</argument></arguments><environment><variable name=\"MODE\">\
             fast</variable></environment><restart delay=\"0\"/></server>",
            20_000 + number,
        );
    }
    text.push_str("</servers></supervisor>");
    text
}

fn parse(c: &mut Criterion) {
    for count in [3, 10_000] {
        let mut group = c.benchmark_group("registry");
        group.throughput(Throughput::Elements(count as u64));
        group.sample_size(if count > 100 { 10 } else { 30 });
        let text = xml(count);
        group.bench_function(format!("parse {count}"), |b| {
            let (file, folder) = (Path::new("/s7/conf/r.xml"), Path::new("/s7"));
            b.iter(|| registry::parse(text.as_bytes(), file, folder, &Sources::default()));
        });
        group.finish();
    }
}

fn launch(program: &str, arguments: &[&str]) -> Launch {
    let null = || File::options().write(true).open("/dev/null").expect("the null device").into();
    Launch {
        executable: program.into(),
        arguments: arguments.iter().map(Into::into).collect(),
        environment: Vec::new(),
        working_directory: "/".into(),
        user: None,
        group: None,
        umask: None,
        limits: Limits::default(),
        stdout: null(),
        stderr: null(),
    }
}

fn wait(child: &Child) {
    let mut ended = [PollFd::new(child, PollFlags::IN)];
    poll(&mut ended, None).expect("it ends");
    child.reap().expect("it is ours");
}

/// Until it executes its program; with as many open descriptors as 1,000 components have, too.
fn spawn(c: &mut Criterion) {
    process::hygiene();
    let launch = launch("/bin/true", &[]);
    let mut group = c.benchmark_group("spawn");
    for descriptors in [0, 5_000] {
        let null = File::open("/dev/null").expect("the null device");
        let held: Vec<File> =
            (0..descriptors).map(|_| null.try_clone().expect("a descriptor")).collect();
        group.bench_function(format!("/bin/true, {descriptors} open descriptors"), |b| {
            b.iter_batched(
                || (),
                |()| Ended(process::spawn(&launch, None).expect("it starts")),
                BatchSize::PerIteration,
            );
        });
        drop(held);
    }
    group.finish();
}

/// A process that ends by itself; awaited where no time is taken.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        wait(&self.0);
    }
}

/// Logs with one component, and the ends that it writes to.
fn logs(folder: &Path) -> (Logs, s7supervisor::logs::LogThread, Streams) {
    let (logs, thread) = Logs::start(Options::new(Box::new(|_| Ok(())))).expect("a log thread");
    let usual = Component::new(id(0), "/bin/true").output;
    let output = Output { log: folder.join("c.log"), max_size: 1 << 40, ..Output::clone(&usual) };
    let streams = logs.open(&id(0), &Arc::new(output), &folder.join("pipes"), None).expect("pipes");
    assert!(logs.sync(Duration::from_secs(10)));
    (logs, thread, streams)
}

/// From a write into the pipe until it is in the file: 64 KiB of lines.
fn log_chunk(c: &mut Criterion) {
    let folder = tempfile::tempdir_in("target").expect("a folder");
    let (logs, thread, streams) = logs(folder.path());
    let mut pipe = File::from(streams.stdout);
    let chunk = "a line of output as components write it, neither short nor long\n".repeat(1024);
    let mut group = c.benchmark_group("logs");
    group.throughput(Throughput::Bytes(chunk.len() as u64));
    let mut written = 0;
    group.bench_function("64 KiB from the pipe to the file", |b| {
        b.iter(|| {
            pipe.write_all(chunk.as_bytes()).expect("it is read");
            written += chunk.len() as u64;
            while logs.counters(&id(0)).is_none_or(|counters| counters.stored_bytes < written) {
                thread::yield_now();
            }
        });
    });
    group.finish();
    assert!(thread.shutdown(Duration::from_secs(10)));
}

/// Through the 256 KiB of a component's last lines.
fn ring_search(c: &mut Criterion) {
    let folder = tempfile::tempdir_in("target").expect("a folder");
    let (logs, thread, streams) = logs(folder.path());
    let mut pipe = File::from(streams.stdout);
    for number in 0..8_000 {
        writeln!(pipe, "INFO request {number} path=/is/image status=200").expect("it is read");
    }
    assert!(logs.sync(Duration::from_secs(10)));
    let pattern = Regex::new("request 7[0-9]+7 .*status=200").expect("a pattern");
    c.bench_function("logs/search in memory", |b| {
        b.iter(|| {
            let batch = logs.since(&id(0), 1, usize::MAX).expect("a ring");
            batch.lines.iter().filter(|line| pattern.is_match(&line.text)).count()
        });
    });
    assert!(thread.shutdown(Duration::from_secs(10)));
}

/// A tick of 100 trees of one process.
fn sampler(c: &mut Criterion) {
    let launch = launch("/bin/sleep", &["1000"]);
    let children: Vec<Child> =
        (0..100).map(|_| process::spawn(&launch, None).expect("it starts")).collect();
    let trees: Vec<(RunId, Source)> = children
        .iter()
        .zip(1..)
        .map(|(child, run)| {
            let (pid, start_time) = (child.pid(), child.start_time());
            (RunId(run), Source::Leader { pid, start_time })
        })
        .collect();
    let mut sampler = Sampler::new();
    let mut now = 1_000;
    c.bench_function("sampler/100 trees", |b| {
        b.iter(|| {
            now += 1;
            sampler.sample(&trees, second(now))
        });
    });
    for child in &children {
        child.signal(Signal::Kill).expect("it is ours");
        wait(child);
    }
}

fn component(number: usize) -> ComponentStatus {
    serde_json::from_value(json!({
        "id": id(number).as_str(), "description": "", "state": "running", "health": "ok",
        "pid": 10_000 + number, "run": 1, "uptime_s": 90.25, "cpu_percent": 1.5,
        "memory_bytes": 9_000_000, "processes": 1, "restarts": 0, "intent": "running",
        "attempt": 0, "enabled": true,
    }))
    .expect("a status")
}

fn status(c: &mut Criterion) {
    let components: Vec<ComponentStatus> = (0..1_000).map(component).collect();
    c.bench_function("status/JSON of 1,000", |b| b.iter(|| serde_json::to_vec(&components)));
    let json = serde_json::to_vec(&components).expect("JSON");
    c.bench_function("status/JSON of 1,000, read", |b| {
        b.iter(|| serde_json::from_slice::<Vec<ComponentStatus>>(&json));
    });
}

/// An event, until each of 100 readers has it.
fn fan_out(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let updates = Updates::new(0);
    updates.wake();
    let mut readers: Vec<Reader> = (0..100).map(|_| updates.read(None)).collect();
    for reader in &mut readers {
        reader.resume(updates.last());
    }
    let event = EventRecord {
        seq: 1,
        at: "2026-11-22T13:03:07.045Z".to_owned(),
        component: Some("c00001".to_owned()),
        run: Some(7),
        kind: EventKind::Running,
        text: "running as pid 812".to_owned(),
        origin: None,
    };
    c.bench_function("updates/an event to 100 readers", |b| {
        b.iter(|| {
            updates.publish(Update::Event { event: event.clone() });
            runtime.block_on(async {
                for reader in &mut readers {
                    let delivery = reader.next().await.expect("it goes on");
                    assert!(matches!(delivery, Delivery::Messages(_)));
                }
            });
        });
    });
}

/// The console with 1,000 rows at 200x60, from news to the bytes of the frame that shows them.
fn frame(c: &mut Criterion) {
    let screen = RefCell::new(console::Screen::new());
    let draw = |news: News| {
        let mut screen = screen.borrow_mut();
        screen.wait(Duration::from_secs(1));
        screen.news(news);
        black_box(screen.frame())
    };
    let mut round = 0;
    screen.borrow_mut().keys("P");
    c.bench_function("console/sample of 1000 rows and frame", |b| {
        let next = || {
            round += 1;
            screen.borrow().sample(round)
        };
        b.iter_batched(next, draw, BatchSize::PerIteration);
    });
    screen.borrow_mut().keys("g");
    screen.borrow_mut().keys("l");
    c.bench_function("console/100 log lines and frame", |b| {
        let next = || {
            round += 1;
            screen.borrow().lines(u64::from(round) * 100)
        };
        b.iter_batched(next, draw, BatchSize::PerIteration);
    });
}
