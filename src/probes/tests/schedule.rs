//! When checks are made and what their answers lead to, in virtual time.

use std::{sync::atomic::Ordering, time::Duration};

use ProbeKind::{Health, Ready};
use tokio::time::Instant;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn health_is_asked_for_once_the_run_is_ready() {
    let mut lab = Lab::new();
    lab.script(&[(0, 1, "starting"), (0, 1, "starting"), (0, 0, "pong"), (0, 0, "fine")]);
    let mut ps = component("ps");
    ps.ready = Some(probe(exec()).into());
    ps.health = Some(Probe { interval: 10 * SECOND, ..probe(exec()) }.into());
    lab.start(RUN, &ps);
    assert_eq!(lab.next().await, (Ready, answer(false, "ask -q ended with exit 1: starting")));
    assert_eq!(lab.next().await, (Ready, passed("ask -q ended with exit 0: pong")));
    let ready_at = Instant::now();
    assert_eq!(lab.next().await, (Health, passed("ask -q ended with exit 0: fine")));
    assert!(ready_at.elapsed() < 10 * SECOND);
    // A healthy component is asked every ten seconds and says nothing new.
    assert_eq!(lab.within(100 * SECOND).await, []);
    let asked = lab.commands.started.lock().expect("not poisoned").len();
    assert!((13..=15).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_readiness_says_what_was_answered_and_how_often() {
    let mut lab = Lab::new();
    lab.script(&[(10, 1, "a\nno database\n\n")]);
    let mut ps = component("ps");
    ps.ready = Some(probe(exec()).into());
    lab.start(RUN, &ps);
    assert_eq!(lab.next().await.1, answer(false, "ask -q ended with exit 1: no database"));
    let text = "not ready: ask -q ended with exit 1: no database \
        (3 failures in a row, the last after 0.01 s)";
    assert_eq!(lab.next().await, (Ready, failed(text)));
    assert_eq!(lab.within(20 * SECOND).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_component_that_was_unhealthy_can_recover() {
    let mut lab = Lab::new();
    lab.script(&[(0, 0, ""), (0, 1, ""), (0, 1, ""), (0, 1, ""), (0, 1, ""), (0, 0, "")]);
    let mut ps = component("ps");
    ps.health = Some(probe(exec()).into());
    lab.start(RUN, &ps);
    let found = lab.within(20 * SECOND).await;
    let bad = "ask -q ended with exit 1";
    let unhealthy = "unhealthy: ask -q ended with exit 1 \
        (3 failures in a row, the last after 0 s)";
    let expected = [
        (Health, passed("ask -q ended with exit 0")),
        (Health, answer(false, bad)),
        (Health, failed(unhealthy)),
        (Health, passed("ask -q ended with exit 0")),
    ];
    assert_eq!(found, expected);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_takes_too_long_is_a_failure_and_is_ended() {
    let mut lab = Lab::new();
    lab.script(&[(3_600_000, 0, "too late")]);
    let mut ps = component("ps");
    ps.health = Some(Probe { failures: 1, ..probe(exec()) }.into());
    lab.start(RUN, &ps);
    let text = "unhealthy: ask -q no answer within 2 s (1 failure, the last after 2 s)";
    assert_eq!(lab.next().await, (Health, failed(text)));
    assert_eq!(lab.commands.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_check_never_starts_before_the_one_before_it_has_ended() {
    let mut lab = Lab::new();
    lab.script(&[(5_000, 0, "")]);
    let mut ps = component("ps");
    ps.health = Some(Probe { timeout: 60 * SECOND, ..probe(exec()) }.into());
    lab.start(RUN, &ps);
    lab.within(60 * SECOND).await;
    assert_eq!(lab.commands.most_at_once.load(Ordering::SeqCst), 1);
    let started = lab.commands.started.lock().expect("not poisoned");
    let gaps = started.windows(2).map(|pair| pair[1].1 - pair[0].1);
    // Five seconds of the command and one of the interval.
    assert!(gaps.into_iter().all(|gap| (5.94..6.06).contains(&gap.as_secs_f64())));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_commands_run_at_once_and_waiting_is_not_held_against_them() {
    let mut lab = Lab::new();
    lab.script(&[(1_500, 0, "")]);
    for n in 0..40 {
        let mut worker = component(&format!("worker-{n}"));
        worker.health = Some(probe(exec()).into());
        lab.start(RunId(n), &worker);
    }
    let found = lab.within(30 * SECOND).await;
    assert_eq!(lab.commands.most_at_once.load(Ordering::SeqCst), Probes::COMMANDS_AT_ONCE);
    assert_eq!(found.len(), 40);
    assert!(found.iter().all(|(_, found)| *found == passed("ask -q ended with exit 0")));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_probes_do_not_beat_together() {
    let mut lab = Lab::new();
    lab.script(&[(0, 0, "")]);
    let began = Instant::now();
    for n in 0..1000 {
        let mut worker = component(&format!("worker-{n}"));
        worker.health = Some(Probe { interval: 10 * SECOND, ..probe(exec()) }.into());
        lab.start(RunId(n), &worker);
    }
    lab.within(60 * SECOND).await;
    let started = lab.commands.started.lock().expect("not poisoned");
    let mut tenths = [0_usize; 600];
    for (_, at) in started.iter() {
        tenths[usize::try_from((*at - began).as_millis() / 100).expect("small").min(599)] += 1;
    }
    // Ten a tenth of a second on average; by chance alone hardly ever over thirty.
    assert!(tenths.iter().max() < Some(&30), "{tenths:?}");
    assert!((5_900..6_100).contains(&started.len()), "{}", started.len());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_heard_of_a_forgotten_run() {
    let mut lab = Lab::new();
    lab.script(&[(1_000, 1, "")]);
    let mut ps = component("ps");
    ps.health = Some(Probe { failures: 1, ..probe(exec()) }.into());
    lab.start(RUN, &ps);
    while lab.commands.running.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    lab.probes.forget(RUN);
    assert_eq!(lab.within(60 * SECOND).await, []);
    assert_eq!(lab.commands.running.load(Ordering::SeqCst), 0, "its command is ended");
    assert_eq!(lab.commands.started.lock().expect("not poisoned").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_room_ends_its_commands() {
    let mut lab = Lab::new();
    lab.script(&[(3_600_000, 0, "")]);
    let mut ps = component("ps");
    ps.health = Some(Probe { timeout: 7_200 * SECOND, ..probe(exec()) }.into());
    lab.start(RUN, &ps);
    lab.within(5 * SECOND).await;
    assert_eq!(lab.commands.running.load(Ordering::SeqCst), 1);
    drop(lab.probes);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(lab.commands.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_taken_over_as_ready_is_only_asked_for_its_health() {
    let mut lab = Lab::new();
    lab.script(&[(0, 0, "fine")]);
    let mut ps = component("ps");
    ps.ready = Some(probe(Check::Notify).into());
    ps.health = Some(probe(exec()).into());
    lab.probes.prepare(RUN, &ps).expect("it can be prepared");
    let process = Watched { pid: 1, age: 100 * SECOND, ready: true };
    lab.probes.watch(RUN, &ps, process);
    assert_eq!(lab.within(10 * SECOND).await, [(Health, passed("ask -q ended with exit 0: fine"))]);
}

#[tokio::test(start_paused = true)]
async fn the_start_period_counts_from_the_start_of_the_process() {
    let mut lab = Lab::new();
    lab.script(&[(0, 1, "")]);
    let mut ps = component("ps");
    let start_period = 30 * SECOND;
    ps.health = Some(Probe { failures: 1, start_period, ..probe(exec()) }.into());
    lab.probes.prepare(RUN, &ps).expect("it can be prepared");
    let process = Watched { pid: 1, age: 20 * SECOND, ready: false };
    let began = Instant::now();
    lab.probes.watch(RUN, &ps, process);
    assert_eq!(lab.next().await.1, answer(false, "ask -q ended with exit 1"));
    assert!(matches!(lab.next().await.1, Finding::Failed { .. }));
    let after = began.elapsed().as_secs_f64();
    assert!((10.0..11.1).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_line_of_output_makes_ready() {
    let mut lab = Lab::new();
    let mut queue = component("queue");
    queue.ready = Some(probe(Check::Log { pattern: "Ready to accept".to_owned() }).into());
    lab.start(RUN, &queue);
    let watches = lab.lines.watches.lock().expect("not poisoned").clone();
    assert_eq!(watches, [(RUN, "Ready to accept".to_owned(), Since::RunStart)]);
    lab.probes.matched(RunId(6), b"Ready to accept of an older run".to_vec());
    assert_eq!(lab.within(SECOND).await, []);
    lab.probes.matched(RUN, b"1:M * Ready to accept connections".to_vec());
    let text = "ready: it wrote \"1:M * Ready to accept connections\"";
    assert_eq!(lab.within(5 * SECOND).await, [(Ready, passed(text))]);
    lab.probes.forget(RUN);
    assert_eq!(lab.lines.unwatched.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_does_not_come_is_a_failure_of_readiness() {
    let mut lab = Lab::new();
    let mut queue = component("queue");
    queue.ready = Some(probe(Check::Log { pattern: "Ready".to_owned() }).into());
    lab.start(RUN, &queue);
    let began = Instant::now();
    let text = "not ready: no output line matched \"Ready\" within 2 s";
    assert_eq!(lab.next().await, (Ready, failed(text)));
    assert_eq!(began.elapsed().as_secs(), 2);
    lab.probes.matched(RUN, b"Ready at last".to_vec());
    assert_eq!(lab.next().await, (Ready, passed("ready: it wrote \"Ready at last\"")));
}

#[tokio::test(start_paused = true)]
async fn lines_of_output_can_be_a_sign_of_life() {
    let mut lab = Lab::new();
    let mut queue = component("queue");
    queue.health =
        Some(Probe { failures: 2, ..probe(Check::Log { pattern: "tick".to_owned() }) }.into());
    lab.start(RUN, &queue);
    for _ in 0..5 {
        tokio::time::sleep(SECOND).await;
        lab.probes.matched(RUN, b"tick".to_vec());
    }
    let found = lab.within(SECOND).await;
    assert_eq!(found, [(Health, passed("a line matched \"tick\" within 1 s"))]);
    let found = lab.within(10 * SECOND).await;
    let text = "unhealthy: no line matched \"tick\" within 1 s (2 failures in a row)";
    let silent = answer(false, "no line matched \"tick\" within 1 s");
    assert_eq!(found, [(Health, silent), (Health, failed(text))]);
    let watches = lab.lines.watches.lock().expect("not poisoned");
    assert!(watches.iter().all(|(_, _, since)| *since == Since::Now));
}

#[tokio::test(start_paused = true)]
async fn a_component_without_checks_costs_nothing() {
    let mut lab = Lab::new();
    assert_eq!(lab.start(RUN, &component("is")), []);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}
