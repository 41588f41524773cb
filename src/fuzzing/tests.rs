//! A bounded run of every target: the seeds, and what becomes of them by chance.
//!
//! `S7_FUZZ=n` runs n times as many; `S7_SEED=n` repeats the seed that a failure has named. With
//! coverage the fuzzer does better: see `docs/testing.md`.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use super::{TARGETS, run};

/// Longest input that chance makes.
const LONGEST: usize = 4096;

/// Of a schedule that is the same in each run, and of one that is another each time.
const RUNS: u32 = 150;

const FIXED: u64 = 0x7365_6564;

#[test]
fn every_target_has_seeds_and_every_folder_of_seeds_a_target() {
    let mut folders: Vec<String> = fs::read_dir(home().join("fuzz/seeds"))
        .expect("the seeds are there")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII"))
        .collect();
    folders.sort();
    assert_eq!(folders, TARGETS.map(|(name, _)| name));
    // The fuzzer has a program for each.
    for (name, _) in TARGETS {
        let program = home().join(format!("fuzz/targets/{name}.rs"));
        let text = fs::read_to_string(&program).unwrap_or_default();
        assert!(text.contains(&format!("run(\"{name}\"")), "{}", program.display());
    }
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let mut folders = vec![home().join("fuzz/seeds").join(name)];
    if name == "registry" {
        folders.extend(["tests/registry/good", "tests/registry/bad"].map(|path| home().join(path)));
    }
    let mut paths: Vec<_> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("a folder of seeds"))
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    let seeds: Vec<_> = paths.iter().map(|path| fs::read(path).expect("readable")).collect();
    assert!(!seeds.is_empty(), "no seeds for {name}");
    seeds
}

/// The part of the runs that fits the cost of one.
fn try_target(name: &str, share: u32) {
    let seeds = seeds(name);
    for seed in &seeds {
        attempt(name, seed, "a seed file");
    }
    let times = number("S7_FUZZ").unwrap_or(1);
    let fresh = fastrand::u64(..);
    let schedules = number("S7_SEED").map_or_else(|| vec![FIXED, fresh], |seed| vec![seed]);
    for schedule in schedules {
        let mut random = fastrand::Rng::with_seed(schedule);
        for _ in 0..u64::from(RUNS * share) * times {
            let bytes = grown(&seeds, &mut random);
            attempt(name, &bytes, &format!("S7_SEED={schedule}"));
        }
    }
}

fn attempt(name: &str, bytes: &[u8], whence: &str) {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(name, bytes)));
    let (length, shown) = (bytes.len(), bytes.escape_ascii());
    assert!(outcome.is_ok(), "{name} does not hold ({whence}) for {length} bytes: {shown}");
}

/// One of the seeds, changed in a few places; sometimes two in one, sometimes noise.
fn grown(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seeds[random.usize(..seeds.len())].clone();
    if bytes.len() > LONGEST {
        let from = random.usize(..bytes.len() - LONGEST);
        bytes = bytes[from..from + LONGEST].to_vec();
    }
    for _ in 0..random.usize(1..8) {
        let at = random.usize(..=bytes.len());
        let to = (at + random.usize(..32)).min(bytes.len());
        match random.u8(..9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => drop(bytes.drain(at..to)),
            3 => bytes.truncate(at),
            4 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let other = &seeds[random.usize(..seeds.len())];
                let from = random.usize(..=other.len());
                let upto = (from + random.usize(..256)).min(other.len());
                bytes.splice(at..to, other[from..upto].iter().copied());
            }
            6 => {
                const WORDS: [&[u8]; 12] = [
                    b"\n",
                    b"\r",
                    b"\r\n\r\n",
                    b"\0",
                    b"\x1b[",
                    b"\xff\xff\xff\xff",
                    b"<",
                    b"\"",
                    b"18446744073709551615",
                    b"-1",
                    b"\xe2\x80\xae",
                    b"9999999999999999999999",
                ];
                bytes.splice(at..to, random.choice(WORDS).unwrap_or_default().iter().copied());
            }
            7 => {
                let noise: Vec<u8> =
                    std::iter::repeat_with(|| random.u8(..)).take(to - at).collect();
                bytes.splice(at..to, noise);
            }
            _ => bytes.extend(std::iter::repeat_n(random.u8(..), random.usize(..64))),
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

macro_rules! targets {
    ($($name:ident: $share:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            try_target(stringify!($name), $share);
        })*

        #[test]
        fn every_target_is_tried() {
            assert_eq!([$(stringify!($name)),*], TARGETS.map(|(name, _)| name));
        }
    };
}

targets! {
    command_output: 10,
    console_input: 10,
    control: 2,
    environment_file: 10,
    event_log: 1,
    history: 10,
    holds: 10,
    journal: 3,
    log_files: 1,
    log_index: 10,
    notify: 10,
    registry: 1,
    sanitizer: 10,
    updates: 5,
}
