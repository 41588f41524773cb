//! The engine in this process: the one place of the command line that names it.

use std::{ffi::OsString, path::PathBuf};

use super::{
    exit::{Exit, Failure},
    loading,
    place::Place,
};
use crate::{
    guardian::{Guarded, Inheritance, Kept, Stores},
    process::Level,
    runtime::{self, Embedding, EngineError, EngineOptions, Handover},
};

pub use crate::runtime::Successor;

/// What the engine is started with.
pub struct Start<'a> {
    pub place: &'a Place,
    /// Events go to standard error, too.
    pub log_to_stderr: bool,
    /// No other means of holding process trees than this one.
    pub containment: Option<Level>,
    /// Every input is written down here.
    pub record: Option<PathBuf>,
    /// The command line of a restart in place.
    pub arguments: Box<dyn FnMut() -> Vec<OsString>>,
    pub embedding: Option<Embedding>,
    /// What another program left that was in this process before.
    pub handover: Option<Handover>,
    /// What it is given by its guardian; none where it has no guardian.
    pub guarded: Option<Guarded>,
    /// What the service manager passed to an engine that has no guardian, and is to have none.
    pub passed: Option<Vec<Kept>>,
    /// How a guardian is made where there is none, or no more.
    pub successor: Option<Successor>,
}

/// Runs the engine until the Supervisor has ended. Does not return from a restart in place.
pub fn run(start: Start<'_>) -> Result<(), Failure> {
    let (guardian, inheritance) =
        start.guarded.map(|guarded| (guarded.link, guarded.inheritance)).unzip();
    let mut inheritance: Inheritance = inheritance.unwrap_or_default();
    let mut stores = Stores::default();
    if let Some(passed) = start.passed {
        inheritance.kept.extend(passed);
        // The store has what the version before us had, too.
        let handed_over = start.handover.iter().flat_map(|handover| &handover.kept);
        stores = Stores::alone(inheritance.kept.iter().chain(handed_over));
    }
    let options = EngineOptions {
        install_folder: start.place.install_folder.clone(),
        registry_file: start.place.registry.clone(),
        sources: loading::sources(start.place),
        foreground_log: start.log_to_stderr,
        containment: start.containment,
        arguments: start.arguments,
        record: start.record,
        embedding: start.embedding,
        inheritance,
        stores,
        handover: start.handover,
        guardian,
        successor: start.successor,
    };
    runtime::run(options).map_err(|error| match &error {
        EngineError::Registry(error) => loading::refusal(error, false, 100),
        EngineError::Folder { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Failure::new(Exit::NotPermitted, error.to_string())
        }
        _ => Failure::failed(error.to_string()),
    })
}

/// The command line that starts a Supervisor there again, headless and from any folder.
pub fn arguments(place: &Place, log_to_stderr: bool, containment: Option<Level>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "--install-folder".into(),
        place.install_folder.clone().into(),
        "--registry".into(),
        place.registry.clone().into(),
    ];
    for (name, value) in &place.settings {
        arguments.extend(["--set".into(), format!("{name}={value}").into()]);
    }
    arguments.push("run".into());
    match containment {
        Some(Level::Cgroup) => arguments.extend(["--containment".into(), "cgroup".into()]),
        Some(Level::Subreaper) => arguments.extend(["--containment".into(), "subreaper".into()]),
        Some(Level::JobObject) | None => {}
    }
    if !log_to_stderr {
        arguments.push("--detached".into());
    }
    arguments
}

/// What the program before us left at this descriptor, where it left anything.
pub fn handover(number: Option<i32>) -> Result<Option<Handover>, Failure> {
    let received = number.map(Handover::receive).transpose();
    received.map_err(|error| {
        Failure::failed(format!("cannot read what the version before handed over: {error}"))
            .and("start the Supervisor again: it takes over what runs")
    })
}

/// The command line of a guardian for an engine there that runs already.
pub fn guardian(place: &Place, log_to_stderr: bool, containment: Option<Level>) -> Vec<OsString> {
    let mut arguments = arguments(place, log_to_stderr, containment);
    arguments.push("--guard=beside".into());
    arguments
}
