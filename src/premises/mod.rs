//! Who else could decide what runs here: permissions of what the Supervisor trusts.
//!
//! Whoever may write to the registry, to the runtime folder, or to a folder on the way to them,
//! can have commands run as the Supervisor's user. Under root that is refused, in the manner of
//! sshd's `StrictModes`: every folder from `/` on is looked at, through symbolic links. What is
//! run as root, and where logs go, is only warned of.
//!
//! Owns the rules and a report of findings; changes nothing on the disk. What follows from a
//! finding (refuse, warn, explain) is for those who ask.

mod trust;
mod walk;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fmt,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

pub use trust::{Trust, VARIABLE};
use walk::{Walk, has_other_writers};

use crate::{
    model::ComponentId,
    process,
    registry::{self, Component, LoadError, Loaded, Registry, Sources},
};

/// Files in the runtime folder that are believed, and so must be nobody else's.
const BELIEVED: [&str; 5] =
    ["journal", "holds.json", "supervisor.lock", "control.token", "control-read.token"];

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Registry,
    RuntimeFolder,
    LogFolder,
    Program(ComponentId),
    WorkingFolder(ComponentId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Somebody could do harm whom the operator may well trust.
    Warning,
    /// Somebody else decides what runs: nothing is started.
    Refusal,
}

/// One thing that somebody else could change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub weight: Weight,
    pub subject: Subject,
    /// What we use.
    pub used: PathBuf,
    /// What is open to others: that, or a folder on the way to it.
    pub open: PathBuf,
    /// "everybody may write to it (mode 0777)"
    pub why: String,
    /// A command that ends it.
    pub remedy: String,
}

/// Reads a registry that is to be run. Refused are those whose content, or whose folders, others
/// could have decided on; beside it come the findings that forbid nothing.
pub fn load(
    file: &Path,
    install_folder: &Path,
    sources: &Sources,
) -> Result<(Loaded, Vec<Finding>), LoadError> {
    let loaded = registry::load(file, install_folder, sources)?;
    let trust = Trust::of(trust::us(), &sources.environment);
    let findings = examine(&loaded.registry, &trust);
    match refusal(&findings, &trust) {
        Some(findings) => Err(LoadError::Untrusted { file: file.to_owned(), findings }),
        None => Ok((loaded, findings)),
    }
}

/// Looks at everything that this registry makes us trust, once for each thing that is open.
pub fn examine(registry: &Registry, trust: &Trust) -> Vec<Finding> {
    let mut examination = Examination { trust, walk: Walk::new(trust), findings: Vec::new() };
    let absolute = |path: &Path| registry.install_folder.join(path);
    examination.follow(&Subject::Registry, &absolute(&registry.file));
    examination.runtime_folder(&absolute(&registry.config.temp));
    if let Some(folder) = absolute(&registry.config.log).parent() {
        examination.follow(&Subject::LogFolder, folder);
    }
    for component in registry.components.iter().filter(|component| trust.runs_as_us(component)) {
        examination.component(component, &registry.install_folder);
    }
    examination.findings
}

/// Those that forbid a start, as one text; none where there is nothing to refuse.
fn refusal(findings: &[Finding], trust: &Trust) -> Option<String> {
    let refused: Vec<String> = findings
        .iter()
        .filter(|finding| finding.weight == Weight::Refusal)
        .map(|finding| format!("  {finding}"))
        .collect();
    (!refused.is_empty()).then(|| {
        format!(
            "others could decide what runs as {}\n{}\nWhere they may: {VARIABLE}=USER[,USER...] in \
             the environment names users whom you trust like yourself, {VARIABLE}=everybody ends \
             this check",
            trust::called(trust.user()),
            refused.join("\n")
        )
    })
}

struct Examination<'a> {
    trust: &'a Trust,
    walk: Walk<'a>,
    findings: Vec<Finding>,
}

impl Examination<'_> {
    /// Notes what is open on the way to `path`, and at its end.
    fn follow(&mut self, subject: &Subject, path: &Path) {
        for (open, defect) in self.walk.to(path) {
            self.note(subject.clone(), path, open, &defect);
        }
    }

    fn note(&mut self, subject: Subject, used: &Path, open: PathBuf, defect: &walk::Defect) {
        let grave = matches!(subject, Subject::Registry | Subject::RuntimeFolder);
        let weight = if self.trust.enforced() && grave && defect.is_grave() {
            Weight::Refusal
        } else {
            Weight::Warning
        };
        let (why, remedy) = (defect.to_string(), defect.remedy(&open, self.trust));
        self.findings.push(Finding { weight, subject, used: used.to_owned(), open, why, remedy });
    }

    /// A folder that others may write to is taken back by the control room, as long as nobody
    /// can have put anything there; so an empty volume will do.
    fn runtime_folder(&mut self, path: &Path) {
        let is_empty = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        for (open, defect) in self.walk.to(path) {
            let taken_back =
                same(&open, path) && defect.is_about_mode() && (is_empty || !defect.is_grave());
            if !taken_back {
                self.note(Subject::RuntimeFolder, path, open, &defect);
            }
        }
        for file in BELIEVED.map(|name| path.join(name)) {
            let Ok(metadata) = file.symlink_metadata() else { continue };
            if let Some(defect) = has_other_writers(&metadata, self.trust) {
                self.note(Subject::RuntimeFolder, &file, file.clone(), &defect);
            }
        }
    }

    fn component(&mut self, component: &Component, install_folder: &Path) {
        let folder = install_folder.join(&component.working_directory);
        let executable = &component.executable;
        // A bare name is looked for in PATH, whose folders are the operator's business.
        if executable.is_absolute() || executable.components().count() > 1 {
            let program = folder.join(executable);
            self.follow(&Subject::Program(component.id.clone()), &program);
        }
        self.follow(&Subject::WorkingFolder(component.id.clone()), &folder);
    }
}

impl Trust {
    /// It has the same rights as the Supervisor.
    fn runs_as_us(&self, component: &Component) -> bool {
        match &component.user {
            None => true,
            Some(name) => process::user_id(name).ok().flatten() == Some(self.user()),
        }
    }
}

fn same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|data| (data.dev(), data.ino()));
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

impl Finding {
    /// What is open to whom, without what to do about it.
    pub fn seen(&self) -> String {
        let used = self.used.display();
        let about = match &self.subject {
            Subject::Registry => format!("the registry {used}"),
            Subject::RuntimeFolder => format!("the runtime folder {used}"),
            Subject::LogFolder => format!("the log folder {used}"),
            Subject::Program(id) => format!("the program of {id}, {used}"),
            Subject::WorkingFolder(id) => format!("the working folder of {id}, {used}"),
        };
        if self.open == self.used {
            format!("{about}: {}", self.why)
        } else {
            format!("{about}: {}: {}", self.open.display(), self.why)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; do: {}", self.seen(), self.remedy)
    }
}

/// Where a walk has been, so that nothing is told twice.
type Seen = BTreeSet<PathBuf>;
