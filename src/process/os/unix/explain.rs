//! What failed in the new process, in an operator's words.

use std::{io, os::unix::ffi::OsStrExt};

use super::{Tree, prepare::search_path, spawn::Failure};
use crate::process::{Launch, SpawnError, SpawnStage};

/// Puts the child's stage and number into words.
pub(super) fn explain(launch: &Launch, tree: Option<&Tree>, failure: Failure) -> SpawnError {
    let program = || launch.executable.display().to_string();
    let number = |value: Option<String>| value.unwrap_or_default();
    let limits = &launch.limits;
    let Failure { stage, error } = failure;
    let denied = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
    let (what, hint) = match stage {
        SpawnStage::Request
        | SpawnStage::Account
        | SpawnStage::Clone
        | SpawnStage::Session
        | SpawnStage::Streams => (program(), None),
        SpawnStage::Tree => {
            let folder = tree.and_then(Tree::folder).map(|folder| folder.display().to_string());
            (folder.unwrap_or_else(program), None)
        }
        SpawnStage::OpenFiles => (
            number(limits.open_files.map(|value| value.to_string())),
            denied.then_some("only root can raise the hard limit"),
        ),
        SpawnStage::Core => (
            number(limits.core.map(|value| value.to_string())),
            denied.then_some("only root can raise the hard limit"),
        ),
        SpawnStage::Nice => (
            number(limits.nice.map(|value| value.to_string())),
            denied.then_some("only root can lower it"),
        ),
        SpawnStage::OomScore => (
            number(limits.oom_score_adjust.map(|value| value.to_string())),
            denied.then_some("only root can lower it"),
        ),
        SpawnStage::Group => (
            launch.group.clone().unwrap_or_default(),
            denied.then_some("the Supervisor must run as root for that"),
        ),
        SpawnStage::User => (
            launch.user.clone().unwrap_or_default(),
            denied.then_some("the Supervisor must run as root for that"),
        ),
        SpawnStage::WorkingDirectory => (launch.working_directory.display().to_string(), None),
        SpawnStage::Exec => explain_exec(launch, &error),
    };
    SpawnError::new(stage, what, error).hint(hint)
}

fn explain_exec(launch: &Launch, error: &io::Error) -> (String, Option<&'static str>) {
    let program = launch.executable.display();
    let bare = !launch.executable.as_os_str().as_bytes().contains(&b'/');
    if bare && matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EACCES)) {
        let path = search_path(launch).display();
        return (format!("{program} (looked up on PATH {path})"), None);
    }
    let file = launch.working_directory.join(&launch.executable);
    let hint = match error.raw_os_error() {
        Some(libc::ENOEXEC) => Some("a script needs #! and its interpreter in the first line"),
        Some(libc::ENOENT) if file.exists() => {
            Some("the file is there, but not the interpreter or loader that it names")
        }
        Some(libc::EACCES) if file.is_dir() => Some("it is a folder"),
        _ => None,
    };
    (program.to_string(), hint)
}
