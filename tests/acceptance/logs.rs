//! `logs`: every line once, over rotations, restarts, full disks, and without a Supervisor.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
};

use rustix::process::Signal;

use crate::support::{Place, Registry, Server, now, place::finish, report, since, until};

/// Lines of one run.
const LINES: usize = 3_000;

fn writer(id: &str) -> Server {
    let script = format!(
        "i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo \"$$ line $i\"; \
         [ $((i % 50)) = 0 ] && echo \"$$ err $i\" >&2; done; touch done.$$; exec sleep infinity"
    );
    Server::shell(id, &script)
        .with("<output><maxSize>20K</maxSize><compress>true</compress></output>")
}

/// Each run's lines of standard output, as far as they were told.
fn runs(text: &str) -> BTreeMap<String, Vec<usize>> {
    let mut runs: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for line in text.lines() {
        if let Some((pid, number)) = line.split_once(" line ") {
            let number = number.parse().unwrap_or_else(|_| panic!("torn: {line:?}"));
            runs.entry(pid.to_owned()).or_default().push(number);
        }
    }
    runs
}

fn assert_whole(text: &str, expected: usize, what: &str) {
    let runs = runs(text);
    assert_eq!(runs.len(), expected, "{what}: runs");
    for (pid, lines) in runs {
        let whole = lines.iter().copied().eq(1..=LINES);
        assert!(whole, "{what}: of run {pid} there are {} lines: {lines:?}", lines.len());
    }
    let errs = text.lines().filter(|line| line.contains(" err ")).count();
    assert_eq!(errs, expected * LINES / 50, "{what}: standard error");
}

#[test]
fn a_follower_loses_and_doubles_nothing_over_rotations_and_restarts() {
    let place = Place::new(&Registry::of([writer("ps")]));
    let supervisor = place.start();
    let mut follow = place.command();
    follow.args(["logs", "ps", "-f", "-n", "all"]);
    let mut follower = place.spawn(follow);
    for _ in 0..3 {
        let pid = place.running("ps");
        until("the run has written everything", || {
            place.path(&format!("done.{pid}")).exists().then_some(())
        });
        place.achieve("restart", "ps");
    }
    let pid = place.running("ps");
    until("the last run has written everything", || {
        place.path(&format!("done.{pid}")).exists().then_some(())
    });
    // From the files and from memory, while it runs.
    until("all of it can be read", || {
        let all = place.cli("logs ps -n all");
        all.assert_code(0);
        (runs(&all.stdout).values().map(Vec::len).sum::<usize>() == 4 * LINES).then_some(())
    });
    assert_whole(&place.cli("logs ps -n all").stdout, 4, "read");
    let errs = place.cli("logs ps -n all --stream err");
    assert_eq!(errs.stdout.lines().count(), 4 * LINES / 50, "{errs:?}");
    let found = place.cli("logs ps --grep \u{20}2999$ -n 2");
    assert_eq!(found.stdout.lines().count(), 2, "{found:?}");
    supervisor.signal(Signal::TERM);
    // It ends with the Supervisor, and has told everything.
    let status = follower.wait().expect("it ends");
    supervisor.ended();
    place.assert_nothing_runs();
    assert!(status.success(), "{status}");
    assert_whole(&place.read("run.out"), 4, "followed");
    // And without a Supervisor from the files alone.
    let alone = place.cli("logs ps -n all");
    alone.assert_code(0);
    assert!(alone.stderr.contains("not running"), "{alone:?}");
    assert_whole(&alone.stdout, 4, "read without a Supervisor");
    let tail = place.cli("logs ps -n 3");
    let expected: Vec<_> = alone.stdout.lines().rev().take(3).collect();
    assert_eq!(tail.stdout.lines().rev().collect::<Vec<_>>(), expected);
    let unknown = place.cli("logs pss");
    unknown.assert_code(2);
    assert!(unknown.stderr.contains("did you mean ps"), "{unknown:?}");
}

/// A disk of a few megabytes, as far as this user may have one.
enum SmallDisk<'a> {
    /// A file system of its own.
    Mounted(&'a Place),
    /// The kernel's device that is always full stands where the file was.
    Full(&'a Place),
}

const FOLDER: &str = "logs/small";

impl<'a> SmallDisk<'a> {
    fn make(place: &'a Place) -> Self {
        fs::create_dir_all(place.path(FOLDER)).expect("our folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=3m,mode=700", "none"]).arg(place.path(FOLDER));
        if mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            Self::Mounted(place)
        } else {
            Self::Full(place)
        }
    }

    /// Makes it full, where it does not become so by itself.
    fn fill(&self) {
        if let Self::Full(place) = self {
            let file = Self::current(place);
            fs::rename(&file, place.path("logs/small/moved")).expect("there is one");
            std::os::unix::fs::symlink("/dev/full", &file).expect("our folder");
            place.cli("reopen").assert_code(0);
        }
    }

    /// There is room again.
    fn relieve(&self) {
        match self {
            Self::Mounted(place) => {
                let mut mount = Command::new("mount");
                mount.args(["-o", "remount,size=300m"]).arg(place.path(FOLDER));
                finish(mount).assert_code(0);
            }
            Self::Full(place) => {
                fs::remove_file(Self::current(place)).expect("our link");
                place.cli("reopen").assert_code(0);
            }
        }
    }

    fn current(place: &Place) -> std::path::PathBuf {
        let files = fs::read_dir(place.path(FOLDER)).expect("our folder").flatten();
        let mut paths = files.map(|file| file.path()).filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("ps-") && name.len() == "ps-2026-11-22.log".len()
        });
        paths.next().expect("the file that is written to")
    }

    fn stored(place: &Place) -> u64 {
        let files = fs::read_dir(place.path(FOLDER)).expect("our folder").flatten();
        let files = files.filter(|file| file.path().is_file());
        files.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        if let Self::Mounted(place) = self {
            let mut unmount = Command::new("umount");
            unmount.arg("-l").arg(place.path(FOLDER));
            finish(unmount);
        }
    }
}

#[test]
fn a_full_disk_blocks_nobody_is_counted_and_storing_resumes() {
    // Far more than 10,000 lines a second, until it is told that this is enough.
    let script = "i=0; while [ ! -e enough ]; do i=$((i+1)); \
         echo \"line $i abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\"; \
         [ $((i % 1000)) = 0 ] && echo $i > progress; done; \
         echo \"the last of $i\"; echo $i > progress; touch done; exec sleep infinity";
    let place = Place::new(&Registry::of([Server::shell("ps", script)
        .with("<output><log>logs/small/ps.log</log><maxSize>1M</maxSize></output>")]));
    let disk = SmallDisk::make(&place);
    let supervisor = place.start();
    let pid = place.running("ps");
    // The file is empty for moments.
    let progress = || until("it writes", || place.read("progress").trim().parse::<u64>().ok());
    progress();
    disk.fill();
    let trace = || place.log_text("Supervisor");
    until("the loss is told", || trace().contains("cannot store output").then_some(()));
    // It goes on as if nothing were: a hundred thousand lines while nothing can be stored.
    let (begin, then) = (now(), progress());
    until("it goes on writing", || (progress() > then + 100_000).then_some(()));
    report(&format!("100,000 lines with a full disk took {:?}", since(begin)));
    assert_eq!(place.running("ps"), pid, "it is the same process");
    disk.relieve();
    until("storing resumes", || trace().contains("output is stored again").then_some(()));
    // Memory holds nothing of what was lost any more.
    let then = progress();
    until("it goes on writing", || (progress() > then + 20_000).then_some(()));
    place.write("enough", "");
    until("it has ended writing", || place.path("done").exists().then_some(()));
    let last = format!("the last of {}", progress());
    let is_stored = || place.cli("logs ps -n 1").stdout.contains(&last);
    until("the last line is stored", || is_stored().then_some(()));

    // What is in the files, and what is told to be missing, is what was written.
    let all = place.cli("logs ps -n all --json");
    all.assert_code(0);
    let (mut lines, mut dropped, mut last) = (0, 0, 0);
    for line in all.stdout.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
        match entry["kind"].as_str() {
            Some("line") => lines += 1,
            Some("dropped") => dropped += entry["lines"].as_u64().expect("a number"),
            _ => {}
        }
        let seq = entry["seq"].as_u64().expect("a number");
        assert!(seq > last, "{line}");
        last = seq;
    }
    let produced = progress() + 1;
    // A line that was stored in part counts on both sides.
    let told = lines + dropped;
    assert!(
        (produced..=produced + 4).contains(&told),
        "{produced} lines were written, {lines} are there and {dropped} told to be missing"
    );
    assert!(dropped > 50_000, "only {dropped} were lost");
    let bytes = SmallDisk::stored(&place);
    report(&format!("{lines} lines in {bytes} bytes stored, {dropped} lines lost"));
    assert_eq!(place.running("ps"), pid, "it is the same process");
    supervisor.stop();
}
