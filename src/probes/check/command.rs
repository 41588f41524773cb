//! `exec`: a command that answers with its exit status.

use crate::{
    model::{ComponentId, Exit, RunId},
    probes::Task,
};

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
}

impl CommandEnd {
    /// Bytes of output that are kept.
    pub const TAIL: usize = 4096;
}
