//! `run`: the engine in this process, in the foreground, headless.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::{
    cli::{Context, engine, exit::Failure},
    process::{self, Level},
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// How process trees are held together [default: the surest that this machine offers]
    #[arg(long, value_name = "HOW", value_enum, env = "S7_CONTAINMENT")]
    containment: Option<Containment>,
    /// Write every input and decision to FILE, for `s7supervisor replay FILE`: to find faults of
    /// the Supervisor itself. The registry's values stand in it; 64 MiB at most
    #[arg(long, value_name = "FILE", env = "S7_RECORD")]
    record: Option<PathBuf>,
    /// Started by `start`: nobody watches, so events go to the log alone
    #[arg(long, hide = true)]
    detached: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Containment {
    /// A control group for each component: nothing escapes
    Cgroup,
    /// Sessions and adopted orphans: works everywhere
    Subreaper,
}

pub fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    process::hygiene();
    let containment = arguments.containment.map(|containment| match containment {
        Containment::Cgroup => Level::Cgroup,
        Containment::Subreaper => Level::Subreaper,
    });
    let log_to_stderr = !arguments.detached;
    let record = arguments.record.as_ref().map(std::path::absolute).transpose();
    let record = record.map_err(|error| Failure::failed(format!("cannot record: {error}")))?;
    let mut arguments = engine::arguments(&context.place, log_to_stderr, containment);
    if let Some(path) = &record {
        arguments.extend(["--record".into(), path.clone().into()]);
    }
    engine::run(engine::Start {
        place: &context.place,
        log_to_stderr,
        containment,
        record,
        arguments: Box::new(|| arguments),
        embedding: None,
    })
}
