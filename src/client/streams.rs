//! The answers that do not end by themselves: updates, logs, events.
//!
//! The server says something every 15 seconds, if only that it lives. Whoever is silent for
//! [`SILENCE`] is lost, whatever TCP thinks of the connection.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};

use super::{
    Client, ClientError,
    answer::Answering,
    lines::{Lines, TooLong},
    sse,
};
use crate::wire::{LogRecord, UpdateMessage};

/// The longest silence of a stream that lives: two signs of life may be late.
pub const SILENCE: Duration = Duration::from_secs(40);

/// The longest line: a snapshot of 10,000 components has a fifth of it.
const LONGEST_LINE: usize = 32 << 20;

/// Records that are handed on together.
const BATCH: usize = 500;

/// `GET /v1/updates`: what keeps a console true.
#[derive(Debug)]
pub struct Updates {
    chunks: Chunks,
    events: sse::Events,
}

/// A stream of one JSON object a line. Without `follow` it ends.
#[derive(Debug)]
pub struct Records<T> {
    chunks: Chunks,
    lines: Lines,
    /// Whole records that have not been handed on.
    ready: VecDeque<T>,
    ended: bool,
}

/// A line of `GET /v1/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ComponentLog {
    pub id: String,
    #[serde(flatten)]
    pub record: LogRecord,
}

/// The pieces of an answer, and how long ago the last one came.
#[derive(Debug)]
struct Chunks {
    client: Client,
    answer: Answering,
    heard: Instant,
}

impl Chunks {
    fn new(client: &Client, answer: Answering) -> Self {
        Self { client: client.clone(), answer, heard: Instant::now() }
    }

    async fn next(&mut self) -> Result<Option<hyper::body::Bytes>, ClientError> {
        // Counted from the last piece, not from this call: who asks often must not wait longer.
        let chunk = timeout_at(self.heard + SILENCE, self.answer.chunk()).await;
        let chunk = chunk.map_err(|_elapsed| ClientError::TimedOut {
            target: self.client.target().to_owned(),
            step: "give a sign of life",
            after: SILENCE,
        })?;
        self.heard = Instant::now();
        chunk
    }

    fn too_long(&self) -> ClientError {
        self.client.protocol("a line of the stream is longer than 32 MiB")
    }

    fn expect(&self, content_type: &str) -> Result<(), ClientError> {
        match &self.answer.content_type {
            Some(given) if given.starts_with(content_type) => Ok(()),
            Some(given) => Err(self.client.protocol(&format!("it sent {given} for a stream"))),
            None => Err(self.client.protocol("it sent no type for a stream")),
        }
    }
}

impl Updates {
    pub(super) fn new(client: &Client, answer: Answering) -> Result<Self, ClientError> {
        let chunks = Chunks::new(client, answer);
        chunks.expect("text/event-stream")?;
        Ok(Self { chunks, events: sse::Events::new(LONGEST_LINE) })
    }

    /// The next message. Nothing is lost where the future is dropped before it is ready. The end
    /// of the stream is an error: the Supervisor does not end it while it lives.
    pub async fn next(&mut self) -> Result<UpdateMessage, ClientError> {
        loop {
            while let Some(event) = self.events.next() {
                let event = event.map_err(|TooLong| self.chunks.too_long())?;
                if let Some(message) = self.message(&event)? {
                    return Ok(message);
                }
            }
            match self.chunks.next().await? {
                Some(chunk) => self.events.push(&chunk),
                None => {
                    return Err(ClientError::Unreachable {
                        target: self.chunks.client.target().to_owned(),
                        why: "it closed the stream".to_owned(),
                    });
                }
            }
        }
    }

    fn message(&self, event: &sse::Event) -> Result<Option<UpdateMessage>, ClientError> {
        const KNOWN: [&str; 6] = ["snapshot", "component", "sample", "event", "log", "gap"];
        // A newer Supervisor may tell more than this client shows.
        if !KNOWN.contains(&event.name.as_str()) {
            return Ok(None);
        }
        serde_json::from_slice(&event.data)
            .map(Some)
            .map_err(|error| self.chunks.client.protocol(&format!("\"{}\": {error}", event.name)))
    }
}

impl<T: DeserializeOwned> Records<T> {
    pub(super) fn new(client: &Client, answer: Answering) -> Result<Self, ClientError> {
        let chunks = Chunks::new(client, answer);
        chunks.expect("application/x-ndjson")?;
        let lines = Lines::new(LONGEST_LINE);
        Ok(Self { chunks, lines, ready: VecDeque::new(), ended: false })
    }

    /// What has come, at most some hundred records and at least one; none at the end. Nothing is
    /// lost where the future is dropped before it is ready.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, ClientError> {
        loop {
            self.read_lines()?;
            if !self.ready.is_empty() {
                return Ok(Some(self.ready.drain(..).collect()));
            }
            if self.ended {
                return Ok(None);
            }
            match self.chunks.next().await? {
                Some(chunk) => self.lines.push(&chunk),
                // The last line may have no end.
                None if self.lines.rest().is_empty() => self.ended = true,
                None => {
                    self.ended = true;
                    self.lines.push(b"\n");
                }
            }
        }
    }

    fn read_lines(&mut self) -> Result<(), ClientError> {
        while self.ready.len() < BATCH {
            let Some(line) = self.lines.next() else { break };
            let line = line.map_err(|TooLong| self.chunks.too_long())?;
            // An empty line is a sign of life.
            if line.is_empty() {
                continue;
            }
            let record = serde_json::from_slice(line)
                .map_err(|error| self.chunks.client.protocol(&error.to_string()))?;
            self.ready.push_back(record);
        }
        Ok(())
    }
}
