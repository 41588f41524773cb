//! What components wrote, as NDJSON; and the files opened anew.

use axum::{
    body::Bytes,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use jiff::{Timestamp, ZonedDateTime};
use regex::bytes::RegexBuilder;

use super::{
    Ask, from_engine,
    stream::{self, Pieces},
};
use crate::{
    control::{query::Parameters, refusal::Refusal},
    runtime::{Handle, LogFeed, LogRequest},
    wire::{self, LogRecord, LogStream, Problem},
};

/// Bytes of a compiled expression: enough for whatever a person would write.
const LARGEST_EXPRESSION: usize = 1 << 20;

/// What a component wrote, with the starts and ends of its runs in their places, oldest first.
///
/// Lines come from the files, rotated and compressed ones too, and from memory, without a seam.
/// Times are those of reading, to a second for what is in files without time stamps. With
/// `follow` the answer goes on with what comes; after 15 s of silence comes an empty line. A
/// client that takes less than comes gets `dropped` entries for what it misses; one that takes
/// nothing for 30 s is cut off.
#[utoipa::path(get, path = "/v1/components/{id}/logs", operation_id = "component_logs",
    tag = "logs",
    params(
        ("id" = String, Path, description = "Id of a component"),
        ("tail" = Option<u64>, Query, description = "Of all that fits, the newest so many lines"),
        ("after" = Option<u64>, Query, description = "Only entries after this `seq`"),
        ("since" = Option<String>, Query, description = "From this time on: `-10m` (s, m, h, d, \
            w), `14:02[:30]` today, or RFC 3339; local where it names no zone"),
        ("until" = Option<String>, Query, description = "Until this time"),
        ("grep" = Option<String>, Query, description = "Only lines that match this regular \
            expression (syntax of the Rust crate regex)"),
        ("stream" = Option<LogStream>, Query, description = "Only this stream"),
        ("follow" = Option<bool>, Query, description = "Go on with what comes")),
    responses((status = 200, description = "NDJSON", body = LogRecord,
            content_type = "application/x-ndjson"),
        (status = 404, description = "Unknown; `nearest` is the nearest known id", body = Problem)))]
pub(in crate::control) async fn component_logs(mut ask: Ask) -> Result<Response, Refusal> {
    let after = ask.parameters.all("after");
    let mut request = request(&mut ask.parameters)?;
    ask.no_more_parameters()?;
    for seq in after {
        request.after.push((ask.name.clone(), sequence(&seq, &seq)?));
    }
    request.ids = vec![std::mem::take(&mut ask.name)];
    answer(ask.handle, request).await
}

/// What several components wrote, or all of them, merged by time; each line says its component.
///
/// As `/v1/components/{id}/logs`. `tail` counts for each component by itself.
#[utoipa::path(get, path = "/v1/logs", operation_id = "logs", tag = "logs",
    params(
        ("id" = Option<Vec<String>>, Query, explode,
            description = "Id of a component; repeatable. Without: all, and with `follow` also \
                those that come"),
        ("tail" = Option<u64>, Query, description = "Of each, the newest so many lines of what fits"),
        ("after" = Option<Vec<String>>, Query, explode,
            description = "`ID:SEQ`: of this component only entries after this; repeatable"),
        ("since" = Option<String>, Query, description = "From this time on"),
        ("until" = Option<String>, Query, description = "Until this time"),
        ("grep" = Option<String>, Query, description = "Only lines that match this regular \
            expression"),
        ("stream" = Option<LogStream>, Query, description = "Only this stream"),
        ("follow" = Option<bool>, Query, description = "Go on with what comes")),
    responses((status = 200, description = "NDJSON: `{\"id\":\"…\",…}` with the members of an \
            entry", body = LogRecord, content_type = "application/x-ndjson"),
        (status = 404, description = "Unknown; `nearest` is the nearest known id", body = Problem)))]
pub(in crate::control) async fn logs(mut ask: Ask) -> Result<Response, Refusal> {
    let ids = ask.parameters.all("id");
    let after = ask.parameters.all("after");
    let mut request = request(&mut ask.parameters)?;
    ask.no_more_parameters()?;
    for text in &after {
        let (id, seq) = text.rsplit_once(':').ok_or_else(|| no_sequence(text))?;
        request.after.push((id.to_owned(), sequence(text, seq)?));
    }
    request.ids = ids;
    request.tagged = true;
    answer(ask.handle, request).await
}

/// Closes all log files, so that the next output goes to new ones: for rotators from outside.
///
/// Answered when nothing is written to the old files any more.
#[utoipa::path(post, path = "/v1/reopen", operation_id = "reopen", tag = "logs",
    responses((status = 204, description = "Done"),
        (status = 500, description = "The files are not closed yet", body = Problem)))]
pub(in crate::control) async fn reopen(mut ask: Ask) -> Result<Response, Refusal> {
    ask.no_more_parameters()?;
    from_engine(ask.handle.reopen_logs(ask.origin())).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn request(parameters: &mut Parameters) -> Result<LogRequest, Refusal> {
    let now = ZonedDateTime::now();
    let mut time = |name| -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = parameters.text(name)? else { return Ok(None) };
        let at = wire::time::parse(&text, &now);
        at.map(Some).map_err(|error| Refusal::bad_request(format!("cannot use {name}: {error}")))
    };
    let (since, until) = (time("since")?, time("until")?);
    let grep = parameters.text("grep")?.map(|text| {
        RegexBuilder::new(&text).size_limit(LARGEST_EXPRESSION).build().map_err(|error| {
            Refusal::bad_request(format!("cannot use grep: it is no regular expression: {error}"))
        })
    });
    let stream = match parameters.text("stream")?.as_deref() {
        None => None,
        Some("out") => Some(LogStream::Out),
        Some("err") => Some(LogStream::Err),
        Some(text) => {
            let text = text.escape_debug();
            return Err(Refusal::bad_request(format!("stream is \"{text}\": write out or err")));
        }
    };
    Ok(LogRequest {
        since,
        until,
        grep: grep.transpose()?,
        stream,
        tail: parameters.number("tail")?,
        follow: parameters.flag("follow")?,
        ..LogRequest::default()
    })
}

fn sequence(whole: &str, seq: &str) -> Result<u64, Refusal> {
    seq.parse().map_err(|_no_number| no_sequence(whole))
}

fn no_sequence(text: &str) -> Refusal {
    Refusal::bad_request(format!(
        "after is \"{}\": write the `seq` of an entry, in /v1/logs as ID:SEQ",
        text.escape_debug()
    ))
}

async fn answer(handle: Handle, request: LogRequest) -> Result<Response, Refusal> {
    let feed = from_engine(handle.logs(request)).await?;
    Ok(stream::answer("application/x-ndjson", Feed { handle, feed }))
}

struct Feed {
    handle: Handle,
    feed: LogFeed,
}

impl Pieces for Feed {
    async fn next(&mut self) -> Option<Bytes> {
        Some(self.feed.next(self.handle.closing()).await?.into())
    }
}
