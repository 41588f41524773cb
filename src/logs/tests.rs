//! The room as a whole: real FIFOs, real child processes, real files.

use std::{
    fs::{self, File},
    io::Write,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, sync_channel},
    },
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};
use regex::bytes::Regex;

use super::{clock::Clock, *};
use crate::{
    model::{ComponentId, Exit, RunId},
    registry::{Component, Output, Timestamps, TraceLevel},
};

/// Long enough for a loaded machine; nothing waits for it when all is well.
const LONG: Duration = Duration::from_mins(1);

/// A log thread with folders of its own and a clock that is set by hand.
struct Bench {
    folder: tempfile::TempDir,
    logs: Logs,
    thread: LogThread,
    notices: Receiver<Notice>,
    now: Arc<Mutex<Timestamp>>,
}

impl Bench {
    fn new() -> Self {
        Self::in_folder(tempfile::tempdir().expect("a folder"))
    }

    fn in_folder(folder: tempfile::TempDir) -> Self {
        let (sender, notices) = sync_channel(16);
        let sink = Box::new(move |notice| {
            sender.try_send(notice).map_err(|error| match error {
                std::sync::mpsc::TrySendError::Full(notice)
                | std::sync::mpsc::TrySendError::Disconnected(notice) => notice,
            })
        });
        let now = Arc::new(Mutex::new(time("2026-11-22T12:00:00Z")));
        let clock = {
            let now = Arc::clone(&now);
            Clock::of(move || *now.lock().expect("no panic"), TimeZone::UTC)
        };
        let upkeep_delay = Duration::from_millis(1);
        let options = Options { clock, upkeep_delay, ..Options::new(sink) };
        let (logs, thread) = Logs::start(options).expect("a log thread");
        Self { folder, logs, thread, notices, now }
    }

    fn set_time(&self, text: &str) {
        *self.now.lock().expect("no panic") = time(text);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn output(&self, id: &str) -> Output {
        let component = Component::new(self.id(id), "/bin/true");
        Output { log: self.path(&format!("logs/{id}.log")), ..Output::clone(&component.output) }
    }

    #[expect(clippy::unused_self, reason = "reads well beside the others")]
    fn id(&self, id: &str) -> ComponentId {
        ComponentId::new(id).expect("a good id")
    }

    fn open(&self, id: &str) -> Streams {
        self.open_with(id, &self.output(id))
    }

    fn open_with(&self, id: &str, output: &Output) -> Streams {
        let pipes = self.path("pipes");
        self.logs.open(&self.id(id), &Arc::new(output.clone()), &pipes, None).expect("pipes")
    }

    fn sync(&self) {
        assert!(self.logs.sync(LONG), "the log thread answers");
    }

    fn stored(&self, name: &str) -> Vec<u8> {
        fs::read(self.path("logs").join(name)).unwrap_or_default()
    }

    fn text(&self, id: &str) -> String {
        String::from_utf8(self.stored(&format!("{id}-2026-11-22.log"))).expect("text")
    }

    fn counters(&self, id: &str) -> Counters {
        self.logs.counters(&self.id(id)).expect("it was opened")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("logs")).expect("readable");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        // Times and streams of what is in the files: see `read/tests.rs`.
        names.retain(|name| name != ".index");
        names.sort_unstable();
        names
    }

    /// Looks at the log folder until it is as it should be.
    fn wait_for(&self, reached: impl Fn(&[String]) -> bool) {
        for _ in 0..6_000 {
            // Nothing is told here: it is a pause.
            let _ = self.notices.recv_timeout(Duration::from_millis(10));
            if reached(&self.names()) {
                return;
            }
        }
        panic!("never reached: {:?}", self.names());
    }

    /// Ends the thread as a Supervisor's orderly end does.
    fn end(self) -> tempfile::TempDir {
        assert!(self.thread.shutdown(LONG));
        self.folder
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

#[expect(clippy::disallowed_methods, reason = "std's spawn will do for a test's child")]
fn shell(script: &str, streams: Streams) -> Child {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).stdin(Stdio::null());
    command.stdout(streams.stdout).stderr(streams.stderr).spawn().expect("a shell")
}

fn write(fd: &OwnedFd, bytes: &[u8]) {
    File::from(fd.try_clone().expect("a descriptor")).write_all(bytes).expect("written");
}

fn texts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
}

#[test]
fn output_is_stored_byte_for_byte_to_the_last_line_without_newline() {
    let bench = Bench::new();
    let bytes: Vec<u8> =
        (0..200_000_u32).map(|n| (n.wrapping_mul(n) >> 3).to_le_bytes()[0]).collect();
    let source = bench.path("source");
    fs::write(&source, [&bytes[..], b"\nthe end"].concat()).expect("written");
    let mut child = shell(&format!("cat {}", source.display()), bench.open("a"));
    assert!(child.wait().expect("its end").success());
    bench.logs.exited(&bench.id("a"), RunId(1), Exit::Code(0), false);
    bench.sync();
    assert!(bench.stored("a-2026-11-22.log") == fs::read(source).expect("the source"));
    let lines = bench.logs.tail(&bench.id("a"), 2);
    assert_eq!(texts(&lines), ["the end", "run 1 ended: exit 0"]);
    assert_eq!((lines[0].end, lines[1].run), (End::Open, Some(RunId(1))));
    let counters = bench.counters("a");
    assert_eq!((counters.bytes, counters.stored_bytes), (200_008, 200_008));
}

#[test]
fn a_million_lines_of_two_streams_are_all_there_and_none_is_torn() {
    let bench = Bench::new();
    let streams = bench.open("a");
    std::thread::scope(|scope| {
        for (fd, mark) in [(&streams.stdout, ""), (&streams.stderr, "e")] {
            scope.spawn(move || {
                for block in 0..2_500 {
                    // Whole lines, written at once: torn ones are our doing.
                    let lines = (0..200).map(|n| format!("{mark}{}\n", block * 200 + n));
                    write(fd, lines.collect::<String>().as_bytes());
                }
            });
        }
    });
    bench.logs.exited(&bench.id("a"), RunId(1), Exit::Code(0), false);
    bench.sync();
    let text = bench.text("a");
    let (err, out): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('e'));
    assert!(out.iter().enumerate().all(|(n, line)| line.parse() == Ok(n)));
    assert!(err.iter().enumerate().all(|(n, line)| line[1..].parse() == Ok(n)));
    assert_eq!((out.len(), err.len()), (500_000, 500_000));
    assert_eq!(bench.counters("a").lines, 1_000_000);
}

#[test]
fn lines_that_come_in_bits_are_not_torn_by_the_other_stream() {
    let bench = Bench::new();
    let streams = bench.open("a");
    write(&streams.stdout, b"GET /a");
    bench.sync();
    write(&streams.stderr, b"oops\nwarn");
    bench.sync();
    write(&streams.stdout, b" 200\n");
    bench.sync();
    write(&streams.stderr, b"ing\n");
    bench.sync();
    assert_eq!(bench.text("a"), "GET /a 200\noops\nwarning\n");
}

#[test]
fn a_prompt_is_shown_soon_and_holds_nothing_up() {
    let bench = Bench::new();
    let streams = bench.open("a");
    let mut changes = bench.logs.changes();
    write(&streams.stdout, b"login: ");
    write(&streams.stderr, b"warning\n");
    wait_until(&mut changes, || bench.logs.tail(&bench.id("a"), 9).len() == 2);
    let mut shown = texts(&bench.logs.tail(&bench.id("a"), 9));
    shown.sort_unstable();
    assert_eq!(shown, ["login: ", "warning"]);
    bench.sync();
    assert_eq!(bench.text("a").len(), "login: warning\n".len());
}

/// Waits on the notification that readers get.
fn wait_until(changes: &mut tokio::sync::watch::Receiver<u64>, reached: impl Fn() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let wait = async {
            while !reached() {
                changes.changed().await.expect("the log thread lives");
            }
        };
        tokio::time::timeout(LONG, wait).await.expect("it is reached");
    });
}

#[test]
fn stamped_files_tell_time_and_stream_of_each_line() {
    let bench = Bench::new();
    let stamped = Output { timestamps: Timestamps::Rfc3339, ..bench.output("a") };
    let json = Output { timestamps: Timestamps::Json, ..bench.output("b") };
    for (id, output) in [("a", &stamped), ("b", &json)] {
        let streams = bench.open_with(id, output);
        write(&streams.stdout, b"one\n\x1b\xff\"two");
        bench.sync();
        write(&streams.stderr, b"bad\n");
        bench.logs.exited(&bench.id(id), RunId(1), Exit::Code(0), false);
        bench.sync();
        let counters = bench.counters(id);
        assert_eq!((counters.bytes, counters.stored_bytes), (14, 14));
    }
    let stamp = "2026-11-22T12:00:00.000+00:00";
    let expected = [
        format!("{stamp} out one\n").into_bytes(),
        format!("{stamp} err bad\n").into_bytes(),
        [stamp.as_bytes(), b" out+ \x1b\xff\"two\n"].concat(),
    ];
    assert_eq!(bench.stored("a-2026-11-22.log"), expected.concat());
    let lines = bench.text("b");
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let partial = serde_json::json!(
        {"time": stamp, "stream": "out", "line": "\u{1b}\u{fffd}\"two", "partial": true});
    assert_eq!(lines[1], serde_json::json!({"time": stamp, "stream": "err", "line": "bad"}));
    assert_eq!(lines[2], partial);
}

#[test]
fn a_new_day_gets_a_new_file_and_a_restart_goes_on_with_todays() {
    let bench = Bench::new();
    let streams = bench.open("a");
    write(&streams.stdout, b"sunday\n");
    bench.sync();
    bench.set_time("2026-11-23T00:00:00Z");
    write(&streams.stdout, b"monday\n");
    bench.sync();
    assert_eq!(bench.stored("a-2026-11-22.log"), b"sunday\n");
    let bench = Bench::in_folder(bench.end());
    bench.set_time("2026-11-23T09:00:00Z");
    write(&bench.open("a").stdout, b"still monday\n");
    bench.sync();
    assert_eq!(bench.stored("a-2026-11-23.log"), b"monday\nstill monday\n");
}

#[test]
fn a_clock_that_is_set_forwards_and_back_costs_no_line_and_holds_nothing_up() {
    let bench = Bench::new();
    let output = Output { timestamps: Timestamps::Rfc3339, compress: false, ..bench.output("a") };
    let streams = bench.open_with("a", &output);
    let times = [
        "2026-11-22T12:00:00Z",
        "2026-11-22T19:30:00Z",
        "2026-11-23T04:00:00Z",
        "2026-11-22T11:59:00Z",
        "2026-11-22T23:59:59Z",
        "2026-11-22T03:00:00Z",
    ];
    for (n, time) in times.iter().enumerate() {
        bench.set_time(time);
        write(&streams.stdout, format!("line {n}\n").as_bytes());
        bench.sync();
    }
    let text = |day: &str| String::from_utf8(bench.stored(&format!("a-{day}.log"))).expect("text");
    let lines = |day: &str| {
        let text = text(day);
        let lines =
            text.lines().map(|line| (line[11..16].to_owned(), line[line.len() - 1..].to_owned()));
        lines.collect::<Vec<_>>()
    };
    let pairs = |all: &[(&str, &str)]| {
        all.iter().map(|(time, n)| ((*time).to_owned(), (*n).to_owned())).collect::<Vec<_>>()
    };
    // In the order in which they came, each with the time that the clock showed.
    let of_22nd =
        pairs(&[("12:00", "0"), ("19:30", "1"), ("11:59", "3"), ("23:59", "4"), ("03:00", "5")]);
    assert_eq!((lines("2026-11-22"), lines("2026-11-23")), (of_22nd, pairs(&[("04:00", "2")])));
    let shown = texts(&bench.logs.tail(&bench.id("a"), usize::MAX));
    assert_eq!(shown, ["line 0", "line 1", "line 2", "line 3", "line 4", "line 5"]);
}

#[test]
fn a_link_of_another_user_in_a_logs_place_is_not_written_through() {
    let is_root = rustix::process::geteuid().is_root();
    let bench = Bench::new();
    fs::create_dir(bench.path("logs")).expect("a folder");
    let (file, target) = (bench.path("logs/a-2026-11-22.log"), bench.path("precious"));
    fs::write(&target, "precious\n").expect("written");
    std::os::unix::fs::symlink("../precious", &file).expect("a link");
    let streams = bench.open("a");
    if is_root {
        std::os::unix::fs::lchown(&file, Some(65_534), None).expect("we are root");
        write(&streams.stdout, b"root::0:0\n");
        bench.sync();
        assert_eq!(fs::read_to_string(&target).expect("there"), "precious\n");
        let notice = bench.notices.recv_timeout(LONG).expect("it is told");
        let Notice::Lost { error, .. } = notice else { panic!("{notice:?}") };
        assert!(error.contains("symbolic link that another user (uid 65534) has made"), "{error}");
    } else {
        // Nobody else's link can be made here; our own is a way to another disk.
        write(&streams.stdout, b"more\n");
        bench.sync();
        assert_eq!(fs::read_to_string(&target).expect("there"), "precious\nmore\n");
    }
}

#[test]
fn an_orderly_end_stores_what_was_written_before_it() {
    let bench = Bench::new();
    let streams = bench.open("a");
    // Busy with the other component when the end comes.
    write(&bench.open("b").stdout, &b"busy\n".repeat(10_000));
    write(&streams.stdout, &b"line\n".repeat(10_000));
    write(&streams.stdout, b"the last words");
    drop(streams);
    let folder = bench.end();
    let text = fs::read(folder.path().join("logs/a-2026-11-22.log")).expect("it is there");
    assert!(text.len() == 50_014 && text.ends_with(b"the last words"));
}

#[test]
fn a_component_outlives_the_supervisor_without_sigpipe_and_nothing_is_lost() {
    let bench = Bench::new();
    let script =
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done; read -r go <&3; echo last";
    let (gate, opener) = gate(&bench.path("gate"));
    let script = script.replace("<&3", &format!("< {}", gate.display()));
    let mut child = shell(&script, bench.open("a"));
    // At any moment within the writing.
    let mut folder = bench.end();
    for _ in 0..5 {
        let bench = Bench::in_folder(folder);
        drop(bench.open("a"));
        folder = bench.end();
    }
    let bench = Bench::in_folder(folder);
    drop(bench.open("a"));
    write(&opener, b"go\n");
    assert!(child.wait().expect("its end").success());
    bench.sync();
    let text = bench.text("a");
    let mut lines = text.lines();
    assert!((1..=3000).all(|n: u32| lines.next() == Some(n.to_string().as_str())));
    assert_eq!((lines.next(), lines.next()), (Some("last"), None));
}

/// A FIFO that a shell can wait on, and the end that lets it go on.
fn gate(path: &Path) -> (PathBuf, OwnedFd) {
    let opened = os::open_pipe(path, None).expect("a FIFO");
    (path.to_owned(), opened.write_end)
}

#[test]
fn a_log_that_cannot_be_written_blocks_nobody_and_is_counted_and_told() {
    let bench = Bench::new();
    fs::create_dir(bench.path("logs")).expect("a folder");
    let file = bench.path("logs/a-2026-11-22.log");
    std::os::unix::fs::symlink("/dev/full", &file).expect("a link");
    let streams = bench.open("a");
    let output = "0123456789\n".repeat(100_000);
    write(&streams.stdout, output.as_bytes());
    bench.sync();
    let counters = bench.counters("a");
    assert_eq!((counters.bytes, counters.lost_bytes), (1_100_000, 1_100_000));
    assert_eq!((counters.lines, counters.lost_lines), (100_000, 100_000));
    let id = Some(bench.id("a"));
    let lost = bench.notices.recv_timeout(LONG).expect("it is told");
    let error = "No space left on device (os error 28)".to_owned();
    assert_eq!(lost, Notice::Lost { id: id.clone(), path: file.clone(), error });
    // The disk has room again: storing resumes with the output that comes, whenever it comes.
    fs::remove_file(&file).expect("removed");
    let mut resumed = None;
    while resumed.is_none() {
        write(&streams.stdout, b"after\n");
        resumed = bench.notices.recv_timeout(Duration::from_millis(50)).ok();
    }
    bench.sync();
    let counters = bench.counters("a");
    assert_eq!(counters.bytes, counters.stored_bytes + counters.lost_bytes);
    assert_eq!(counters.stored_bytes, bench.text("a").len() as u64);
    let (path, lost_bytes, lost_lines) = (file, counters.lost_bytes, counters.lost_lines);
    assert_eq!(resumed, Some(Notice::Resumed { id, path, lost_bytes, lost_lines }));
    let shown = texts(&bench.logs.tail(&bench.id("a"), usize::MAX));
    assert_eq!(shown.iter().filter(|line| line.contains("were not stored")).count(), 1);
}

#[test]
fn a_stamped_file_says_itself_what_it_lacks() {
    let bench = Bench::new();
    let output = Output { timestamps: Timestamps::Rfc3339, ..bench.output("a") };
    fs::write(bench.path("logs"), "in the way").expect("written");
    let streams = bench.open_with("a", &output);
    write(&streams.stdout, b"lost\n");
    bench.sync();
    fs::remove_file(bench.path("logs")).expect("removed");
    let mut lost = 5;
    while bench.text("a").is_empty() {
        write(&streams.stdout, b"more\n");
        bench.sync();
        lost += 5;
    }
    lost -= 5;
    let text = bench.text("a");
    let stamp = "2026-11-22T12:00:00.000+00:00";
    let begin = format!("{stamp} supervisor {lost} bytes in {} lines were not stored: ", lost / 5);
    assert!(text.starts_with(&begin), "{text}");
    assert!(text.ends_with(&format!("\n{stamp} out more\n")), "{text}");
}

#[test]
fn a_line_that_was_waited_for_is_told_once_and_with_its_run() {
    let bench = Bench::new();
    let streams = bench.open("a");
    let id = bench.id("a");
    write(&streams.stdout, b"ready (of the old run)\n");
    bench.logs.exited(&id, RunId(1), Exit::Code(1), false);
    bench.sync();
    // A watch may come after the line.
    write(&streams.stderr, b"starting\n");
    bench.sync();
    bench.logs.watch_lines(&id, RunId(2), Regex::new("^start|ready").expect("a pattern"));
    bench.sync();
    write(&streams.stdout, b"ready\nready\n");
    bench.sync();
    let matched = |run, line: &[u8]| Notice::Matched { id: id.clone(), run, line: line.into() };
    assert_eq!(bench.notices.try_iter().collect::<Vec<_>>(), [matched(RunId(2), b"starting")]);
    bench.logs.exited(&id, RunId(2), Exit::Code(1), false);
    bench.logs.watch_lines(&id, RunId(3), Regex::new("ready").expect("a pattern"));
    bench.logs.exited(&id, RunId(3), Exit::Code(1), false);
    // What is in the pipe when the thread hears of the end still is that run's.
    bench.sync();
    write(&streams.stdout, b"ready\n");
    bench.sync();
    assert_eq!(bench.notices.try_recv().ok(), None, "the end of the run ends the watch");
    bench.logs.watch_lines(&id, RunId(4), Regex::new("listening").expect("a pattern"));
    write(&streams.stdout, b"listening");
    assert_eq!(bench.notices.recv_timeout(LONG), Ok(matched(RunId(4), b"listening")));
}

#[test]
fn pipes_are_reused_and_replaced_when_somebody_removed_them() {
    let bench = Bench::new();
    let first = bench.open("a");
    write(&first.stdout, b"one\n");
    let second = bench.open("a");
    write(&second.stdout, b"two\n");
    fs::remove_file(bench.path("pipes/a.out")).expect("removed");
    write(&first.stdout, b"three\n");
    let third = bench.open("a");
    write(&third.stdout, b"four\n");
    fs::remove_file(bench.path("pipes/a.out")).expect("removed");
    let _foreign = gate(&bench.path("pipes/a.out"));
    let fourth = bench.open("a");
    write(&fourth.stdout, b"five\n");
    bench.sync();
    assert_eq!(bench.text("a"), "one\ntwo\nthree\nfour\nfive\n");
    bench.logs.close(&bench.id("a"), true);
    bench.sync();
    assert_eq!(fs::read_dir(bench.path("pipes")).expect("readable").count(), 0);
    assert_eq!(bench.logs.counters(&bench.id("a")), None);
}

#[test]
fn a_component_that_is_started_no_more_loses_its_pipes_and_can_be_asked_about() {
    let bench = Bench::new();
    let id = bench.id("a");
    let streams = bench.open("a");
    bench.logs.started(&id, RunId(1), 7);
    write(&streams.stdout, b"one\nlast words");
    drop(streams);
    bench.logs.exited(&id, RunId(1), Exit::Code(0), true);
    bench.logs.retire(&id);
    bench.logs.retire(&id);
    bench.sync();
    assert!(bench.logs.is_retired(&id));
    assert_eq!(fs::read_dir(bench.path("pipes")).expect("readable").count(), 0);
    assert_eq!(bench.text("a"), "one\nlast words");
    assert!(
        bench.logs.tail(&id, 9).iter().any(|line| line.text == b"last words"),
        "in memory, too"
    );
    let folder = bench.end();
    assert!(folder.path().join("logs/a-2026-11-22.log").exists());
}

#[test]
fn what_is_not_a_pipe_of_ours_is_refused_by_name() {
    let bench = Bench::new();
    fs::create_dir(bench.path("pipes")).expect("a folder");
    fs::write(bench.path("pipes/a.err"), "precious").expect("written");
    let output = bench.output("a");
    let error = bench.logs.open(&bench.id("a"), &Arc::new(output), &bench.path("pipes"), None);
    let error = error.expect_err("it is refused").to_string();
    assert!(error.starts_with("cannot open the pipe ") && error.contains("a.err"), "{error}");
    assert_eq!(fs::read_to_string(bench.path("pipes/a.err")).expect("there"), "precious");
}

#[test]
fn settings_change_with_the_next_output_and_outside_rotators_are_followed() {
    let bench = Bench::new();
    let streams = bench.open("a");
    write(&streams.stdout, b"old\n");
    bench.sync();
    let output = Output { log: bench.path("logs/new.log"), ..bench.output("a") };
    bench.logs.configure(&bench.id("a"), &Arc::new(output.clone()));
    write(&streams.stdout, b"new\n");
    bench.sync();
    assert_eq!((bench.text("a").as_str(), bench.text("new").as_str()), ("old\n", "new\n"));
    fs::rename(bench.path("logs/new-2026-11-22.log"), bench.path("moved")).expect("moved");
    bench.logs.reopen();
    write(&streams.stdout, b"newer\n");
    bench.sync();
    assert_eq!(bench.text("new"), "newer\n");
}

#[test]
fn old_files_go_and_complete_ones_are_compressed_at_start_at_midnight_and_by_size() {
    let bench = Bench::new();
    fs::create_dir(bench.path("logs")).expect("a folder");
    let (old, foreign) = ("a-2026-11-01.log", "a-b-2026-11-01.log");
    for name in [old, foreign] {
        fs::write(bench.path("logs").join(name), "old\n").expect("written");
    }
    let output = Output { compress: true, max_size: 12, ..bench.output("a") };
    let streams = bench.open_with("a", &output);
    bench.wait_for(|names| !names.contains(&old.to_owned()));
    write(&streams.stdout, b"first part\nsecond part\n");
    bench.wait_for(|names| names.contains(&"a-2026-11-22.001.log.gz".to_owned()));
    bench.set_time("2026-11-23T00:00:01Z");
    // Nothing is written any more, but something wakes the thread.
    bench.sync();
    let expected = ["a-2026-11-22.001.log.gz", "a-2026-11-22.log.gz", foreign];
    bench.wait_for(|names| names == expected);
}

#[test]
fn a_silent_component_has_no_file() {
    let bench = Bench::new();
    drop(bench.open("a"));
    bench.sync();
    assert!(!bench.path("logs").exists());
}

#[test]
fn the_trace_log_has_one_line_for_each_event_of_its_level() {
    let bench = Bench::new();
    let trace = trace::Trace::new(TraceLevel(2), false);
    tracing::subscriber::with_default(trace.subscriber(), || {
        tracing::info!("before the file is known");
        trace.attach(&bench.logs, &bench.path("logs/Supervisor.log"), 14);
        tracing::warn!(component = "is", pids = 3, "killed\nwhat \u{1b}[31mwas left");
        tracing::debug!("not at this level");
        trace.set_level(TraceLevel(3));
        tracing::debug!(why = "a \"b\"", "at this level");
        trace.set_level(TraceLevel(1));
        tracing::info!("not any more");
    });
    bench.sync();
    let text = bench.text("Supervisor");
    let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').expect("a stamp")).collect();
    let told: Vec<_> = lines.iter().map(|line| line.1).collect();
    let expected = [
        "INFO  logs: before the file is known",
        "WARN  logs: killed\\nwhat \\u{1b}[31mwas left component=is pids=3",
        "DEBUG logs: at this level why=\"a \\\"b\\\"\"",
    ];
    assert_eq!(told, expected);
    assert!(lines.iter().all(|line| line.0.parse::<Timestamp>().is_ok()), "{text}");
    assert_eq!(bench.logs.supervisor_since(1, 9).lines.len(), 3);
}

#[test]
fn a_flood_of_events_is_dropped_beyond_its_bound_and_the_drop_is_told() {
    let bench = Bench::new();
    let trace = trace::Trace::new(TraceLevel(2), false);
    tracing::subscriber::with_default(trace.subscriber(), || {
        for number in 0..30_000 {
            tracing::info!(number, "an event of some length, as events are");
        }
    });
    trace.attach(&bench.logs, &bench.path("logs/Supervisor.log"), 14);
    bench.sync();
    let text = bench.text("Supervisor");
    assert!(text.len() <= (1 << 20) + 200);
    let last = text.lines().last().expect("a line");
    let (_, last) = last.split_once(" WARN  logs: ").expect("a remark");
    let dropped: usize = last.split_once(' ').and_then(|parts| parts.0.parse().ok()).expect(last);
    assert_eq!(text.lines().count() - 1 + dropped, 30_000);
}
