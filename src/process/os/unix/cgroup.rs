//! One cgroup v2 per component: membership is the kernel's business, so nothing escapes.
//!
//! ```text
//!   OUR OWN CGROUP                 where this process was put by whoever started it
//!   └── s7supervisor-NAME          one per runtime folder
//!       ├── component-is           its process tree, and whatever cgroups it makes below
//!       └── component-ps@12        run 12, because the former run could not be ended
//! ```
//!
//! No controllers are needed, so a hybrid hierarchy and a delegated one both do.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use rustix::{
    fs::{CWD, Mode, OFlags, fstat, openat, stat},
    process::pidfd_send_signal,
};

use super::{
    child,
    controllers::{Missing, engine_name},
    family::numbers,
    prepare::Joining,
    spawn,
};
use crate::{
    model::{ComponentId, RunId},
    process::{Leftover, Signal, TreeEnd},
};

const LEAF_PREFIX: &str = "component-";

/// The folder of this Supervisor's cgroups.
#[derive(Debug)]
pub(super) struct Base {
    folder: PathBuf,
    joining: Joining,
    /// Which of them cannot be used; known when one was asked for.
    pub(super) controllers: OnceLock<Missing>,
}

/// The cgroup of one run.
///
/// No descriptor of it is kept: one for each of thousands of components would be a quarter of all
/// that we may have. At its path is the next run's, later; the number, which the kernel gives to
/// no other cgroup, tells them apart.
#[derive(Debug)]
pub(super) struct Leaf {
    folder: Box<Path>,
    inode: u64,
    /// Of one that was just made, for the birth into it.
    fresh: Option<OwnedFd>,
}

/// The name of the folder of a Supervisor's cgroups.
pub(super) fn folder_name(name: &str) -> String {
    format!("s7supervisor-{name}")
}

impl Base {
    /// Makes the folder and tries it out with a real process; the error says why not.
    pub(super) fn make(name: &str) -> Result<Self, String> {
        let name = folder_name(name);
        let mut own = folder_of("self")?;
        // An earlier Supervisor in this process (it executed us in place) may have stepped aside.
        if own.file_name() == Some(engine_name(Path::new(&name)).as_os_str()) {
            own.pop();
        }
        let folder = own.join(name);
        let mut base = Self { folder, joining: Joining::AtBirth, controllers: OnceLock::new() };
        match base.make_folder().and_then(|()| base.try_out()) {
            Ok(joining) => {
                base.joining = joining;
                Ok(base)
            }
            Err(error) => {
                base.remove();
                Err(format!("cannot use {}: {}", base.folder.display(), plain(&error)))
            }
        }
    }

    fn make_folder(&self) -> io::Result<()> {
        match fs::create_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            answer => answer,
        }
    }

    fn try_out(&self) -> io::Result<Joining> {
        let leaf = Leaf::make(self.folder.join(format!("probe-{}", std::process::id())))?;
        let answer = leaf.try_out();
        leaf.remove();
        answer
    }

    /// A fresh cgroup for this run.
    ///
    /// The former run's is not used again: the kernel counts the kills of a cgroup, and at a
    /// birth into it compares that count with our own cgroup's (seen with Linux 6.18). Whoever
    /// is born into a cgroup that ever was killed is killed at once.
    pub(super) fn leaf(&self, component: &ComponentId, run: RunId) -> io::Result<Leaf> {
        let folder = self.folder.join(format!("{LEAF_PREFIX}{component}"));
        match Leaf::make(folder.clone()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            answer => return answer,
        }
        if fs::remove_dir(&folder).is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            // There are processes in it, or cgroups that the former run made.
            remove_folders(&folder);
        }
        match Leaf::make(folder) {
            // What could not be ended must not count as the new run's. '@' is in no id.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Leaf::make(self.folder.join(format!("{LEAF_PREFIX}{component}@{run}")))
            }
            answer => answer,
        }
    }

    /// How processes come into the cgroups here.
    pub(super) fn joining(&self) -> Joining {
        self.joining
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The cgroup in which this process is, if it is one of ours.
    pub(super) fn leaf_of(&self, pid: i32) -> io::Result<Option<Leaf>> {
        let Some(path) = unified_path(&fs::read_to_string(format!("/proc/{pid}/cgroup"))?) else {
            return Ok(None);
        };
        // Compared from the end of our own path, which both share: the component may have moved
        // the process further down.
        let leaf = self.leaves().into_iter().find(|leaf| {
            let names = [self.folder.file_name(), leaf.file_name()];
            let [Some(base), Some(leaf)] = names else { return false };
            let mut parts = path.iter().skip_while(|part| *part != base);
            parts.next().is_some() && parts.next() == Some(leaf)
        });
        leaf.map(Leaf::open).transpose()
    }

    /// The cgroup of a run whose leader has ended.
    pub(super) fn leaf_of_run(&self, component: &ComponentId, run: RunId) -> Option<Leaf> {
        let folder = self.folder.join(format!("{LEAF_PREFIX}{component}"));
        let beside = self.folder.join(format!("{LEAF_PREFIX}{component}@{run}"));
        Leaf::open(beside).or_else(|_| Leaf::open(folder)).ok()
    }

    /// Components whose cgroups hold processes.
    pub(super) fn leftovers(&self) -> Vec<Leftover> {
        let populated = |folder: PathBuf| {
            let name = folder.file_name()?.to_str()?.strip_prefix(LEAF_PREFIX)?;
            let component = ComponentId::new(name.split('@').next()?).ok()?;
            let pids = Leaf::open(folder).ok()?.members();
            (!pids.is_empty()).then_some(Leftover { component, pids })
        };
        self.leaves().into_iter().filter_map(populated).collect()
    }

    /// Removes the empty cgroups of components (and of commands of checks) that are not known.
    pub(super) fn forget(&self, is_known: &dyn Fn(&str) -> bool) {
        for leaf in self.leaves() {
            let name = leaf.file_name().and_then(|name| name.to_str()?.strip_prefix(LEAF_PREFIX));
            let id = name.and_then(|name| name.split('@').next());
            if id.is_some_and(|id| !is_known(id)) {
                remove_folders(&leaf);
            }
        }
    }

    /// Removes what is empty.
    pub(super) fn remove(&self) {
        for leaf in self.leaves() {
            remove_folders(&leaf);
        }
        let _still_populated = fs::remove_dir(&self.folder);
    }

    fn leaves(&self) -> Vec<PathBuf> {
        folders_in(&self.folder)
    }
}

impl Leaf {
    fn make(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir(&folder)?;
        let directory = open_folder(&folder)?;
        let inode = fstat(&directory)?.st_ino;
        Ok(Self { folder: folder.into_boxed_path(), inode, fresh: Some(directory) })
    }

    fn open(folder: PathBuf) -> io::Result<Self> {
        let inode = stat(&folder)?.st_ino;
        Ok(Self { folder: folder.into_boxed_path(), inode, fresh: None })
    }

    /// Open for a birth into it.
    pub(super) fn for_birth(&mut self) -> io::Result<OwnedFd> {
        self.fresh.take().map_or_else(|| self.directory(), Ok)
    }

    fn try_out(&self) -> io::Result<Joining> {
        // The kill file came with Linux 5.14; the root cgroup never has it.
        self.open_file("cgroup.kill", OFlags::WRONLY)?;
        self.is_empty()?;
        for joining in [Joining::AtBirth, Joining::ByWriting] {
            if spawn::can_join(self.directory()?, joining)? {
                return Ok(joining);
            }
        }
        Err(io::Error::other("what is put into it does not live"))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opened for as long as something is done with it. "Not found" also where another run's
    /// stands at its path by now.
    pub(super) fn directory(&self) -> io::Result<OwnedFd> {
        let directory = open_folder(&self.folder)?;
        if fstat(&directory)?.st_ino == self.inode {
            Ok(directory)
        } else {
            Err(rustix::io::Errno::NOENT.into())
        }
    }

    /// `cgroup.events`, which becomes readable out of band (`EPOLLPRI`) at each change.
    pub(super) fn open_events(&self) -> io::Result<OwnedFd> {
        self.open_file("cgroup.events", OFlags::RDONLY)
    }

    /// Whether no process lives in it or below. Zombies do not count.
    pub(super) fn is_empty(&self) -> io::Result<bool> {
        match self.open_events() {
            Ok(events) => is_unpopulated(events.as_fd()),
            Err(error) if is_removed(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether no process lives in it or below, and if so what all of them have used.
    pub(super) fn end(&self) -> io::Result<Option<TreeEnd>> {
        let directory = match self.directory() {
            Err(error) if is_removed(&error) => return Ok(Some(TreeEnd::default())),
            directory => directory?,
        };
        let events = open_in(&directory, "cgroup.events", OFlags::RDONLY)?;
        let is_empty = is_unpopulated(events.as_fd())?;
        let used = || {
            let file = open_in(&directory, "cpu.stat", OFlags::RDONLY).ok()?;
            Some(Duration::from_micros(number_in(&file, "usage_usec ")?))
        };
        Ok(is_empty.then(|| TreeEnd { used: used() }))
    }

    /// All of it at once, also what is just being forked.
    pub(super) fn kill(&self) -> io::Result<()> {
        let written = self
            .open_file("cgroup.kill", OFlags::WRONLY)
            .and_then(|file| Ok(rustix::io::write(file, b"1")?));
        match written {
            Err(error) if !is_removed(&error) => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<usize> {
        let mut reached = 0;
        let mut refused = None;
        let held: Vec<_> = self
            .members()
            .into_iter()
            .filter_map(|pid| child::open(pid).ok().flatten().map(|pidfd| (pid, pidfd)))
            .collect();
        // Who is listed after its pidfd was opened is the member that the pidfd means.
        let members = self.members();
        for (pid, pidfd) in held {
            if members.contains(&pid) {
                match pidfd_send_signal(pidfd, signal.into()) {
                    Ok(()) => reached += 1,
                    Err(rustix::io::Errno::SRCH) => {}
                    Err(error) => {
                        refused.get_or_insert(error);
                    }
                }
            }
        }
        refused.map_or(Ok(reached), |error| Err(error.into()))
    }

    /// In it and in the cgroups below. By descriptor: at its path is the next run's, later.
    pub(super) fn members(&self) -> Vec<i32> {
        let Ok(directory) = self.directory() else { return Vec::new() };
        members_below(Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())))
    }

    pub(super) fn remove(&self) {
        remove_folders(&self.folder);
    }

    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let file = self.open_file(name, OFlags::WRONLY)?;
        rustix::io::write(file, text.as_bytes())?;
        Ok(())
    }

    /// What all processes that ever were in it, and below, have used.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.number("cpu.stat", "usage_usec ")?))
    }

    /// How many of its processes, and of those below, the out-of-memory killer took; none where
    /// the memory controller is not at work here.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        self.number("memory.events", "oom_kill ")
    }

    /// What stands behind `key` in a file of lines.
    fn number(&self, file: &str, key: &str) -> Option<u64> {
        number_in(&self.open_file(file, OFlags::RDONLY).ok()?, key)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        open_in(&self.directory()?, name, flags)
    }
}

fn open_in(directory: &OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(openat(directory, name, flags | OFlags::CLOEXEC, Mode::empty())?)
}

/// What stands behind `key` in a file of lines.
fn number_in(file: &OwnedFd, key: &str) -> Option<u64> {
    let mut buffer = [0; 512];
    let length = rustix::io::pread(file, &mut buffer, 0).ok()?;
    let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key))?.parse().ok()
}

fn open_folder(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(openat(CWD, folder, flags, Mode::empty())?)
}

/// Reads `cgroup.events` from its start, which also takes its change as seen.
pub(super) fn is_unpopulated(events: BorrowedFd<'_>) -> io::Result<bool> {
    let mut buffer = [0; 128];
    match rustix::io::pread(events, &mut buffer, 0) {
        Ok(length) => Ok(buffer.get(..length).is_some_and(|text| {
            text.split(|&byte| byte == b'\n').any(|line| line == b"populated 0")
        })),
        Err(error) if is_removed(&error.into()) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// What the files of a cgroup answer after its folder was removed, which only an empty one's is.
fn is_removed(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

/// Pids in this cgroup and all below it.
pub(crate) fn members_below(folder: &Path) -> Vec<i32> {
    let mut pids =
        fs::read(folder.join("cgroup.procs")).map_or_else(|_| Vec::new(), |text| numbers(&text));
    for below in folders_in(folder) {
        pids.extend(members_below(&below));
    }
    pids
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(is_folder).map(|entry| entry.path()).collect()
}

/// From below upwards; what is populated stays.
fn remove_folders(folder: &Path) {
    // Most have nothing below.
    if fs::remove_dir(folder).is_ok() {
        return;
    }
    for below in folders_in(folder) {
        remove_folders(&below);
    }
    let _still_populated = fs::remove_dir(folder);
}

/// The folder of the cgroup that a process is in.
pub(super) fn folder_of(pid: &str) -> Result<PathBuf, String> {
    let read = |path: &str| {
        fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {}", plain(&error)))
    };
    let path = unified_path(&read(&format!("/proc/{pid}/cgroup"))?)
        .ok_or("the kernel has no cgroup v2")?;
    let mounts = read("/proc/self/mountinfo")?;
    let (root, point) = mounts.lines().find_map(cgroup2_mount).ok_or("no cgroup v2 is mounted")?;
    let below = path
        .strip_prefix(&root)
        .map_err(|_| format!("the cgroup {} is outside of what is mounted", path.display()))?;
    Ok(point.join(below))
}

/// The path in the line `0::/path` of `/proc/PID/cgroup`.
fn unified_path(text: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| line.strip_prefix("0::")).map(PathBuf::from)
}

/// Root and mount point, where this line of `mountinfo` is a cgroup v2's.
fn cgroup2_mount(line: &str) -> Option<(PathBuf, PathBuf)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let paths = (unescape(fields.next()?), unescape(fields.next()?));
    (file_system.split(' ').next()? == "cgroup2").then_some(paths)
}

/// `mountinfo` writes space, tab, newline and backslash as `\040` and so on.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) if byte == b'\\' => {
                bytes.push(escaped);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

/// Without the "(os error 13)".
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" (os error").map_or(text.as_str(), |(reason, _)| reason).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_among_others() {
        let other = "31 24 0:27 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu";
        assert_eq!(cgroup2_mount(other), None);
        let hybrid = r"42 32 0:37 / /mnt/a\040b rw,nosuid shared:5 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(cgroup2_mount(hybrid), Some((PathBuf::from("/"), PathBuf::from("/mnt/a b"))));
    }

    #[test]
    fn the_unified_line_is_found_among_the_controllers() {
        let text = "9:name=systemd:/\n1:cpu:/x\n0::/system.slice/s7.service\n";
        assert_eq!(unified_path(text), Some(PathBuf::from("/system.slice/s7.service")));
        assert_eq!(unified_path("1:cpu:/x\n"), None);
    }
}
