//! The Supervisor that runs: whether it answers, what it complains of, how its components are.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Finding, Scene, Sheet,
    engine::{Answers, Engine},
    proc,
};
use crate::wire::{ComponentState, ComponentStatus, Health};

/// An engine that is well answers within milliseconds.
const SLOW: Duration = Duration::from_secs(1);

pub(super) fn check(scene: &Scene, sheet: &Sheet) {
    match &scene.engine {
        Engine::Absent => sheet.add(
            Finding::note("running", "no Supervisor runs for this registry")
                .advice(scene.command("start")),
        ),
        Engine::Forbidden { pid, why } => {
            let who = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            sheet.add(
                Finding::warning("running", format!("the Supervisor{who} may not be asked: {why}"))
                    .why("what it knows is missing here")
                    .advice("look again as its user or as root"),
            );
        }
        Engine::Silent { pid, why } => sheet.add(silent(*pid, why)),
        Engine::Answers(answers) => {
            answer(answers, sheet);
            version(scene, answers, sheet);
            guardian(answers, sheet);
            registry(scene, answers, sheet);
            components(scene, answers, sheet);
            losses(answers, sheet);
            errors(scene, answers, sheet);
        }
    }
}

fn silent(pid: Option<u32>, why: &str) -> Finding {
    let who = match pid {
        Some(pid) => format!("the Supervisor lives ({})", proc::described(pid)),
        None => "the Supervisor".to_owned(),
    };
    let finding = Finding::problem("running", format!("{who} but does not answer: {why}"))
        .why("nothing can be asked of it; its components go on, but may not be restarted");
    match pid {
        Some(pid) => finding.advice(format!(
            "see what it waits for: cat /proc/{pid}/wchan; ended by kill -9 {pid}, the next start \
             takes its components over"
        )),
        None => finding,
    }
}

fn answer(answers: &Answers, sheet: &Sheet) {
    let own = &answers.status.supervisor;
    let took = answers.took.as_secs_f64() * 1e3;
    let seen = format!("pid {}, version {}, answered within {took:.0} ms", own.pid, own.version);
    if answers.took > SLOW {
        sheet.add(
            Finding::warning("running", seen)
                .why("it should answer within milliseconds: the machine is short of CPU or memory")
                .advice("look at the load: uptime; cat /proc/pressure/cpu /proc/pressure/memory"),
        );
    } else {
        sheet.add(Finding::ok("running", seen));
    }
    if own.shutting_down {
        sheet.add(Finding::note("running", "it is shutting down"));
    }
}

fn version(scene: &Scene, answers: &Answers, sheet: &Sheet) {
    let (theirs, ours) = (&answers.status.supervisor.version, env!("CARGO_PKG_VERSION"));
    if theirs != ours {
        sheet.add(
            Finding::warning(
                "version",
                format!("the Supervisor is of version {theirs}, this command of {ours}"),
            )
            .why("the older of the two does not know all that the other says")
            .advice(scene.command("upgrade")),
        );
    }
}

/// Who starts the engine again should it die.
fn guardian(answers: &Answers, sheet: &Sheet) {
    const WHY: &str = "should the Supervisor be killed, nobody starts it again at once: components \
        that end then stay down until the next start";
    sheet.add(match answers.status.supervisor.guardian_pid {
        Some(pid) if proc::lives(pid) => Finding::ok("guardian", format!("pid {pid}")),
        Some(pid) => Finding::warning("guardian", format!("its guardian (pid {pid}) is gone"))
            .why(WHY)
            .advice("a restart of the Supervisor brings a new one"),
        None => Finding::note("guardian", "it runs without one").why(WHY),
    });
}

/// Whether the registry was edited since it was read.
fn registry(scene: &Scene, answers: &Answers, sheet: &Sheet) {
    /// The clock of a file system may lag behind by a tick, and events are told a little later.
    const SLACK: i64 = 2;
    let file = &scene.subject.registry_file;
    sheet.look_at(file);
    let edited = std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    let edited = edited.and_then(|time| Timestamp::try_from(time).ok());
    let started = Timestamp::now() - jiff::Span::new().milliseconds(milliseconds(answers));
    let reloaded = answers.reloaded.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
    let read = reloaded.filter(|at| *at > started).unwrap_or(started);
    let Some(edited) = edited else { return };
    if edited.as_second() > read.as_second() + SLACK {
        sheet.add(
            Finding::note("registry", format!("{} was edited since it was read", file.display()))
                .why("what runs is as it was before")
                .advice(format!("{} shows what would change", scene.command("reload --dry-run"))),
        );
    } else {
        sheet.add(Finding::ok("registry", "it was not edited since it was read"));
    }
}

fn milliseconds(answers: &Answers) -> i64 {
    let uptime = Duration::try_from_secs_f64(answers.status.supervisor.uptime_s.max(0.0));
    i64::try_from(uptime.unwrap_or_default().as_millis()).unwrap_or(0)
}

fn components(scene: &Scene, answers: &Answers, sheet: &Sheet) {
    let all = &answers.status.components;
    let running = all.iter().filter(|component| component.state == ComponentState::Running).count();
    sheet.add(Finding::ok("components", format!("{running} of {} run", all.len())));
    for component in all {
        if let Some(finding) = component_finding(scene, component) {
            sheet.add(finding.of(&component.id));
        }
    }
}

fn component_finding(scene: &Scene, component: &ComponentStatus) -> Option<Finding> {
    let id = &component.id;
    let reason = component.reason.as_deref();
    let because = |text: &str| match reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text.to_owned(),
    };
    let explain = || scene.command(&format!("explain {id}"));
    let finding = match component.state {
        ComponentState::Failed => {
            Finding::problem("components", because("failed")).why("it is not tried again by itself")
        }
        ComponentState::Unkillable => Finding::problem("components", because("unkillable")).why(
            "it was killed and is still there: it hangs in the kernel, and is not started anew",
        ),
        ComponentState::Backoff => Finding::warning("components", because("in back-off"))
            .why("it ends again and again; when its budget is spent it fails for good"),
        _ if component.health == Health::Failing => {
            let detail = component.health_detail.as_deref().unwrap_or("its check fails");
            Finding::warning("components", format!("unhealthy: {detail}"))
        }
        _ => {
            let hold = component.hold.as_ref()?;
            let until = hold.until.as_deref().map(|until| format!(" until {until}"));
            let reason = hold.reason.as_deref().map(|reason| format!(": {reason}"));
            let seen = format!(
                "held by {}{}{}",
                hold.by,
                until.unwrap_or_default(),
                reason.unwrap_or_default()
            );
            return Some(
                Finding::note("components", seen)
                    .why("nothing starts or restarts it")
                    .advice(scene.command(&format!("release {id}"))),
            );
        }
    };
    Some(finding.advice(explain()))
}

/// Output that could not be stored.
fn losses(answers: &Answers, sheet: &Sheet) {
    let Some(metrics) = &answers.metrics else { return };
    let lost = lost_bytes(metrics);
    for (component, bytes) in &lost {
        let finding = Finding::warning(
            "output_lost",
            format!("{bytes} bytes of output could not be stored since the Supervisor started"),
        )
        .why("its log has holes; a full or broken disk, mostly")
        .advice("see the storage checks here, and the trace log");
        // Without a name it is the Supervisor's own log.
        sheet.add(if component.is_empty() { finding } else { finding.of(component) });
    }
    if lost.is_empty() {
        sheet.add(Finding::ok("output_lost", "no output was lost"));
    }
}

/// Components with what they lost, from `…{component="ps"} 12`.
fn lost_bytes(metrics: &str) -> Vec<(String, u64)> {
    let lost = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix("s7supervisor_log_lost_bytes_total{component=\"")?;
        let (component, value) = rest.split_once("\"} ")?;
        let bytes = value.trim().parse().ok().filter(|&bytes: &u64| bytes > 0)?;
        Some((component.to_owned(), bytes))
    });
    lost.collect()
}

fn errors(scene: &Scene, answers: &Answers, sheet: &Sheet) {
    let Some(last) = answers.errors.last() else {
        sheet.add(Finding::ok("trace_errors", "no error in its newest trace log"));
        return;
    };
    let log = scene.registry().map(|registry| crate::logs::file_of_today(&registry.config.log));
    let finding = Finding::warning(
        "trace_errors",
        format!(
            "{} in its trace log, the last at {}: {}",
            count(answers.errors.len()),
            last.at,
            last.text
        ),
    );
    sheet.add(match log {
        Some(log) => finding.advice(format!("grep ERROR {}", log.display())),
        None => finding,
    });
}

fn count(errors: usize) -> String {
    if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_read_from_the_metrics() {
        let metrics = "# TYPE s7supervisor_log_lost_bytes_total counter\n\
            s7supervisor_log_lost_bytes_total{component=\"\"} 0\n\
            s7supervisor_log_lost_bytes_total{component=\"ps\"} 4096\n";
        assert_eq!(lost_bytes(metrics), [("ps".to_owned(), 4096)]);
    }
}
