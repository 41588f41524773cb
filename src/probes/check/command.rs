//! `exec`: a command that answers with its exit status.

use crate::{
    model::{ComponentId, Exit, RunId},
    probes::{Task, text},
};

use super::Outcome;

/// A command to run as the component would: its user, folder, limits and environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRequest {
    pub run: RunId,
    pub id: ComponentId,
    /// Executable and arguments.
    pub command: Vec<String>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEnd {
    pub exit: Exit,
    /// The last bytes that it wrote to its standard output and error, at most
    /// [`CommandEnd::TAIL`].
    pub output: Vec<u8>,
}

/// Why a command could not be run, for an operator to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(pub String);

/// Runs commands in process trees of their own.
pub trait Commands: Send + Sync {
    /// Resolves when the command has ended. Dropping the future kills its whole tree.
    fn run(&self, request: CommandRequest) -> Task<Result<CommandEnd, CommandError>>;

    /// Whether nothing is left of those that have ended or were dropped.
    fn is_idle(&self) -> bool {
        true
    }
}

impl CommandEnd {
    /// Bytes of output that are kept.
    pub const TAIL: usize = 4096;
}

/// Runs it; an exit with 0 is good, and the last line that it wrote is what it said.
pub(super) async fn ask(commands: &dyn Commands, request: CommandRequest) -> (Outcome, String) {
    let end = match commands.run(request).await {
        Ok(end) => end,
        Err(error) => return (Outcome::Bad, format!("could not be run: {error}")),
    };
    let outcome = if end.exit == Exit::Code(0) { Outcome::Good } else { Outcome::Bad };
    let said = last_line(&end.output);
    if said.is_empty() {
        (outcome, format!("ended with {}", end.exit))
    } else {
        (outcome, format!("ended with {}: {said}", end.exit))
    }
}

/// The last line that is not empty.
fn last_line(output: &[u8]) -> String {
    let lines = output.rsplit(|byte| *byte == b'\n').map(text::one_line);
    lines.into_iter().find(|line| !line.is_empty()).unwrap_or_default()
}
