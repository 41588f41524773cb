//! `GET /v1/updates`: everything, and then what changes, as server-sent events.

use std::fmt::Write as _;

use axum::{body::Bytes, response::Response};

use super::{
    Ask, from_engine,
    stream::{self, KEEP_ALIVE, Pieces},
};
use crate::{
    control::{query::last_event_id, refusal::Refusal},
    runtime::Handle,
    updates::{Delivery, Message, Reader},
    wire::{self, Problem, Snapshot, Update, UpdateMessage},
};

/// Everything, and then what changes, as server-sent events (`text/event-stream`).
///
/// The event's name is the message's `type`, its `id` is `seq`, its data is an `UpdateMessage`. First
/// comes a `snapshot`. With `Last-Event-ID` the stream goes on behind that message, as long as
/// the Supervisor remembers; otherwise a `gap` tells how much was missed, and a snapshot follows.
/// After 15 s of silence a comment is sent. While somebody reads, figures come every second.
#[utoipa::path(get, path = "/v1/updates", operation_id = "updates", tag = "state",
    params(("Last-Event-ID" = Option<u64>, Header,
        description = "The `seq` of the last message that was received")),
    responses((status = 200, description = "Server-sent events", body = UpdateMessage,
            content_type = "text/event-stream"),
        (status = 503, body = Problem)))]
pub(in crate::control) async fn updates(mut ask: Ask) -> Result<Response, Refusal> {
    ask.no_more_parameters()?;
    let after = last_event_id(&ask.headers)?;
    let access = match &ask.access {
        Some(access) if access.may_change() => wire::Access::Full,
        Some(_) | None => wire::Access::ReadOnly,
    };
    let reader = from_engine(ask.handle.watch(after)).await?;
    let mut updates = Updates { handle: ask.handle, reader, access, first: None };
    if updates.reader.is_new() {
        // Before the answer begins, so that a refusal is one.
        let (seq, snapshot) = from_engine(updates.handle.snapshot()).await?;
        updates.first = Some(updates.snapshot(0, seq, snapshot));
    }
    Ok(stream::answer("text/event-stream", updates))
}

struct Updates {
    handle: Handle,
    reader: Reader,
    access: wire::Access,
    first: Option<Bytes>,
}

impl Pieces for Updates {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let delivery = match tokio::time::timeout(KEEP_ALIVE, self.reader.next()).await {
            Ok(delivery) => delivery?,
            Err(_silence) => return Some(Bytes::from_static(b": alive\n\n")),
        };
        match delivery {
            Delivery::Messages(messages) => Some(framed(&messages)),
            Delivery::Snapshot { missed } => {
                // An engine that does not answer any more ends the stream.
                let (seq, snapshot) = from_engine(self.handle.snapshot()).await.ok()?;
                Some(self.snapshot(missed, seq, snapshot))
            }
        }
    }
}

impl Updates {
    /// A snapshot for this reader, behind the gap that made it necessary.
    fn snapshot(&mut self, missed: u64, seq: u64, mut snapshot: Snapshot) -> Bytes {
        self.reader.resume(seq);
        snapshot.access = self.access;
        let mut updates = vec![Update::Snapshot(Box::new(snapshot))];
        if missed > 0 {
            updates.insert(0, Update::Gap { missed });
        }
        let messages = updates.into_iter().filter_map(|update| {
            let name = update.name();
            let json = serde_json::to_string(&UpdateMessage { seq, update }).ok()?;
            Some(Message { seq, name, json: json.into() })
        });
        framed(&messages.collect::<Vec<_>>())
    }
}

fn framed(messages: &[Message]) -> Bytes {
    let size = messages.iter().map(|message| message.json.len() + 64).sum();
    let mut text = String::with_capacity(size);
    for Message { seq, name, json } in messages {
        // JSON has no line ends, so the data is one line.
        let _never_fails = write!(text, "event: {name}\nid: {seq}\ndata: {json}\n\n");
    }
    text.into()
}
