//! From the supervisor's view, in moments, to the wire's, in times and figures.

use std::collections::HashMap;

use super::clock;
use crate::{
    dossier::Known,
    machine::{Ended, ExitEntry, StopCause},
    model::{self, Moment, RunId},
    sampler::Usage,
    supervisor::{ComponentView, Explain, Hold, OperationView},
    wire::{self, DossierRef, ExitRecord, Explanation, Operation, Progress},
};

/// What the trees used at the last sample.
pub type Usages = HashMap<RunId, Usage>;

pub fn component(view: ComponentView, now: Moment, usages: &Usages) -> wire::ComponentStatus {
    let usage = view.run.filter(|_| view.pid.is_some()).and_then(|run| usages.get(&run));
    wire::ComponentStatus {
        id: view.id.to_string(),
        description: view.description,
        state: view.state,
        health: view.health,
        health_detail: view.health_detail,
        pid: view.pid,
        run: view.run.map(|run| run.0),
        uptime_s: view.started.map(|started| now.since(started).as_secs_f64()),
        cpu_percent: usage.map(|usage| usage.cpu_percent),
        memory_bytes: usage.map(|usage| usage.memory_bytes),
        processes: usage.map_or(u32::from(view.pid.is_some()), |usage| usage.processes),
        restarts: view.restarts,
        restarts_asked: view.restarts_asked,
        last_exit: view.last_exit.map(last_exit),
        intent: view.intent,
        waiting_for: view.waiting_for,
        next_attempt_s: view.next_attempt.map(|at| at.since(now).as_secs_f64()),
        attempt: view.attempt,
        enabled: view.enabled,
        hold: view.hold.map(hold),
        reason: view.reason,
    }
}

pub fn hold(hold: Hold) -> wire::Hold {
    wire::Hold {
        by: hold.by,
        reason: hold.reason,
        since: hold.since,
        until: hold.until.map(|until| until.time),
    }
}

pub fn operation(view: OperationView, now: Moment) -> Operation {
    let components = view.targets.into_iter().map(|target| Progress {
        id: target.id.to_string(),
        outcome: target.outcome,
        state: target.state,
        pid: target.pid,
        detail: target.detail,
    });
    Operation {
        id: view.id.0,
        verb: view.verb,
        origin: view.origin,
        state: view.state,
        age_s: now.since(view.asked).as_secs_f64(),
        components: components.collect(),
    }
}

pub fn explanation(
    explain: Explain,
    now: Moment,
    usages: &Usages,
    last_lines: Vec<String>,
    dossiers: Vec<Known>,
) -> Explanation {
    let next_attempt = explain.view.next_attempt;
    Explanation {
        status: component(explain.view, now, usages),
        summary: explain.summary,
        intent: explain.intent,
        blocker: explain.blocker,
        attempt: explain.attempt,
        max_restarts: explain.max_restarts,
        window_s: explain.window.as_secs_f64(),
        next_attempt_s: next_attempt.map(|at| at.since(now).as_secs_f64()),
        exits: explain.exits.iter().map(exit_record).collect(),
        last_lines,
        advice: explain.advice,
        dossiers: dossiers.into_iter().map(dossier).collect(),
    }
}

fn dossier(known: Known) -> DossierRef {
    DossierRef {
        path: known.path.display().to_string(),
        at: known.at,
        run: known.run.0,
        what: known.what,
    }
}

fn exit_record(entry: &ExitEntry) -> ExitRecord {
    ExitRecord {
        run: entry.run.0,
        lasted_s: entry.exit.lasted.as_secs_f64(),
        cause: match &entry.cause {
            StopCause::Failure(Ended::Exited(_)) => "it ended by itself".to_owned(),
            cause => cause.to_string(),
        },
        exit: last_exit(entry.exit),
    }
}

fn last_exit(exit: model::LastExit) -> wire::LastExit {
    let (code, signal, dumped) = match exit.exit {
        model::Exit::Code(code) => (Some(code), None, false),
        model::Exit::Signal { signal, core } => (None, Some(signal), core),
        model::Exit::Unknown => (None, None, false),
    };
    let at = clock::rfc3339(exit.at);
    wire::LastExit { code, signal, at, core: dumped, oom: exit.oom, expected: exit.expected }
}

/// A line of output without anything that could drive a terminal.
pub fn sanitised(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
