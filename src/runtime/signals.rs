//! Signals to the Supervisor itself.

use std::io;

use tokio::{
    signal::unix::{Signal, SignalKind as Kind, signal},
    sync::oneshot,
};

/// What a signal means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalKind {
    /// `SIGTERM`, `SIGINT`: the first ends everything in order, the second at once.
    Stop(&'static str),
    /// `SIGHUP`.
    Reload,
    /// `SIGUSR1`.
    ReopenLogs,
    /// `SIGUSR2`.
    Upgrade,
    /// `SIGCHLD`.
    Child,
}

/// The signals that are listened to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Hangup,
    user1: Signal,
    user2: Signal,
    child: Signal,
}

/// Whose `SIGHUP` is.
enum Hangup {
    Ours(Signal),
    /// Somebody else's in this process, until we are told.
    Lent(oneshot::Receiver<()>),
    /// Nobody will tell us any more, or the system refuses: it is not listened to.
    Nobodys,
}

impl Signals {
    /// `owns_hangup`: `SIGHUP` is somebody else's until that is told.
    pub fn listen(owns_hangup: Option<oneshot::Receiver<()>>) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(Kind::terminate())?,
            interrupt: signal(Kind::interrupt())?,
            hangup: match owns_hangup {
                None => Hangup::Ours(signal(Kind::hangup())?),
                Some(told) => Hangup::Lent(told),
            },
            user1: signal(Kind::user_defined1())?,
            user2: signal(Kind::user_defined2())?,
            child: signal(Kind::child())?,
        })
    }

    /// The next one. Cancel-safe; equal signals may be merged into one, as the kernel does.
    pub async fn recv(&mut self) -> SignalKind {
        tokio::select! {
            Some(()) = self.terminate.recv() => SignalKind::Stop("SIGTERM"),
            Some(()) = self.interrupt.recv() => SignalKind::Stop("SIGINT"),
            () = self.hangup.recv() => SignalKind::Reload,
            Some(()) = self.user1.recv() => SignalKind::ReopenLogs,
            Some(()) = self.user2.recv() => SignalKind::Upgrade,
            Some(()) = self.child.recv() => SignalKind::Child,
            else => std::future::pending().await,
        }
    }
}

impl Hangup {
    /// Cancel-safe: what was learned stays.
    async fn recv(&mut self) {
        loop {
            match self {
                Self::Ours(signal) => {
                    if signal.recv().await.is_some() {
                        return;
                    }
                    *self = Self::Nobodys;
                }
                Self::Lent(told) => {
                    let given = told.await.is_ok();
                    let listened = given.then(|| signal(Kind::hangup()));
                    *self = match listened {
                        Some(Ok(signal)) => Self::Ours(signal),
                        Some(Err(error)) => {
                            tracing::error!(%error, "cannot listen to SIGHUP: it reloads nothing");
                            Self::Nobodys
                        }
                        None => Self::Nobodys,
                    };
                }
                Self::Nobodys => std::future::pending().await,
            }
        }
    }
}
