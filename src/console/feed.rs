//! Where the console's facts come from and where its wishes go: two channels and a wake-up.
//!
//! The client's side holds a [`Remote`], the console a [`Feed`]. The console runs on a thread of
//! its own and sleeps in `poll(2)`; every news wakes it through a descriptor. Nothing here knows
//! sockets, HTTP or retries: whoever holds the remote connects, reconnects for ever, and says
//! how the link is.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;

use super::ending::{Ender, Told};
use crate::wire::{
    ComponentDetails, Explanation, History, LogRecord, Snapshot, TraceRecord, UpdateMessage, Verb,
};

/// News that wait for the console. When full the sender waits: its stream is bounded by the
/// engine, which then tells a gap instead of waiting for us.
pub const CAPACITY: usize = 1024;

/// Index of a host in the order in which the hosts were given.
pub type HostIndex = u16;

/// The console's end.
#[derive(Debug)]
pub struct Feed {
    /// Names of the hosts as the operator gave them; at least one.
    pub hosts: Vec<String>,
    incoming: mpsc::Receiver<Incoming>,
    requests: mpsc::UnboundedSender<Request>,
    wake: Arc<Wake>,
    ender: Ender,
}

/// The client's end. Cheap to clone: one task for each host can hold it.
#[derive(Debug, Clone)]
pub struct Remote {
    incoming: mpsc::Sender<Incoming>,
    wake: Arc<Wake>,
}

/// What the console wants, in its order. Unbounded, because every request is an operator's
/// doing or follows from a few of them; a full channel would have to lose a stop.
pub type Requests = mpsc::UnboundedReceiver<Request>;

/// News of one host.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub host: HostIndex,
    pub news: News,
}

#[derive(Debug, Clone)]
pub enum News {
    Link(Link),
    Update(UpdateMessage),
    /// What the engine said to the command of this number.
    Answer {
        number: u64,
        answer: Answer,
    },
    Explanation(Box<Explanation>),
    Details(Box<ComponentDetails>),
    /// With the range that had been asked for.
    History {
        range: Duration,
        history: Box<History>,
    },
    /// New events of the Supervisor's own log.
    SupervisorLog(Vec<TraceRecord>),
    /// A piece of the past of some logs, as it was asked for under this number.
    Page {
        number: u64,
        page: Result<Page, String>,
    },
}

/// Entries of some logs, in each log's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub logs: Vec<(String, Vec<LogRecord>)>,
    /// There is no more in that direction.
    pub last: bool,
}

/// How the connection to a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    Connecting,
    /// Connected; a snapshot comes next, or [`Link::Resumed`].
    Live,
    /// Connected again and told all that had happened meanwhile: what is shown is true again,
    /// and goes on without a snapshot.
    Resumed,
    /// Gone. The client tries again by itself after `retry_in`.
    Lost {
        why: String,
        retry_in: Duration,
    },
    /// The other side speaks another version, and is not understood; the client keeps trying.
    VersionMismatch {
        ours: String,
        theirs: String,
    },
    /// It hardly becomes better by trying: no permission, another program. The client keeps
    /// trying, but seldom.
    Refused {
        why: String,
    },
}

/// The engine's answer to a command, never a guess.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Applied,
    Redundant,
    Denied {
        reason: String,
    },
    /// It is not known whether the engine got it: the link broke meanwhile.
    Unknown {
        reason: String,
    },
}

/// One wish to one host.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub host: HostIndex,
    pub ask: Ask,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Answered with [`News::Answer`] of the same number, always. `if_run` (one component only)
    /// is sent as `If-Match`: refuse when that run has ended.
    Command { number: u64, verb: Verb, ids: Vec<String>, if_run: Option<u64> },
    /// Neither start nor restart it until then (`+2h`, `14:30`; none: until it is released).
    /// Answered as a command is.
    Hold { number: u64, id: String, until: Option<String>, reason: Option<String> },
    /// Ends a hold. Answered as a command is.
    Release { number: u64, id: String },
    /// The logs wanted from now on: it replaces the earlier wish, an empty list ends it.
    Logs { wanted: Vec<LogWish> },
    /// The Supervisor's own log is wanted from now on, or no longer: [`News::SupervisorLog`].
    SupervisorLog { wanted: bool },
    /// A piece of the past of these logs, once. Answered with [`News::Page`] of the same number,
    /// always.
    Page { number: u64, ids: Vec<String>, part: Part, most: u32 },
    /// Answered with [`News::History`]; at most `points` of them.
    History { id: String, range: Duration, points: u32 },
    /// Answered with [`News::Explanation`].
    Explain { id: String },
    /// Answered with [`News::Details`].
    Details { id: String },
    /// Do not wait for the next attempt.
    Reconnect,
}

/// Which piece of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Of each log the newest entries until this time (RFC 3339).
    Until(String),
    /// The oldest entries from this time on.
    Since(String),
    /// The oldest entries that come after these.
    After(Vec<(String, u64)>),
}

/// Send the log of `id`: what is kept (at most `tail` entries, the newest), then what comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogWish {
    pub id: String,
    /// Only entries after this one: the console has it and those before.
    pub after: Option<u64>,
    pub tail: u32,
}

/// The console has ended: there is nobody to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the console has ended")]
pub struct ConsoleGone;

/// Makes a feed for these hosts.
pub fn channel(hosts: Vec<String>) -> io::Result<(Feed, Remote, Requests)> {
    let wake = Arc::new(Wake::new()?);
    let (sender, incoming) = mpsc::channel(CAPACITY);
    let (requests, wishes) = mpsc::unbounded_channel();
    let ender = Ender::new(Arc::clone(&wake));
    let feed = Feed { hosts, incoming, requests, wake: Arc::clone(&wake), ender };
    Ok((feed, Remote { incoming: sender, wake }, wishes))
}

impl Remote {
    /// Tells the console; waits while it has too much to read.
    pub async fn tell(&self, host: HostIndex, news: News) -> Result<(), ConsoleGone> {
        let sent = self.incoming.send(Incoming { host, news }).await;
        self.wake.ring();
        sent.map_err(|_closed| ConsoleGone)
    }

    /// A snapshot is told like any update; this is a help for tests and demos.
    pub async fn snapshot(
        &self,
        host: HostIndex,
        seq: u64,
        snapshot: Snapshot,
    ) -> Result<(), ConsoleGone> {
        let update = crate::wire::Update::Snapshot(Box::new(snapshot));
        self.tell(host, News::Update(UpdateMessage { seq, update })).await
    }
}

impl Feed {
    /// The next news, if there are any.
    pub fn try_next(&mut self) -> Option<Incoming> {
        self.incoming.try_recv().ok()
    }

    /// Sends a wish. A client that has ended is not an error here: its last word about the link
    /// is what the operator sees.
    pub fn ask(&self, request: Request) {
        let _client_gone = self.requests.send(request);
    }

    /// Ends the console that reads this feed.
    pub fn ender(&self) -> Ender {
        self.ender.clone()
    }

    pub(super) fn told_to_end(&self) -> Option<Told> {
        self.ender.told()
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }
}

/// A descriptor that becomes readable when there are news.
#[derive(Debug)]
pub struct Wake {
    rung: AtomicBool,
    #[cfg(unix)]
    sender: std::os::unix::net::UnixStream,
    #[cfg(unix)]
    receiver: std::os::unix::net::UnixStream,
}

impl Wake {
    fn new() -> io::Result<Self> {
        #[cfg(unix)]
        {
            let (sender, receiver) = std::os::unix::net::UnixStream::pair()?;
            sender.set_nonblocking(true)?;
            receiver.set_nonblocking(true)?;
            Ok(Self { rung: AtomicBool::new(false), sender, receiver })
        }
        #[cfg(not(unix))]
        Ok(Self { rung: AtomicBool::new(false) })
    }

    /// Rings once until the console has heard it, however often it is called.
    pub(super) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            #[cfg(unix)]
            {
                use std::io::Write;
                let _full_means_rung = (&self.sender).write(&[1]);
            }
        }
    }

    /// Before the news are read: whoever tells something after this rings again.
    pub(super) fn hear(&self) {
        #[cfg(unix)]
        {
            use std::io::Read;
            let mut bell = [0; 16];
            while matches!((&self.receiver).read(&mut bell), Ok(count) if count == bell.len()) {}
        }
        self.rung.store(false, Ordering::Release);
    }

    #[cfg(unix)]
    pub(super) fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn news_and_wishes_cross_in_their_order_and_ring_once() {
        let (mut feed, remote, mut wishes) = channel(vec!["a".to_owned()]).expect("a socket pair");
        for _ in 0..3 {
            remote.tell(0, News::Link(Link::Live)).await.expect("the console is there");
        }
        feed.wake().hear();
        assert_eq!(std::iter::from_fn(|| feed.try_next()).count(), 3);
        feed.ask(Request { host: 0, ask: Ask::Reconnect });
        assert_eq!(wishes.recv().await.map(|request| request.ask), Some(Ask::Reconnect));
        drop(feed);
        assert_eq!(remote.tell(0, News::Link(Link::Live)).await, Err(ConsoleGone));
    }
}
