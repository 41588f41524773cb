//! Bounds of the system that a Supervisor with so many components could meet.

use std::path::{Path, PathBuf};

use super::{Finding, Scene, Sheet, kernel, proc};

/// Descriptors that the Supervisor has open for each component: two FIFOs with the ends that keep
/// them, its pidfd and log file, and what samples, checks and their commands need.
const PER_COMPONENT: u64 = 16;
/// For itself: sockets, connections, its own logs.
const OWN: u64 = 256;
/// Pages of an ordinary pipe.
const PIPE_PAGES: u64 = 16;
/// Above this share of a bound it is told.
const FULL_PERCENT: u64 = 80;

pub(super) fn check(scene: &Scene, sheet: &Sheet) {
    kernel::check(sheet);
    open_files(scene, sheet);
    processes(scene, sheet);
    cgroup_processes(scene, sheet);
    pipes(scene, sheet);
    memory(scene, sheet);
}

fn open_files(scene: &Scene, sheet: &Sheet) {
    let pid = scene.pid().unwrap_or_else(std::process::id);
    // The soft limit is raised to the hard one at the start.
    let Some((_, hard)) = proc::limit(pid, "Max open files") else { return };
    let count = scene.components().len() as u64;
    let needed = OWN + PER_COMPONENT * count;
    let finding = match hard {
        Some(hard) if hard < needed => Finding::warning(
            "open_files",
            format!("at most {hard} open files, and {count} components may need {needed}"),
        )
        .why("at the limit no component can be started and no client connects")
        .advice(format!("LimitNOFILE={} in the unit, or ulimit -Hn", needed.next_power_of_two())),
        Some(hard) => Finding::ok(
            "open_files",
            format!("at most {hard}, and {count} components need {needed} at most"),
        ),
        None => Finding::ok("open_files", "without limit"),
    };
    sheet.add(finding);
    let Some(hard) = hard.filter(|_| scene.user() != 0) else { return };
    for component in scene.components() {
        if let Some(wanted) = component.limits.open_files.filter(|&wanted| wanted > hard) {
            sheet.add(
                Finding::problem(
                    "open_files",
                    format!("limits/openFiles is {wanted}, and only root may go above {hard}"),
                )
                .why("it cannot be started")
                .advice(format!("LimitNOFILE={wanted} in the unit"))
                .of(component.id.as_str()),
            );
        }
    }
}

/// `RLIMIT_NPROC` counts all processes and threads of the user, wherever they came from.
fn processes(scene: &Scene, sheet: &Sheet) {
    let user = scene.user();
    let pid = scene.pid().unwrap_or_else(std::process::id);
    let Some((Some(most), _)) = proc::limit(pid, "Max processes") else { return };
    if user == 0 {
        sheet.add(Finding::ok("processes", format!("at most {most}, which does not bind root")));
        return;
    }
    let theirs = proc::pids().into_iter().filter(|&pid| proc::owner(pid) == Some(user));
    let threads = theirs.filter_map(|pid| proc::status_line(pid, "Threads")?.parse::<u64>().ok());
    let count: u64 = threads.sum();
    let seen = format!("{count} of {most} processes and threads of uid {user}");
    if count * 100 > most * FULL_PERCENT {
        sheet.add(
            Finding::warning("processes", seen)
                .why("at the limit nothing can be started: Resource temporarily unavailable")
                .advice("LimitNPROC= in the unit, or find who has so many"),
        );
    } else {
        sheet.add(Finding::ok("processes", seen));
    }
}

fn cgroup_processes(scene: &Scene, sheet: &Sheet) {
    let pid = scene.pid().unwrap_or_else(std::process::id);
    let tight: Vec<_> = pids_cgroups(pid)
        .into_iter()
        .filter_map(|folder| {
            let most = proc::number(folder.join("pids.max"))?;
            let used = proc::number(folder.join("pids.current"))?;
            Some((folder, used, most))
        })
        .collect();
    let worst = tight.iter().max_by_key(|(_, used, most)| used * 100 / (*most).max(1));
    let Some((folder, used, most)) = worst else {
        sheet.add(Finding::ok("pids", "no cgroup bounds the number of processes"));
        return;
    };
    let seen = format!("{used} of {most} processes in the cgroup {}", folder.display());
    if used * 100 > most * FULL_PERCENT {
        sheet.add(
            Finding::warning("pids", seen)
                .why("at the limit nothing can be started, neither by us nor by components")
                .advice("TasksMax= in the unit; in a container, --pids-limit"),
        );
    } else {
        sheet.add(Finding::ok("pids", seen));
    }
}

/// The cgroups that a process is in as the pids controller sees it, and those above.
fn pids_cgroups(pid: u32) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let path_of = |wanted: &dyn Fn(&str) -> bool| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            wanted(controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let v1 = path_of(&|controllers| controllers.split(',').any(|name| name == "pids"));
    let (root, path) = match (v1, path_of(&str::is_empty)) {
        (Some(path), _) => ("/sys/fs/cgroup/pids", path),
        (None, Some(path)) => ("/sys/fs/cgroup", path),
        (None, None) => return Vec::new(),
    };
    let folder = Path::new(root).join(path);
    folder.ancestors().take_while(|above| above.starts_with(root)).map(Path::to_owned).collect()
}

/// What an unprivileged user may have in all pipes together.
fn pipes(scene: &Scene, sheet: &Sheet) {
    let Some(pages) = proc::number("/proc/sys/fs/pipe-user-pages-soft") else { return };
    let user = scene.user();
    if user == 0 || pages == 0 {
        sheet.add(Finding::ok("pipes", "the size of pipes is not bound"));
        return;
    }
    let count = scene.components().len() as u64;
    let needed = count * 2 * PIPE_PAGES;
    let seen = format!("{count} components have pipes of {needed} pages, {pages} are allowed");
    if needed > pages {
        sheet.add(
            Finding::warning("pipes", seen)
                .why(
                    "pipes made above that hold 8 KiB instead of 64: components that write much \
                     wait for us more often, and less outlives a killed Supervisor",
                )
                .advice(format!("sysctl fs.pipe-user-pages-soft={}", needed * 4)),
        );
    } else {
        sheet.add(Finding::ok("pipes", seen));
    }
}

fn memory(scene: &Scene, sheet: &Sheet) {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |name: &str| meminfo(&text, name);
    let (Some(total), Some(available)) = (of("MemTotal"), of("MemAvailable")) else { return };
    let seen = format!("{} MiB of {} MiB are available", available >> 20, total >> 20);
    if available < total / 20 {
        sheet.add(
            Finding::warning("memory", seen)
                .why("the kernel may soon end processes for want of memory")
                .advice("find who has it: ps aux --sort=-rss | head"),
        );
    } else {
        sheet.add(Finding::ok("memory", seen));
    }
    overcommit(&of, sheet);
    let limited = scene.components().iter().filter(|component| component.enabled);
    let limits: u64 = limited.filter_map(|component| component.limits.memory).sum();
    if limits > total {
        let seen = format!(
            "limits/memory of all components make {} MiB, the machine has {}",
            limits >> 20,
            total >> 20
        );
        sheet.add(
            Finding::note("memory_limits", seen)
                .why("the machine can run out of memory before one of them passes its limit"),
        );
    }
}

/// With strict accounting what was promised counts, not what is used.
fn overcommit(of: &dyn Fn(&str) -> Option<u64>, sheet: &Sheet) {
    if proc::number("/proc/sys/vm/overcommit_memory") != Some(2) {
        return;
    }
    let (Some(limit), Some(used)) = (of("CommitLimit"), of("Committed_AS")) else { return };
    let seen = format!("{} MiB of {} MiB of memory are promised", used >> 20, limit >> 20);
    if used * 100 > limit * FULL_PERCENT {
        sheet.add(
            Finding::warning("overcommit", seen)
                .why("vm.overcommit_memory is 2: at the limit nothing more is given, free or not")
                .advice("raise vm.overcommit_ratio, or set vm.overcommit_memory=0"),
        );
    } else {
        sheet.add(Finding::ok("overcommit", seen));
    }
}

fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemTotal:       24669696 kB\nMemFree:  1 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(meminfo(text, "MemAvailable"), Some(2 << 20));
        assert_eq!(meminfo(text, "Mem"), None);
    }
}
