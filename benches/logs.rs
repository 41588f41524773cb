//! What a line of output costs: the log thread's processor time for a million lines of 100
//! bytes, beside that of `cat` from a pipe to a file on the same disk.
//!
//! `cargo bench --bench logs`

#![expect(clippy::print_stdout, reason = "a bench reports to its reader")]
#![expect(clippy::disallowed_methods, reason = "a bench measures, waits and starts cat")]

use std::{
    fs::{self, File},
    io::Write,
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use s7supervisor::{
    logs::{Logs, Options},
    model::ComponentId,
    registry::{Component, Output, Timestamps},
};

const LINES: u64 = 1_000_000;
const LINE: usize = 100;
const TOTAL: u64 = LINES * LINE as u64;

fn main() {
    for (name, size) in [("64 KiB writes", 64 << 10), ("a write a line", LINE)] {
        for _ in 0..3 {
            report(&format!("cat, {name}"), cat(size));
            report(&format!("logs, {name}"), logs(size, Timestamps::None));
        }
        report(&format!("logs rfc3339, {name}"), logs(size, Timestamps::Rfc3339));
        report(&format!("logs json, {name}"), logs(size, Timestamps::Json));
    }
    components(1000);
}

fn report(name: &str, (cpu, took): (Duration, Duration)) {
    let nanos = cpu.as_nanos() / u128::from(LINES);
    println!("{name:32} {nanos:5} ns of CPU a line, {:6.0} ms in all", took.as_secs_f64() * 1e3);
}

/// Processor time of the log thread, and how long it took.
fn logs(size: usize, timestamps: Timestamps) -> (Duration, Duration) {
    let folder = tempfile::tempdir_in("target").expect("a folder");
    let mut options = Options::new(Box::new(|_| Ok(())));
    // As the Supervisor has it: a kill takes nothing.
    options.in_hand = Some(folder.path().join("in-hand"));
    let (logs, thread) = Logs::start(options).expect("a log thread");
    let id = ComponentId::new("a").expect("an id");
    let output = output(folder.path(), &id, timestamps);
    let streams = logs.open(&id, &output, &folder.path().join("pipes"), None).expect("pipes");
    logs.sync(Duration::from_secs(10));
    let task = own_task("logs");
    let begin = Instant::now();
    produce(streams.stdout, size);
    while logs.counters(&id).is_none_or(|counters| counters.stored_bytes < TOTAL) {
        sleep(Duration::from_millis(1));
    }
    let result = (cpu(&task), begin.elapsed());
    assert!(thread.shutdown(Duration::from_secs(10)));
    result
}

/// The same for `cat`.
fn cat(size: usize) -> (Duration, Duration) {
    let folder = tempfile::tempdir_in("target").expect("a folder");
    let path = folder.path().join("file");
    let file = File::create(&path).expect("a file");
    let mut child =
        Command::new("cat").stdin(Stdio::piped()).stdout(file).spawn().expect("cat is installed");
    let begin = Instant::now();
    let stdin = child.stdin.as_ref().expect("a pipe");
    produce(std::os::fd::AsFd::as_fd(stdin).try_clone_to_owned().expect("a descriptor"), size);
    while fs::metadata(&path).expect("it is there").len() < TOTAL {
        sleep(Duration::from_millis(1));
    }
    let took = begin.elapsed();
    let result = (cpu(&format!("/proc/{}", child.id())), took);
    drop(child.stdin.take());
    child.wait().expect("its end");
    result
}

/// Memory and processor time of a thousand components that are silent.
fn components(count: usize) {
    let folder = tempfile::tempdir_in("target").expect("a folder");
    let before = resident();
    let (logs, thread) = Logs::start(Options::new(Box::new(|_| Ok(())))).expect("a log thread");
    let mut streams = Vec::new();
    for number in 0..count {
        let id = ComponentId::new(&format!("component-{number}")).expect("an id");
        let output = output(folder.path(), &id, Timestamps::None);
        streams.push(logs.open(&id, &output, &folder.path().join("pipes"), None).expect("pipes"));
    }
    logs.sync(Duration::from_secs(10));
    // Retention runs once after the start.
    sleep(Duration::from_secs(4));
    let task = own_task("logs");
    let begin = cpu(&task);
    sleep(Duration::from_secs(5));
    let used = cpu(&task).saturating_sub(begin);
    let memory = resident() - before;
    println!("{count} silent components: {memory} KiB, {} us of CPU in 5 s", used.as_micros());
    assert!(thread.shutdown(Duration::from_secs(10)));
}

fn output(folder: &Path, id: &ComponentId, timestamps: Timestamps) -> Arc<Output> {
    let output = Component::new(id.clone(), "/bin/true").output;
    let log = folder.join(format!("logs/{id}.log"));
    Arc::new(Output { log, timestamps, max_size: 1 << 40, ..Output::clone(&output) })
}

fn produce(fd: OwnedFd, size: usize) {
    let line = format!("{:0>width$}\n", 7, width = LINE - 1);
    let block = line.repeat(size.div_ceil(LINE));
    let mut file = File::from(fd);
    let mut left = usize::try_from(TOTAL).expect("it fits");
    while left > 0 {
        let count = left.min(size / LINE * LINE);
        file.write_all(&block.as_bytes()[..count]).expect("written");
        left -= count;
    }
}

/// `/proc/self/task/N` of the thread with this name.
fn own_task(name: &str) -> String {
    let mut tasks = fs::read_dir("/proc/self/task").expect("proc").flatten();
    let is_it = |path: &Path| {
        fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let task = tasks.find(|task| is_it(&task.path())).expect("the thread runs");
    task.path().to_string_lossy().into_owned()
}

fn cpu(proc: &str) -> Duration {
    let schedstat = fs::read_to_string(format!("{proc}/schedstat")).expect("it runs");
    let nanos = schedstat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

/// Proportional set size of this process in KiB.
fn resident() -> u64 {
    let smaps = fs::read_to_string("/proc/self/smaps_rollup").expect("proc");
    let line = smaps.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
