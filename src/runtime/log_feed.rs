//! Logs for a client, piece by piece: the past as fast as the client takes it, then what comes.
//!
//! A feed is pulled. While nobody asks for the next piece nothing is read and nothing is kept:
//! a client that reads slowly costs nobody anything, and what memory has dropped meanwhile it
//! gets as a record that says how much is missing. Reading happens on the blocking pool, a
//! bounded piece at a time, so that the engine's thread only passes pieces on.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::{sync::watch, time::Instant};

use crate::{
    logs::{
        Logs, Stream,
        read::{Merged, Progress, Query, Reader},
    },
    model::ComponentId,
    wire::{LogRecord, LogStream},
};

/// The shortest time between two pieces of what comes: a busy component costs its readers twenty
/// pieces a second and not one for each line.
const PACE: Duration = Duration::from_millis(50);

/// After so much silence an empty line says that the link lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// For the log thread to read what is left in the pipes, before a feed ends.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Bytes of a piece, about.
const PIECE: usize = 256 << 10;

/// What a client wants to read.
#[derive(Debug, Clone, Default)]
pub struct LogRequest {
    /// Components, as the client wrote them; none: all, and those that a reload will add.
    pub ids: Vec<String>,
    /// Of a component only what comes after this record.
    pub after: Vec<(String, u64)>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub grep: Option<regex::bytes::Regex>,
    pub stream: Option<LogStream>,
    /// Of each component the newest so many.
    pub tail: Option<u64>,
    /// Go on with what comes.
    pub follow: bool,
    /// Each line says its component: `{"id":"…",…}`.
    pub tagged: bool,
}

/// What the driver knows of the logs that a client asks for.
#[derive(Debug)]
pub struct LogSources {
    pub logs: Logs,
    /// With the base paths of their files.
    pub components: Vec<(ComponentId, PathBuf)>,
}

/// The answer to a [`LogRequest`]: NDJSON.
pub struct LogFeed {
    logs: Logs,
    request: Arc<LogRequest>,
    /// On the blocking pool while it reads.
    merged: Option<Merged>,
    known: HashSet<ComponentId>,
    changes: watch::Receiver<u64>,
    state: State,
    /// When the last piece of what comes was given out.
    last: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Waiting,
    /// Only what is there already is still wanted.
    Ending,
    Ended,
}

#[derive(Serialize)]
struct Tagged<'a> {
    id: &'a str,
    #[serde(flatten)]
    record: &'a LogRecord,
}

impl LogFeed {
    pub(super) fn new(sources: LogSources, request: LogRequest) -> Self {
        let LogSources { logs, components } = sources;
        let known = components.iter().map(|(id, _)| id.clone()).collect();
        // Before anything is read, so that nothing falls between past and present.
        let changes = logs.changes();
        let state = if request.follow { State::Reading } else { State::Ending };
        let readers = components.into_iter().map(|(id, log)| reader(&logs, &request, id, &log));
        let merged = Some(Merged::new(readers.collect::<Vec<_>>()));
        let request = Arc::new(request);
        Self { logs, request, merged, known, changes, state, last: None }
    }

    /// The next piece: whole lines, or an empty one as a sign of life; `None` at the end, which
    /// comes when everything was read, or when `closing` is ready and what was there is read.
    pub async fn next(&mut self, closing: impl Future<Output = ()>) -> Option<Vec<u8>> {
        tokio::pin!(closing);
        let keep_alive = tokio::time::sleep(KEEP_ALIVE);
        tokio::pin!(keep_alive);
        let over = until(self.request.until);
        tokio::pin!(over);
        loop {
            match self.state {
                State::Reading | State::Ending => {
                    let (piece, progress) = self.read().await?;
                    if progress != Progress::More {
                        let follows =
                            self.state == State::Reading && progress == Progress::CaughtUp;
                        self.state = if follows { State::Waiting } else { State::Ended };
                    }
                    if !piece.is_empty() {
                        self.last = Some(Instant::now());
                        return Some(piece);
                    }
                }
                State::Waiting => {
                    tokio::select! {
                        () = self.news() => self.state = State::Reading,
                        () = &mut over => self.state = State::Ending,
                        () = &mut closing => self.state = State::Ending,
                        () = &mut keep_alive => return Some(b"\n".to_vec()),
                    }
                }
                State::Ended => return None,
            }
        }
    }

    /// Returns when one of the logs has something new, not too soon after the last piece.
    async fn news(&mut self) {
        loop {
            if let Some(last) = self.last {
                tokio::time::sleep_until(last + PACE).await;
            }
            self.changes.borrow_and_update();
            if self.welcome_new() || self.merged.as_ref().is_some_and(Merged::has_news) {
                return;
            }
            // The logs are held here: their end does not come before ours.
            let _changed = self.changes.changed().await;
            if self.last.is_none_or(|last| last.elapsed() >= PACE) {
                self.last = Some(Instant::now());
            }
        }
    }

    /// Takes in components that a reload has added; whether there are any.
    fn welcome_new(&mut self) -> bool {
        let (true, Some(merged)) = (self.request.ids.is_empty(), &mut self.merged) else {
            return false;
        };
        let new = self.logs.others_than(&self.known);
        let any = !new.is_empty();
        for (id, log) in new {
            self.known.insert(id.clone());
            merged.add(reader(&self.logs, &self.request, id, &log));
        }
        any
    }

    async fn read(&mut self) -> Option<(Vec<u8>, Progress)> {
        let mut merged = self.merged.take()?;
        let tagged = self.request.tagged;
        // The last words of components may still be in their pipes.
        let settles = self.state == State::Ending && self.request.follow;
        let logs = settles.then(|| self.logs.clone());
        let read = tokio::task::spawn_blocking(move || {
            if let Some(logs) = logs {
                logs.sync(LAST_WORDS);
            }
            let mut text = Vec::new();
            let progress = merged.read(PIECE, |id, record| {
                // Writing plain data to memory cannot fail.
                let _ = if tagged {
                    serde_json::to_writer(&mut text, &Tagged { id: id.as_str(), record })
                } else {
                    serde_json::to_writer(&mut text, record)
                };
                text.push(b'\n');
            });
            (merged, text, progress)
        });
        let (merged, text, progress) = read.await.ok()?;
        self.merged = Some(merged);
        Some((text, progress))
    }
}

impl std::fmt::Debug for LogFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogFeed").field("request", &self.request).finish_non_exhaustive()
    }
}

fn reader(logs: &Logs, request: &LogRequest, id: ComponentId, log: &Path) -> Reader {
    let after = request.after.iter().rev().find(|(of, _)| *of == id.as_str());
    let query = Query {
        since: request.since,
        until: request.until,
        grep: request.grep.clone(),
        stream: request.stream.map(|stream| match stream {
            LogStream::Out => Stream::Out,
            LogStream::Err => Stream::Err,
        }),
        after: after.map(|(_, seq)| *seq),
        tail: request.tail,
    };
    Reader::new(logs, id, log, query)
}

/// Returns when this time has come; never without one.
async fn until(at: Option<Timestamp>) {
    match at {
        Some(at) => {
            let left = at.duration_since(Timestamp::now());
            tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
        }
        None => std::future::pending().await,
    }
}
