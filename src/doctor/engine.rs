//! The Supervisor of this runtime folder: whether there is one, and what it answers.

use std::{path::Path, time::Duration};

use super::{proc, sheet};
use crate::{
    client::{Client, ClientError, Endpoint, EventQuery, TraceQuery},
    control,
    runtime::Lock,
    wire::{EventKind, Status, TraceLevel, TraceRecord},
};

/// For one answer.
const ANSWER: Duration = Duration::from_secs(3);

pub(super) enum Engine {
    Answers(Box<Answers>),
    /// It is there (the lock is held, or its socket taken), and says nothing.
    Silent {
        pid: Option<u32>,
        why: String,
    },
    /// We may not ask.
    Forbidden {
        pid: Option<u32>,
        why: String,
    },
    Absent,
}

pub(super) struct Answers {
    pub status: Status,
    pub took: Duration,
    /// In Prometheus' text form.
    pub metrics: Option<String>,
    /// Errors of its trace log that it still knows.
    pub errors: Vec<TraceRecord>,
    /// When it last read its registry, as far as its newest events tell: RFC 3339.
    pub reloaded: Option<String>,
}

/// What is asked after the status; the default where it does not answer that any more.
#[derive(Default)]
struct Details {
    metrics: Option<String>,
    errors: Vec<TraceRecord>,
    reloaded: Option<String>,
}

/// Asks, without taking anything.
pub(super) fn ask(temp: &Path) -> Engine {
    let holder = proc::lock_holder(&temp.join(Lock::NAME));
    let silent = |why: String| Engine::Silent { pid: holder, why };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return silent(format!("cannot ask it: {error}")),
    };
    let socket = temp.join(control::SOCKET_NAME);
    let client = Client::new(Endpoint::Unix(socket), "doctor").with_timeout(ANSWER);
    let since = sheet::now();
    match runtime.block_on(client.status()) {
        Ok(status) => {
            let took = since.elapsed();
            let Details { metrics, errors, reloaded } = runtime.block_on(details(&client));
            Engine::Answers(Box::new(Answers { status, took, metrics, errors, reloaded }))
        }
        Err(ClientError::NotRunning { .. }) if holder.is_none() => Engine::Absent,
        Err(ClientError::NotPermitted { why, .. }) => Engine::Forbidden { pid: holder, why },
        Err(error) => silent(error.reason()),
    }
}

async fn details(client: &Client) -> Details {
    /// What it remembers of its trace log is bounded, too.
    const NEWEST: u32 = 2_000;
    const EVENTS: u32 = 1_000;
    let mut details = Details::default();
    // What came until the time is over counts.
    let _late = tokio::time::timeout(ANSWER, async {
        let metrics = client.raw("/metrics").await.ok().filter(|answer| answer.status == 200);
        details.metrics = metrics.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
        let query = TraceQuery { tail: Some(NEWEST), ..TraceQuery::default() };
        if let Ok(mut records) = client.supervisor_log(query).await {
            while let Ok(Some(some)) = records.next().await {
                let errors = some.into_iter().filter(|record| record.level == TraceLevel::Error);
                details.errors.extend(errors);
            }
        }
        let query = EventQuery { tail: Some(EVENTS), ..EventQuery::default() };
        if let Ok(mut records) = client.events(&query).await {
            while let Ok(Some(some)) = records.next().await {
                let read = some.into_iter().filter(|event| event.kind == EventKind::Reload);
                details.reloaded =
                    read.map(|event| event.at).next_back().or(details.reloaded.take());
            }
        }
    })
    .await;
    details
}
