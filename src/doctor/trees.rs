//! Processes of components, by the mark that each of them carries in its environment.
//!
//! Which processes are marked is asked once: it takes a look at every process of the machine.

use std::{collections::HashMap, sync::OnceLock};

use super::{Scene, proc};
use crate::{process, runtime};

/// A process that some Supervisor of this runtime folder started, or that descends from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marked {
    pub pid: u32,
    /// The number of the run that it belongs to.
    pub run: u64,
}

/// All of them, as far as we may see.
pub(super) fn marked(scene: &Scene) -> &[Marked] {
    scene.marked.get_or_init(|| {
        let prefix = format!("{}:", runtime::tree_name(&scene.temp));
        let find = |pid: u32| {
            let mark = proc::variable(pid, process::MARKER)?;
            let run = mark.strip_prefix(&prefix)?.parse().ok()?;
            // A zombie is no process that does anything.
            let stat = process::stat::Stat::of(pid.cast_signed()).ok()??;
            (!stat.is_dead()).then_some(Marked { pid, run })
        };
        proc::pids().into_iter().filter_map(find).collect()
    })
}

/// The component that a process belongs to, as the running Supervisor counts.
pub(super) fn component_of(scene: &Scene, pid: u32) -> Option<&str> {
    let components = &scene.status()?.components;
    let run = marked(scene).iter().find(|marked| marked.pid == pid).map(|marked| marked.run);
    let of = components.iter().find(|component| {
        let is_leader = component.pid == Some(pid);
        let is_of_run = component.pid.is_some() && run.is_some() && component.run == run;
        is_leader || is_of_run || component.pid.is_some_and(|leader| descends(pid, leader))
    });
    of.map(|component| component.id.as_str())
}

/// Whether `pid` is a child of `leader` over any number of generations, or of its session.
fn descends(pid: u32, leader: u32) -> bool {
    const GENERATIONS: usize = 64;
    let leader = leader.cast_signed();
    let mut next = pid.cast_signed();
    for _ in 0..GENERATIONS {
        if next == leader {
            return true;
        }
        let Ok(Some(stat)) = process::stat::Stat::of(next) else { return false };
        if stat.session == leader {
            return true;
        }
        if stat.ppid <= 1 {
            return false;
        }
        next = stat.ppid;
    }
    false
}

/// For the scene.
pub(super) type Cache = OnceLock<Vec<Marked>>;

/// Marked processes by run.
pub(super) fn by_run(marked: &[Marked]) -> HashMap<u64, Vec<u32>> {
    let mut runs: HashMap<u64, Vec<u32>> = HashMap::new();
    for one in marked {
        runs.entry(one.run).or_default().push(one.pid);
    }
    runs
}
