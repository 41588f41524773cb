//! The engine in this process: the one place of the command line that names it.

use super::{
    exit::{Exit, Failure},
    loading,
    place::Place,
};
use crate::{process::Level, registry::Sources};

/// What the engine is started with.
#[derive(Debug)]
pub struct Start<'a> {
    pub place: &'a Place,
    /// Events go to standard error, too.
    pub log_to_stderr: bool,
    /// No other means of holding process trees than this one.
    pub containment: Option<Level>,
}

/// Runs the engine until the Supervisor has ended.
pub fn run(start: &Start<'_>) -> Result<(), Failure> {
    let sources: Sources = loading::sources(start.place);
    loading::load(start.place)?;
    let _ = (sources, start.log_to_stderr, start.containment);
    Err(Failure::new(Exit::Unavailable, "cannot start the engine: this build has none"))
}
