//! Rounds of checks of one run: readiness until it passes, then health for as long as the run is
//! watched. A check never starts before the one before it has ended.

use std::sync::Arc;

use tokio::{
    sync::SetOnce,
    time::{Instant, sleep, sleep_until},
};

use crate::registry::{Check, Probe};

use super::{
    Finding, Judge, Lines, ProbeKind, Reporter, Spread, Verdict,
    check::{self, Answer, Outcome},
    text,
};

/// What a run's rounds do about one of the two checks.
pub(super) enum Stage {
    /// Nothing: not configured, or taken over as ready.
    Skip,
    /// Ask again and again.
    Ask(Probe),
    /// Wait for output.
    Listen(Probe, Lines),
    /// The notify listener does it.
    Elsewhere,
}

/// The task of one run.
pub(super) async fn rounds(
    mut reporter: Reporter,
    ready: Stage,
    health: Stage,
    latch: Option<Arc<SetOnce<()>>>,
) {
    match ready {
        Stage::Skip => {}
        Stage::Ask(probe) => ask(&mut reporter, ProbeKind::Ready, &probe).await,
        Stage::Listen(probe, lines) => await_line(&mut reporter, &probe, lines).await,
        Stage::Elsewhere => match &latch {
            Some(latch) => {
                latch.wait().await;
            }
            None => {
                let detail = "not ready: it has no notify socket".to_owned();
                reporter.tell(ProbeKind::Ready, Finding::Failed { detail }).await;
                return;
            }
        },
    }
    if let Some(latch) = latch {
        // Set already where the listener itself learnt of it.
        let _ = latch.set(());
    }
    match health {
        Stage::Skip | Stage::Elsewhere => {}
        Stage::Ask(probe) => ask(&mut reporter, ProbeKind::Health, &probe).await,
        Stage::Listen(probe, lines) => await_heartbeat(&mut reporter, &probe, lines).await,
    }
}

/// Asks at the probe's interval: until it has passed for readiness, for ever for health.
async fn ask(reporter: &mut Reporter, kind: ProbeKind, probe: &Probe) {
    let mut judge = Judge::new(probe, Reporter::STARTED);
    let mut spread = Spread::new(reporter.shared.services.seed, &reporter.id, kind);
    let mut last: Option<Answer> = None;
    sleep(spread.first(kind, probe.interval)).await;
    loop {
        // In a box, so that an idle probe does not hold the room that a check needs.
        let asking = Box::pin(check::ask(&reporter.shared, reporter.run, &reporter.id, probe));
        let (answer, took) = asking.await;
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
        sleep(spread.next(probe.interval)).await;
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

/// Readiness by output: the first line that matches, within the probe's time-out.
async fn await_line(reporter: &mut Reporter, probe: &Probe, mut lines: Lines) {
    let Check::Log { pattern } = &probe.check else { return };
    let whole_wait = probe.start_period.saturating_add(probe.timeout);
    let deadline = reporter.instant(Reporter::STARTED.after(whole_wait));
    let mut in_time = true;
    let line = loop {
        tokio::select! {
            biased;
            line = lines.recv() => match line {
                Some(line) => break line,
                // Nobody reads the output any more: all that is left is to tell at the deadline.
                None if in_time => sleep_until(deadline).await,
                None => return std::future::pending().await,
            },
            () = sleep_until(deadline), if in_time => {}
        }
        if in_time && Instant::now() >= deadline {
            in_time = false;
            let waited = text::seconds(whole_wait);
            let detail = format!("not ready: no output line matched \"{pattern}\" within {waited}");
            let detail = text::clip(&detail);
            reporter.tell(ProbeKind::Ready, Finding::Failed { detail }).await;
        }
    };
    let detail = text::clip(&format!("ready: it wrote \"{}\"", text::one_line(&line)));
    reporter.tell(ProbeKind::Ready, Finding::Passed { detail }).await;
}

/// Health by output: at least one line that matches in each interval.
async fn await_heartbeat(reporter: &mut Reporter, probe: &Probe, mut lines: Lines) {
    let Check::Log { pattern } = &probe.check else { return };
    let mut judge = Judge::new(probe, Reporter::STARTED);
    let mut last = None;
    loop {
        sleep(probe.interval).await;
        let mut ok = false;
        while lines.try_recv().is_ok() {
            ok = true;
        }
        let interval = text::seconds(probe.interval);
        let count = if ok { "a line" } else { "no line" };
        let detail = text::clip(&format!("{count} matched \"{pattern}\" within {interval}"));
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
    }
}
