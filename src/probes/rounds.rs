//! Rounds of checks of one run: readiness until it passes, then health for as long as the run is
//! watched. A check never starts before the one before it has ended.

use std::sync::Arc;

use regex::bytes::Regex;
use tokio::{
    sync::{SetOnce, mpsc},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::registry::Probe;

use super::{
    Finding, Judge, ProbeKind, Reporter, Since, Spread, Verdict,
    check::{self, Answer, Outcome},
    text,
};

/// What a run's rounds do about one of the two checks.
pub(super) enum Stage {
    /// Nothing: not configured, or taken over as ready.
    Skip,
    /// Ask again and again.
    Ask(Box<Probe>),
    /// Wait for output.
    Listen(Box<Probe>, Regex),
    /// The notify listener does it.
    Elsewhere,
}

/// The task of one run.
pub(super) async fn rounds(
    mut reporter: Reporter,
    [ready, health]: [Stage; 2],
    mut lines: Option<mpsc::Receiver<Vec<u8>>>,
    latch: Option<Arc<SetOnce<()>>>,
) {
    match ready {
        Stage::Skip => {}
        Stage::Ask(probe) => ask(&mut reporter, ProbeKind::Ready, &probe).await,
        Stage::Listen(probe, pattern) => {
            if let Some(lines) = &mut lines {
                Box::pin(await_line(&mut reporter, &probe, &pattern, lines)).await;
            }
        }
        Stage::Elsewhere => {
            let Some(latch) = &latch else {
                let detail = "not ready: it has no notify socket".to_owned();
                return reporter.tell(ProbeKind::Ready, Finding::Failed { detail }).await;
            };
            latch.wait().await;
        }
    }
    if let Some(latch) = latch {
        // Set already where the listener itself learnt of it.
        let _ = latch.set(());
    }
    match health {
        Stage::Skip | Stage::Elsewhere => {}
        Stage::Ask(probe) => ask(&mut reporter, ProbeKind::Health, &probe).await,
        Stage::Listen(probe, pattern) => {
            if let Some(lines) = &mut lines {
                Box::pin(await_heartbeat(&mut reporter, &probe, &pattern, lines)).await;
            }
        }
    }
}

/// Asks at the probe's interval: until it has passed for readiness, for ever for health.
async fn ask(reporter: &mut Reporter, kind: ProbeKind, probe: &Probe) {
    let mut judge = Judge::new(probe, Reporter::STARTED);
    let mut spread = Spread::new(reporter.shared.services.seed, &reporter.id, kind);
    let mut last: Option<Answer> = None;
    let expected = check::Expected::of(&probe.check);
    sleep(spread.first(kind, probe.interval)).await;
    loop {
        // In a box, so that an idle probe does not hold the room that a check needs.
        let asking =
            Box::pin(check::ask(&reporter.shared, reporter.run, &reporter.id, probe, &expected));
        let (answer, took) = asking.await;
        if answer.outcome != Outcome::NotAsked {
            reporter.took(kind, took);
        }
        let verdict = match answer.outcome {
            Outcome::Good => judge.answer(reporter.now(), true),
            Outcome::Bad => judge.answer(reporter.now(), false),
            Outcome::NotAsked => None,
        };
        let detail = &answer.detail;
        match verdict {
            Some(Verdict::Passed) => {
                let finding = Finding::Passed { detail: detail.clone() };
                reporter.tell(kind, finding).await;
                if kind == ProbeKind::Ready {
                    return;
                }
            }
            Some(Verdict::Failed { failures }) => {
                let took = text::seconds(took);
                let finding = failed(kind, detail, failures, &format!(", the last after {took}"));
                reporter.tell(kind, finding).await;
            }
            None if last.as_ref() != Some(&answer) => {
                let ok = answer.outcome == Outcome::Good;
                reporter.tell(kind, Finding::Answer { ok, detail: detail.clone() }).await;
            }
            None => {}
        }
        last = Some(answer);
        sleep(spread.next(probe.interval, probe.jitter)).await;
    }
}

/// `not ready: ANSWER (30 failures in a row, the last after 0.01 s)`.
fn failed(kind: ProbeKind, answer: &str, failures: u32, more: &str) -> Finding {
    let what = match kind {
        ProbeKind::Ready => "not ready",
        ProbeKind::Health => "unhealthy",
    };
    let count = match failures {
        1 => "1 failure".to_owned(),
        n => format!("{n} failures in a row"),
    };
    // The answer gives way where it is long: the count is what made the verdict.
    let answer = text::shortened(answer, text::LONGEST - 60);
    Finding::Failed { detail: format!("{what}: {answer} ({count}{more})") }
}

type Lines = mpsc::Receiver<Vec<u8>>;

/// Readiness by output: the first line that matches, within the probe's time-out.
async fn await_line(reporter: &mut Reporter, probe: &Probe, pattern: &Regex, lines: &mut Lines) {
    let whole_wait = probe.start_period.saturating_add(probe.timeout);
    let deadline = reporter.instant(Reporter::STARTED.after(whole_wait));
    let line = if let Ok(line) = timeout_at(deadline, next(lines)).await {
        line
    } else {
        let waited = text::seconds(whole_wait);
        let detail = format!("not ready: no output line matched \"{pattern}\" within {waited}");
        let detail = text::clip(&detail);
        reporter.tell(ProbeKind::Ready, Finding::Failed { detail }).await;
        next(lines).await
    };
    let detail = text::clip(&format!("ready: it wrote \"{}\"", text::one_line(&line)));
    reporter.tell(ProbeKind::Ready, Finding::Passed { detail }).await;
}

/// Health by output: at least one line that matches in each interval.
async fn await_heartbeat(
    reporter: &mut Reporter,
    probe: &Probe,
    pattern: &Regex,
    lines: &mut Lines,
) {
    let mut judge = Judge::new(probe, Reporter::STARTED);
    let mut last = None;
    let interval = text::seconds(probe.interval);
    loop {
        let end = Instant::now() + probe.interval;
        let source = &reporter.shared.services.lines;
        source.watch_lines(&reporter.id, reporter.run, pattern.clone(), Since::Now);
        let ok = timeout_at(end, next(lines)).await.is_ok();
        let said = if ok { "a line" } else { "no line" };
        let detail = text::clip(&format!("{said} matched \"{pattern}\" within {interval}"));
        let finding = match judge.answer(reporter.now(), ok) {
            Some(Verdict::Passed) => Some(Finding::Passed { detail }),
            Some(Verdict::Failed { failures }) => {
                Some(failed(ProbeKind::Health, &detail, failures, ""))
            }
            None if last != Some(ok) => Some(Finding::Answer { ok, detail }),
            None => None,
        };
        last = Some(ok);
        if let Some(finding) = finding {
            reporter.tell(ProbeKind::Health, finding).await;
        }
        sleep_until(end).await;
    }
}

/// The next line; never, when nobody can send one any more.
async fn next(lines: &mut Lines) -> Vec<u8> {
    match lines.recv().await {
        Some(line) => line,
        None => std::future::pending().await,
    }
}
