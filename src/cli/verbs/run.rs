//! `run`: the engine in this process, in the foreground, headless.

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
    /// Started by `start`: nobody watches, so events go to the log alone
    #[arg(long, hide = true)]
    detached: bool,
    /// Another version was in this process before: the descriptor of what it left
    #[arg(long, hide = true, value_name = "FD")]
    handover: Option<i32>,
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
    let handover = engine::handover(arguments.handover)?;
    let log_to_stderr = !arguments.detached;
    let arguments = engine::arguments(&context.place, log_to_stderr, containment);
    engine::run(engine::Start {
        place: &context.place,
        log_to_stderr,
        containment,
        arguments: Box::new(move || arguments.clone()),
        embedding: None,
        handover,
    })
}
