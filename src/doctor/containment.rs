//! How surely whole process trees are ended, and who keeps the bounds that the registry sets.

use super::{Finding, Scene, Sheet};
use crate::{
    process::{self, Prospects},
    registry::Limits,
    runtime,
    wire::ContainmentLevel,
};

/// A bound with its controller and the element of the registry.
type Bound = (&'static str, &'static str, fn(&Limits) -> bool);

const BOUNDS: [Bound; 3] = [
    ("cpu", "limits/cpu", |limits| limits.cpu.is_some()),
    ("memory", "limits/memoryMax", |limits| limits.memory_max.is_some()),
    ("pids", "limits/processes", |limits| limits.processes.is_some()),
];

pub(super) fn check(scene: &Scene, sheet: &Sheet) {
    let pid = scene.pid().unwrap_or_else(std::process::id);
    let prospects = process::prospects(pid, &runtime::tree_name(&scene.temp));
    sheet.add(level(scene, &prospects));
    controllers(scene, &prospects, sheet);
}

fn level(scene: &Scene, prospects: &Prospects) -> Finding {
    const WHY: &str = "trees are held by sessions and marks: a daemon that hides from both, and \
        clears its environment, could outlive its component";
    const ADVICE: &str = "run it by systemd with Delegate=yes, or in a cgroup v2 that its user may \
        change";
    let running = scene.status().map(|status| status.supervisor.containment);
    match (running, &prospects.folder) {
        (Some(ContainmentLevel::Cgroup), Ok(folder)) => Finding::ok(
            "level",
            format!("one cgroup for each component, below {}", folder.display()),
        ),
        (Some(ContainmentLevel::Cgroup | ContainmentLevel::JobObject), _) => {
            Finding::ok("level", "one cgroup for each component: nothing escapes")
        }
        (Some(ContainmentLevel::Subreaper), Ok(_)) => Finding::warning(
            "level",
            "the Supervisor runs without cgroups, although there could be some",
        )
        .why(WHY)
        .advice("was it told to (S7_CONTAINMENT)? Its trace log says why, at its start"),
        (Some(ContainmentLevel::Subreaper), Err(reason)) => {
            Finding::warning("level", format!("no cgroups: {reason}")).why(WHY).advice(ADVICE)
        }
        (None, Ok(folder)) => Finding::ok(
            "level",
            format!("started from here, one cgroup for each component in {}", folder.display()),
        ),
        (None, Err(reason)) => {
            Finding::warning("level", format!("started from here, no cgroups: {reason}"))
                .why(WHY)
                .advice(ADVICE)
        }
    }
}

fn controllers(scene: &Scene, prospects: &Prospects, sheet: &Sheet) {
    for (controller, element, is_set) in BOUNDS {
        let asking: Vec<&str> = scene
            .components()
            .iter()
            .filter(|component| is_set(&component.limits))
            .map(|component| component.id.as_str())
            .collect();
        if asking.is_empty() {
            continue;
        }
        let missing = prospects.missing.iter().find(|(name, _)| *name == controller);
        let without = scene
            .status()
            .is_some_and(|status| status.supervisor.containment == ContainmentLevel::Subreaper);
        let who = asking.join(", ");
        match missing {
            None if !without => {
                sheet.add(Finding::ok("controllers", format!("{element} is kept ({who})")));
            }
            missing => {
                let reason = missing.map_or("the Supervisor runs without cgroups", |(_, why)| why);
                sheet.add(
                    Finding::warning("controllers", format!("{element} is not kept: {reason}"))
                        .why(format!("{who}: runs without that bound"))
                        .advice(
                            "Delegate=yes in the unit; cgroup v2 alone, without v1 controllers",
                        ),
                );
            }
        }
    }
}
