//! What `/proc` tells of other processes, as far as we may look.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The user of a process.
pub(super) fn owner(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}")).ok().map(|metadata| metadata.uid())
}

pub(super) fn lives(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// All processes that `/proc` shows.
pub(super) fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// `4711 (java -jar x.jar)`, shortened.
pub(super) fn described(pid: u32) -> String {
    const LONGEST: usize = 60;
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&arguments).replace('\0', " ");
    let text = match text.trim() {
        // A kernel thread, or a zombie.
        "" => fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default(),
        text => text.to_owned(),
    };
    let text = text.trim();
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("pid {pid} ({}…)", &text[..at]),
        None => format!("pid {pid} ({text})"),
    }
}

/// The value of a variable that the process was started with.
pub(super) fn variable(pid: u32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let values = environment.split(|&byte| byte == 0);
    let value = values
        .filter_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .next_back()?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// A value of `/proc/PID/status`: `Uid`, `Groups`.
pub(super) fn status_line(pid: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// The soft and hard limit of `/proc/PID/limits`; none: unlimited.
pub(super) fn limit(pid: u32, name: &str) -> Option<(Option<u64>, Option<u64>)> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let mut values = line.split_ascii_whitespace().map(|value| value.parse().ok());
    Some((values.next()?, values.next()?))
}

/// A number in a file of the kernel.
pub(super) fn number(path: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Who holds the lock on this file. Asked of the kernel's list: to try the lock would keep a
/// Supervisor that starts just now from it.
pub(super) fn lock_holder(path: &Path) -> Option<u32> {
    let metadata = fs::metadata(path).ok()?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let (device, inode) = (metadata.dev(), metadata.ino());
    let holder = locks.lines().find_map(|line| holder_in(line, device, inode))?;
    // The one that took it may have ended, and left it to a descriptor that it passed on.
    if lives(holder) { Some(holder) } else { descriptor_holder(device, inode) }
}

/// The pid in `1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF`.
fn holder_in(line: &str, device: u64, inode: u64) -> Option<u32> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    // One that waits has `->` before its kind.
    let at = fields.iter().position(|field| *field == "FLOCK").filter(|&at| at == 1)?;
    let mut place = fields.get(at + 4)?.split(':');
    let major = u32::from_str_radix(place.next()?, 16).ok()?;
    let minor = u32::from_str_radix(place.next()?, 16).ok()?;
    let same = place.next()?.parse() == Ok(inode)
        && rustix::fs::major(device) == major
        && rustix::fs::minor(device) == minor;
    if same { fields.get(at + 3)?.parse().ok() } else { None }
}

fn descriptor_holder(device: u64, inode: u64) -> Option<u32> {
    pids().into_iter().find(|pid| {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        descriptors.flatten().any(|entry| {
            fs::metadata(entry.path())
                .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (device, inode))
        })
    })
}

/// The file that a process executes; the path may belong to another file by now.
pub(super) fn executable(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found_without_asking_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let file = fs::File::create(&path).expect("made");
        assert_eq!(lock_holder(&path), None);
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).expect("ours");
        assert_eq!(lock_holder(&path), Some(std::process::id()));
        drop(file);
        assert_eq!(lock_holder(&path), None);
    }

    #[test]
    fn whoever_only_waits_for_a_lock_does_not_hold_it() {
        let line = "1: FLOCK  ADVISORY  WRITE 4711 08:01:99 0 EOF";
        let device = rustix::fs::makedev(8, 1);
        assert_eq!(holder_in(line, device, 99), Some(4711));
        assert_eq!(holder_in(line, device, 98), None);
        assert_eq!(holder_in("1: -> FLOCK  ADVISORY  WRITE 4712 08:01:99 0 EOF", device, 99), None);
    }

    #[test]
    fn of_ourselves_everything_is_known() {
        let us = std::process::id();
        assert!(lives(us) && pids().contains(&us));
        assert_eq!(owner(us), Some(rustix::process::geteuid().as_raw()));
        assert!(limit(us, "Max open files").is_some());
        assert!(status_line(us, "Uid").is_some());
        assert!(described(us).starts_with(&format!("pid {us} (")));
    }
}
