//! What a Supervisor costs at one moment, and the trend of many.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::support::{Place, Supervisor, processes};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub resident: u64,
    pub proportional: u64,
    pub anonymous: u64,
    /// What each leads to, sorted; numbers of sockets and processes left out.
    pub descriptors: Vec<String>,
    /// By name; those of the pool that only live while there is work are in `helpers`.
    pub threads: Vec<String>,
    pub helpers: usize,
    /// Of the components' processes, sorted.
    pub commands: Vec<String>,
    /// Children of the Supervisor that have ended and were not reaped.
    pub zombies: usize,
    pub runtime_files: Vec<String>,
    pub cgroups: Vec<String>,
    pub log_files: usize,
    /// Resident bytes and open files of the guardian; nothing where there is none.
    pub guardian: (u64, Vec<String>),
}

#[derive(Debug)]
pub struct Point {
    pub at: Duration,
    pub sample: Sample,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sample { resident, anonymous, descriptors, commands, .. } = &self.sample;
        write!(
            f,
            "{:>5} s: {} KiB resident, {} KiB anonymous, {} open files, {} processes",
            self.at.as_secs(),
            resident >> 10,
            anonymous >> 10,
            descriptors.len(),
            commands.len()
        )
    }
}

impl Sample {
    /// Asks the kernel alone: a Supervisor that is asked does not rest.
    ///
    /// None where the engine is just being replaced.
    pub fn take(
        place: &Place,
        supervisor: &Supervisor<'_>,
        cgroup_folder: Option<&Path>,
    ) -> Option<Self> {
        let (pid, guardian) = (supervisor.pid(), supervisor.guardian());
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let of_guardian =
            (guardian != pid).then(|| (processes::resident(guardian), descriptors(guardian)));
        if !rollup.contains("Rss") {
            return None;
        }
        let of = |name: &str| kilobytes(&rollup, name) << 10;
        let processes = place.processes();
        let mut commands: Vec<String> = processes
            .iter()
            .filter(|process| process.pid != pid && !process.command.contains("s7supervisor"))
            .map(|process| process.command.clone())
            .collect();
        commands.sort();
        let mut cgroups = cgroup_folder.map(below).unwrap_or_default();
        cgroups.retain(|path| Path::new(path).is_dir());
        let mut runtime_files = below(&place.path("temp"));
        // How often it was written anew is chance.
        runtime_files.retain(|path| Path::new(path).extension().is_none_or(|end| end != "new"));
        let (helpers, threads) =
            threads(pid).into_iter().partition::<Vec<_>, _>(|name| name.starts_with("tokio-"));
        Some(Self {
            resident: of("Rss"),
            proportional: of("Pss"),
            anonymous: of("Anonymous"),
            descriptors: descriptors(pid),
            threads,
            helpers: helpers.len(),
            commands,
            zombies: zombies_of(pid),
            runtime_files,
            cgroups,
            log_files: below(&place.path("logs")).len(),
            guardian: of_guardian.unwrap_or_default(),
        })
    }

    /// The same in all but memory.
    pub fn is_like(&self, other: &Self) -> bool {
        let counts = |sample: &Self| {
            (
                sample.descriptors.len(),
                sample.threads.len(),
                sample.zombies,
                sample.commands.len(),
                sample.cgroups.len(),
            )
        };
        counts(self) == counts(other)
    }
}

/// Bytes a second, by least squares.
pub fn slope(points: &[Point], of: impl Fn(&Sample) -> u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory, for a trend")]
    let pairs: Vec<(f64, f64)> =
        points.iter().map(|point| (point.at.as_secs_f64(), of(&point.sample) as f64)).collect();
    #[expect(clippy::cast_precision_loss, reason = "some hundred points")]
    let count = pairs.len().max(1) as f64;
    let mean = |which: fn(&(f64, f64)) -> f64| pairs.iter().map(which).sum::<f64>() / count;
    let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let covariance: f64 = pairs.iter().map(|pair| (pair.0 - x) * (pair.1 - y)).sum();
    let variance: f64 = pairs.iter().map(|pair| (pair.0 - x).powi(2)).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    number.unwrap_or_else(|| panic!("no {name} in {text:?}"))
}

fn zombies_of(pid: u32) -> usize {
    let pids = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let ended = pids.filter_map(processes::stat);
    ended.filter(|stat| stat.parent == pid && stat.state == 'Z').count()
}

fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    let mut names: Vec<String> =
        tasks.filter_map(name).map(|name| name.trim().to_owned()).collect();
    names.sort();
    names
}

fn descriptors(pid: u32) -> Vec<String> {
    // Its own logs are opened when there is something to be written; the streams of a check's
    // command are open as long as that runs.
    let own = |target: &String| target.contains("/logs/Supervisor-") || target == "/dev/null";
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let target = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?.display().to_string();
        // Which process it is about is chance.
        let parts = target.split('/').map(|part| match part.parse::<u32>() {
            Ok(_) => "N",
            Err(_) => part,
        });
        let target = parts.collect::<Vec<_>>().join("/");
        Some(target.split_once(":[").map_or(target.clone(), |(kind, _)| kind.to_owned()))
    };
    let mut all: Vec<String> = entries.filter_map(target).filter(|target| !own(target)).collect();
    all.sort();
    all
}

/// What is in one list and not in the other; none where they are the same.
pub fn difference(before: &[String], after: &[String]) -> Option<String> {
    let more = |all: &[String], than: &[String]| {
        let mut rest = than.to_vec();
        let mut more = Vec::new();
        for one in all {
            match rest.iter().position(|other| other == one) {
                Some(at) => drop(rest.swap_remove(at)),
                None => more.push(one.clone()),
            }
        }
        more
    };
    let (gone, new) = (more(before, after), more(after, before));
    (gone.len() + new.len() > 0).then(|| format!("gone: {gone:#?}, new: {new:#?}"))
}

/// Every file and folder below, sorted.
fn below(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            all.push(entry.path().display().to_string());
        }
    }
    all.sort();
    all
}

/// Where the components' cgroups are, if they have any.
pub fn cgroup_folder(place: &Place) -> Option<PathBuf> {
    let status = place.try_get("/v1/status")?.json();
    let has_cgroups = status["supervisor"]["containment"] == "cgroup";
    has_cgroups.then(|| processes::cgroup_of(&place.path("temp")))?
}

#[test]
fn a_trend_is_found() {
    let empty = Sample {
        resident: 0,
        proportional: 0,
        anonymous: 0,
        descriptors: Vec::new(),
        threads: Vec::new(),
        helpers: 0,
        commands: Vec::new(),
        zombies: 0,
        runtime_files: Vec::new(),
        cgroups: Vec::new(),
        log_files: 0,
        guardian: (0, Vec::new()),
    };
    let point = |second: u64, bytes: u64| Point {
        at: Duration::from_secs(second),
        sample: Sample { anonymous: bytes, ..empty.clone() },
    };
    let rising = [point(0, 100), point(1, 120), point(2, 140)];
    assert!((slope(&rising, |sample| sample.anonymous) - 20.0).abs() < 1e-9);
    assert!(slope(&[], |sample| sample.anonymous).abs() < 1e-9);
}
