//! Linux: `/proc/PID/stat`, and `cpu.stat` where there is a cgroup.
//!
//! A kept descriptor of `/proc/PID/stat` belongs to the process, not to the pid: after the
//! process has ended it reads ESRCH, whoever has the pid then.

mod inspect;

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

pub(crate) use inspect::open_files;

use super::super::{Reading, Source};
use crate::{
    model::{Moment, RunId},
    process::{
        children_of, members_below, numbers, own_orphans,
        stat::{Stat, TICKS_PER_SECOND},
    },
};

/// Reads one tree.
#[derive(Debug)]
pub(crate) struct Meter {
    source: Source,
    cgroup: Option<Cgroup>,
    processes: HashMap<i32, Process>,
    /// Ticks of processes that were seen and have ended.
    ended_ticks: u64,
    /// When descendants of processes with many threads, or cgroups below ours, were looked for.
    searched: Option<Moment>,
    with_children: bool,
}

#[derive(Debug)]
struct Process {
    parent: i32,
    start_time: u64,
    ticks: u64,
    files: Option<Files>,
}

/// What is kept open of a process between two samples.
#[derive(Debug)]
struct Files {
    stat: File,
    /// Of its first thread; `None` where the kernel has no such file.
    children: Option<File>,
}

/// Open files of a cgroup.
#[derive(Debug)]
struct Cgroup {
    folder: File,
    procs: File,
    cpu: File,
    has_cgroups_below: bool,
    /// What its processes' own counts were when `cpu` was read, and what that said.
    last: Option<(Vec<i32>, u64, Duration)>,
}

/// How many files may stay open between two samples: an eighth of what this process may have. The
/// rest is for components, whose starts fail where descriptors run out.
pub(crate) fn most_kept() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    usize::try_from(limit.unwrap_or(u64::MAX) / 8).unwrap_or(usize::MAX)
}

/// Finding the children of a process means reading a file for each of its threads.
const SEARCH_INTERVAL: Duration = Duration::from_secs(5);

/// The variable by which a process without a living parent of its own tells its run.
const RUN_MARKER: &[u8] = b"S7SUPERVISOR_RUN=";

/// Processes that came to us when their parents ended, by the run that their environment names.
pub(crate) fn orphans_by_run(leaders: &HashSet<i32>) -> HashMap<RunId, Vec<i32>> {
    let mut runs: HashMap<RunId, Vec<i32>> = HashMap::new();
    for pid in own_orphans().into_iter().filter(|pid| !leaders.contains(pid)) {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        let mut variables = environment.split(|&byte| byte == 0);
        let run = variables.find_map(|variable| variable.strip_prefix(RUN_MARKER));
        let run = run.and_then(|run| std::str::from_utf8(run).ok()?.parse().ok());
        if let Some(run) = run {
            runs.entry(RunId(run)).or_default().push(pid);
        }
    }
    runs
}

impl Meter {
    /// Counts these processes, and what descends from them, too.
    pub(crate) fn include(&mut self, pids: &[i32]) {
        for &pid in pids {
            if !self.processes.contains_key(&pid) {
                self.processes.extend(Process::open(pid, true).map(|process| (pid, process)));
            }
        }
    }

    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            cgroup: None,
            processes: HashMap::new(),
            ended_ticks: 0,
            searched: None,
            with_children: true,
        }
    }

    /// This process without its descendants.
    pub(crate) fn alone(pid: i32) -> Self {
        let start_time = Stat::of(pid).ok().flatten().map_or(0, |stat| stat.start_time);
        Self { with_children: false, ..Self::new(Source::Leader { pid, start_time }) }
    }

    pub(crate) fn is_of(&self, source: &Source) -> bool {
        self.source == *source
    }

    /// Closes all files; what was counted so far stays.
    pub(crate) fn close_files(&mut self) {
        self.cgroup = None;
        if let Source::Cgroup(_) = self.source {
            // The kernel counts for it.
            self.processes = HashMap::new();
        }
        for process in self.processes.values_mut() {
            process.files = None;
        }
    }

    /// How many files it keeps open.
    pub(crate) fn kept(&self) -> usize {
        let processes = self.processes.values().filter_map(|process| process.files.as_ref());
        let processes = processes.map(|files| 1 + usize::from(files.children.is_some()));
        processes.sum::<usize>() + if self.cgroup.is_some() { 3 } else { 0 }
    }

    fn children_file(&self, pid: i32) -> Option<&File> {
        self.processes.get(&pid)?.files.as_ref()?.children.as_ref()
    }

    /// The processes that were alive at the last reading.
    pub(crate) fn pids(&self) -> impl Iterator<Item = i32> {
        self.processes.keys().copied()
    }

    /// `None`: none of its processes lives.
    pub(crate) fn read(&mut self, now: Moment) -> Option<Reading> {
        match self.source.clone() {
            Source::Leader { pid, start_time } => self.read_descendants(pid, start_time, now),
            Source::Cgroup(folder) => self.read_cgroup(&folder, now),
        }
    }

    fn read_descendants(&mut self, leader: i32, start_time: u64, now: Moment) -> Option<Reading> {
        let mut totals = Totals::default();
        let mut children = Vec::new();
        let search = self.is_time_to_search(now);
        if !self.processes.contains_key(&leader) {
            let process =
                Process::open(leader, true).filter(|process| process.start_time == start_time);
            self.processes.extend(process.map(|process| (leader, process)));
        }
        let mut frontier: Vec<_> = self.processes.keys().copied().collect();
        while let Some(pid) = frontier.pop() {
            let Some(stat) = self.read_process(pid) else { continue };
            totals.add(&stat);
            if !self.with_children {
                continue;
            }
            children.clear();
            if stat.threads > 1 {
                if search {
                    children = children_of(pid);
                }
            } else if let Some(file) = self.children_file(pid) {
                read_numbers(file, &mut children);
            } else if search {
                children = children_of(pid);
            }
            for &child in &children {
                if !self.processes.contains_key(&child)
                    && let Some(process) = Process::open(child, true)
                    && process.parent == pid
                {
                    self.processes.insert(child, process);
                    frontier.push(child);
                }
            }
        }
        let ticks: u64 = self.processes.values().map(|process| process.ticks).sum();
        totals.reading(from_ticks(ticks + self.ended_ticks))
    }

    fn is_time_to_search(&mut self, now: Moment) -> bool {
        let is_time = self.searched.is_none_or(|at| now.since(at) >= SEARCH_INTERVAL);
        if is_time {
            self.searched = Some(now);
        }
        is_time
    }

    fn read_cgroup(&mut self, folder: &Path, now: Moment) -> Option<Reading> {
        let search = self.is_time_to_search(now);
        if self.cgroup.is_none() {
            self.cgroup = Cgroup::open(folder).ok();
        }
        let pids = self.cgroup.as_mut()?.members(folder, search);
        let mut totals = Totals::default();
        for &pid in &pids {
            if let Some(stat) = self.read_process(pid).or_else(|| {
                let process = Process::open(pid, false)?;
                self.processes.insert(pid, process);
                self.read_process(pid)
            }) {
                totals.add(&stat);
            }
        }
        if self.processes.len() > pids.len() {
            self.processes.retain(|pid, _| pids.contains(pid));
        }
        let cpu_time = self.cgroup.as_mut()?.cpu_time(pids, totals.activity)?;
        totals.reading(cpu_time)
    }

    /// `None`: it has ended, and is forgotten but for the time that it used.
    fn read_process(&mut self, pid: i32) -> Option<Stat> {
        let process = self.processes.get_mut(&pid)?;
        let stat = process.files(pid).and_then(|files| read_stat(&files.stat));
        if let Some(stat) = stat {
            process.ticks = stat.ticks;
            if !stat.is_dead() {
                return Some(stat);
            }
        }
        self.ended_ticks += process.ticks;
        self.processes.remove(&pid);
        None
    }
}

/// Sums over the living processes of a tree.
#[derive(Debug, Default)]
struct Totals {
    /// All ticks that the kernel counts: a tree in which they stand still used no time.
    activity: u64,
    pages: u64,
    processes: u32,
    threads: u32,
    oldest: Option<u64>,
}

impl Totals {
    fn add(&mut self, stat: &Stat) {
        self.activity += stat.ticks + stat.children_ticks;
        self.pages += stat.resident_pages;
        self.processes += 1;
        self.threads += stat.threads;
        self.oldest = Some(self.oldest.map_or(stat.start_time, |it| it.min(stat.start_time)));
    }

    fn reading(&self, cpu_time: Duration) -> Option<Reading> {
        Some(Reading {
            cpu_time,
            memory_bytes: self.pages * rustix::param::page_size() as u64,
            processes: self.processes,
            threads: self.threads,
            started: moment_of_start(self.oldest?),
        })
    }
}

impl Process {
    fn open(pid: i32, with_children: bool) -> Option<Self> {
        let stat = File::open(format!("/proc/{pid}/stat")).ok()?;
        let children = || File::open(format!("/proc/{pid}/task/{pid}/children")).ok();
        let children = with_children.then(children).flatten();
        let now = read_stat(&stat)?;
        let Stat { ppid: parent, start_time, ticks, .. } = now;
        Some(Self { parent, start_time, ticks, files: Some(Files { stat, children }) })
    }

    /// Its files, opened again if they were closed; none when the pid is another's now.
    fn files(&mut self, pid: i32) -> Option<&Files> {
        if self.files.is_none() {
            let again =
                Self::open(pid, true).filter(|again| again.start_time == self.start_time)?;
            self.files = again.files;
        }
        self.files.as_ref()
    }
}

impl Cgroup {
    fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            folder: File::open(folder)?,
            procs: File::open(folder.join("cgroup.procs"))?,
            cpu: File::open(folder.join("cpu.stat"))?,
            has_cgroups_below: false,
            last: None,
        })
    }

    fn members(&mut self, folder: &Path, search: bool) -> Vec<i32> {
        if search {
            // A folder's links are its own two and one for each folder in it.
            self.has_cgroups_below = self.folder.metadata().is_ok_and(|folder| folder.nlink() > 2);
        }
        if self.has_cgroups_below {
            return members_below(folder);
        }
        let mut pids = Vec::new();
        read_numbers(&self.procs, &mut pids);
        pids
    }

    /// All that the run used, also in processes that lived between two samples: every run has a
    /// cgroup of its own. While the same processes stand still there is nothing to be read: what
    /// one of their children used is counted when they wait for it.
    fn cpu_time(&mut self, pids: Vec<i32>, activity: u64) -> Option<Duration> {
        if let Some((last_pids, last_activity, cpu_time)) = &self.last
            && (last_pids, *last_activity) == (&pids, activity)
        {
            return Some(*cpu_time);
        }
        let mut buffer = [0; 512];
        let length = self.cpu.read_at(&mut buffer, 0).ok()?;
        let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
        let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        let cpu_time = Duration::from_micros(used.parse().ok()?);
        self.last = Some((pids, activity, cpu_time));
        Some(cpu_time)
    }
}

fn read_stat(file: &File) -> Option<Stat> {
    let mut buffer = [0; Stat::BUFFER];
    let length = file.read_at(&mut buffer, 0).ok()?;
    Stat::parse(buffer.get(..length)?)
}

/// A file of numbers, read anew from its start.
fn read_numbers(file: &File, found: &mut Vec<i32>) {
    let mut buffer = [0; 4096];
    let Ok(length) = file.read_at(&mut buffer, 0) else { return };
    if length < buffer.len() {
        found.extend(numbers(buffer.get(..length).unwrap_or_default()));
        return;
    }
    let mut text = buffer.to_vec();
    let mut offset = length as u64;
    while let Ok(length @ 1..) = file.read_at(&mut buffer, offset) {
        text.extend_from_slice(buffer.get(..length).unwrap_or_default());
        offset += length as u64;
    }
    found.extend(numbers(&text));
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * (1000 / TICKS_PER_SECOND))
}

/// Processes start on the clock that goes on while the machine sleeps; moments do not.
fn moment_of_start(ticks: u64) -> Moment {
    let read = |clock| {
        let time = clock_gettime(clock);
        Duration::try_from(time).unwrap_or_default()
    };
    let slept = read(ClockId::Boottime).saturating_sub(read(ClockId::Monotonic));
    Moment::from_boot(from_ticks(ticks).saturating_sub(slept))
}
