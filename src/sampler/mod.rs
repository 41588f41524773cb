//! CPU and memory of process trees, on demand.
//!
//! Owns the descriptors that it keeps open between two samples. Has no timer: whoever wants
//! figures asks.

use std::{path::PathBuf, time::Duration};

use crate::model::{Moment, RunId};

/// Where the processes of a run are to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The leader and its descendants; the start time proves that the pid is still its own.
    Leader { pid: i32, start_time: u64 },
    /// Everything in this cgroup and the ones below it.
    Cgroup(PathBuf),
}

/// What a whole tree uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Per cent of one core since the previous sample of that run (since its start at the first).
    pub cpu_percent: f64,
    /// User and system time of all its processes so far.
    pub cpu_time: Duration,
    /// Resident bytes.
    pub memory_bytes: u64,
    pub processes: u32,
    pub threads: u32,
}

/// Takes samples. `Send`: it is used on the blocking pool.
#[derive(Debug, Default)]
pub struct Sampler {}

impl Sampler {
    pub fn new() -> Self {
        Self::default()
    }

    /// One entry per run whose processes were found. Runs that are not asked for any more are
    /// forgotten.
    pub fn sample(&mut self, trees: &[(RunId, Source)], now: Moment) -> Vec<(RunId, Usage)> {
        let _ = (trees, now);
        Vec::new()
    }

    /// This process.
    pub fn own(&mut self, now: Moment) -> Usage {
        let _ = now;
        Usage::default()
    }
}
