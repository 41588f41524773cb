//! The engine and the console in one process: who runs where, and what is said at the end.

use std::{
    ffi::OsString,
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use rustix::io::FdFlags;
use tokio::sync::oneshot;

use super::{
    Screen,
    conductor::{Conductor, Doors, Report, Signals},
    stopping,
};
use crate::{
    cli::{Context, engine, exit::Failure, loading, place::Place, ui},
    console::terminal::capture,
    control::Access,
    process,
    runtime::Embedding,
};

/// What is supervised, and how it is come back to.
#[derive(Debug, Clone)]
pub struct Session {
    pub place: Place,
    /// How the operator comes back after leaving: `s7supervisor console attaches to it`.
    pub comeback: String,
    /// The command line of a restart in place, with a console and without.
    pub with_console: Vec<OsString>,
    pub headless: Vec<OsString>,
    /// The command line of the guardian.
    pub guardian: Vec<OsString>,
}

impl Session {
    /// The operator's own installation.
    pub fn of_place(place: &Place) -> Self {
        let mut headless = engine::arguments(place, false, None);
        headless.push("--guard=below".into());
        Self {
            place: place.clone(),
            comeback: format!("{} console attaches to it", place.command()),
            with_console: same_command(),
            headless,
            guardian: engine::guardian(place, false, None),
        }
    }

    /// A guardian below the process that the engine shares with the console: should that be
    /// killed, the next engine is headless.
    pub fn successor(&self, output: &Path) -> engine::Successor {
        let (guardian, output) = (self.guardian.clone(), Some(output.to_owned()));
        engine::Successor { guardian, output, is_handed_over: false }
    }
}

/// The arguments of this process, without the descriptors that only it was given.
pub fn same_command() -> Vec<OsString> {
    let is_ours = |argument: &OsString| {
        let bytes = argument.as_encoded_bytes();
        bytes.starts_with(b"--front=") || bytes.starts_with(b"--handover=")
    };
    std::env::args_os().skip(1).filter(|argument| !is_ours(argument)).collect()
}

/// Runs the engine on this thread, and the console beside it.
pub fn run(context: &Context, screen: &Screen, session: &Session) -> Result<(), Failure> {
    process::hygiene();
    process::ignore_job_control();
    let number = screen.front.unwrap_or(-1);
    let front = process::inherited(number)
        .map(|front| Arc::new(UnixStream::from(front)))
        .map_err(|error| Failure::failed(format!("cannot reach the front: {error}")))?;
    let handover = engine::handover(screen.handover)?;
    let place = &session.place;
    // Refused before the screen is taken: the diagnostics need room.
    let loaded = loading::load_to_run(place)?;
    loaded.tell_warnings(context);
    let output = loaded.registry.config.temp.join("start.err");
    let start_err = output.clone();
    let known = loaded.registry.components.len();
    let mut options = screen.options(&context.ui, &place.registry)?;
    options.embedded = true;

    let (tell_doors, doors) = oneshot::channel();
    let (tell_end, ended) = oneshot::channel();
    let (give_hangup, owns_hangup) = oneshot::channel();
    let (layer, capturing) = capture::capture();
    let conductor = Conductor {
        ui: context.ui.another(),
        options,
        on_hangup: screen.on_hangup,
        host: super::host_name(),
        comeback: session.comeback.clone(),
        trace_log: loaded.registry.config.log.clone(),
        output,
        doors,
        ended,
        give_hangup,
        front: Arc::clone(&front),
        uncapture: Box::new(move || capturing.stop()),
    };
    let beside = Beside::start(conductor, tell_end)?;
    let read_only = screen.is_read_only();
    let embedding = Embedding {
        on_ready: Box::new(move |server| {
            let access = Access::in_process();
            let seen = if read_only { access.clone().read_only() } else { access.clone() };
            let doors = Doors { full: server.router(access), screen: server.router(seen) };
            let _conductor_gone = tell_doors.send(doors);
        }),
        owns_hangup,
        events: Some(Box::new(layer)),
    };
    let arguments = {
        let (beside, session, mut front) = (Arc::clone(&beside), session.clone(), Some(front));
        Box::new(move || restart(&beside, &mut front, &session))
    };
    let outcome = engine::run(engine::Start {
        record: None,
        place,
        log_to_stderr: false,
        containment: None,
        arguments,
        embedding: Some(embedding),
        handover,
        guarded: None,
        passed: None,
        successor: Some(session.successor(&start_err)),
    });
    let report = beside.finish();
    outcome?;
    match report {
        Some(Report::Stopped(operation)) => {
            stopping::conclude(&context.ui, operation.as_ref(), known);
        }
        Some(Report::EngineEnded) => {
            context.ui.line("The Supervisor and its components were stopped.");
        }
        Some(Report::Detached) | None => {}
    }
    Ok(())
}

/// The screen is given back, and comes again with the new program where it was open.
fn restart(
    beside: &Beside,
    front: &mut Option<Arc<UnixStream>>,
    session: &Session,
) -> Vec<OsString> {
    if matches!(beside.finish(), Some(Report::Detached) | None) {
        return session.headless.clone();
    }
    let mut arguments = session.with_console.clone();
    if let Some(front) = front.take()
        && rustix::io::fcntl_setfd(&*front, FdFlags::empty()).is_ok()
    {
        arguments.push(format!("--front={}", front.as_raw_fd()).into());
        // Left open for the new program, which takes it over.
        std::mem::forget(front);
    }
    arguments
}

/// The conductor's thread, and the promise that the terminal is given back before this is gone.
struct Beside {
    work: Mutex<Option<(JoinHandle<Report>, oneshot::Sender<()>)>>,
}

impl Beside {
    fn start(conductor: Conductor, tell_end: oneshot::Sender<()>) -> Result<Arc<Self>, Failure> {
        let cannot = |error| Failure::failed(format!("cannot start the console: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(cannot)?;
        let entered = runtime.enter();
        let signals = Signals::listen().map_err(cannot)?;
        drop(entered);
        let thread = std::thread::Builder::new().name("link".to_owned()).spawn(move || {
            let report = runtime.block_on(conductor.conduct(signals));
            runtime.shutdown_background();
            report
        });
        let work = Mutex::new(Some((thread.map_err(cannot)?, tell_end)));
        Ok(Arc::new(Self { work }))
    }

    /// The engine has ended: waits until the screen has, too. None when that was told before.
    fn finish(&self) -> Option<Report> {
        let (thread, tell_end) = self.work.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let _left_before = tell_end.send(());
        thread.join().ok()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if self.finish().is_some() && std::thread::panicking() {
            ui::aside(
                "error: the Supervisor broke off by a mistake of its own. Its components go on; the \
                 next Supervisor takes them over (s7supervisor console, or start).\n",
            );
        }
    }
}
