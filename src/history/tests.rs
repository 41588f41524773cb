//! The room as a whole, in virtual time and real files.

use std::{fs, path::PathBuf, time::Duration};

use super::*;
use crate::{
    model::{ComponentId, Moment, RunId},
    wire::{
        ComponentState::{Backoff, Failed, Running, Stopped},
        HistoryPoint,
    },
};

/// Some time in 2026, on a full hour.
const START: i64 = 1_795_737_600_000;

struct World {
    folder: tempfile::TempDir,
    recorder: Recorder,
    /// Milliseconds since the start.
    now: i64,
}

fn id(name: &str) -> ComponentId {
    name.parse().expect("an id")
}

/// A component in run 1 that uses this much.
fn running(name: &str, cpu_time: f64, mib: u64) -> Reading {
    let usage = Usage {
        run: RunId(1),
        cpu_time: Duration::from_secs_f64(cpu_time),
        cpu_percent: 0.0,
        memory_bytes: mib << 20,
        processes: 2,
    };
    Reading { id: id(name), state: Running, usage: Some(usage) }
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let recorder = Recorder::new(&folder.path().join("history"));
        Self { folder, recorder, now: 0 }
    }

    fn at(&mut self, ms: i64, readings: Vec<Reading>) {
        self.with_changes(ms, readings, []);
    }

    fn with_changes<const N: usize>(
        &mut self,
        ms: i64,
        readings: Vec<Reading>,
        changes: [(i64, &str, ComponentState); N],
    ) {
        self.now = ms;
        let changes =
            changes.map(|(at, name, state)| Change { at: START + at, id: id(name), state });
        let moment = Moment::from_boot(Duration::from_millis(1_000_000 + ms.unsigned_abs()));
        self.recorder.record(moment, START + ms, readings, changes).expect("our folder");
    }

    /// The Supervisor is killed; the next one goes on.
    fn crash(&mut self) {
        self.recorder = Recorder::new(&self.folder.path().join("history"));
    }

    fn points(&self, name: &str, from: i64, to: i64, step: i64) -> Vec<HistoryPoint> {
        let query = Query::new(START + from, START + to, Some(step));
        assert_eq!((query.from(), query.step()), (START + from, step), "aligned");
        self.recorder.points(name, &query)
    }

    fn memory(&self, name: &str, from: i64, to: i64, step: i64) -> Vec<Option<u64>> {
        let points = self.points(name, from, to, step).into_iter();
        points.map(|point| point.memory_bytes.map(|bytes| bytes >> 20)).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("history")).into_iter().flatten();
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        files
    }
}

const M: i64 = 60_000;

#[test]
fn minutes_are_kept_while_nobody_watches() {
    let mut world = World::new();
    for minute in 0..=10 {
        let mib = u64::try_from(10 + minute).expect("small");
        #[expect(clippy::cast_precision_loss, reason = "small")]
        world.at(minute * M, vec![running("is", 30.0 * minute as f64, mib)]);
    }
    let points = world.points("is", 0, 10 * M, M);
    assert_eq!(points.len(), 10);
    for (point, minute) in points.iter().zip(11_u64..) {
        assert_eq!(point.memory_bytes, Some(minute << 20));
        assert_eq!(point.cpu_percent, Some(50.0));
        assert_eq!(point.state, Some(Running));
    }
    // Finer steps are told by the minute that they are in.
    assert_eq!(world.memory("is", 0, M, 10_000), vec![Some(11); 6]);
    assert_eq!(world.memory("other", 0, 2 * M, M), [None, None]);
}

#[test]
fn a_clock_that_is_set_forwards_and_back_leaves_what_was_true_and_goes_on() {
    let mut world = World::new();
    let mut moment = 1_000_000;
    // So many minutes by the clock that nobody sets, while the other one begins at `from`.
    let mut minutes = |world: &mut World, from: i64, count: i64, mib: u64| {
        for minute in 0..count {
            moment += M;
            let at = Moment::from_boot(Duration::from_millis(moment.unsigned_abs()));
            let readings = vec![running("is", 0.0, mib)];
            world.recorder.record(at, START + from + minute * M, readings, []).expect("our folder");
        }
    };
    minutes(&mut world, 0, 10, 10);
    minutes(&mut world, 300 * M, 10, 20);
    minutes(&mut world, 20 * M, 10, 30);
    let memory = |from, to| {
        world.memory("is", from * M, to * M, M).into_iter().flatten().collect::<Vec<_>>()
    };
    for (from, to, mib) in [(0, 9, 10), (300, 309, 20), (20, 29, 30)] {
        let told = memory(from, to);
        assert!(told.len() >= 8 && told.iter().all(|it| *it == mib), "{from}: {told:?}");
    }
    // Nothing is made up for the hours between.
    assert_eq!(memory(40, 290), [0; 0]);
    world.crash();
    minutes(&mut world, 30 * M, 5, 40);
    let told = world.memory("is", 30 * M, 34 * M, M);
    assert!(told.iter().flatten().count() >= 3, "the next engine goes on: {told:?}");
}

#[test]
fn a_short_peak_is_not_lost_and_fine_steps_show_where_it_was() {
    let mut world = World::new();
    for second in 0..=120 {
        let mib = if second == 75 { 500 } else { 10 };
        world.at(second * 1_000, vec![running("is", 0.0, mib)]);
    }
    assert_eq!(world.memory("is", 0, 2 * M, M), [Some(10), Some(500)]);
    let tens = world.memory("is", 0, 2 * M, 10_000);
    let peaks: Vec<_> = tens.iter().map(|memory| *memory == Some(500)).collect();
    assert_eq!(peaks.iter().filter(|peak| **peak).count(), 1, "{tens:?}");
    assert!(peaks[7], "from 70 s to 80 s: {tens:?}");
    let seconds = world.memory("is", M, 2 * M, 1_000);
    assert_eq!(seconds.iter().position(|memory| *memory == Some(500)), Some(14), "{seconds:?}");
    assert!(seconds.iter().all(Option::is_some), "no holes: {seconds:?}");
}

#[test]
fn ticks_that_drift_leave_no_holes() {
    let mut world = World::new();
    for tick in 0..=60 {
        world.at(tick * 1_017, vec![running("is", 0.0, 10)]);
    }
    let seconds = world.memory("is", 0, M, 1_000);
    assert!(seconds.iter().all(Option::is_some), "{seconds:?}");
}

#[test]
fn history_outlives_a_kill_and_goes_on_in_the_same_file() {
    let mut world = World::new();
    for minute in 0..=5 {
        world.at(minute * M, vec![running("is", 0.0, 10), running("ps", 0.0, 20)]);
    }
    world.crash();
    for minute in 8..=10 {
        world.at(
            minute * M,
            vec![running("new", 0.0, 5), running("ps", 0.0, 20), running("is", 0.0, 30)],
        );
    }
    assert_eq!(world.files().len(), 1, "{:?}", world.files());
    let (ten, thirty) = (Some(10), Some(30));
    let expected = [ten, ten, ten, ten, ten, None, None, thirty, thirty, thirty];
    assert_eq!(world.memory("is", 0, 10 * M, M), expected);
    assert_eq!(world.memory("ps", 4 * M, 9 * M, M), [Some(20), None, None, Some(20), Some(20)]);
    assert_eq!(world.memory("new", 8 * M, 9 * M, M), [Some(5)]);
    let states = world.points("is", 0, 10 * M, M).into_iter().map(|point| point.state.is_some());
    let known: Vec<bool> = states.collect();
    assert_eq!(known, [true, true, true, true, true, true, true, true, true, true]);
}

#[test]
fn nothing_is_said_of_a_time_without_a_supervisor() {
    let mut world = World::new();
    world.at(0, vec![running("is", 0.0, 10)]);
    world.crash();
    world.at(30 * M, vec![running("is", 0.0, 10)]);
    let points = world.points("is", 0, 30 * M, M);
    assert!(points[5..29].iter().all(|point| *point == HistoryPoint::default()), "{points:?}");
    assert_eq!(points[29].state, Some(Running));
}

#[test]
fn torn_and_damaged_ends_are_read_as_far_as_they_are_whole() {
    let mut world = World::new();
    for minute in 0..=3 {
        world.at(minute * M, vec![running("is", 0.0, 10 + minute.unsigned_abs())]);
    }
    let file = world.files().remove(0);
    let whole = fs::read(&file).expect("ours");
    for cut in 0..whole.len() {
        fs::write(&file, &whole[..cut]).expect("ours");
        world.crash();
        let told = world.memory("is", 0, 3 * M, M);
        let known = told.iter().flatten().count();
        assert!(told[..known].iter().all(Option::is_some), "the beginning: {told:?}");
    }
    // What comes after a torn end is found again.
    fs::write(&file, &whole[..whole.len() - 3]).expect("ours");
    world.crash();
    world.at(4 * M, vec![running("is", 0.0, 50)]);
    assert_eq!(world.memory("is", 0, 4 * M, M), [Some(11), Some(12), None, Some(50)]);
    // Each damaged byte costs what stands behind it, no more.
    let whole = fs::read(&file).expect("ours");
    for at in 8..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        fs::write(&file, damaged).expect("ours");
        world.crash();
        let told = world.memory("is", 0, 4 * M, M);
        let allowed = |(told, truth): (&Option<u64>, &Option<u64>)| told.is_none() || told == truth;
        let truth = [Some(11), Some(12), None, Some(50)];
        assert!(told.iter().zip(&truth).all(allowed), "{at}: {told:?}");
    }
}

#[test]
fn another_versions_file_is_left_alone() {
    let mut world = World::new();
    let folder = world.folder.path().join("history");
    fs::create_dir(&folder).expect("ours");
    let foreign = folder.join(format!("60s-{START}.s7h"));
    fs::write(&foreign, b"s7hist9\nwhatever").expect("ours");
    world.at(0, vec![running("is", 0.0, 10)]);
    world.at(M, vec![running("is", 0.0, 11)]);
    assert_eq!(world.memory("is", 0, M, M), [Some(11)]);
    assert_eq!(fs::read(&foreign).expect("ours"), b"s7hist9\nwhatever");
}

#[test]
fn states_between_two_samples_are_known() {
    let mut world = World::new();
    let down = Reading { id: id("is"), state: Failed, usage: None };
    world.at(0, vec![running("is", 0.0, 10)]);
    let crash = [(12_000, "is", Backoff), (15_000, "is", Running), (40_000, "is", Failed)];
    world.with_changes(M, vec![down.clone()], crash);
    let states: Vec<_> =
        world.points("is", 0, M, 5_000).into_iter().filter_map(|point| point.state).collect();
    let expected = [
        Running, Running, Running, Running, Running, Running, Running, Failed, Failed, Failed,
        Failed, Failed,
    ];
    assert_eq!(states, expected, "at the end of each step");
    let finer = world.points("is", 10_000, 15_000, 1_000);
    assert_eq!(finer[3].state, Some(Backoff));
    assert_eq!(finer[4].state, Some(Running));
}

#[test]
fn the_end_of_the_supervisor_is_told_as_it_was() {
    let mut world = World::new();
    world.at(0, vec![running("is", 0.0, 10)]);
    world.at(M, vec![running("is", 0.0, 10)]);
    world.with_changes(M + 20_000, Vec::new(), [(M + 20_000, "is", Stopped)]);
    let moment = Moment::from_boot(Duration::from_secs(1_090));
    world.recorder.close(moment, START + M + 30_000).expect("ours");
    world.crash();
    let states = world.points("is", M, M + 30_000, 10_000).into_iter().map(|point| point.state);
    let states: Vec<_> = states.collect();
    assert_eq!(states, [Some(Running), Some(Stopped), Some(Stopped)]);
    assert_eq!(world.memory("is", M, 2 * M, M), [None], "nobody measured since");
}

#[test]
fn one_that_leaves_the_registry_is_gone_and_may_come_back() {
    let mut world = World::new();
    world.at(0, vec![running("is", 0.0, 10), running("ps", 0.0, 20)]);
    world.at(M, vec![running("is", 0.0, 10), running("ps", 0.0, 20)]);
    world.at(2 * M, vec![running("is", 0.0, 10)]);
    world.at(3 * M, vec![running("is", 0.0, 10), running("new", 0.0, 7)]);
    world.at(4 * M, vec![running("is", 0.0, 10), running("ps", 0.0, 21)]);
    assert_eq!(world.memory("ps", 0, 4 * M, M), [Some(20), None, None, Some(21)]);
    assert_eq!(world.memory("new", 0, 4 * M, M), [None, None, Some(7), None]);
    assert_eq!(world.points("ps", M, 2 * M, M)[0].state, None);
    world.crash();
    world.at(5 * M, vec![running("is", 0.0, 10), running("ps", 0.0, 22)]);
    assert_eq!(world.memory("ps", 3 * M, 5 * M, M), [Some(21), Some(22)]);
}

#[test]
fn files_are_bounded_by_time() {
    let mut world = World::new();
    for minute in 0..(3 * 24 * 60_i64) {
        let mib = 10 + minute.unsigned_abs() % 7;
        world.at(minute * M, vec![running("is", 0.0, mib)]);
    }
    let files = world.files();
    assert!((6..=8).contains(&files.len()), "24 h in files of 4 h: {files:?}");
    let day = world.memory("is", 48 * 60 * M, 71 * 60 * M, 10 * M);
    assert!(day.iter().all(|memory| *memory == Some(16)), "{day:?}");
    assert!(world.memory("is", 0, 10 * M, M).iter().all(Option::is_none));
}

#[test]
fn the_idle_cost_next_to_nothing() {
    let mut world = World::new();
    let all = || (0..1_000).map(|n| running(&format!("component-{n}"), 0.0, 3)).collect();
    for minute in 0..60 {
        world.at(minute * M, all());
    }
    let bytes: u64 = world.files().iter().map(|file| file.metadata().expect("ours").len()).sum();
    assert!(bytes < 40_000, "names once, and nothing for what stays: {bytes}");
}

#[test]
fn an_answer_is_bounded() {
    let query = Query::new(START, START + 24 * 60 * M, Some(1_000));
    assert!(query.step() > 50_000, "{query:?}");
    let world = World::new();
    let points = world.recorder.points("is", &query);
    assert!(i64::try_from(points.len()).expect("few") <= MOST_POINTS);
    let usual = Query::new(START, START + 60 * M, None);
    assert_eq!(usual.step(), 30_000);
}
