//! The clock: logs, holds and retention go by it, supervising does not.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use jiff::{Timestamp, tz::TimeZone};
use rustix::time::{ClockId, clock_gettime};

use super::{Finding, Scene, Sheet};
use crate::process;

/// 2024-01-01: no build of this program is older.
const EARLIEST: i64 = 1_704_067_200;
/// More than this cannot come from rounding.
const JUMP: i64 = 5;
/// Files may be stamped by another machine whose clock is a little ahead.
const FUTURE: Duration = Duration::from_mins(2);

pub(super) fn check(scene: &Scene, sheet: &Sheet) {
    wall(sheet);
    boot(sheet);
    zone(sheet);
    synchronized(sheet);
    future(scene, sheet);
}

fn wall(sheet: &Sheet) {
    let now = Timestamp::now();
    let shown = now.to_zoned_datetime(TimeZone::system()).strftime("%F %T %:z").to_string();
    if now.as_second() < EARLIEST {
        sheet.add(
            Finding::problem("wall", format!("it is {shown}, by the clock"))
                .why("logs get wrong dates, and TLS certificates count as not yet valid")
                .advice("set it: timedatectl set-ntp true"),
        );
    } else {
        sheet.add(Finding::ok("wall", shown));
    }
}

/// The kernel tells when it booted by the wall clock, and how long ago by another one.
fn boot(sheet: &Sheet) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let told =
        text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    let Some(told) = told else { return };
    let up = clock_gettime(ClockId::Boottime).tv_sec;
    let difference = (Timestamp::now().as_second() - up) - told;
    if difference.abs() > JUMP {
        sheet.add(
            Finding::note(
                "boot",
                format!("the wall clock is {difference} s off the time since boot"),
            )
            .why("times of processes are told with that difference; in a container that is usual"),
        );
    } else {
        sheet.add(Finding::ok("boot", format!("up for {} h", up / 3_600)));
    }
}

fn zone(sheet: &Sheet) {
    let variable = std::env::var("TZ").ok();
    match TimeZone::try_system() {
        Ok(zone) => {
            let name = zone.iana_name().map_or_else(|| "without a name".to_owned(), str::to_owned);
            sheet.add(Finding::ok("zone", name));
        }
        Err(error) => {
            let seen = match variable {
                Some(zone) => format!("TZ={zone} cannot be read: {error}"),
                None => format!("the time zone cannot be read: {error}"),
            };
            sheet.add(
                Finding::warning("zone", seen)
                    .why("dates of log files and of what is shown are then in UTC")
                    .advice("link /etc/localtime to a file of /usr/share/zoneinfo"),
            );
        }
    }
}

fn synchronized(sheet: &Sheet) {
    match process::is_clock_synchronized() {
        Some(true) => sheet.add(Finding::ok("synchronized", "it is kept right")),
        Some(false) => sheet.add(
            Finding::note("synchronized", "nobody keeps it right, as far as the kernel knows")
                .why("logs of several machines cannot be put in order")
                .advice("timedatectl set-ntp true; virtual machines may get it from their host"),
        ),
        None => sheet.add(Finding::note("synchronized", "the kernel does not tell")),
    }
}

/// A log that was written in the future: the clock went back since.
fn future(scene: &Scene, sheet: &Sheet) {
    #[expect(clippy::disallowed_methods, reason = "compared with times of files")]
    let now = SystemTime::now();
    let own = scene.registry().and_then(|registry| registry.config.log.parent());
    let Some(folder) = own else { return };
    sheet.look_at(folder);
    if let Some((name, ahead)) = newest(folder).and_then(|(name, at)| {
        let ahead = at.duration_since(now).ok()?;
        (ahead > FUTURE).then_some((name, ahead))
    }) {
        let seen = format!("{name} was written {} s in the future", ahead.as_secs());
        sheet.add(
            Finding::warning("future", seen)
                .why("the clock went back: lines are stored out of order, and --since misleads")
                .advice("find who set it; new lines are in order again after that time"),
        );
    }
}

fn newest(folder: &Path) -> Option<(String, SystemTime)> {
    const ENTRIES: usize = 10_000;
    let files = fs::read_dir(folder).ok()?.flatten().take(ENTRIES);
    let dated = files.filter_map(|entry| {
        let at = entry.metadata().ok()?.modified().ok()?;
        Some((entry.path().display().to_string(), at))
    });
    dated.max_by_key(|(_, at)| *at)
}
