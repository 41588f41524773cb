//! `s7supervisor doctor`: looks at an installation and says what it finds, why that matters and
//! what to do next.
//!
//! Works with and without a running Supervisor, as root and as anybody, and changes nothing: no
//! folder is made, no lock taken, no cgroup tried out. Each group of checks has a thread of its
//! own and a limit of time ([`PATIENCE`]).
//!
//! ```text
//!   Subject ──► Scene: registry, runtime folder, the Supervisor's answers ──► checks ──► Findings
//! ```
//!
//! Owns no words of the screen: `cli` shows the findings.

mod clock;
mod containment;
mod engine;
mod finding;
mod installation;
mod kernel;
mod limits;
mod permissions;
mod ports;
mod proc;
mod rights;
mod scene;
mod service;
mod sheet;
mod state;
mod storage;
mod supervisor;
mod trees;
mod units;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub use finding::{Finding, Group, Verdict};
use scene::Scene;
use sheet::{Check, Sheet};

use crate::registry::Sources;

/// How long an answer may take, from a file system or the Supervisor.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The installation that is looked at.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Absolute.
    pub install_folder: PathBuf,
    pub registry_file: PathBuf,
    pub sources: Sources,
    /// The beginning of a command line that names it, for advice.
    pub command: String,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// The registry cannot be used.
    pub registry_is_wrong: bool,
}

const CHECKS: [(Group, Check); 10] = [
    (Group::Installation, installation::check),
    (Group::Supervisor, supervisor::check),
    (Group::Permissions, permissions::check),
    (Group::Containment, containment::check),
    (Group::Limits, limits::check),
    (Group::Ports, ports::check),
    (Group::State, state::check),
    (Group::Storage, storage::check),
    (Group::Service, service::check),
    (Group::Clock, clock::check),
];

/// Looks at everything. Blocks, but for no more than a few times [`PATIENCE`].
///
/// Threads that still wait for an answer then are left behind: the caller ends its process soon.
pub fn examine(subject: Subject) -> Report {
    let scene = Arc::new(Scene::look(subject));
    let findings = sheet::run(&scene, &CHECKS, PATIENCE);
    Report { findings, registry_is_wrong: scene.registry_is_wrong() }
}

impl Report {
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}
