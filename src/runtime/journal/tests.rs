use std::time::Duration;

use super::*;
use crate::{
    machine::{Ended, StopCause, StopPhase},
    model::LastExit,
    registry::RestartPolicy,
};

fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("a good id")
}

fn second(number: u64) -> Moment {
    Moment::from_boot(Duration::from_secs(number))
}

fn starting(name: &str, run: u64, record: Option<Record>) -> Entry {
    Entry::Starting { id: id(name), run: RunId(run), record: record.map(Box::new) }
}

fn started(name: &str, run: u64) -> Entry {
    Entry::Started {
        id: id(name),
        run: RunId(run),
        pid: 4711,
        start_time: 99,
        at: second(1000),
        restarts: 0,
        fingerprint: 7,
    }
}

/// Of one that failed `failures` times and was restarted each time.
fn record(failures: u32) -> Record {
    let mut record = Record::default();
    record.last_run = Some(RunId(5));
    record.restarts_asked = 2;
    for number in 0..failures {
        let exit = Exit::Signal { signal: 11, core: true };
        let at = second(1100 + u64::from(number));
        let lasted = Duration::from_millis(1500);
        let exit = LastExit { exit, at, lasted, oom: number == 0, expected: false };
        let ended = Ended::Exited(exit.exit);
        record.remember_exit(RunId(5), exit, StopCause::Failure(ended.clone()));
        record.count_failure(ended, false);
        assert!(record.take_restart(at, &RestartPolicy::default()));
    }
    record
}

/// One of each kind that there is.
fn every_state(journal: &mut Journal) {
    let entries = [
        starting("ready", 5, Some(record(1))),
        started("ready", 5),
        Entry::Ready { id: id("ready"), run: RunId(5), at: Some(second(1003)) },
        starting("announced", 6, None),
        starting("stopping", 7, None),
        started("stopping", 7),
        Entry::Stopping {
            id: id("stopping"),
            run: RunId(7),
            stop: StopUnderWay {
                cause: StopCause::Failure(Ended::Unhealthy("no answer".into())),
                phase: StopPhase::Polite { deadline: second(1030) },
            },
            record: Box::new(record(2)),
        },
        starting("ended", 8, None),
        started("ended", 8),
        Entry::Ended { id: id("ended"), run: RunId(8), exit: Exit::Code(3), oom: false },
        Entry::Rests {
            id: id("backoff"),
            resting: Resting::Backoff { until: second(1200) },
            record: Box::new(record(4)),
        },
        Entry::Rests {
            id: id("failed"),
            resting: Resting::Failed {
                reason: crate::machine::FailReason::BudgetSpent {
                    restarts: 10,
                    window: Duration::from_mins(10),
                    last: Ended::Exited(Exit::Code(1)),
                },
            },
            record: Box::new(record(10)),
        },
        Entry::Rests { id: id("exited"), resting: Resting::Exited, record: Box::new(record(0)) },
        Entry::StoppedByHand { id: id("by-hand"), stopped: true },
    ];
    for entry in &entries {
        journal.append(entry);
    }
}

#[test]
fn everything_that_was_written_is_known_to_the_next_supervisor_of_the_same_boot() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, mut journal) = Journal::open(folder.path(), "b1".into()).expect("new");
    assert_eq!(state, State::default());
    every_state(&mut journal);
    let known = journal.state.clone();
    drop(journal);

    let (state, journal) = Journal::open(folder.path(), "b1".into()).expect("again");
    assert_eq!(state, known);
    assert_eq!(state.next_run, RunId(9));
    let of = |name: &str| &state.components[&id(name)];
    assert_eq!(of("ready").ready_since, Some(second(1003)));
    assert_eq!(of("ready").record.restarts, 1);
    assert_eq!(of("ready").record.trouble, None, "it is well again");
    assert_eq!(of("backoff").record, record(4));
    assert_eq!(of("backoff").resting, Some(Resting::Backoff { until: second(1200) }));
    assert_eq!(of("ended").ended, Some((Exit::Code(3), false)));
    drop(journal);

    // What was written anew adds up to the same.
    let (again, journal) = Journal::open(folder.path(), "b1".into()).expect("a third time");
    let known_again = |name: &str| {
        let resting = again.components[&id(name)].resting.clone();
        resting.filter(|resting| *resting != Resting::Stopped)
    };
    for (name, one) in &state.components {
        let expected = one.resting.clone().filter(|resting| *resting != Resting::Stopped);
        assert_eq!(known_again(name.as_str()), expected, "{name}");
        let without = |one: &Remembered| Remembered { resting: None, ..one.clone() };
        assert_eq!(without(&again.components[name]), without(one), "{name}");
    }
    drop(journal);

    let (other_boot, _) = Journal::open(folder.path(), "b2".into()).expect("after a boot");
    assert!(other_boot.components.is_empty());
    assert_eq!(other_boot.next_run, RunId(9));
}

#[test]
fn a_run_that_was_replaced_leaves_nothing_of_itself_but_its_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, mut journal) = Journal::open(folder.path(), "b1".into()).expect("new");
    every_state(&mut journal);
    journal.append(&starting("ended", 9, Some(record(1))));
    // Late news of the former run.
    journal.append(&Entry::Gone { id: id("ended"), run: RunId(8) });
    assert!(journal.knows_run(&id("ended"), RunId(9)));
    let one = &journal.state.components[&id("ended")];
    assert_eq!((&one.process, one.ended, &one.record), (&None, None, &record(1)));
}

#[test]
fn a_torn_last_line_is_as_if_never_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, mut journal) = Journal::open(folder.path(), "b1".into()).expect("new");
    journal.append(&starting("ps", 1, Some(record(3))));
    journal.append(&started("ps", 1));
    let path = folder.path().join(Journal::NAME);
    let whole = fs::read(&path).expect("readable");
    // Without its newline alone a line is whole.
    for cut in 0..whole.len() - 1 {
        let state = read(&whole[..cut], "b1").expect("readable at every cut");
        let known = state.components.get(&id("ps"));
        assert!(known.is_none_or(|one| one.process.is_none()), "cut at {cut}");
        assert_eq!(state.damaged, 0, "a torn line is no damage");
    }
}

#[test]
fn a_damaged_line_costs_that_line_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, mut journal) = Journal::open(folder.path(), "b1".into()).expect("new");
    every_state(&mut journal);
    let whole = fs::read(folder.path().join(Journal::NAME)).expect("readable");
    let lines: Vec<&[u8]> = whole.split_inclusive(|&byte| byte == b'\n').collect();
    for damaged in 0..lines.len() {
        let mut bytes = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            if number == damaged {
                bytes.extend(b"{\"kind\":\xff\x00}\n");
            } else {
                bytes.extend(*line);
            }
        }
        let state = read(&bytes, "b1").expect("readable with a damaged line");
        assert_eq!(state.damaged, 1);
        let lost = journal.state.components.len() - state.components.len();
        assert!(lost <= 1, "line {damaged} took {lost} components with it");
    }
}

#[test]
fn it_does_not_grow_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, mut journal) = Journal::open(folder.path(), "b1".into()).expect("new");
    for run in 1..20_000 {
        journal.append(&starting("ps", run, Some(record(2))));
        journal.append(&started("ps", run));
        journal.append(&Entry::Gone { id: id("ps"), run: RunId(run) });
    }
    let size = fs::metadata(folder.path().join(Journal::NAME)).expect("there").len();
    assert!(size < 2 * COMPACT_ABOVE, "{size}");
}

#[test]
fn one_that_keeps_much_is_not_written_anew_at_every_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, mut journal) = Journal::open(folder.path(), "b1".into()).expect("new");
    for number in 0..2_000 {
        journal.append(&starting(&format!("c{number}"), number, Some(record(2))));
    }
    journal.append(&started("c1", 1));
    let before = journal.bytes;
    assert!(before > COMPACT_ABOVE, "{before}");
    let kept = journal.kept;
    journal.append(&started("c2", 2));
    assert_eq!(journal.kept, kept, "one line more, and no more than that");
}

// ---- other versions -----------------------------------------------------------------------------

fn example(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_journal_of_version_1_is_read() {
    let state = read(&example("version-1.journal"), "the-boot").expect("an old format");
    assert_eq!((state.next_run, state.damaged), (RunId(9), 0));
    let ps = &state.components[&id("ps")];
    let process = ps.process.as_ref().expect("it runs");
    assert_eq!((process.pid, process.start_time, process.fingerprint), (4711, 99, 7));
    assert_eq!((ps.run, ps.record.restarts), (Some(RunId(5)), 2));
    assert_eq!((ps.ready, ps.ready_since), (true, None), "ready, and nobody wrote down since when");
    assert!(state.components[&id("is")].stopped_by_hand);
    assert_eq!(state.components[&id("svg")].process, None);
    assert_eq!(state.components[&id("gone")].run, None);
}

#[test]
fn a_journal_of_version_2_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, mut journal) = Journal::open(folder.path(), "the-boot".into()).expect("new");
    every_state(&mut journal);
    let mut state = read(&example("version-2.journal"), "the-boot").expect("the present format");
    assert_eq!(state.damaged, 1, "a kind of line that nobody knows yet");
    state.damaged = 0;
    assert_eq!(state, journal.state);
}

#[test]
fn a_newer_format_is_refused_with_its_reason() {
    let refused = read(&example("version-3.journal"), "the-boot").expect_err("too new");
    assert!(refused.starts_with("is of version 3, and this Supervisor reads up to 2"), "{refused}");
}
