//! Commands, looks and logs.

use std::time::Duration;

use tokio::time::Instant;

use super::stand_in::{Asked, Console, OURS, Stream, attached};
use crate::{
    console::feed::{Answer, Ask, LogWish, News, Page, Part},
    wire::{Acceptance, ComponentState, Hold, HoldReport, ProblemCode, Update, Verb},
};

fn command(number: u64, verb: Verb, id: &str, if_run: Option<u64>) -> Ask {
    Ask::Command { number, verb, ids: vec![id.to_owned()], if_run }
}

async fn answer(console: &mut Console) -> (u64, Answer) {
    loop {
        if let News::Answer { number, answer } = console.next().await.news {
            return (number, answer);
        }
    }
}

fn accept(asked: Asked) {
    asked.json(202, &Acceptance::Applied { operation: 1 });
}

#[tokio::test(start_paused = true)]
async fn commands_go_in_order_and_each_answer_is_told() {
    let (mut console, [mut host]) = attached();
    let _updates = host.live(&mut console, 1).await;
    console.ask(0, command(1, Verb::Stop, "ps", Some(7)));
    console.ask(0, command(2, Verb::Start, "ps", None));
    console.ask(0, command(3, Verb::Kill, "is", Some(3)));
    let stop = host.asked().await;
    assert_eq!((&*stop.method, &*stop.path), ("POST", "/v1/components/ps/stop"));
    assert_eq!(stop.header("if-match"), Some("\"7\""));
    assert_eq!(stop.header("x-s7-client"), Some("console"));
    // The start must not overtake the stop.
    assert!(host.quiet(Duration::from_secs(5)).await);
    accept(stop);
    assert_eq!(answer(&mut console).await, (1, Answer::Applied));
    let start = host.asked().await;
    assert_eq!((&*start.path, start.header("if-match")), ("/v1/components/ps/start", None));
    start.json(200, &Acceptance::Redundant { operation: None });
    assert_eq!(answer(&mut console).await, (2, Answer::Redundant));
    host.asked().await.problem(ProblemCode::RunEnded, "run 3 has ended");
    let reason = "run 3 has ended".to_owned();
    assert_eq!(answer(&mut console).await, (3, Answer::Denied { reason }));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_answered_is_not_known_and_what_waited_behind_it_is_not_sent() {
    let (mut console, [mut host]) = attached();
    let _updates = host.live(&mut console, 1).await;
    for number in 1..=3 {
        console.ask(0, command(number, Verb::Restart, "ps", None));
    }
    let _held_for_ever = host.asked().await;
    let (number, first) = answer(&mut console).await;
    assert!(number == 1 && matches!(first, Answer::Unknown { .. }), "{first:?}");
    for number in 2..=3 {
        let (of, Answer::Denied { reason }) = answer(&mut console).await else { panic!() };
        assert_eq!(of, number);
        assert!(reason.contains("not sent"), "{reason}");
    }
    assert!(host.quiet(Duration::from_secs(5)).await);
    // The next one is a new matter.
    console.ask(0, command(4, Verb::Restart, "ps", None));
    accept(host.asked().await);
    assert_eq!(answer(&mut console).await, (4, Answer::Applied));
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_before_leaving_is_sent() {
    let (mut console, [mut host]) = attached();
    let updates = host.live(&mut console, 1).await;
    console.ask(0, command(1, Verb::Stop, "is", None));
    console.ask(0, command(2, Verb::Stop, "ps", None));
    let Console { feed, attached } = console;
    drop(feed);
    for id in ["is", "ps"] {
        let asked = host.asked().await;
        assert_eq!(asked.path, format!("/v1/components/{id}/stop"));
        accept(asked);
    }
    attached.await.expect("no panic");
    assert!(!updates.is_open(), "nothing outlives it");
}

#[tokio::test(start_paused = true)]
async fn leaving_waits_for_no_dead_host() {
    let (mut console, [mut host]) = attached();
    let _updates = host.live(&mut console, 1).await;
    console.ask(0, command(1, Verb::Stop, "is", None));
    let _held = host.asked().await;
    let Console { feed, attached } = console;
    let begin = Instant::now();
    drop(feed);
    attached.await.expect("no panic");
    assert_eq!(begin.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn of_the_looks_that_wait_only_the_latest_of_a_kind_is_asked_for() {
    let (mut console, [mut host]) = attached();
    let _updates = host.live(&mut console, 1).await;
    let explain = |id: &str| Ask::Explain { id: id.to_owned() };
    console.ask(0, explain("a"));
    let first = host.asked().await;
    assert_eq!(first.path, "/v1/components/a/explain");
    for id in ["b", "c", "d"] {
        console.ask(0, explain(id));
        console.ask(0, Ask::Details { id: id.to_owned() });
    }
    let range = Duration::from_hours(1);
    console.ask(0, Ask::History { id: "d".to_owned(), range, points: 120 });
    first.problem(ProblemCode::UnknownComponent, "there is no a");
    for path in ["explain", "details", "history?from=-3600s&step=30"] {
        let asked = host.asked().await;
        assert_eq!(asked.path, format!("/v1/components/d/{path}"));
        if path == "details" {
            asked.json(200, &crate::wire::ComponentDetails::default());
        } else {
            asked.problem(ProblemCode::UnknownPath, "not yet");
        }
    }
    assert!(matches!(console.next().await.news, News::Details(_)));
    assert!(host.quiet(Duration::from_secs(5)).await);
}

fn wish(id: &str, after: Option<u64>) -> LogWish {
    LogWish { id: id.to_owned(), after, tail: 200 }
}

fn line(stream: &Stream, id: &str, seq: u64) {
    stream.send(&format!(
        "{{\"id\":\"{id}\",\"seq\":{seq},\"at\":\"2026-11-23T14:26:30.342Z\",\"kind\":\"line\",\
         \"stream\":\"out\",\"run\":3,\"text\":\"hello\"}}\n"
    ));
}

async fn records(console: &mut Console) -> (String, Vec<u64>) {
    match console.update().await.update {
        Update::Log { id, records } => (id, records.iter().map(|record| record.seq).collect()),
        other => panic!("no log: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn logs_come_over_one_stream_that_goes_on_where_it_broke() {
    let (mut console, [mut host]) = attached();
    // Not before there is a connection.
    console.ask(0, Ask::Logs { wanted: vec![wish("is", None), wish("ps", Some(40))] });
    let updates = host.live(&mut console, 1).await;
    let asked = host.asked().await;
    assert_eq!(asked.path, "/v1/logs?id=is&id=ps&after=ps%3A40&tail=200&follow=true");
    let logs = asked.stream("application/x-ndjson", OURS);
    line(&logs, "is", 7);
    assert_eq!(records(&mut console).await, ("is".to_owned(), vec![7]));
    logs.send("\n");
    line(&logs, "ps", 41);
    assert_eq!(records(&mut console).await, ("ps".to_owned(), vec![41]));
    logs.break_off();
    let again = "/v1/logs?id=is&id=ps&after=is%3A7&after=ps%3A41&follow=true";
    let asked = host.asked().await;
    assert_eq!(asked.path, again);
    // A log that cannot be had leaves the rest as it is.
    asked.problem(ProblemCode::Internal, "the disk is gone");
    let logs = host.asked().await.stream("application/x-ndjson", OURS);
    line(&logs, "is", 8);
    assert_eq!(records(&mut console).await, ("is".to_owned(), vec![8]));
    updates.sample(2);
    assert_eq!(console.update().await.seq, 2);

    // Another wish replaces the stream, an empty one ends it.
    console.ask(0, Ask::Logs { wanted: vec![wish("svg", None)] });
    assert_eq!(host.asked().await.path, "/v1/logs?id=svg&tail=200&follow=true");
    logs.closed().await;
    console.ask(0, Ask::Logs { wanted: Vec::new() });
    assert!(host.quiet(Duration::from_secs(30)).await);
}

#[tokio::test(start_paused = true)]
async fn a_lost_host_is_not_asked_for_logs() {
    let (mut console, [mut host]) = attached();
    let updates = host.live(&mut console, 1).await;
    console.ask(0, Ask::Logs { wanted: vec![wish("is", None)] });
    let logs = host.asked().await.stream("application/x-ndjson", OURS);
    updates.break_off();
    logs.break_off();
    for _ in 0..5 {
        let asked = host.asked().await;
        assert_eq!(asked.path, "/v1/updates");
        asked.problem(ProblemCode::ShuttingDown, "it is shutting down");
    }
    let updates = host.asked().await.stream_updates();
    updates.update(9, super::stand_in::snapshot());
    assert_eq!(host.asked().await.path, "/v1/logs?id=is&tail=200&follow=true");
}

async fn page(console: &mut Console) -> (u64, Result<Page, String>) {
    match console.next().await.news {
        News::Page { number, page } => (number, page),
        other => panic!("no page: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_the_past_are_read_and_each_is_answered() {
    let (mut console, [mut host]) = attached();
    let _updates = host.live(&mut console, 1).await;
    let ask = |number, part| Ask::Page { number, ids: vec!["ps".to_owned()], part, most: 2 };
    let time = || "2026-11-23T14:00:00Z".to_owned();
    console.ask(0, ask(1, Part::Until(time())));
    console.ask(0, ask(2, Part::Since(time())));
    console.ask(0, ask(3, Part::After(vec![("ps".to_owned(), 9)])));
    let asked = host.asked().await;
    assert_eq!(asked.path, "/v1/logs?id=ps&tail=2&until=2026-11-23T14%3A00%3A00Z");
    let stream = asked.stream("application/x-ndjson", OURS);
    line(&stream, "ps", 7);
    drop(stream);
    let (number, older) = page(&mut console).await;
    let older = older.expect("a page");
    assert_eq!((number, older.last, older.logs[0].1.len()), (1, true, 1));
    // Forwards it is left when there is enough: it may go on for days.
    let asked = host.asked().await;
    assert_eq!(asked.path, "/v1/logs?id=ps&since=2026-11-23T14%3A00%3A00Z");
    let stream = asked.stream("application/x-ndjson", OURS);
    (7..10).for_each(|seq| line(&stream, "ps", seq));
    let (number, since) = page(&mut console).await;
    assert!(number == 2 && !since.expect("a page").last);
    stream.closed().await;
    let asked = host.asked().await;
    assert_eq!(asked.path, "/v1/logs?id=ps&after=ps%3A9");
    asked.problem(ProblemCode::Internal, "the disk is gone");
    let (number, after) = page(&mut console).await;
    assert!(number == 3 && after.expect_err("refused").contains("the disk is gone"));
}

#[tokio::test(start_paused = true)]
async fn the_supervisors_own_log_is_followed_while_it_is_looked_at() {
    let (mut console, [mut host]) = attached();
    let _updates = host.live(&mut console, 1).await;
    assert!(host.quiet(Duration::from_secs(5)).await);
    console.ask(0, Ask::SupervisorLog { wanted: true });
    let asked = host.asked().await;
    assert_eq!(asked.path, "/v1/supervisor/logs?tail=1000&follow=true");
    let stream = asked.stream("application/x-ndjson", OURS);
    let tell = |stream: &Stream, seq: u64| {
        stream.send(&format!(
            "{{\"seq\":{seq},\"at\":\"2026-11-23T14:26:30.342Z\",\"level\":\"warn\",\
             \"target\":\"process\",\"text\":\"killed\"}}\n"
        ));
    };
    tell(&stream, 8);
    let News::SupervisorLog(records) = console.next().await.news else { panic!("no log") };
    assert_eq!((records[0].seq, records[0].target.as_str()), (8, "process"));
    // Whoever looks again misses nothing.
    console.ask(0, Ask::SupervisorLog { wanted: false });
    stream.closed().await;
    console.ask(0, Ask::SupervisorLog { wanted: true });
    assert_eq!(host.asked().await.path, "/v1/supervisor/logs?after=8&follow=true");
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_an_order_like_any_other() {
    let (mut console, [mut host]) = attached();
    let _updates = host.live(&mut console, 1).await;
    let (id, reason) = ("ps".to_owned(), Some("new disk".to_owned()));
    let until = Some("+2h".to_owned());
    console.ask(0, Ask::Hold { number: 1, id: id.clone(), until, reason });
    console.ask(0, Ask::Release { number: 2, id: id.clone() });
    let asked = host.asked().await;
    assert_eq!(asked.path, "/v1/components/ps/hold?until=%2B2h&reason=new%20disk");
    let hold = Hold {
        by: "root".to_owned(),
        reason: None,
        since: "2026-11-23T14:26:30Z".to_owned(),
        until: None,
    };
    let state = ComponentState::Running;
    let report = |hold, before| HoldReport { id: id.clone(), hold, before, state, warning: None };
    // The release must not overtake it.
    assert!(host.quiet(Duration::from_secs(5)).await);
    asked.json(200, &report(Some(hold), None));
    assert_eq!(answer(&mut console).await, (1, Answer::Applied));
    host.asked().await.json(200, &report(None, None));
    assert_eq!(answer(&mut console).await, (2, Answer::Redundant));
}
