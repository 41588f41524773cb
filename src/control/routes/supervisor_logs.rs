//! The Supervisor's own trace log, as NDJSON.

use axum::{body::Bytes, response::Response};

use super::{
    Ask, from_engine,
    stream::{self, Pieces},
};
use crate::{
    control::refusal::Refusal,
    runtime::{Handle, TraceFeed, TraceRequest},
    wire::{Problem, TraceRecord},
};

/// The Supervisor's own trace log, oldest first, one JSON object a line.
///
/// As far back as memory holds it; what is older stands in its files. With `follow` the answer goes
/// on with what comes; after 15 s of silence comes an empty line.
#[utoipa::path(get, path = "/v1/supervisor/logs", operation_id = "supervisor_logs", tag = "logs",
    params(
        ("tail" = Option<u64>, Query, description = "Only the newest so many"),
        ("after" = Option<u64>, Query, description = "Only events after this `seq`"),
        ("follow" = Option<bool>, Query, description = "Go on with what comes")),
    responses((status = 200, description = "NDJSON", body = TraceRecord,
            content_type = "application/x-ndjson"),
        (status = 503, body = Problem)))]
pub(in crate::control) async fn supervisor_logs(mut ask: Ask) -> Result<Response, Refusal> {
    let request = TraceRequest {
        after: ask.parameters.number("after")?,
        tail: ask.parameters.number("tail")?,
        follow: ask.parameters.flag("follow")?,
    };
    ask.no_more_parameters()?;
    let feed = from_engine(ask.handle.supervisor_log(request)).await?;
    Ok(stream::answer("application/x-ndjson", Feed { handle: ask.handle, feed }))
}

struct Feed {
    handle: Handle,
    feed: TraceFeed,
}

impl Pieces for Feed {
    async fn next(&mut self) -> Option<Bytes> {
        Some(self.feed.next(self.handle.closing()).await?.into())
    }
}
