//! `run`: the Supervisor in the foreground, headless: this process becomes the guardian, and the
//! engine its child.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};

use crate::{
    cli::{Context, engine, exit::Failure},
    guardian::{self, Guarded, Kept, Link, Role, Successor},
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
    /// Another version was in this process before: the descriptor of what it left
    #[arg(long, hide = true, value_name = "FD")]
    handover: Option<i32>,
    /// Without a guardian, the process that starts the Supervisor again within milliseconds should
    /// it be killed
    #[arg(long)]
    no_guardian: bool,
    /// Executed anew in place by one that had a guardian: the descriptor that leads to it
    #[arg(long, hide = true, value_name = "FD", conflicts_with = "no_guardian")]
    guarded: Option<i32>,
    /// Started by a guardian of another version: the descriptor of what was kept
    #[arg(long, hide = true, value_name = "FD", requires = "guarded")]
    estate: Option<i32>,
    /// Which process this is, where it is not to become both
    #[arg(long, hide = true, value_enum, conflicts_with = "no_guardian")]
    guard: Option<Guard>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Guard {
    /// The engine, which makes its guardian as its child
    Below,
    /// The guardian of an engine that runs already and waits at our standard output
    Beside,
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
    let passed = guardian::passed_by_manager();
    // Before there are threads, and as little memory as there will ever be.
    let mut alone = None;
    let guarded = match arguments.guarded {
        _ if arguments.no_guardian => {
            alone = Some(passed);
            None
        }
        Some(number) => match arguments.estate {
            Some(estate) => Some(inherit(number, estate)?),
            None => resume(number),
        },
        None if arguments.guard == Some(Guard::Below) => None,
        None if arguments.guard == Some(Guard::Beside) => Some(split(None)?),
        None => Some(split(Some(passed))?),
    };
    let containment = arguments.containment.map(|containment| match containment {
        Containment::Cgroup => Level::Cgroup,
        Containment::Subreaper => Level::Subreaper,
    });
    let handover = engine::handover(arguments.handover)?;
    let log_to_stderr = !arguments.detached;
    let record = arguments.record.as_ref().map(std::path::absolute).transpose();
    let record = record.map_err(|error| Failure::failed(format!("cannot record: {error}")))?;
    let mut again = engine::arguments(&context.place, log_to_stderr, containment);
    if let Some(path) = &record {
        again.extend(["--record".into(), path.clone().into()]);
    }
    let successor = (!arguments.no_guardian).then(|| engine::Successor {
        guardian: engine::guardian(&context.place, log_to_stderr, containment),
        output: None,
        is_handed_over: true,
    });
    // The process stays what it is: the engine.
    again.push(if successor.is_some() { "--guard=below" } else { "--no-guardian" }.into());
    if let (Some(guarded), true) = (&guarded, handover.is_some() || arguments.estate.is_some()) {
        // It is of the version before, and shall start engines of this one.
        let successor = Successor::new(process::executable(), &again);
        if let Err(error) = successor.leave(&guarded.link) {
            context
                .ui
                .note(format_args!("an engine that follows this one would be older: {error}"));
        }
    }
    engine::run(engine::Start {
        place: &context.place,
        log_to_stderr,
        containment,
        record,
        arguments: Box::new(move || again.clone()),
        embedding: None,
        guarded,
        passed: alone,
        handover,
        successor,
    })
}

/// Makes a guardian of this process, with what the service manager had kept for it; or one beside
/// an engine that runs already. Returns in an engine alone.
pub fn split(passed: Option<Vec<Kept>>) -> Result<Guarded, Failure> {
    let role = match passed {
        Some(passed) => guardian::guard(passed),
        None => process::socket_of_output().and_then(guardian::guard_beside),
    };
    match role {
        Ok(Role::Engine(guarded)) => Ok(guarded),
        // The engine has said everything.
        Ok(Role::Over(code)) => std::process::exit(code.into()),
        Ok(Role::GaveUp { deaths, last }) => Err(Failure::failed(format!(
            "the engine died {deaths} times at its start, the last time by {last}, and is not started \
             again; components that run are left as they are, for the next Supervisor"
        ))),
        Err(error) => Err(Failure::failed(format!("cannot start the engine: {error}"))
            .and("--no-guardian does without a guardian")),
    }
}

/// Takes what the guardian, which is of another version, had kept.
fn inherit(link: i32, estate: i32) -> Result<Guarded, Failure> {
    guardian::receive_estate(link, estate)
        .map_err(|error| Failure::failed(format!("cannot take what the guardian kept: {error}")))
}

/// Finds the guardian again after a restart in place.
fn resume(number: i32) -> Option<Guarded> {
    let resumed = process::inherited(number).and_then(Link::resume);
    // It died meanwhile: the engine goes on without, as it would have.
    let (link, inheritance) = resumed.ok()?;
    Some(Guarded { link: Arc::new(link), inheritance })
}
