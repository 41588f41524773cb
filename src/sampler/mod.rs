//! CPU and memory of process trees, on demand.
//!
//! Owns the descriptors that it keeps open between two samples, which makes a sample cheap and
//! immune to reused pids. Has no timer: whoever wants figures asks, as often as it likes.

mod os;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use crate::model::{Moment, RunId};

/// Where the processes of a run are to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The leader, its descendants, and those that were seen to be; the start time (in clock
    /// ticks since boot) proves that the pid is still the leader's.
    Leader { pid: i32, start_time: u64 },
    /// Everything in this cgroup and the ones below it.
    Cgroup(PathBuf),
}

/// What a whole tree uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Per cent of one core since the previous sample of that run; at the first one since the
    /// start of its oldest process.
    pub cpu_percent: f64,
    /// User and system time of all its processes so far, the ended ones included as far as they
    /// were seen. Never falls.
    pub cpu_time: Duration,
    /// Resident bytes, shared pages counted in each process that maps them.
    pub memory_bytes: u64,
    pub processes: u32,
    pub threads: u32,
}

/// One process of a tree.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessUsage {
    pub pid: i32,
    pub parent: i32,
    /// Its arguments.
    pub command: Vec<String>,
    /// Per cent of one core since the previous look at that process; at the first one since its
    /// start.
    pub cpu_percent: Option<f64>,
    pub memory_bytes: u64,
    pub threads: u32,
    /// Open descriptors; none where we may not look.
    pub open_files: Option<u32>,
}

/// Takes samples.
#[derive(Debug)]
pub struct Sampler {
    runs: HashMap<RunId, Metered>,
    own: Metered,
    inspected: HashMap<RunId, Inspected>,
    /// Files that may stay open between two samples.
    most_kept: usize,
}

/// What a look at single processes left for the next one.
#[derive(Debug, Default)]
struct Inspected {
    at: Moment,
    /// By pid and start time: when, and the CPU time so far.
    processes: HashMap<(i32, u64), (Moment, Duration)>,
}

/// One tree between two samples.
#[derive(Debug)]
struct Metered {
    meter: os::Meter,
    last: Option<Point>,
}

/// What the next sample is compared with.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: Moment,
    cpu_time: Duration,
    cpu_percent: f64,
}

/// What a meter reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reading {
    cpu_time: Duration,
    memory_bytes: u64,
    processes: u32,
    threads: u32,
    /// Of the oldest process alive.
    started: Moment,
}

impl Sampler {
    pub fn new() -> Self {
        let pid = std::process::id().cast_signed();
        let own = Metered { meter: os::Meter::alone(pid), last: None };
        let most_kept = os::most_kept();
        Self { runs: HashMap::new(), own, inspected: HashMap::new(), most_kept }
    }

    /// One entry for each run of which a process lives. A run that is not asked for is
    /// forgotten.
    pub fn sample(&mut self, trees: &[(RunId, Source)], now: Moment) -> Vec<(RunId, Usage)> {
        let mut orphans = orphans_of(trees);
        let mut kept = HashMap::with_capacity(trees.len());
        let mut usages = Vec::with_capacity(trees.len());
        let mut room = self.most_kept;
        for (run, source) in trees {
            let mut metered = self.metered(*run, source, &mut orphans);
            usages.extend(metered.sample(now).map(|usage| (*run, usage)));
            // Those beyond it cost some microseconds more each time.
            match room.checked_sub(metered.meter.kept()) {
                Some(left) => room = left,
                None => metered.meter.close_files(),
            }
            kept.insert(*run, metered);
        }
        self.runs = kept;
        usages
    }

    /// Every living process of one run: the leader first, children after their parents.
    pub fn inspect(&mut self, run: RunId, source: &Source, now: Moment) -> Vec<ProcessUsage> {
        /// Who looked longer ago begins anew.
        const REMEMBERED: Duration = Duration::from_mins(1);
        let mut orphans = orphans_of(&[(run, source.clone())]);
        let mut metered = self.metered(run, source, &mut orphans);
        self.inspected.retain(|_, seen| now.since(seen.at) < REMEMBERED);
        let seen = self.inspected.entry(run).or_default();
        seen.at = now;
        let usages = metered.meter.inspect(now, seen);
        self.runs.insert(run, metered);
        usages
    }

    /// Closes all files and remembers the figures: for when the next sample is far off.
    pub fn close_files(&mut self) {
        for metered in self.runs.values_mut() {
            metered.meter.close_files();
        }
    }

    /// Open descriptors of the trees as they were at the last sample. Costs about as much as a
    /// sample.
    pub fn open_files(&self) -> Vec<(RunId, u32)> {
        let runs = self.runs.iter().map(|(&run, metered)| {
            let counts = metered.meter.pids().filter_map(os::open_files);
            (run, counts.sum())
        });
        runs.collect()
    }

    /// What is known of a run, taken out.
    fn metered(
        &mut self,
        run: RunId,
        source: &Source,
        orphans: &mut HashMap<RunId, Vec<i32>>,
    ) -> Metered {
        let known = self.runs.remove(&run).filter(|metered| metered.meter.is_of(source));
        let mut metered =
            known.unwrap_or_else(|| Metered { meter: os::Meter::new(source.clone()), last: None });
        if let (Source::Leader { .. }, Some(pids)) = (source, orphans.remove(&run)) {
            metered.meter.include(&pids);
        }
        metered
    }

    /// This process alone.
    pub fn own(&mut self, now: Moment) -> Usage {
        self.own.sample(now).unwrap_or_default()
    }
}

/// Processes that lost their parents, of the runs that no cgroup holds.
fn orphans_of(trees: &[(RunId, Source)]) -> HashMap<RunId, Vec<i32>> {
    let leaders = trees.iter().filter_map(|(_, source)| match source {
        Source::Leader { pid, .. } => Some(*pid),
        Source::Cgroup(_) => None,
    });
    let leaders: HashSet<i32> = leaders.collect();
    if leaders.is_empty() { HashMap::new() } else { os::orphans_by_run(&leaders) }
}

impl Default for Sampler {
    fn default() -> Self {
        Self::new()
    }
}

impl Metered {
    fn sample(&mut self, now: Moment) -> Option<Usage> {
        let reading = self.meter.read(now)?;
        let point = Point::next(self.last, &reading, now);
        self.last = Some(point);
        Some(Usage {
            cpu_percent: point.cpu_percent,
            cpu_time: reading.cpu_time,
            memory_bytes: reading.memory_bytes,
            processes: reading.processes,
            threads: reading.threads,
        })
    }
}

impl Point {
    /// Two samples closer than this differ by less than the kernel's clock ticks can tell.
    const SHORTEST: Duration = Duration::from_millis(50);

    fn next(last: Option<Self>, reading: &Reading, now: Moment) -> Self {
        let (since, before) =
            last.map_or((reading.started, Duration::ZERO), |last| (last.at, last.cpu_time));
        let elapsed = now.since(since);
        match last {
            Some(last) if elapsed < Self::SHORTEST => last,
            _ if elapsed.is_zero() => {
                Self { at: now, cpu_time: reading.cpu_time, cpu_percent: 0.0 }
            }
            _ => {
                let used = reading.cpu_time.saturating_sub(before);
                let cpu_percent = 100.0 * used.as_secs_f64() / elapsed.as_secs_f64();
                Self { at: now, cpu_time: reading.cpu_time, cpu_percent }
            }
        }
    }
}

#[cfg(test)]
mod tests;
