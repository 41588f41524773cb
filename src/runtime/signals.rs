//! Signals to the Supervisor itself.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind as Kind, signal},
    sync::oneshot,
};

use crate::model::Moment;

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

impl SignalKind {
    /// As the guardian passes them on.
    pub fn of_number(number: i32) -> Option<Self> {
        Some(match number {
            libc::SIGTERM => Self::Stop("SIGTERM"),
            libc::SIGINT => Self::Stop("SIGINT"),
            libc::SIGHUP => Self::Reload,
            libc::SIGUSR1 => Self::ReopenLogs,
            libc::SIGUSR2 => Self::Upgrade,
            _ => return None,
        })
    }
}

/// To whom a signal was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SentTo {
    /// This process.
    Own,
    /// The guardian, which passed it on.
    Guardian,
}

/// Tells one wish from two: who asks a whole group to end (a service manager, say) asks the guardian
/// and the engine, and means it once.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// One that was heard from one side alone so far.
    half: Option<(SentTo, Moment)>,
}

/// So long after the first half the second is that of the same wish.
const SAME_WISH: Duration = Duration::from_millis(500);

impl Wishes {
    /// Whether this is a wish of its own, and not the second half of one.
    pub fn is_new(&mut self, source: SentTo, now: Moment) -> bool {
        match self.half.take() {
            Some((other, at)) if other != source && now.since(at) < SAME_WISH => false,
            _ => {
                self.half = Some((source, now));
                true
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_both_is_one_and_a_second_to_either_is_another() {
        let at = |millis| Moment::from_boot(Duration::from_millis(millis));
        let mut wishes = Wishes::default();
        assert!(wishes.is_new(SentTo::Own, at(0)));
        assert!(!wishes.is_new(SentTo::Guardian, at(20)));
        assert!(wishes.is_new(SentTo::Guardian, at(40)));
        assert!(!wishes.is_new(SentTo::Own, at(41)));
        assert!(wishes.is_new(SentTo::Guardian, at(100)));
        assert!(wishes.is_new(SentTo::Guardian, at(110)));
        assert!(wishes.is_new(SentTo::Own, at(5_000)), "that was long ago");
    }
}
