//! A reader gets what was written: over files of any size and form, memory, and restarts.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write as _,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use proptest::prelude::*;

use super::{Progress, Query, Reader, filter::Timed};
use crate::{
    logs::{LogThread, Logs, Options, clock::Clock},
    model::{ComponentId, Exit, RunId},
    registry::{Component, Output, Timestamps},
    wire::{LogEntry, LogStream},
};

const LONG: Duration = Duration::from_mins(1);

/// A Supervisor's logs with one component, which can be ended and begun anew.
struct Life {
    folder: Arc<tempfile::TempDir>,
    now: Arc<Mutex<Timestamp>>,
    logs: Logs,
    thread: LogThread,
    output: Output,
    pipes: [OwnedFd; 2],
}

impl Life {
    fn begin(
        folder: &Arc<tempfile::TempDir>,
        now: &Arc<Mutex<Timestamp>>,
        max_size: u64,
        timestamps: Timestamps,
    ) -> Self {
        let clock = {
            let now = Arc::clone(now);
            Clock::of(move || *now.lock().expect("no panic"), TimeZone::UTC)
        };
        let mut options = Options::new(Box::new(|_| Ok(())));
        // So small that nearly everything has to come from files.
        options.ring_bytes = 600;
        options.clock = clock;
        options.upkeep_delay = Duration::from_millis(1);
        options.numbers = Some(folder.path().join("numbers"));
        let (logs, thread) = Logs::start(options).expect("a log thread");
        let output = Component::new(id(), "/bin/true").output;
        let log = folder.path().join("logs/a.log");
        let output = Output { log, max_size, timestamps, compress: true, ..Output::clone(&output) };
        let streams = logs
            .open(&id(), &Arc::new(output.clone()), &folder.path().join("pipes"), None)
            .expect("pipes");
        assert!(logs.sync(LONG));
        let pipes = [streams.stdout, streams.stderr];
        Self { folder: Arc::clone(folder), now: Arc::clone(now), logs, thread, output, pipes }
    }

    fn write(&self, stream: LogStream, text: &str) {
        let pipe = &self.pipes[usize::from(stream == LogStream::Err)];
        let mut file = File::from(pipe.try_clone().expect("a descriptor"));
        file.write_all(text.as_bytes()).expect("written");
        assert!(self.logs.sync(LONG));
    }

    fn pass(&self, millis: i64) {
        let mut now = self.now.lock().expect("no panic");
        *now += millis.milliseconds();
    }

    fn reader(&self, query: Query) -> Reader {
        Reader::new(&self.logs, id(), &self.output.log, query)
    }

    fn end(self) -> (Arc<tempfile::TempDir>, Arc<Mutex<Timestamp>>) {
        assert!(self.thread.shutdown(LONG));
        (self.folder, self.now)
    }
}

fn id() -> ComponentId {
    ComponentId::new("a").expect("an id")
}

fn noon() -> Arc<Mutex<Timestamp>> {
    Arc::new(Mutex::new("2026-11-22T12:00:00Z".parse().expect("a time")))
}

fn folder() -> Arc<tempfile::TempDir> {
    Arc::new(tempfile::tempdir().expect("a folder"))
}

fn all(reader: &mut Reader) -> Vec<Timed> {
    let mut records = VecDeque::new();
    while reader.read(1 << 20, &mut records) == Progress::More {}
    records.into()
}

/// What a test compares: numbers in order, and what was written.
fn told(records: &[Timed]) -> Vec<String> {
    let numbers: Vec<u64> = records.iter().map(|(_, record)| record.seq).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let tell = |(_, record): &Timed| match &record.entry {
        LogEntry::Line { stream, text, run, .. } => format!("{run} {stream:?} {text}"),
        LogEntry::Start { run, pid } => format!("{run} started as {pid}"),
        LogEntry::Exit { run, text, .. } => format!("{run} ended: {text}"),
        LogEntry::Dropped { lines } => format!("{lines} dropped"),
    };
    records.iter().map(tell).collect()
}

#[derive(Debug, Clone)]
enum Deed {
    Write(LogStream, Vec<usize>),
    Pass(i64),
    Restart,
    NewRun,
    /// Somebody who had read everything comes back later.
    Leave,
}

fn deed() -> impl Strategy<Value = Deed> {
    let stream = prop_oneof![3 => Just(LogStream::Out), 1 => Just(LogStream::Err)];
    prop_oneof![
        8 => (stream, prop::collection::vec(0..60_usize, 1..6)).prop_map(|(s, l)| Deed::Write(s, l)),
        3 => (1..4_000_i64).prop_map(Deed::Pass),
        1 => Just(Deed::Pass(50_000_000)),
        1 => Just(Deed::Pass(-3_000)),
        1 => Just(Deed::Restart),
        1 => Just(Deed::NewRun),
        2 => Just(Deed::Leave),
    ]
}

fn check(deeds: Vec<Deed>, timestamps: Timestamps, max_size: u64) {
    let mut life = Life::begin(&folder(), &noon(), max_size, timestamps);
    let mut written = Vec::new();
    let (mut run, mut number) = (0, 0);
    // Where somebody left: how much had been written, and the number of the last record.
    let mut left = Vec::new();
    let mut follower = life.reader(Query::default());
    let mut got = Vec::new();
    for deed in deeds {
        match deed {
            Deed::Write(stream, lengths) => {
                let mut text = String::new();
                for length in lengths {
                    number += 1;
                    let words = format!("{number:04}{}", "x".repeat(length));
                    written.push(format!("{run} {stream:?} {words}"));
                    text += &(words + "\n");
                }
                life.write(stream, &text);
            }
            Deed::Pass(millis) => life.pass(millis),
            Deed::Restart => {
                got.extend(all(&mut follower));
                let (folder, now) = life.end();
                life = Life::begin(&folder, &now, max_size, timestamps);
                // What was read is known by its number.
                let after = got.last().map(|(_, record)| record.seq);
                follower = life.reader(Query { after, ..Query::default() });
                // A run is known by those that begin.
                run = 0;
            }
            Deed::NewRun => {
                if run > 0 {
                    life.logs.exited(&id(), RunId(run), Exit::Code(3), false);
                    written.push(format!("{run} ended: exit 3"));
                }
                run = number + 1;
                life.logs.started(&id(), RunId(run), 812);
                written.push(format!("{run} started as 812"));
                assert!(life.logs.sync(LONG));
                // What a run was that wrote nothing is known to the life that saw it.
                written.push(format!("{run} Out hello"));
                life.write(LogStream::Out, "hello\n");
            }
            Deed::Leave => {
                let records = all(&mut life.reader(Query::default()));
                assert_eq!(told(&records), written);
                let last = records.last().map(|(_, record)| record.seq);
                left.push((written.len(), last));
                got.extend(all(&mut follower));
            }
        }
    }
    assert_eq!(told(&all(&mut life.reader(Query::default()))), written);
    got.extend(all(&mut follower));
    assert_eq!(told(&got), written, "followed");
    for (count, after) in left {
        let rest = all(&mut life.reader(Query { after, ..Query::default() }));
        assert_eq!(told(&rest), written[count..], "after {after:?}");
    }
    let is_line = |line: &&String| line.contains("Out") || line.contains("Err");
    // Starts and ends come along with the lines that are counted.
    for tail in [0, 1, 2, 5, 17, 1_000] {
        let newest = all(&mut life.reader(Query { tail: Some(tail as u64), ..Query::default() }));
        let lines = written.iter().enumerate().filter(|(_, line)| is_line(line));
        let places: Vec<usize> = lines.map(|(place, _)| place).collect();
        let begin = match places.len().checked_sub(tail) {
            Some(first) => places.get(first).copied().unwrap_or(written.len()),
            None => 0,
        };
        assert_eq!(told(&newest), written[begin..], "tail {tail}");
    }
    let grep = regex::bytes::Regex::new("[13579]x*$").expect("an expression");
    let query = Query { grep: Some(grep.clone()), tail: Some(7), ..Query::default() };
    let found = told(&all(&mut life.reader(query)));
    let wanted: Vec<_> =
        written.iter().filter(is_line).filter(|line| grep.is_match(line.as_bytes())).collect();
    let begin = wanted.len().saturating_sub(7);
    assert_eq!(found.iter().collect::<Vec<_>>(), wanted[begin..]);
    drop(life.end());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_gets_what_was_written(
        deeds in prop::collection::vec(deed(), 1..60), max_size in 300..3_000_u64
    ) {
        check(deeds, Timestamps::None, max_size);
    }

    #[test]
    fn a_reader_gets_what_was_written_with_stamps(
        deeds in prop::collection::vec(deed(), 1..40), max_size in 300..3_000_u64,
        json in any::<bool>()
    ) {
        check(deeds, if json { Timestamps::Json } else { Timestamps::Rfc3339 }, max_size);
    }
}

#[test]
fn a_time_is_found_to_about_a_second_in_files_without_times() {
    let life = Life::begin(&folder(), &noon(), 2_000, Timestamps::None);
    for second in 0..200 {
        life.write(LogStream::Out, &format!("at {second}\nagain\n"));
        life.pass(1_000);
    }
    let query = |since: &str, until: Option<&str>| Query {
        since: Some(since.parse().expect("a time")),
        until: until.map(|until| until.parse().expect("a time")),
        ..Query::default()
    };
    let found = all(&mut life.reader(query("2026-11-22T12:01:00Z", Some("2026-11-22T12:01:10Z"))));
    let texts = told(&found);
    assert!(texts.contains(&"0 Out at 60".to_owned()) && texts.contains(&"0 Out at 70".to_owned()));
    assert!(texts.iter().all(|text| *text != "0 Out at 58" && *text != "0 Out at 72"), "{texts:?}");
    assert_eq!(found.last().expect("some").0, "2026-11-22T12:01:10Z".parse().expect("a time"));
    drop(life.end());
}

#[test]
fn a_begun_line_is_read_where_no_supervisor_runs() {
    let folder = folder();
    // As a kill leaves it: there is no index yet, and no newline.
    std::fs::write(folder.path().join("a-2026-11-22.log"), "one\nlast words").expect("written");
    let read = |tail| {
        let log = folder.path().join("a.log");
        told(&all(&mut Reader::of_files(id(), &log, Query { tail, ..Query::default() })))
    };
    assert_eq!(read(None), ["0 Out one", "0 Out last words"]);
    assert_eq!(read(Some(1)), ["0 Out last words"]);
    assert_eq!(read(Some(9)), ["0 Out one", "0 Out last words"]);
}

#[test]
fn files_without_an_index_are_read_as_far_as_they_say() {
    let life = Life::begin(&folder(), &noon(), 500, Timestamps::None);
    for number in 0..100 {
        life.write(LogStream::Out, &format!("line {number}\n"));
        life.pass(700);
    }
    let (folder, now) = life.end();
    std::fs::remove_dir_all(folder.path().join("logs/.index")).expect("they were there");
    let life = Life::begin(&folder, &now, 500, Timestamps::None);
    life.write(LogStream::Out, "new\n");
    let lines = told(&all(&mut life.reader(Query::default())));
    let expected: Vec<_> = (0..100).map(|number| format!("0 Out line {number}")).collect();
    assert_eq!(lines[..100], expected);
    assert_eq!(lines[100..], ["0 Out new"]);
    let tail = told(&all(&mut life.reader(Query { tail: Some(3), ..Query::default() })));
    assert_eq!(tail, ["0 Out line 98", "0 Out line 99", "0 Out new"]);
    drop(life.end());
}
