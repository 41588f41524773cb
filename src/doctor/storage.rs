//! The file systems that logs and the runtime folder are on: room, speed of filling, kind.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::{Timestamp, tz::TimeZone};
use rustix::fs::{StatVfsMountFlags, statfs, statvfs};

use super::{Finding, Scene, Sheet};
use crate::logs;

/// Less than this share of bytes or inodes is told, and less than this many bytes.
const LOW_PERCENT: u64 = 5;
const LOW_BYTES: u64 = 200 << 20;
/// Less than this is a matter of minutes.
const OUT_BYTES: u64 = 20 << 20;
/// Sooner full than this is told.
const SOON_HOURS: u64 = 48;
/// Entries of one folder of logs that are looked at.
const ENTRIES: usize = 10_000;

/// File systems over a network, by the kernel's magic numbers.
const REMOTE: [(u64, &str); 6] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0101_9991, "9p"),
];

pub(super) fn check(scene: &Scene, sheet: &Sheet) {
    let mut folders: Vec<(PathBuf, bool)> = vec![(scene.temp.clone(), false)];
    folders.extend(scene.log_folders().into_iter().map(|folder| (folder.to_owned(), true)));
    // Folders of one file system are told together.
    let mut devices: BTreeMap<u64, Vec<(PathBuf, bool)>> = BTreeMap::new();
    for (folder, is_log) in folders {
        sheet.look_at(&folder);
        let Some(there) = folder.ancestors().find(|above| above.exists()) else { continue };
        let Ok(metadata) = fs::metadata(there) else { continue };
        devices.entry(metadata.dev()).or_default().push((there.to_owned(), is_log));
    }
    for folders in devices.values() {
        file_system(folders, sheet);
    }
    kind(scene, sheet);
    uncompressed(scene, sheet);
}

fn file_system(folders: &[(PathBuf, bool)], sheet: &Sheet) {
    let Some((first, _)) = folders.first() else { return };
    sheet.look_at(first);
    let names: Vec<String> =
        folders.iter().map(|(folder, _)| folder.display().to_string()).collect();
    let mut names = names;
    names.dedup();
    let shown = names.join(", ");
    let found = match statvfs(first) {
        Ok(found) => found,
        Err(error) => {
            sheet.add(Finding::problem("space", format!("{shown}: {error}")));
            return;
        }
    };
    if found.f_flag.contains(StatVfsMountFlags::RDONLY) {
        sheet.add(
            Finding::problem("mount", format!("{shown} is mounted read-only"))
                .why("nothing can be stored; after errors of a disk the kernel does that by itself")
                .advice("dmesg | tail; then: mount -o remount,rw"),
        );
        return;
    }
    let (free, total) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
    let logs: Vec<&Path> =
        folders.iter().filter(|(_, is_log)| *is_log).map(|(folder, _)| folder.as_path()).collect();
    let rate = hourly(&logs);
    sheet.add(space(&shown, free, total, rate));
    let (inodes, all) = (found.f_favail, found.f_files);
    if all > 0 && inodes * 100 < all * LOW_PERCENT {
        sheet.add(
            Finding::warning("inodes", format!("{shown}: {inodes} of {all} inodes are free"))
                .why("without one no file can be made, however much room there is")
                .advice("many small files somewhere: find -xdev -type d -size +1M"),
        );
    }
}

fn space(shown: &str, free: u64, total: u64, hourly: Option<u64>) -> Finding {
    let hours = hourly.filter(|&rate| rate > 0).map(|rate| free / rate);
    let soon = hours.filter(|&hours| hours < SOON_HOURS);
    let mut seen = format!("{shown}: {} MiB of {} MiB are free", free >> 20, total >> 20);
    if let (Some(hours), Some(rate)) = (soon, hourly) {
        seen = format!("{seen}; at {} MiB an hour, as today, full in {hours} h", rate >> 20);
    }
    // A small file system is meant to be small.
    let low = free < LOW_BYTES.min(total / 10) || free * 100 < total * LOW_PERCENT;
    let out = free < OUT_BYTES.min(total / 50);
    let finding = match (out, low || soon.is_some()) {
        (true, _) => Finding::problem("space", seen),
        (false, true) => Finding::warning("space", seen),
        (false, false) => return Finding::ok("space", seen),
    };
    finding
        .why("without room output is kept in memory as far as that reaches, then lost and counted")
        .advice(
            "make room; keepDays, keepFiles, keepSize and compress bound the logs of a component",
        )
}

/// Bytes an hour that today's log files have grown by; none in the first hour of a day.
fn hourly(folders: &[&Path]) -> Option<u64> {
    let now = Timestamp::now().to_zoned_datetime(TimeZone::system());
    let today = now.date().to_string();
    let hours = u64::try_from(now.hour()).ok().filter(|&hours| hours > 0)?;
    let bytes: u64 = folders.iter().map(|folder| of_day(folder, &today)).sum();
    Some(bytes / hours)
}

fn of_day(folder: &Path, day: &str) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains(day);
    let of_day = entries.flatten().take(ENTRIES).filter(named);
    of_day.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

/// Files that should have been compressed when they were rotated.
fn uncompressed(scene: &Scene, sheet: &Sheet) {
    const PATIENCE: Duration = Duration::from_hours(1);
    // It is the Supervisor who does it.
    if scene.status().is_none() {
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "compared with times of files")]
    let since = SystemTime::now() - PATIENCE;
    for component in scene.components().iter().filter(|component| component.output.compress) {
        sheet.look_at(&component.output.log);
        let (files, bytes) = logs::uncompressed(&component.output.log, since);
        if files > 0 {
            let seen = match files {
                1 => format!("a complete log file, {} MiB, is not compressed", bytes >> 20),
                _ => format!("{files} complete log files, {} MiB, are not compressed", bytes >> 20),
            };
            sheet.add(
                Finding::note("compression", seen)
                    .why("compressed they would take about a tenth")
                    .advice(
                        "is there room for the compressed ones beside them? The trace log tells",
                    )
                    .of(component.id.as_str()),
            );
        }
    }
}

/// A runtime folder wants locks, sockets and FIFOs of this machine.
fn kind(scene: &Scene, sheet: &Sheet) {
    sheet.look_at(&scene.temp);
    let Some(there) = scene.temp.ancestors().find(|above| above.exists()) else { return };
    let Ok(found) = statfs(there) else { return };
    #[expect(clippy::cast_sign_loss, reason = "a number of 32 bits, of whichever type")]
    let magic = found.f_type as u64 & 0xffff_ffff;
    if let Some((_, name)) = REMOTE.iter().find(|(number, _)| *number == magic) {
        sheet.add(
            Finding::warning("file_system", format!("{} is on {name}", scene.temp.display()))
                .why("locks and sockets may not work there, and its server can hold us up")
                .advice(
                    "name a folder of a local file system in <temp>, such as /run/s7supervisor",
                ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    const GIB: u64 = 1 << 30;

    #[test]
    fn room_is_judged_by_what_is_left_and_by_how_fast_it_goes() {
        let verdict = |free, rate| space("/x", free, 100 * GIB, rate).verdict;
        assert_eq!(verdict(50 * GIB, None), Verdict::Ok);
        assert_eq!(verdict(4 * GIB, None), Verdict::Warning);
        assert_eq!(verdict(10 << 20, None), Verdict::Problem);
        assert_eq!(verdict(50 * GIB, Some(2 * GIB)), Verdict::Warning);
        let told = space("/x", 50 * GIB, 100 * GIB, Some(2 * GIB)).seen;
        assert!(told.ends_with("at 2048 MiB an hour, as today, full in 25 h"), "{told}");
        // A tmpfs of 64 MiB that is hardly used.
        assert_eq!(space("/run", 60 << 20, 64 << 20, None).verdict, Verdict::Ok);
    }
}
