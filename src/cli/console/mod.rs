//! The operations console, opened: which process has the engine, which has the terminal, and what
//! becomes of either when the other goes.
//!
//! ```text
//!   shell ── front ──(socket)── s7supervisor --front=N        console mode
//!              │ waits            ├─ main     the engine, as `run` has it
//!              │ for a byte       ├─ link     conductor: signals, the front, the console's client
//!              ▼ or the end       └─ console  the screen
//!            prompt
//! ```
//!
//! The shell waits for the *front*, which does nothing but wait. So the console can be left for
//! good and the shell be answered, while the process that has the engine goes on as it is: the same
//! pid, the same children, nothing handed over. A console that attaches to a Supervisor elsewhere
//! is a plain client and needs none of this.

mod attached;
mod conductor;
mod embedded;
mod front;
mod plain;
mod screen;
mod stopping;

pub use embedded::{Session, same_command};
pub use front::{Successor, run as front};
pub use screen::{OnHangup, Screen};

use super::{
    Context,
    exit::{Exit, Failure},
};
use crate::client::ClientError;

/// Opens the console on this registry's Supervisor: one that runs, else one in this process.
pub fn open(context: &Context, screen: &Screen) -> Result<(), Failure> {
    // Behind a front it has been looked for already; and one that was here is continued.
    let begins = screen.front.is_none() && screen.handover.is_none();
    let attaches = begins && (context.place.is_elsewhere() || runs(context)?);
    if attaches && screen.is_plain(&context.ui) {
        return plain::attached(context);
    }
    if attaches {
        return attached::run(context, screen);
    }
    if needs_front(context, screen) {
        return front::run(context, Successor::GoesOn);
    }
    start(context, screen, &Session::of_place(&context.place))
}

/// Whether the screen is to be opened by another process, with this one as its front.
pub fn needs_front(context: &Context, screen: &Screen) -> bool {
    screen.front.is_none() && !screen.is_plain(&context.ui)
}

/// Starts the engine in this process, with what the operator sees beside it.
pub fn start(context: &Context, screen: &Screen, session: &Session) -> Result<(), Failure> {
    if screen.is_plain(&context.ui) {
        plain::embedded(context, screen, session)
    } else {
        embedded::run(context, screen, session)
    }
}

/// What this machine calls itself.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether a Supervisor runs on this registry.
fn runs(context: &Context) -> Result<bool, Failure> {
    let client = context.place.client()?;
    match super::block_on(async { Ok(client.status().await) })? {
        Err(ClientError::NotRunning { .. }) => Ok(false),
        Err(ClientError::NotPermitted { target, why }) => Err(Failure::new(
            Exit::NotPermitted,
            format!("cannot attach to the Supervisor at {target}: {why}"),
        )),
        // However it answers, or does not for now: it is there, and the link goes on trying.
        Ok(_) | Err(_) => Ok(true),
    }
}
