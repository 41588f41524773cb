//! The stream of updates: what the console is told, when the next attempt comes, what it asks for.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::stand_in::{Console, Host, attached, snapshot};
use crate::{
    console::feed::{Ask, Link},
    wire::{ProblemCode, Update},
};

async fn lost(console: &mut Console) -> (String, Duration) {
    match console.link().await {
        Link::Lost { why, retry_in } => (why, retry_in),
        other => panic!("not lost: {other:?}"),
    }
}

/// Fails the next attempt; says how long it was waited for.
async fn fail(console: &mut Console, host: &mut Host) -> (Duration, Duration) {
    let begin = Instant::now();
    host.asked().await.problem(ProblemCode::ShuttingDown, "it is shutting down");
    let waited = begin.elapsed();
    assert_eq!(console.link().await, Link::Connecting);
    (waited, lost(console).await.1)
}

#[tokio::test(start_paused = true)]
async fn a_lost_host_is_tried_for_ever_from_half_a_second_to_five_apart() {
    let (mut console, [mut host]) = attached();
    let (_at_once, mut told) = fail(&mut console, &mut host).await;
    for attempt in 0..40 {
        let (waited, next) = fail(&mut console, &mut host).await;
        let late = waited.abs_diff(told);
        assert!(late < Duration::from_millis(50), "told {told:?}, waited {waited:?}");
        let least = if attempt < 4 { 0.49 } else { 2.99 };
        assert!((least..=5.0).contains(&waited.as_secs_f64()), "{attempt}: {waited:?}");
        told = next;
    }
    host.live(&mut console, 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_operator_need_not_wait_for_the_next_attempt() {
    let (mut console, [mut host]) = attached();
    for _ in 0..5 {
        fail(&mut console, &mut host).await;
    }
    console.ask(0, Ask::Reconnect);
    let (waited, _) = fail(&mut console, &mut host).await;
    assert!(waited < Duration::from_millis(10), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_well_is_tried_soon_after_it_broke() {
    let (mut console, [mut host]) = attached();
    for _ in 0..9 {
        fail(&mut console, &mut host).await;
    }
    let stream = host.live(&mut console, 1).await;
    sleep(Duration::from_secs(6)).await;
    stream.break_off();
    let (why, retry_in) = lost(&mut console).await;
    assert!(why.contains("broke"), "{why}");
    assert!(retry_in <= Duration::from_millis(800), "{retry_in:?}");
    // One that breaks at once, each time, is not.
    for _ in 0..9 {
        let stream = host.live(&mut console, 1).await;
        stream.break_off();
        lost(&mut console).await;
    }
    host.live(&mut console, 1).await.break_off();
    assert!(lost(&mut console).await.1 >= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_connection_goes_on_where_it_broke() {
    let (mut console, [mut host]) = attached();
    let stream = host.live(&mut console, 100).await;
    stream.sample(101);
    assert_eq!(console.update().await.seq, 101);
    stream.break_off();
    lost(&mut console).await;
    let asked = host.asked().await;
    assert_eq!(asked.header("last-event-id"), Some("101"));
    let stream = asked.stream_updates();
    stream.sample(102);
    for link in [Link::Connecting, Link::Live, Link::Resumed] {
        assert_eq!(console.link().await, link);
    }
    assert_eq!(console.update().await.seq, 102);
    stream.sample(103);
    assert_eq!(console.update().await.seq, 103);
}

#[tokio::test(start_paused = true)]
async fn another_process_begins_with_a_snapshot() {
    let (mut console, [mut host]) = attached();
    host.live(&mut console, 100).await.break_off();
    lost(&mut console).await;
    let asked = host.asked().await;
    assert_eq!(asked.header("last-event-id"), Some("100"));
    let stream = asked.stream_updates();
    stream.update(5000, snapshot());
    stream.sample(5001);
    assert_eq!(console.link().await, Link::Connecting);
    assert_eq!(console.link().await, Link::Live);
    assert_eq!(console.update().await.seq, 5000);
    assert_eq!(console.update().await.seq, 5001);
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_told_and_the_snapshot_after_it_goes_on() {
    let (mut console, [mut host]) = attached();
    let stream = host.live(&mut console, 100).await;
    stream.update(150, Update::Gap { missed: 50 });
    stream.update(150, snapshot());
    stream.sample(151);
    assert!(matches!(console.update().await.update, Update::Gap { missed: 50 }));
    assert!(matches!(console.update().await.update, Update::Snapshot(_)));
    assert_eq!(console.update().await.seq, 151);
}

#[tokio::test(start_paused = true)]
async fn a_hole_that_nobody_told_of_never_reaches_the_screen() {
    let (mut console, [mut host]) = attached();
    let stream = host.live(&mut console, 100).await;
    stream.sample(102);
    let (why, _) = lost(&mut console).await;
    assert!(why.contains("missing"), "{why}");
    let asked = host.asked().await;
    assert_eq!(asked.header("last-event-id"), None, "everything is asked for anew");
    // Nor does what comes before any snapshot.
    let stream = asked.stream_updates();
    stream.sample(103);
    assert_eq!(console.link().await, Link::Connecting);
    assert_eq!(console.link().await, Link::Live);
    lost(&mut console).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_lost_and_one_that_gives_signs_of_life_is_not() {
    let (mut console, [mut host]) = attached();
    let stream = host.live(&mut console, 1).await;
    for _ in 0..20 {
        sleep(Duration::from_secs(15)).await;
        stream.send(": alive\n\n");
    }
    assert!(console.quiet(Duration::ZERO).await);
    let begin = Instant::now();
    let (why, _) = lost(&mut console).await;
    assert_eq!(begin.elapsed().as_secs(), 40);
    assert!(why.contains("sign of life within 40 s"), "{why}");
    stream.closed().await;
}

#[tokio::test(start_paused = true)]
async fn another_version_is_named_when_it_is_not_understood() {
    let (mut console, [mut host]) = attached();
    let stream = host.asked().await.stream("text/event-stream", "s7supervisor/9.9.9");
    // What is new is passed over as long as the rest is understood.
    stream.send("event: novelty\ndata: {\"type\":\"novelty\"}\n\n");
    stream.update(7, snapshot());
    assert_eq!(console.link().await, Link::Connecting);
    assert_eq!(console.link().await, Link::Live);
    assert_eq!(console.update().await.seq, 7);
    stream.send("event: sample\ndata: {\"type\":\"sample\",\"seq\":\"eight\"}\n\n");
    let ours = env!("CARGO_PKG_VERSION").to_owned();
    let mismatch = Link::VersionMismatch { ours, theirs: "9.9.9".to_owned() };
    assert_eq!(console.link().await, mismatch);
    // It may be replaced by ours at any time.
    host.asked().await.problem(ProblemCode::UnknownPath, "there is no /v1/updates");
    assert_eq!(console.link().await, Link::Connecting);
    assert!(matches!(console.link().await, Link::Lost { .. }), "ours now, and not ready yet");
    host.live(&mut console, 1).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_keeps_trying_but_seldom() {
    let (mut console, [mut host]) = attached();
    for _ in 0..3 {
        host.asked().await.problem(ProblemCode::Unauthorized, "no such token");
        assert_eq!(console.link().await, Link::Connecting);
        let why = "not permitted: no such token".to_owned();
        assert_eq!(console.link().await, Link::Refused { why });
        assert!(host.quiet(Duration::from_secs(17)).await);
    }
    console.ask(0, Ask::Reconnect);
    host.live(&mut console, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_hangs_disturbs_no_other() {
    let (mut console, [mut dead, mut well]) = attached();
    let _never_answered = dead.asked().await;
    let stream = well.asked().await.stream_updates();
    let begin = Instant::now();
    stream.update(1, snapshot());
    let mut seen = 0;
    while seen < 100 {
        let incoming = console.next().await;
        if matches!(incoming.news, crate::console::feed::News::Update(_)) {
            assert_eq!(incoming.host, 1);
            seen += 1;
            stream.sample(1 + seen);
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(1));
}
