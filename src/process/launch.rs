//! What is to be started, and what stopped it from starting. Pure data.

use std::{ffi::OsString, fmt, io, path::PathBuf};

use super::Endpoint;
use crate::registry::Limits;

/// Everything about one start, complete: nothing is taken from the Supervisor's own state but
/// what an absent `umask`, `user` or limit leaves as it is.
#[derive(Debug)]
pub struct Launch {
    /// An absolute path; a bare name, looked up on the `PATH` of `environment`; or a relative
    /// path with a slash, relative to `working_directory`.
    pub executable: PathBuf,
    /// Without the name of the program itself.
    pub arguments: Vec<OsString>,
    /// All of it; the first of two equal names counts.
    pub environment: Vec<(OsString, OsString)>,
    pub working_directory: PathBuf,
    /// Name or number. Brings its primary and supplementary groups, unless `group` is given.
    pub user: Option<String>,
    /// Name or number.
    pub group: Option<String>,
    /// Permission bits; `None`: as the Supervisor's.
    pub umask: Option<u32>,
    /// `open_files`, `core`, `nice` and `oom_score_adjust` are set here.
    pub limits: Limits,
    /// Standard input is the null device.
    pub stdout: Endpoint,
    pub stderr: Endpoint,
}

/// The step of a start that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SpawnStage {
    /// The request itself cannot be carried out: a zero byte in a text.
    Request = 1,
    /// Looking the user or group up.
    Account,
    /// The process could not be created: too many of them, no memory.
    Clone,
    /// Joining the component's process tree.
    Tree,
    Session,
    Streams,
    OpenFiles,
    Core,
    Nice,
    OomScore,
    Group,
    User,
    WorkingDirectory,
    Exec,
}

/// Why nothing was started. No process is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub struct SpawnError {
    pub stage: SpawnStage,
    /// What the step was about: the executable, the folder, the user.
    pub what: String,
    #[source]
    pub source: io::Error,
    /// What most likely is to be done about it.
    pub hint: Option<&'static str>,
}

impl SpawnError {
    pub(super) fn new(stage: SpawnStage, what: impl Into<String>, source: io::Error) -> Self {
        Self { stage, what: what.into(), source, hint: None }
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: Option<&'static str>) -> Self {
        self.hint = hint;
        self
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match self.stage {
            SpawnStage::Request => write!(f, "cannot start {what}"),
            SpawnStage::Account => write!(f, "cannot look up {what}"),
            SpawnStage::Clone => write!(f, "cannot create a process for {what}"),
            SpawnStage::Tree => write!(f, "cannot join the cgroup {what}"),
            SpawnStage::Session => write!(f, "cannot make a session for {what}"),
            SpawnStage::Streams => write!(f, "cannot connect the streams of {what}"),
            SpawnStage::OpenFiles => write!(f, "cannot limit open files to {what}"),
            SpawnStage::Core => write!(f, "cannot limit core files to {what} bytes"),
            SpawnStage::Nice => write!(f, "cannot set the nice value {what}"),
            SpawnStage::OomScore => write!(f, "cannot set the OOM score adjustment {what}"),
            SpawnStage::Group => write!(f, "cannot switch to group {what}"),
            SpawnStage::User => write!(f, "cannot switch to user {what}"),
            SpawnStage::WorkingDirectory => write!(f, "cannot change to the folder {what}"),
            SpawnStage::Exec => write!(f, "cannot execute {what}"),
        }?;
        // "(os error 2)" tells an operator nothing.
        let reason = self.source.to_string();
        let reason = reason.rsplit_once(" (os error").map_or(reason.as_str(), |(text, _)| text);
        write!(f, ": {reason}")?;
        self.hint.map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}
