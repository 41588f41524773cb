//! `demo`: the engine on a registry of three small components in a temporary folder.
//!
//! The engine has the main thread; what the operator sees is a client of it like any other, on a
//! thread of its own. When the Supervisor has ended the folder goes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use clap::Args;

use crate::{
    cli::{Context, engine, exit::Failure, stream},
    demo::registry::Demo,
    process,
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {}

pub fn perform(context: &Context, _arguments: &Arguments) -> Result<(), Failure> {
    process::hygiene();
    let demo = Demo::create()
        .map_err(|error| Failure::failed(format!("cannot set up the demo: {error}")))?;
    let place = context.place.moved(demo.folder(), demo.registry_file());
    let seen = Context { ui: context.ui.another(), place: place.clone() };
    for component in demo.components() {
        context.ui.note(format_args!("{component}"));
    }
    context.ui.note("Ctrl-C stops everything; nothing is left behind.");

    let ended = Arc::new(AtomicBool::new(false));
    let front = {
        let ended = Arc::clone(&ended);
        thread::Builder::new().name("demo-stream".to_owned()).spawn(move || front(&seen, &ended))
    };
    let front =
        front.map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;
    let outcome =
        engine::run(&engine::Start { place: &place, log_to_stderr: false, containment: None });
    ended.store(true, Ordering::Release);
    let shown = front.join();
    let removed = demo
        .remove()
        .map_err(|error| Failure::failed(format!("cannot remove the demo's folder: {error}")));
    outcome?;
    removed?;
    shown.unwrap_or_else(|_panic| Err(Failure::failed("the status stream broke")))
}

/// What the operator sees, until the engine has ended. Later the console has this place.
fn front(context: &Context, ended: &AtomicBool) -> Result<(), Failure> {
    let client = context.place.client()?;
    crate::cli::block_on(async {
        stream::follow(context, &client, &[], || ended.load(Ordering::Acquire)).await;
        Ok(())
    })
}
