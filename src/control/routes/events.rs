//! `GET /v1/events`: what happened, from the log of events, and what happens.

use std::collections::VecDeque;

use axum::{body::Bytes, response::Response};
use jiff::ZonedDateTime;
use tokio::sync::{mpsc, watch};

use super::{
    Ask, from_engine,
    stream::{self, KEEP_ALIVE, Pieces},
};
use crate::{
    control::refusal::Refusal,
    events::{self, EventLog, Query},
    runtime::Handle,
    wire::{EventRecord, Problem},
};

/// Events that travel together.
const BATCH: usize = 256;

/// What happened, oldest first, one JSON object a line (NDJSON).
///
/// With `follow` the answer goes on with what happens; after 15 s of silence comes an empty line.
#[utoipa::path(get, path = "/v1/events", operation_id = "events", tag = "state",
    params(
        ("since" = Option<String>, Query,
            description = "From this time on: RFC 3339, `14:02`, `-10m`"),
        ("component" = Option<String>, Query, description = "Only events of this component"),
        ("after" = Option<u64>, Query, description = "Only events with a higher `seq`"),
        ("tail" = Option<u64>, Query, description = "Only the newest so many of what is kept"),
        ("follow" = Option<bool>, Query, description = "Go on with what happens")),
    responses((status = 200, description = "NDJSON", body = EventRecord,
            content_type = "application/x-ndjson"),
        (status = 503, body = Problem)))]
pub(in crate::control) async fn events(mut ask: Ask) -> Result<Response, Refusal> {
    let query = Query {
        since: ask.parameters.time("since", &ZonedDateTime::now())?,
        component: ask.parameters.text("component")?,
        after: ask.parameters.number("after")?,
    };
    let tail = ask.parameters.number("tail")?;
    let follow = ask.parameters.flag("follow")?;
    ask.no_more_parameters()?;
    let log = from_engine(ask.handle.events()).await?;
    // Before the past is read, so that nothing falls between past and present.
    let news = follow.then(|| log.changes());
    let past = Some(past(log.clone(), query.clone(), tail));
    let events = Events { handle: ask.handle, past, news, query, log, newest: 0 };
    Ok(stream::answer("application/x-ndjson", events))
}

struct Events {
    handle: Handle,
    /// What happened, until it is all read.
    past: Option<mpsc::Receiver<Past>>,
    /// Marked when something happens, where that is wanted.
    news: Option<watch::Receiver<u64>>,
    query: Query,
    log: EventLog,
    /// The newest event that was looked at.
    newest: u64,
}

enum Past {
    Event(EventRecord),
    /// All is read, up to this number.
    End(u64),
}

/// Reads the log on the blocking pool, no faster than the client takes it.
fn past(log: EventLog, query: Query, tail: Option<u64>) -> mpsc::Receiver<Past> {
    let (sender, receiver) = mpsc::channel(BATCH);
    tokio::task::spawn_blocking(move || {
        let mut newest = VecDeque::new();
        let result = events::read(&log, &query, |event| match tail {
            None => sender.blocking_send(Past::Event(event)).is_ok(),
            Some(tail) => {
                newest.push_back(event);
                if newest.len() as u64 > tail {
                    newest.pop_front();
                }
                true
            }
        });
        let end = result.unwrap_or_else(|error| {
            tracing::warn!(%error, "the log of events cannot be read to its end");
            log.last()
        });
        for event in newest {
            if sender.blocking_send(Past::Event(event)).is_err() {
                return;
            }
        }
        let _reader_left = sender.blocking_send(Past::End(end));
    });
    receiver
}

impl Pieces for Events {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(lines) = self.read_past().await {
                return Some(lines);
            }
            let mut news = self.news.take()?;
            let lines = self.read_memory();
            if lines.is_none() && self.past.is_none() {
                tokio::select! {
                    changed = news.changed() => changed.ok()?,
                    () = self.handle.closing() => {
                        // The last words, and the end.
                        return self.read_memory();
                    }
                    () = tokio::time::sleep(KEEP_ALIVE) => {
                        self.news = Some(news);
                        return Some(Bytes::from_static(b"\n"));
                    }
                }
            }
            self.news = Some(news);
            if lines.is_some() {
                return lines;
            }
        }
    }
}

impl Events {
    /// The next events of the past; none: it is read to its end.
    async fn read_past(&mut self) -> Option<Bytes> {
        let past = self.past.as_mut()?;
        let mut items = Vec::new();
        while past.recv_many(&mut items, BATCH).await > 0 {
            let mut events = Vec::with_capacity(items.len());
            for item in items.drain(..) {
                match item {
                    Past::Event(event) => events.push(event),
                    Past::End(newest) => self.newest = self.newest.max(newest),
                }
            }
            if !events.is_empty() {
                return lines(&events);
            }
        }
        self.past = None;
        None
    }

    /// What happened since. Where memory has let some of it go, the files are read again from
    /// there.
    fn read_memory(&mut self) -> Option<Bytes> {
        let events = self.log.since(self.newest);
        let first = events.first()?.seq;
        if first > self.newest + 1 {
            let query = Query { after: Some(self.newest), ..self.query.clone() };
            self.past = Some(past(self.log.clone(), query, None));
            return None;
        }
        self.newest = events.last()?.seq;
        let wanted = events.iter().filter(|event| self.query.wants(event));
        lines(&wanted.map(|event| (**event).clone()).collect::<Vec<_>>())
    }
}

/// None where there are none.
fn lines(events: &[EventRecord]) -> Option<Bytes> {
    let mut text = Vec::with_capacity(events.len() * 256);
    for event in events {
        serde_json::to_writer(&mut text, event).ok()?;
        text.push(b'\n');
    }
    (!text.is_empty()).then(|| text.into())
}
