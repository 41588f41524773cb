//! Figures of real processes.

use std::{
    fs,
    io::{BufRead, BufReader, PipeReader},
    path::PathBuf,
};

use super::*;
use crate::{
    model::ComponentId,
    process::{Child, Containment, Launch, Level, Signal, Tree, spawn},
    registry::Limits,
};

const RUN: RunId = RunId(7);

fn now() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Moment::from_boot(Duration::try_from(time).expect("since boot"))
}

/// A script under way; it is ended with the test.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<PipeReader>>,
}

impl Running {
    fn new(script: &str, tree: Option<&mut Tree>) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let null = fs::OpenOptions::new().write(true).open("/dev/null").expect("it is there");
        let launch = Launch {
            executable: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            working_directory: PathBuf::from("/"),
            user: None,
            group: None,
            umask: None,
            limits: Limits::default(),
            stdout: writer.into(),
            stderr: null.into(),
        };
        let child = spawn(&launch, tree).expect("it starts");
        Self { child, lines: BufReader::new(reader).lines() }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("a line").expect("text")
    }

    fn source(&self) -> Source {
        Source::Leader { pid: self.child.pid(), start_time: self.child.start_time() }
    }

    /// Ends it; its descendants end with their input.
    fn end(&mut self) {
        self.child.signal(Signal::Kill).expect("ours");
        while self.lines.next().is_some() {}
        while self.child.reap().expect("we may ask").is_none() {
            std::thread::yield_now();
        }
    }
}

/// Uses about 300 ms of processor time, then tells so.
const BURN: &str = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; echo burnt";

#[test]
fn processor_time_and_memory_of_a_process_are_counted() {
    let mut running = Running::new(&format!("{BURN}; kill -STOP $$"), None);
    running.line();
    let mut sampler = Sampler::new();
    let trees = [(RUN, running.source())];
    let usage = sampler.sample(&trees, now());
    let [(run, usage)] = usage.as_slice() else { panic!("one entry: {usage:?}") };
    assert_eq!(*run, RUN);
    assert!(usage.cpu_time > Duration::from_millis(50), "{usage:?}");
    assert!(usage.cpu_percent > 1.0, "since its start it did nothing else: {usage:?}");
    assert!(usage.memory_bytes > 100_000, "{usage:?}");
    assert_eq!((usage.processes, usage.threads), (1, 1));
    running.end();
    assert_eq!(sampler.sample(&trees, now()), [], "nothing lives");
}

#[test]
fn the_whole_tree_counts() {
    let containment = Containment::probe(&format!("sampler-{}", std::process::id()), None);
    let id = ComponentId::new("tree").expect("a good id");
    let mut tree = containment.tree(&id, RUN).expect("a tree");
    let script = "sleep 1000 & sh -c 'sleep 1000 & echo up; wait' & wait";
    let mut running = Running::new(script, Some(&mut tree));
    running.line();
    let mut sources = vec![running.source()];
    match containment.level() {
        Level::Cgroup => sources.push(Source::Cgroup(tree.folder().expect("a cgroup").into())),
        _ => assert!(containment.reason().is_some()),
    }
    for source in sources {
        let usage = Sampler::new().sample(&[(RUN, source.clone())], now());
        assert_eq!(usage[0].1.processes, 4, "{source:?}: the leader, a shell, two sleepers");
        assert_eq!(usage[0].1.threads, 4);
    }
    tree.kill().expect("ours");
    running.end();
    while !tree.is_empty() {
        std::thread::yield_now();
    }
    containment.remove();
}

#[test]
fn a_run_in_a_used_cgroup_starts_from_nothing() {
    let containment = Containment::probe(&format!("used-{}", std::process::id()), None);
    if containment.level() != Level::Cgroup {
        assert!(containment.reason().is_some());
        return;
    }
    let id = ComponentId::new("used").expect("a good id");
    let mut first_tree = containment.tree(&id, RunId(1)).expect("a tree");
    let mut first = Running::new(BURN, Some(&mut first_tree));
    first.line();
    first.end();
    while !first_tree.is_empty() {
        std::thread::yield_now();
    }
    let mut tree = containment.tree(&id, RunId(2)).expect("a tree");
    assert_eq!(tree.folder(), first_tree.folder());
    let mut second = Running::new("echo up; kill -STOP $$", Some(&mut tree));
    second.line();
    let source = Source::Cgroup(tree.folder().expect("a cgroup").into());
    let mut sampler = Sampler::new();
    let usage = sampler.sample(&[(RunId(2), source)], now())[0].1;
    assert!(usage.cpu_time < Duration::from_millis(50), "only its own: {usage:?}");
    second.end();
    while !tree.is_empty() {
        std::thread::yield_now();
    }
    containment.remove();
}

#[test]
fn per_cent_are_of_one_core_since_the_sample_before() {
    let at = |millis| Moment::from_boot(Duration::from_millis(millis));
    let reading = |millis| Reading {
        cpu_time: Duration::from_millis(millis),
        started: at(1000),
        ..Reading::default()
    };
    let first = Point::next(None, &reading(500), at(2000));
    assert!((first.cpu_percent - 50.0).abs() < 1e-9, "since its start");
    let second = Point::next(Some(first), &reading(2500), at(3000));
    assert!((second.cpu_percent - 200.0).abs() < 1e-9, "two cores");
    let hasty = Point::next(Some(second), &reading(2510), at(3001));
    assert!((hasty.cpu_percent - 200.0).abs() < 1e-9, "too soon to tell");
    let third = Point::next(Some(hasty), &reading(2500), at(4000));
    assert!(third.cpu_percent.abs() < 1e-9, "idle since then");
}

#[test]
fn our_own_figures_are_there() {
    let usage = Sampler::new().own(now());
    assert_eq!(usage.processes, 1);
    assert!(usage.memory_bytes > 1_000_000 && usage.threads >= 1, "{usage:?}");
}

#[test]
fn a_sampler_can_be_handed_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Sampler>();
}

#[test]
fn beyond_its_share_of_descriptors_it_keeps_none_and_counts_all_the_same() {
    let mut busy = Running::new("echo up; while :; do :; done", None);
    busy.line();
    let trees = [(RUN, busy.source())];
    let mut sampler = Sampler::new();
    sampler.most_kept = 0;
    sampler.sample(&trees, now());
    assert_eq!(sampler.runs[&RUN].meter.kept(), 0);
    let first = sampler.sample(&trees, now())[0].1;
    let used = loop {
        let later = sampler.sample(&trees, now())[0].1;
        if later.cpu_time > first.cpu_time {
            break later;
        }
    };
    assert!(used.memory_bytes > 0 && used.processes == 1);
    sampler.most_kept = 10;
    sampler.sample(&trees, now());
    assert!(sampler.runs[&RUN].meter.kept() > 0);
    busy.end();
}
