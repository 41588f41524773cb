use std::path::PathBuf;

use super::*;
use crate::wire::EventKind;

fn event(component: &str, text: &str) -> EventRecord {
    EventRecord {
        seq: 0,
        at: "2026-11-27T12:00:00.000Z".to_owned(),
        component: Some(component.to_owned()),
        run: Some(3),
        kind: EventKind::Running,
        text: text.to_owned(),
        origin: None,
    }
}

struct Place {
    _folder: tempfile::TempDir,
    base: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("logs/Supervisor.log");
    Place { _folder: folder, base }
}

fn open(place: &Place) -> EventLog {
    let (log, error) = EventLog::open(&place.base);
    assert!(error.is_none(), "{error:?}");
    log
}

fn numbers(log: &EventLog, query: &Query) -> Vec<u64> {
    let mut numbers = Vec::new();
    read(log, query, |event| {
        numbers.push(event.seq);
        true
    })
    .expect("readable");
    numbers
}

#[test]
fn numbers_and_the_newest_events_outlive_the_process() {
    let place = place();
    let log = open(&place);
    for number in 1..=300 {
        assert_eq!(log.append(event("ps", "runs")).seq, number);
    }
    assert!(matches!(log.write(), Written::All));
    drop(log);
    let log = open(&place);
    assert_eq!(log.recent().len(), RECENT);
    assert_eq!(log.recent()[0].seq, 101);
    assert_eq!(log.append(event("ps", "runs again")).seq, 301);
    assert_eq!(numbers(&log, &Query::default()), (1..=301).collect::<Vec<_>>());
}

#[test]
fn a_torn_line_costs_itself_alone() {
    let place = place();
    let log = open(&place);
    log.append(event("ps", "one"));
    assert!(matches!(log.write(), Written::All));
    drop(log);
    let file = place.base.with_file_name("Supervisor-events.jsonl");
    let mut bytes = std::fs::read(&file).expect("written");
    bytes.extend_from_slice(b"{\"seq\":2,\"at\":");
    std::fs::write(&file, bytes).expect("writable");
    let log = open(&place);
    log.append(event("ps", "two"));
    assert_eq!(numbers(&log, &Query::default()), [1, 2]);
}

#[test]
fn the_log_is_bounded_and_the_newest_stay() {
    let place = place();
    let log = open(&place);
    let text = "x".repeat(2_000);
    let many = 10_000_u64; // 22 MB
    for _ in 0..many {
        log.append(event("ps", &text));
        if log.is_behind() {
            assert!(matches!(log.write(), Written::All));
        }
    }
    let folder = place.base.parent().expect("a folder");
    let sizes = std::fs::read_dir(folder).expect("there").map(|file| {
        let file = file.expect("an entry");
        file.metadata().expect("a size").len()
    });
    let bytes: u64 = sizes.sum();
    assert!(bytes <= 8 * (2 << 20), "{bytes}");
    let kept = numbers(&log, &Query::default());
    assert!(kept.len() > 6_000, "{}", kept.len());
    let first = many + 1 - kept.len() as u64;
    assert_eq!(kept, (first..=many).collect::<Vec<_>>());
}

#[test]
fn events_are_found_by_component_time_and_number() {
    let place = place();
    let log = open(&place);
    log.append(event("is", "a"));
    log.append(event("ps", "b"));
    let mut later = event("ps", "c");
    later.at = "2026-11-27T13:00:00.000Z".to_owned();
    log.append(later);
    let component = Query { component: Some("ps".to_owned()), ..Query::default() };
    assert_eq!(numbers(&log, &component), [2, 3]);
    let since = "2026-11-27T12:30:00Z".parse().expect("a time");
    assert_eq!(numbers(&log, &Query { since: Some(since), ..Query::default() }), [3]);
    assert_eq!(numbers(&log, &Query { after: Some(1), ..Query::default() }), [2, 3]);
}

#[test]
fn a_disk_that_takes_nothing_loses_the_oldest_counted_and_is_told_of_once() {
    let place = place();
    let log = open(&place);
    log.append(event("ps", "stored"));
    assert!(matches!(log.write(), Written::All));
    let folder = place.base.parent().expect("a folder");
    // No file can be made where the folder is a file.
    std::fs::remove_dir_all(folder).expect("removable");
    std::fs::write(folder, "in the way").expect("writable");
    log.shared.files.lock().expect("no panic").append(&[]).expect("nothing to write");
    log.shared.files.lock().expect("no panic").close();
    for _ in 0..MOST_UNWRITTEN + 50 {
        log.append(event("ps", "waits"));
    }
    assert!(matches!(log.write(), Written::Failed { first: true, .. }));
    assert!(matches!(log.write(), Written::Failed { first: false, .. }));
    assert_eq!(log.take_lost(), 50);
    std::fs::remove_file(folder).expect("removable");
    std::fs::create_dir(folder).expect("free again");
    assert!(matches!(log.write(), Written::All));
    assert_eq!(numbers(&log, &Query::default()).len(), MOST_UNWRITTEN);
}

#[test]
fn what_was_not_written_at_a_kill_is_taken_up_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("logs/Supervisor.log");
    let pending = folder.path().join("events.pending");
    let open = || {
        let (log, error) = EventLog::open(&base);
        assert!(error.is_none());
        log.note_in(&pending).expect("our folder");
        log
    };
    let first = open();
    first.append(event("ps", "a"));
    assert!(matches!(first.write(), Written::All));
    assert_eq!(std::fs::metadata(&pending).expect("it is there").len(), 0);
    first.append(event("ps", "b"));
    first.append(event("ps", "c"));
    // Written after all, but nobody lived to say so; and one was torn.
    let noted = std::fs::read(&pending).expect("noted");
    assert!(matches!(first.write(), Written::All));
    first.append(event("ps", "d"));
    let torn = std::fs::read(&pending).expect("noted");
    std::fs::write(&pending, [&noted, &torn, &torn[..torn.len() / 2]].concat()).expect("ours");
    drop(first);

    let second = open();
    let texts = |log: &EventLog| log.recent().into_iter().map(|one| one.text).collect::<Vec<_>>();
    assert_eq!(texts(&second), ["a", "b", "c", "d"]);
    assert_eq!(second.last(), 4);
    second.append(event("ps", "e"));
    assert!(matches!(second.write(), Written::All));
    assert_eq!(std::fs::metadata(&pending).expect("it is there").len(), 0);
    assert_eq!(texts(&open()), ["a", "b", "c", "d", "e"]);
}
