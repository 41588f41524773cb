//! Signals to the Supervisor itself.

use std::io;

use tokio::signal::unix::{Signal, SignalKind as Kind, signal};

/// What a signal means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalKind {
    /// `SIGTERM`, `SIGINT`: the first ends everything in order, the second at once.
    Stop(&'static str),
    /// `SIGHUP`.
    Reload,
    /// `SIGUSR1`.
    ReopenLogs,
    /// `SIGCHLD`.
    Child,
}

/// The signals that are listened to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
    child: Signal,
}

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(Kind::terminate())?,
            interrupt: signal(Kind::interrupt())?,
            hangup: signal(Kind::hangup())?,
            user1: signal(Kind::user_defined1())?,
            child: signal(Kind::child())?,
        })
    }

    /// The next one. Cancel-safe; equal signals may be merged into one, as the kernel does.
    pub async fn recv(&mut self) -> SignalKind {
        tokio::select! {
            Some(()) = self.terminate.recv() => SignalKind::Stop("SIGTERM"),
            Some(()) = self.interrupt.recv() => SignalKind::Stop("SIGINT"),
            Some(()) = self.hangup.recv() => SignalKind::Reload,
            Some(()) = self.user1.recv() => SignalKind::ReopenLogs,
            Some(()) = self.child.recv() => SignalKind::Child,
            else => std::future::pending().await,
        }
    }
}
