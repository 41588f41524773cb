//! One tree process by process, for those who look at it.

use std::{collections::HashMap, fs};

use super::{Meter, from_ticks, moment_of_start};
use crate::{
    model::Moment,
    process::stat::Stat,
    sampler::{Inspected, ProcessUsage},
};

/// A command line beyond this is cut.
const LONGEST_COMMAND: usize = 4096;

impl Meter {
    /// Every living process: the leader first, children after their parents, each parent's by
    /// age. CPU is counted since the look that left `seen`.
    pub(crate) fn inspect(&mut self, now: Moment, seen: &mut Inspected) -> Vec<ProcessUsage> {
        self.read(now);
        let stats = self.processes.keys().filter_map(|&pid| {
            let stat = Stat::of(pid).ok().flatten().filter(|stat| !stat.is_dead())?;
            Some((pid, stat))
        });
        let stats: HashMap<i32, Stat> = stats.collect();
        let mut before = std::mem::take(&mut seen.processes);
        let usages = in_order(&stats).into_iter().map(|pid| {
            let stat = &stats[&pid];
            let key = (pid, stat.start_time);
            let cpu_time = from_ticks(stat.ticks);
            let last = before.remove(&key);
            let (since, used_before) = last
                .unwrap_or_else(|| (moment_of_start(stat.start_time), std::time::Duration::ZERO));
            let elapsed = now.since(since).as_secs_f64();
            let used = cpu_time.saturating_sub(used_before).as_secs_f64();
            seen.processes.insert(key, (now, cpu_time));
            ProcessUsage {
                pid,
                parent: stat.ppid,
                command: command_of(pid),
                cpu_percent: (elapsed > 0.0).then(|| 100.0 * used / elapsed),
                memory_bytes: stat.resident_pages * rustix::param::page_size() as u64,
                threads: stat.threads,
                open_files: open_files(pid),
            }
        });
        usages.collect()
    }
}

/// Parents before their children; those whose parent is not of the tree are roots, the oldest
/// of them first.
fn in_order(stats: &HashMap<i32, Stat>) -> Vec<i32> {
    let mut children: HashMap<Option<i32>, Vec<i32>> = HashMap::new();
    for (&pid, stat) in stats {
        let parent = Some(stat.ppid).filter(|parent| stats.contains_key(parent) && *parent != pid);
        children.entry(parent).or_default().push(pid);
    }
    for siblings in children.values_mut() {
        // The youngest first: they are taken from the end.
        siblings.sort_by_key(|pid| std::cmp::Reverse((stats[pid].start_time, *pid)));
    }
    let mut order = Vec::with_capacity(stats.len());
    let mut next = children.remove(&None).unwrap_or_default();
    while let Some(pid) = next.pop() {
        order.push(pid);
        next.extend(children.remove(&Some(pid)).unwrap_or_default());
    }
    order
}

/// Its arguments; of one that has none (it is just executing, or has overwritten them) its name.
fn command_of(pid: i32) -> Vec<String> {
    let mut line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.truncate(LONGEST_COMMAND);
    let words =
        line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut words: Vec<String> = words.collect();
    while words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    if words.is_empty() {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        words.push(format!("[{}]", name.trim_end()));
    }
    words
}

/// Open descriptors; none where we may not look (another user's).
pub(crate) fn open_files(pid: i32) -> Option<u32> {
    let folder = format!("/proc/{pid}/fd");
    // Newer kernels tell the number as the folder's size.
    match fs::metadata(&folder).ok()?.len() {
        0 => u32::try_from(fs::read_dir(folder).ok()?.count()).ok(),
        count => u32::try_from(count).ok(),
    }
}
