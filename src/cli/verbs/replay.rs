//! `replay FILE`: a record of `run --record` through the supervisor once more: the same decisions?

use std::path::PathBuf;

use clap::Args;

use crate::{
    cli::{Context, exit::Failure},
    runtime::replay,
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// What `run --record` wrote
    file: PathBuf,
}

pub fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let replayed = replay(&arguments.file).map_err(|error| Failure::failed(error.to_string()))?;
    context.ui.print(&format!(
        "{} inputs of {} Supervisors: the same decisions\n",
        replayed.inputs, replayed.supervisors
    ));
    if let Some(why) = replayed.cut {
        context.ui.print(&format!("the record ends early: {why}\n"));
    }
    for version in replayed.versions {
        context.ui.print(&format!("recorded by version {version}\n"));
    }
    Ok(())
}
