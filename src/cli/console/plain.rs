//! The console as lines: for screen readers, pipes, and wherever no screen can be drawn.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::{OnHangup, Screen, Session};
use crate::{
    cli::{Context, engine, exit::Failure, loading, stream},
    client::{Client, Endpoint},
    control::Access,
    process,
    runtime::Embedding,
};

/// The stream of a Supervisor that runs, or of several, until nobody reads it.
pub fn attached(context: &Context) -> Result<(), Failure> {
    let clients = context.place.clients("console")?;
    crate::cli::block_on(async {
        if let [(_, client)] = clients.as_slice() {
            stream::follow(context, client, &[], || false).await;
        } else {
            stream::follow_several(context, &clients, &[]).await;
        }
        Ok(())
    })
}

/// The engine on this thread, the stream beside it. `SIGINT` and `SIGTERM` stop everything.
pub fn embedded(context: &Context, screen: &Screen, session: &Session) -> Result<(), Failure> {
    process::hygiene();
    let loaded = loading::load_to_run(&session.place)?;
    loaded.tell_warnings(context);
    let output = loaded.registry.config.temp.join("start.err");
    let successor = session.successor(&output);
    // A terminal may go away; then nothing of ours is to hang on it.
    let on_terminal = context.ui.out.terminal || context.ui.err.terminal;
    if on_terminal {
        process::ignore_job_control();
    }
    let (give_hangup, owns_hangup) = oneshot::channel();
    let (tell_router, router) = oneshot::channel();
    let ended = Arc::new(AtomicBool::new(false));
    let beside = {
        let seen = Context { ui: context.ui.another(), place: session.place.clone() };
        let (ended, on_hangup) = (Arc::clone(&ended), screen.on_hangup);
        let work = move || {
            crate::cli::block_on(async {
                let told = async {
                    let Ok(router) = router.await else { return };
                    let client = Client::new(Endpoint::InProcess(router), "console");
                    stream::follow(&seen, &client, &[], || ended.load(Ordering::Acquire)).await;
                };
                if !on_terminal {
                    let _engine_gone = give_hangup.send(());
                    told.await;
                    return Ok(());
                }
                tokio::select! {
                    () = terminal_gone() => go_on(on_hangup, &output, give_hangup),
                    () = told => {}
                }
                Ok(())
            })
        };
        let thread = thread::Builder::new().name("stream".to_owned()).spawn(work);
        thread.map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?
    };
    let embedding = Embedding {
        on_ready: Box::new(move |server| {
            let _stream_gone = tell_router.send(server.router(Access::in_process().read_only()));
        }),
        owns_hangup,
        events: None,
    };
    let handover = engine::handover(screen.handover)?;
    let headless = session.headless.clone();
    let outcome = engine::run(engine::Start {
        record: None,
        place: &session.place,
        log_to_stderr: false,
        containment: None,
        arguments: Box::new(move || headless.clone()),
        embedding: Some(embedding),
        handover,
        guarded: None,
        passed: None,
        successor: Some(successor),
    });
    ended.store(true, Ordering::Release);
    let shown = beside.join();
    outcome?;
    shown.unwrap_or_else(|_panic| Err(Failure::failed("the status stream broke")))
}

/// Returns when the terminal is gone; from its first poll on that does not end us.
async fn terminal_gone() {
    match signal(SignalKind::hangup()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_not_noticed) => std::future::pending().await,
    }
}

fn go_on(on_hangup: OnHangup, output: &Path, give_hangup: oneshot::Sender<()>) {
    if on_hangup == OnHangup::Stop {
        let own = rustix::process::getpid();
        let _cannot_fail = rustix::process::kill_process(own, rustix::process::Signal::TERM);
        return;
    }
    tracing::info!("the terminal is gone; the Supervisor goes on without");
    if let Err(error) = process::leave_terminal(Some(output)) {
        tracing::warn!(%error, "cannot let go of the terminal altogether");
    }
    let _engine_gone = give_hangup.send(());
}
