//! The only way into the engine: a [`Handle`] sends a message and awaits the reply.
//!
//! Cheap to clone. Guarantees: every request is answered (applied, redundant, or a problem that
//! says why not); an answer is the engine's own, never a guess; a handle that outlives the engine
//! answers [`ProblemCode::ShuttingDown`]. A caller that goes away cancels nothing: what was
//! asked for is still done.

use std::{path::PathBuf, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{
    clock,
    history::HistoryRange,
    log_feed::{LogFeed, LogRequest, LogSources},
    trace_feed::{TraceFeed, TraceRequest},
};
use crate::{
    events::EventLog,
    model::{Moment, OperationId, Origin, RunId},
    updates::{Reader, Updates},
    wire::{
        Acceptance, ComponentDetails, ComponentStatus, Explanation, History, HoldReport, Operation,
        Problem, ProblemCode, Readiness, ReloadReport, Snapshot, Status, UpgradeReport, Verb,
    },
};

/// A way to ask the engine.
#[derive(Debug, Clone)]
pub struct Handle {
    messages: mpsc::Sender<Message>,
    updates: Updates,
}

/// What a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Every component.
    All,
    /// These, by id as the client wrote them; unknown ones make the whole request fail.
    Ids(Vec<String>),
}

/// A command to components.
#[derive(Debug, Clone)]
pub struct Request {
    /// `Start`, `Stop`, `Restart` or `Kill`; the others have calls of their own.
    pub verb: Verb,
    pub targets: Targets,
    /// Refuse when this is no longer the current run (`If-Match`); for one target only.
    pub if_run: Option<RunId>,
    pub origin: Origin,
}

type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// What a handle sends: handled by the driver alone. Public for tests that stand in for it.
#[derive(Debug)]
pub enum Message {
    Command {
        request: Request,
        reply: Reply<Acceptance>,
    },
    Status {
        reply: Reply<Status>,
    },
    Component {
        id: String,
        reply: Reply<ComponentStatus>,
    },
    Explain {
        id: String,
        reply: Reply<Explanation>,
    },
    /// In Prometheus' text form.
    Metrics {
        asked: Moment,
        reply: Reply<String>,
    },
    History {
        id: String,
        range: HistoryRange,
        reply: Reply<History>,
    },
    Details {
        id: String,
        reply: Reply<ComponentDetails>,
    },
    Operation {
        id: OperationId,
        reply: Reply<Operation>,
    },
    /// Replied to when the operation has ended.
    OperationEnd {
        id: OperationId,
        reply: Reply<Operation>,
    },
    Reload {
        dry_run: bool,
        origin: Origin,
        reply: Reply<ReloadReport>,
    },
    /// Stops every component, then the Supervisor; with `restart` it then executes itself anew.
    Shutdown {
        restart: bool,
        origin: Origin,
        reply: Reply<Acceptance>,
    },
    /// Another binary takes over in this process: that one, or what is where ours was.
    Upgrade {
        binary: Option<PathBuf>,
        origin: Origin,
        reply: Reply<UpgradeReport>,
    },
    Readiness {
        reply: Reply<Readiness>,
    },
    /// The logs of these components; of all, where none is named.
    Logs {
        ids: Vec<String>,
        reply: Reply<LogSources>,
    },
    /// Replied to when the log files are closed: the next output goes to new ones.
    ReopenLogs {
        origin: Origin,
        reply: Reply<()>,
    },
    /// Neither start nor restart it until then; none: until it is released.
    Hold {
        id: String,
        until: Option<jiff::Timestamp>,
        reason: Option<String>,
        origin: Origin,
        reply: Reply<HoldReport>,
    },
    Release {
        id: String,
        origin: Origin,
        reply: Reply<HoldReport>,
    },
    /// Somebody is going to read the updates, from behind this number.
    Watch {
        after: Option<u64>,
        reply: Reply<Reader>,
    },
    /// Everything, with the number of the update that it stands at.
    Snapshot {
        reply: Reply<(u64, Snapshot)>,
    },
    Events {
        reply: Reply<EventLog>,
    },
}

impl Message {
    /// Whether it is more than a question.
    pub(super) fn changes_something(&self) -> bool {
        match self {
            Self::Command { .. }
            | Self::Reload { .. }
            | Self::Shutdown { .. }
            | Self::Upgrade { .. }
            | Self::ReopenLogs { .. }
            | Self::Hold { .. }
            | Self::Release { .. } => true,
            Self::Status { .. }
            | Self::Component { .. }
            | Self::Explain { .. }
            | Self::Metrics { .. }
            | Self::History { .. }
            | Self::Details { .. }
            | Self::Operation { .. }
            | Self::OperationEnd { .. }
            | Self::Readiness { .. }
            | Self::Logs { .. }
            | Self::Watch { .. }
            | Self::Snapshot { .. }
            | Self::Events { .. } => false,
        }
    }
}

impl Handle {
    /// Messages that wait for the driver; when full, the caller waits.
    pub const CAPACITY: usize = 64;

    /// A handle, and the end that the driver reads.
    pub fn channel() -> (Self, mpsc::Receiver<Message>) {
        Self::channel_above(0)
    }

    /// As [`channel`](Self::channel), with updates whose numbers are above this one.
    pub fn channel_above(number: u64) -> (Self, mpsc::Receiver<Message>) {
        let (messages, receiver) = mpsc::channel(Self::CAPACITY);
        let base = clock::number_base().max(number);
        (Self { messages, updates: Updates::new(base) }, receiver)
    }

    /// A place in the stream of updates: behind number `after`, or at the beginning.
    pub async fn watch(&self, after: Option<u64>) -> Result<Reader, Problem> {
        self.ask(|reply| Message::Watch { after, reply }).await
    }

    /// Everything at one moment, and the number in the stream of updates that it stands at.
    pub async fn snapshot(&self) -> Result<(u64, Snapshot), Problem> {
        self.ask(|reply| Message::Snapshot { reply }).await
    }

    /// The log of events.
    pub async fn events(&self) -> Result<EventLog, Problem> {
        self.ask(|reply| Message::Events { reply }).await
    }

    /// The stream of updates, for the engine and for those who stand in for it.
    pub fn updates(&self) -> &Updates {
        &self.updates
    }

    /// Returns when the engine ends: answers that go on and on end then.
    pub async fn closing(&self) {
        self.updates.closed().await;
    }

    pub async fn command(&self, request: Request) -> Result<Acceptance, Problem> {
        self.ask(|reply| Message::Command { request, reply }).await
    }

    pub async fn status(&self) -> Result<Status, Problem> {
        self.ask(|reply| Message::Status { reply }).await
    }

    pub async fn component(&self, id: impl Into<String>) -> Result<ComponentStatus, Problem> {
        let id = id.into();
        self.ask(|reply| Message::Component { id, reply }).await
    }

    pub async fn explain(&self, id: impl Into<String>) -> Result<Explanation, Problem> {
        let id = id.into();
        self.ask(|reply| Message::Explain { id, reply }).await
    }

    /// What is counted and measured, in Prometheus' text form.
    pub async fn metrics(&self) -> Result<String, Problem> {
        let asked = clock::now();
        self.ask(|reply| Message::Metrics { asked, reply }).await
    }

    /// Figures and states over time; see [`HistoryRange`] for what is left out.
    pub async fn history(
        &self,
        id: impl Into<String>,
        range: HistoryRange,
    ) -> Result<History, Problem> {
        let id = id.into();
        self.ask(|reply| Message::History { id, range, reply }).await
    }

    /// How a component is launched, and its processes now.
    pub async fn details(&self, id: impl Into<String>) -> Result<ComponentDetails, Problem> {
        let id = id.into();
        self.ask(|reply| Message::Details { id, reply }).await
    }

    pub async fn operation(&self, id: OperationId) -> Result<Operation, Problem> {
        self.ask(|reply| Message::Operation { id, reply }).await
    }

    /// The operation when it has ended, or as it stands after `timeout`.
    pub async fn wait(&self, id: OperationId, timeout: Duration) -> Result<Operation, Problem> {
        let ended = self.ask(|reply| Message::OperationEnd { id, reply });
        match tokio::time::timeout(timeout, ended).await {
            Ok(operation) => operation,
            Err(_elapsed) => self.operation(id).await,
        }
    }

    pub async fn reload(&self, dry_run: bool, origin: Origin) -> Result<ReloadReport, Problem> {
        self.ask(|reply| Message::Reload { dry_run, origin, reply }).await
    }

    pub async fn shutdown(&self, restart: bool, origin: Origin) -> Result<Acceptance, Problem> {
        self.ask(|reply| Message::Shutdown { restart, origin, reply }).await
    }

    /// Answered when the new program is about to take over.
    pub async fn upgrade(
        &self,
        binary: Option<PathBuf>,
        origin: Origin,
    ) -> Result<UpgradeReport, Problem> {
        self.ask(|reply| Message::Upgrade { binary, origin, reply }).await
    }

    /// Answered when the hold is stored.
    pub async fn hold(
        &self,
        id: impl Into<String>,
        until: Option<jiff::Timestamp>,
        reason: Option<String>,
        origin: Origin,
    ) -> Result<HoldReport, Problem> {
        let id = id.into();
        self.ask(|reply| Message::Hold { id, until, reason, origin, reply }).await
    }

    pub async fn release(
        &self,
        id: impl Into<String>,
        origin: Origin,
    ) -> Result<HoldReport, Problem> {
        let id = id.into();
        self.ask(|reply| Message::Release { id, origin, reply }).await
    }

    pub async fn readiness(&self) -> Result<Readiness, Problem> {
        self.ask(|reply| Message::Readiness { reply }).await
    }

    /// The logs of components, piece by piece.
    pub async fn logs(&self, request: LogRequest) -> Result<LogFeed, Problem> {
        let ids = request.ids.clone();
        let sources = self.ask(|reply| Message::Logs { ids, reply }).await?;
        Ok(LogFeed::new(sources, request))
    }

    /// The Supervisor's own trace log, piece by piece.
    pub async fn supervisor_log(&self, request: TraceRequest) -> Result<TraceFeed, Problem> {
        let ids = Vec::new();
        let sources = self.ask(|reply| Message::Logs { ids, reply }).await?;
        Ok(TraceFeed::new(sources.logs, request))
    }

    pub async fn reopen_logs(&self, origin: Origin) -> Result<(), Problem> {
        self.ask(|reply| Message::ReopenLogs { origin, reply }).await
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let gone = || {
            if self.updates.is_handed_over() {
                let text = "the Supervisor is being upgraded: ask again in a moment";
                return Problem::new(ProblemCode::Upgrading, text);
            }
            Problem::new(ProblemCode::ShuttingDown, "the Supervisor has ended")
        };
        let answered = async {
            self.messages.send(message(reply)).await.map_err(|_closed| gone())?;
            answer.await.map_err(|_closed| gone())?
        };
        tokio::select! {
            biased;
            answer = answered => answer,
            () = self.updates.silent() => Err(gone()),
        }
    }
}
