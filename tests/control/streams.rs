//! Answers that go on and on: updates and events.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::{
    lines::Lines,
    served::{BOUND, head, serve},
};

#[tokio::test]
async fn updates_begin_with_a_snapshot_and_go_on_with_what_happens() {
    let served = serve();
    let mut lines = Lines::ask(&served, "/v1/updates", &[]).await;
    let kind = lines.next("content-type: ").await;
    assert_eq!(kind.as_deref(), Some("text/event-stream"));
    assert_eq!(lines.next("event: ").await.as_deref(), Some("snapshot"));
    let id = lines.next("id: ").await.expect("a number");
    let snapshot = lines.message().await;
    assert_eq!(snapshot["seq"].to_string(), id);
    assert_eq!(snapshot["access"], "full");
    assert_eq!(snapshot["status"]["components"][1]["id"], "ps");
    served.engine.happens("ps", "running as pid 100");
    let event = lines.message().await;
    assert_eq!(event["event"]["text"], "running as pid 100");
    assert_eq!(event["seq"].as_u64(), snapshot["seq"].as_u64().map(|seq| seq + 1));
}

#[tokio::test]
async fn a_reader_comes_back_for_what_it_missed() {
    let served = serve();
    let mut first = Lines::ask(&served, "/v1/updates", &[]).await;
    first.message().await;
    served.engine.happens("ps", "one");
    let seq = first.message().await["seq"].as_u64().expect("a number");
    drop(first);
    served.engine.happens("ps", "two");
    let back = format!("Last-Event-ID: {seq}");
    let mut again = Lines::ask(&served, "/v1/updates", &[&back]).await;
    assert_eq!(again.message().await["event"]["text"], "two");
    // A number of another process: everything anew.
    let mut stranger = Lines::ask(&served, "/v1/updates", &["Last-Event-ID: 7"]).await;
    assert_eq!(stranger.message().await["type"], "snapshot");
    let refused = served.ask_with("GET", "/v1/updates", &["Last-Event-ID: x"]).await;
    assert_eq!((refused.status(), &*refused.code()), (400, "bad_request"));
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_of_the_gap_and_nobody_waits_for_it() {
    let served = serve();
    let mut slow = Lines::ask(&served, "/v1/updates", &[]).await;
    let first = slow.message().await["seq"].as_u64().expect("a number");
    // More than the connection and the ring hold together; publishing never waits.
    let text = "x".repeat(4_000);
    for _ in 0..5_000 {
        served.engine.happens("ps", &text);
    }
    let last = served.engine.updates.last();
    let (mut seen, mut missed) = (first, 0);
    while seen < last {
        let message = slow.message().await;
        match message["type"].as_str().expect("a type") {
            "event" => seen += 1,
            "gap" => missed = message["missed"].as_u64().expect("a number"),
            "snapshot" => {
                assert_eq!(message["seq"].as_u64(), Some(last));
                seen += missed;
                // What the ring still held is in the snapshot, too.
                assert!(missed > 0 && seen <= last, "{missed} missed, {seen} of {last}");
                break;
            }
            other => panic!("unexpected: {other}"),
        }
    }
    assert!(missed > 0, "no gap was told");
}

#[tokio::test]
async fn what_a_reader_may_do_is_told_to_it() {
    let served = serve();
    let token = served.token("control-read.token");
    let text =
        head("GET", "/v1/updates", &["Host: localhost", &format!("Authorization: Bearer {token}")]);
    let mut stream = served.tcp().await;
    stream.write_all(text.as_bytes()).await.expect("asked");
    let mut lines = BufReader::new(stream).lines();
    loop {
        let line = tokio::time::timeout(BOUND, lines.next_line()).await.expect("in time");
        let line = line.expect("a connection").expect("a snapshot");
        if let Some(json) = line.strip_prefix("data: ") {
            let snapshot: Value = serde_json::from_str(json).expect("JSON");
            assert_eq!(snapshot["access"], "read_only");
            break;
        }
    }
}

#[tokio::test]
async fn events_are_those_of_the_past_and_then_those_that_happen() {
    let served = serve();
    for number in 1..=5 {
        served
            .engine
            .happens(if number % 2 == 0 { "is" } else { "ps" }, &format!("event {number}"));
    }
    let heard = served.ask("GET", "/v1/events?component=ps&after=1").await;
    assert_eq!(heard.status(), 200);
    assert_eq!(heard.header("content-type"), Some("application/x-ndjson"));
    assert!(heard.0.contains("event 3") && heard.0.contains("event 5"), "{heard:?}");
    assert!(!heard.0.contains("event 1") && !heard.0.contains("event 4"), "{heard:?}");

    let mut lines = Lines::ask(&served, "/v1/events?tail=2&follow=true", &[]).await;
    assert_eq!(lines.event().await["text"], "event 4");
    assert_eq!(lines.event().await["text"], "event 5");
    for number in 6..=1_000 {
        served.engine.happens("ps", &format!("event {number}"));
    }
    for number in 6..=1_000 {
        assert_eq!(lines.event().await["text"], format!("event {number}"));
    }
    served.engine.happens("ps", "the last");
    served.engine.close();
    assert_eq!(lines.event().await["text"], "the last");
    assert_eq!(lines.next("{").await, None);
}
