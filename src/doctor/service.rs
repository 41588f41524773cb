//! Whether a service manager starts the Supervisor, and whether its settings get along with ours.

use std::{fs, time::Duration};

use super::{
    Finding, Scene, Sheet,
    units::{self, Unit},
};
use crate::runtime;

/// What systemd gives a stop without a setting.
const USUAL_STOP: Duration = Duration::from_secs(90);
/// For the Supervisor's own end, after its components'.
const OWN_END: Duration = Duration::from_secs(10);

pub(super) fn check(scene: &Scene, sheet: &Sheet) {
    let running = scene.pid().and_then(unit_of).and_then(|name| Unit::named(&name));
    let unit = running.clone().or_else(|| Unit::of_program("s7supervisor"));
    let Some(unit) = unit else {
        let seen = match scene.pid() {
            Some(_) => "no service manager started the Supervisor",
            None => "no unit of systemd starts a Supervisor",
        };
        sheet.add(
            Finding::note("manager", seen)
                .why("after a boot of the machine, or its own end, nobody starts it again"),
        );
        return;
    };
    let shown = format!("{} ({})", unit.name, unit.file.display());
    if scene.pid().is_some() && running.is_none() {
        sheet.add(
            Finding::note("manager", format!("it was started by hand, and there is {shown}")).why(
                "systemd does not know that it runs, and may start a second one that is refused",
            ),
        );
    } else {
        sheet.add(Finding::ok("manager", shown));
    }
    let descriptors = runtime::descriptors_kept(scene.components().iter().map(|one| &**one));
    for finding in judge(&unit, stop_time(scene), bounds(scene), descriptors) {
        sheet.add(finding);
    }
}

/// The longest way through an orderly stop: stages follow each other.
fn stop_time(scene: &Scene) -> Duration {
    let stages = crate::plan::start_stages(scene.components());
    let timeout_of = |id| {
        let mut components = scene.components().iter();
        components.find(|component| component.id == id).map(|component| component.stop.timeout)
    };
    let longest =
        stages.into_iter().filter_map(|stage| stage.into_iter().filter_map(timeout_of).max());
    longest.sum()
}

/// Whether a component asks for what needs delegated controllers.
fn bounds(scene: &Scene) -> bool {
    scene.components().iter().any(|component| {
        let limits = &component.limits;
        limits.cpu.is_some() || limits.memory_max.is_some() || limits.processes.is_some()
    })
}

fn judge(unit: &Unit, stop: Duration, needs_controllers: bool, descriptors: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mend = |line: &str| format!("systemctl edit {}: [Service] {line}", unit.name);
    let kind = unit.get("Type").unwrap_or("simple");
    if kind.starts_with("notify") && unit.get("NotifyAccess") == Some("none") {
        findings.push(
            Finding::problem("notify_access", "NotifyAccess=none with Type=notify")
                .why("systemd never hears that the Supervisor is ready, and ends it")
                .advice(mend("NotifyAccess=main")),
        );
    }
    if kind == "forking" || kind == "oneshot" {
        findings.push(
            Finding::warning("type", format!("Type={kind}"))
                .why("`run` stays in the foreground: systemd waits for an end that does not come")
                .advice(mend("Type=notify-reload")),
        );
    }
    match unit.get("KillMode").unwrap_or("control-group") {
        "control-group" => findings.push(
            Finding::warning("kill_mode", "KillMode=control-group")
                .why(
                    "at a stop systemd signals components itself, out of order; and if the \
                     Supervisor is killed they are ended instead of taken over",
                )
                .advice(mend("KillMode=process")),
        ),
        "mixed" => findings.push(
            Finding::note("kill_mode", "KillMode=mixed")
                .why("if the Supervisor is killed, systemd ends its components, too")
                .advice(mend("KillMode=process")),
        ),
        other => findings.push(Finding::ok("kill_mode", format!("KillMode={other}"))),
    }
    let given = unit.get("TimeoutStopSec").or_else(|| unit.get("TimeoutSec"));
    let limit = match given {
        None => Some(USUAL_STOP),
        Some(text) => units::span(text),
    };
    let needed = stop + OWN_END;
    match limit {
        Some(limit) if limit < needed && !limit.is_zero() => findings.push(
            Finding::warning(
                "stop_timeout",
                format!(
                    "a stop is given {} s, and may take {} s",
                    limit.as_secs(),
                    needed.as_secs()
                ),
            )
            .why("systemd kills the Supervisor before its components had their time")
            .advice(mend(&format!("TimeoutStopSec={}", needed.as_secs()))),
        ),
        _ => findings.push(Finding::ok(
            "stop_timeout",
            format!("a stop may take {} s, and is given that", needed.as_secs()),
        )),
    }
    if needs_controllers && !unit.is_set("Delegate") {
        findings.push(
            Finding::warning("delegate", "no Delegate=")
                .why("limits/cpu, limits/memoryMax and limits/processes cannot be kept")
                .advice(mend("Delegate=yes")),
        );
    }
    findings.push(store(unit, descriptors, &mend));
    findings
}

/// What systemd keeps should guardian and engine both be killed.
fn store(unit: &Unit, needed: usize, mend: &dyn Fn(&str) -> String) -> Finding {
    const NAME: &str = "descriptor_store";
    let room = unit.get("FileDescriptorStoreMax").and_then(|room| room.parse::<usize>().ok());
    let finding = match room.unwrap_or(0) {
        0 => Finding::note(NAME, "no FileDescriptorStoreMax="),
        room if room < needed => Finding::warning(
            NAME,
            format!("FileDescriptorStoreMax={room}, and {needed} descriptors may be kept"),
        ),
        room => return Finding::ok(NAME, format!("FileDescriptorStoreMax={room}")),
    };
    finding
        .why(
            "should both of the Supervisor's processes be killed, exit codes and last words of \
             components that end before systemd starts it again are lost",
        )
        .advice(mend(&format!("FileDescriptorStoreMax={}", needed.next_multiple_of(64))))
}

/// The service that a process is part of.
fn unit_of(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let unit = |line: &str| {
        let path = line.splitn(3, ':').nth(2)?;
        path.split('/').rev().find(|part| part.ends_with(".service")).map(str::to_owned)
    };
    // A login's own manager is a service, too.
    text.lines().find_map(unit).filter(|name| !name.starts_with("user@"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn worse_than_ok(text: &str, needs_controllers: bool) -> Vec<&'static str> {
        let findings = judge(&Unit::of(text), Duration::from_mins(2), needs_controllers, 14);
        let bad = findings.iter().filter(|finding| finding.verdict != Verdict::Ok);
        bad.map(|finding| finding.check).collect()
    }

    #[test]
    fn a_unit_that_gets_along_with_us_is_right() {
        let unit = "[Service]\nType=notify-reload\nKillMode=process\nTimeoutStopSec=3min\n\
            Delegate=yes\nFileDescriptorStoreMax=64\n";
        assert_eq!(worse_than_ok(unit, true), [""; 0]);
        assert_eq!(worse_than_ok(&unit.replace("3min", "infinity"), true), [""; 0]);
    }

    #[test]
    fn what_conflicts_is_told() {
        assert_eq!(
            worse_than_ok("[Service]\n", true),
            ["kill_mode", "stop_timeout", "delegate", "descriptor_store"]
        );
        let unit = "[Service]\nType=notify\nNotifyAccess=none\nKillMode=mixed\nTimeoutStopSec=90\n\
            FileDescriptorStoreMax=13\n";
        assert_eq!(
            worse_than_ok(unit, false),
            ["notify_access", "kill_mode", "stop_timeout", "descriptor_store"]
        );
        let unit = "[Service]\nType=forking\nKillMode=process\nTimeoutStopSec=1h\n\
            FileDescriptorStoreMax=14\n";
        assert_eq!(worse_than_ok(unit, false), ["type"]);
    }
}
