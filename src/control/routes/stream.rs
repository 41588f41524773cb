//! Answers that go on and on: how they are sent, kept alive, and ended.
//!
//! A stream is pulled: the connection asks for the next piece when its peer has taken the last
//! one. So a slow reader makes nobody wait and is kept nothing for; one that takes nothing for
//! 30 s is cut off by the connection itself.

use std::{convert::Infallible, future::Future, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;

/// After so much silence something without meaning is sent, so that either side notices a dead
/// link.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Something that gives one piece after the other; `None` ends the answer.
pub(super) trait Pieces: Send + 'static {
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// An answer of these pieces.
pub(super) fn answer(content_type: &'static str, pieces: impl Pieces) -> Response {
    let pieces = stream::unfold(pieces, async |mut pieces| {
        let piece = pieces.next().await?;
        Some((Ok::<_, Infallible>(piece), pieces))
    });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Said to proxies that would wait for the end.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
