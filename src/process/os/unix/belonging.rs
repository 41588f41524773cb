//! Whether one process is part of another one's tree, by a few small files.

use std::fs;

use super::stat::Stat;

/// Generations that are walked up.
const DEPTH: usize = 64;

/// Whether `pid` descends from `leader`, or shares its session or a cgroup of its own with it.
pub fn belongs_to(pid: u32, leader: u32) -> bool {
    if pid == leader {
        return true;
    }
    let stat_of = |pid: i32| Stat::of(pid).ok().flatten();
    let (pid, leader) = (pid.cast_signed(), leader.cast_signed());
    let Some(stat) = stat_of(pid) else { return false };
    if stat.session == leader {
        return true;
    }
    let mut parent = stat.ppid;
    for _ in 0..DEPTH {
        match parent {
            parent if parent == leader => return true,
            0 | 1 => break,
            _ => {}
        }
        let Some(stat) = stat_of(parent) else { break };
        parent = stat.ppid;
    }
    let cgroup_of = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned))
    };
    // One that the Supervisor shares says nothing.
    let own = cgroup_of(std::process::id().cast_signed());
    let theirs = cgroup_of(leader);
    theirs.is_some() && theirs != own && theirs == cgroup_of(pid)
}
