//! Processes as the kernel shows them in /proc: who lives, and whose they are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal};

/// A process that carries a place's mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub session: u32,
    /// Arguments, joined by blanks.
    pub command: String,
    /// The Supervisor's own binary, not a component.
    pub own: bool,
}

/// The fields of `/proc/PID/stat` that tests ask for.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    pub state: char,
    pub parent: u32,
    pub session: u32,
    pub nice: i64,
    /// Clock ticks (10 ms) since the machine started.
    pub started: u64,
}

/// Every living process whose environment, arguments or working directory hold `mark`.
///
/// The mark is the path of a test's folder, which is unique; three places to look at, so that a
/// process with an environment of its own is found as well.
pub fn marked(mark: &Path) -> Vec<Process> {
    let needle = mark.as_os_str().as_encoded_bytes();
    let own = Path::new(env!("CARGO_BIN_EXE_s7supervisor"));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        let folder = entry.path();
        let command = fs::read(folder.join("cmdline")).unwrap_or_default();
        let ours = holds(&fs::read(folder.join("environ")).unwrap_or_default(), needle)
            || holds(&command, needle)
            || fs::read_link(folder.join("cwd")).is_ok_and(|cwd| cwd.starts_with(mark));
        if !ours {
            continue;
        }
        // A process that is gone by now, or a zombie, is not alive.
        let Some(stat) = stat(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X')) else {
            continue;
        };
        found.push(Process {
            pid,
            parent: stat.parent,
            session: stat.session,
            command: String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned(),
            own: fs::read_link(folder.join("exe")).is_ok_and(|exe| exe == own),
        });
    }
    found
}

/// The numbers of its open descriptors.
pub fn descriptors(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// `pid` lives: it exists and is no zombie.
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// What the kernel says of `pid`; none when there is no such process.
pub fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold any character: the last one closes it.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        nice: fields.get(16)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Resident bytes of `pid`.
#[track_caller]
pub fn resident(pid: u32) -> u64 {
    let line = status_line(pid, "VmRSS");
    let number = line.strip_suffix(" kB").and_then(|number| number.parse::<u64>().ok());
    number.unwrap_or_else(|| panic!("{line:?}")) << 10
}

/// The value of a line `Name:\tvalue` of `/proc/PID/status`.
#[track_caller]
pub fn status_line(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no {name} in {text}"))
        .trim()
        .to_owned()
}

/// The variable's value in the environment that `pid` was started with.
pub fn environment(pid: u32, name: &str) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).expect("the process lives");
    let prefix = format!("{name}=");
    bytes
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(prefix.as_bytes()))
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

/// Sends a signal to a process of the test's own; one that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid above 0");
    match rustix::process::kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("cannot signal {pid:?}: {error}"),
    }
}

fn holds(hay: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(hay, needle).is_some()
}

/// Where the cgroups of a Supervisor with this runtime folder are that is started from here; there
/// may be none.
pub fn cgroup_of(temp: &Path) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?;
        (fields.next()? == "cgroup2").then_some(point)
    })?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let temp = temp.canonicalize().ok()?;
    let name = format!("s7supervisor-{:08x}", crc32fast::hash(temp.as_os_str().as_encoded_bytes()));
    Some(Path::new(mount).join(own).join(name))
}
