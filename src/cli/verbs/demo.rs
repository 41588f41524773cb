//! `demo`: the console on a registry of three small components in a temporary folder.
//!
//! The folder goes when the Supervisor ends, whatever way that comes about: a demo that was
//! detached keeps it until then.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::run;
use crate::{
    cli::{
        Context,
        console::{self, Screen, Session, Successor},
        engine,
        exit::Failure,
    },
    demo::registry::Demo,
    guardian::Guarded,
    process,
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    #[command(flatten)]
    screen: Screen,
    /// A demo that was restarted in place goes on with its folder
    #[arg(long, value_name = "DIR", hide = true)]
    folder: Option<PathBuf>,
    /// It had been detached
    #[arg(long, hide = true, requires = "folder")]
    headless: bool,
    /// The guardian of a demo that runs already: should that be killed, everything is ended
    #[arg(long, hide = true, requires = "folder")]
    beside: bool,
}

pub fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { screen, folder, headless, beside } = arguments;
    let ends = if *beside { Some(heir()?) } else { None };
    if !headless && console::needs_front(context, screen) {
        return console::front(context, Successor::EndsAll);
    }
    let demo = match folder {
        Some(folder) => Demo::resume(folder.clone()),
        None => Demo::create()
            .map_err(|error| Failure::failed(format!("cannot set up the demo: {error}")))?,
    };
    let place = context.place.moved(demo.folder(), demo.registry_file());
    let command = place.command();
    let session = Session {
        comeback: format!("{command} console attaches to it, {command} stop ends the demo"),
        with_console: console_arguments(&demo),
        headless: headless_arguments(&demo),
        guardian: guardian_arguments(&demo),
        place,
    };
    let outcome = if *headless {
        run_headless(session, engine::handover(screen.handover)?, ends)
    } else {
        if screen.is_plain(&context.ui) && folder.is_none() {
            for component in demo.components() {
                context.ui.note(format_args!("{component}"));
            }
            context.ui.note("Ctrl-C stops everything; nothing is left behind.");
        }
        console::start(context, screen, &session)
    };
    let removed = demo
        .remove()
        .map_err(|error| Failure::failed(format!("cannot remove the demo's folder: {error}")));
    outcome.and(removed)
}

fn run_headless(
    session: Session,
    handover: Option<crate::runtime::Handover>,
    ends: Option<Guarded>,
) -> Result<(), Failure> {
    process::hygiene();
    let output = session.place.temp().join("start.err");
    let successor = Some(session.successor(&output));
    let headless = session.headless;
    engine::run(engine::Start {
        record: None,
        place: &session.place,
        log_to_stderr: false,
        containment: None,
        arguments: Box::new(move || headless.clone()),
        embedding: None,
        handover,
        guarded: ends,
        passed: None,
        successor,
    })
}

/// Guards a demo; returns in the engine that takes its place, which is to end everything: an operator
/// whose demo was killed does not expect that it goes on.
fn heir() -> Result<Guarded, Failure> {
    process::hygiene();
    let mut guarded = run::split(None)?;
    guarded.inheritance.stopping = true;
    Ok(guarded)
}

fn guardian_arguments(demo: &Demo) -> Vec<OsString> {
    let mut arguments = headless_arguments(demo);
    arguments.push("--beside".into());
    arguments
}

/// As the operator gave them, with the folder that is there.
fn console_arguments(demo: &Demo) -> Vec<OsString> {
    let mut arguments = console::same_command();
    if !arguments.iter().any(|argument| argument == "--folder") {
        arguments.extend(["--folder".into(), demo.folder().into()]);
    }
    arguments
}

fn headless_arguments(demo: &Demo) -> Vec<OsString> {
    vec!["demo".into(), "--folder".into(), demo.folder().into(), "--headless".into()]
}
