//! An upgrade in place, up to the step itself: the new binary is asked, and what is under way comes
//! to its end.
//!
//! ```text
//!  asked ──► the binary is asked ──► settled? ──► handed over (`handover.rs`)
//!                │ refuses              │ not within SETTLING
//!                └──► refused           └──► refused: "busy stopping ps"
//! ```
//!
//! Starts, stops and operations are not carried over: an upgrade begins when there are none.
//! Everything else is: back-offs, budgets, holds, waits, health, open lines of output.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    candidate::{self, Binary, Candidate},
    clock,
    driver::Driver,
    messages::{Internal, Reply},
};
use crate::{
    model::{Moment, Origin},
    process,
    registry::{self, LoadError, Loaded, Registry},
    wire::{EventKind, Problem, ProblemCode, UpgradeReport},
};

/// For what is under way to come to its end.
const SETTLING: Duration = Duration::from_secs(10);

/// A binary that was asked for.
pub(super) struct Asked {
    pub origin: Origin,
    pub reply: Option<Reply<UpgradeReport>>,
}

/// What was found out about it.
pub(super) struct Known {
    binary: Binary,
    candidate: Candidate,
    text: u32,
    registry: Result<Loaded, LoadError>,
}

/// An upgrade that waits for the moment.
pub(super) struct Upgrade {
    pub binary: Binary,
    pub candidate: Candidate,
    /// Of the text of the registry, which is the one in force.
    pub registry: u32,
    pub origin: Origin,
    pub reply: Option<Reply<UpgradeReport>>,
    until: Moment,
}

/// How far an upgrade has come.
#[derive(Default)]
pub(super) enum Progress {
    #[default]
    None,
    /// The binary is being asked.
    Asking,
    Settling(Box<Upgrade>),
    /// Nothing is changed any more.
    HandingOver,
}

/// A number that changes with the text of a file.
pub(super) fn text_number(file: &Path) -> u32 {
    std::fs::read(file).map_or(0, |bytes| crc32fast::hash(&bytes))
}

impl Driver {
    pub fn ask_for_upgrade(&mut self, path: Option<PathBuf>, asked: Asked) {
        let Asked { origin, reply } = asked;
        let path = path.unwrap_or_else(process::executable);
        if let Some(problem) = self.cannot_upgrade_now() {
            return self.refuse_upgrade(&problem, &origin, reply);
        }
        tracing::info!(binary = %path.display(), by = %origin, "an upgrade is asked for");
        self.progress = Progress::Asking;
        self.checks_made += 1;
        let serial = self.checks_made;
        let (place, containment) = (self.place.clone(), self.containment.clone());
        let internal = self.internal.clone();
        tokio::task::spawn_blocking(move || {
            let known = candidate::ask(&path, &place, &containment, serial);
            let result = known.map(|(binary, candidate)| {
                // Before it is read: what is edited meanwhile makes another number.
                let text = text_number(&place.registry_file);
                let registry =
                    registry::load(&place.registry_file, &place.install_folder, &place.sources);
                Known { binary, candidate, text, registry }
            });
            let asked = Asked { origin, reply };
            let _ended_meanwhile =
                internal.send(Internal::CandidateAsked { result: result.map(Box::new), asked });
        });
    }

    fn cannot_upgrade_now(&self) -> Option<Problem> {
        if self.supervisor.is_shutting_down() {
            let text = "the Supervisor is shutting down";
            return Some(Problem::new(ProblemCode::ShuttingDown, text));
        }
        let under_way = !matches!(self.progress, Progress::None);
        under_way.then(|| Problem::new(ProblemCode::Denied, "an upgrade is under way"))
    }

    pub fn candidate_asked(&mut self, result: Result<Box<Known>, Problem>, asked: Asked) {
        let Asked { origin, reply } = asked;
        let result = result.and_then(|known| {
            let Known { binary, candidate, text, registry } = *known;
            if !registry.is_ok_and(|loaded| self.is_in_force(&loaded.registry)) {
                let text = "the registry was edited since it was read, and an upgrade changes one \
                            thing at a time: s7supervisor reload first (or restart, where only \
                            that takes the change over)";
                return Err(Problem::new(ProblemCode::Denied, text));
            }
            Ok((binary, candidate, text))
        });
        match result {
            Ok((binary, candidate, registry)) => {
                let until = clock::now().after(SETTLING);
                let upgrade = Upgrade { binary, candidate, registry, origin, reply, until };
                self.progress = Progress::Settling(Box::new(upgrade));
            }
            Err(problem) => {
                self.progress = Progress::None;
                self.refuse_upgrade(&problem, &origin, reply);
            }
        }
    }

    fn is_in_force(&self, registry: &Registry) -> bool {
        let plan = self.supervisor.plan_reload(registry);
        let difference = &plan.difference;
        plan.needs_supervisor_restart.is_empty()
            && difference.added.is_empty()
            && difference.removed.is_empty()
            && difference.changed.is_empty()
            && difference.updated.is_empty()
    }

    fn refuse_upgrade(
        &self,
        problem: &Problem,
        origin: &Origin,
        reply: Option<Reply<UpgradeReport>>,
    ) {
        let why = &problem.detail;
        tracing::error!(%why, diagnostics = problem.diagnostics.as_deref(), "not upgraded");
        let text = format!("not upgraded: {why}");
        self.tell(None, EventKind::Supervisor, text, Some(origin.to_string()));
        if let Some(reply) = reply {
            let _caller_left = reply.send(Err(problem.clone()));
        }
    }

    /// At the end of each turn: the upgrade whose moment has come.
    pub fn ripe_upgrade(&mut self, now: Moment) -> Option<Upgrade> {
        let Progress::Settling(upgrade) = &self.progress else { return None };
        let until = upgrade.until;
        let busy = self.supervisor.unsettled().or_else(|| {
            let commands = !self.stop_commands.is_empty() || !self.gone.is_empty();
            commands.then(|| "running a stop command".to_owned())
        });
        if busy.is_some() && now < until {
            return None;
        }
        let before = std::mem::replace(&mut self.progress, Progress::HandingOver);
        let Progress::Settling(mut upgrade) = before else { return None };
        let Some(busy) = busy else { return Some(*upgrade) };
        self.progress = Progress::None;
        let text = format!(
            "busy {busy}, for {} s: try again when that has come to its end",
            SETTLING.as_secs()
        );
        let problem = Problem::new(ProblemCode::Denied, text);
        self.refuse_upgrade(&problem, &upgrade.origin, upgrade.reply.take());
        None
    }

    pub fn upgrade_deadline(&self) -> Option<Moment> {
        match &self.progress {
            Progress::Settling(upgrade) => Some(upgrade.until),
            Progress::None | Progress::Asking | Progress::HandingOver => None,
        }
    }

    pub fn is_handing_over(&self) -> bool {
        matches!(self.progress, Progress::HandingOver)
    }

    /// Tells everybody who asked and who watches that it happens now.
    pub fn announce_upgrade(&mut self, upgrade: &mut Upgrade) {
        let report = UpgradeReport {
            from: process::version().to_owned(),
            to: upgrade.candidate.version.clone(),
            binary: upgrade.binary.path.display().to_string(),
            pid: std::process::id(),
            upgrades: self.upgrades,
        };
        let text = format!("{} hands over to {} ({})", report.from, report.to, report.binary);
        tracing::info!(from = report.from, to = report.to, binary = report.binary, "hands over");
        self.tell(None, EventKind::Supervisor, text, Some(upgrade.origin.to_string()));
        if let Some(reply) = upgrade.reply.take() {
            let _caller_left = reply.send(Ok(report));
        }
    }

    /// The step failed: on with what was.
    pub fn upgrade_failed(&mut self, upgrade: &Upgrade, why: &str) {
        self.progress = Progress::None;
        let version = &upgrade.candidate.version;
        tracing::error!(version, why, "not upgraded; this version goes on");
        let text = format!("not upgraded to {version}: {why}; {} goes on", process::version());
        self.tell(None, EventKind::Supervisor, text, Some(upgrade.origin.to_string()));
    }
}
