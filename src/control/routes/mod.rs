//! The routes, and what every request passes on its way to them.

mod commands;
mod events;
mod logs;
mod metrics;
mod operations;
mod probes;
mod snapshots;
mod stream;
mod supervisor_logs;
mod updates;

pub(super) use commands::*;
pub(super) use events::*;
pub(super) use logs::*;
pub(super) use metrics::*;
pub(super) use operations::*;
pub(super) use probes::*;
pub(super) use snapshots::*;
pub(super) use supervisor_logs::*;
pub(super) use updates::*;

use std::{future::Future, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody as _},
    extract::{FromRequestParts, RawPathParams, Request},
    http::{HeaderMap, HeaderValue, Method, Uri, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::{PRODUCT, access::Access, query::Parameters, refusal::Refusal};
use crate::{
    model::Origin,
    runtime::Handle,
    wire::{Problem, ProblemCode, Verb},
};

/// Bytes of a request's body. No route reads one yet.
const LARGEST_BODY: usize = 64 << 10;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the engine may take for an answer that no caller asked to be held back.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(30);

/// All routes, for callers that a listener or [`super::router`] gives an [`Access`].
pub(super) fn routes(handle: Handle) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/components/{id}", get(component))
        .route("/v1/components/{id}/explain", get(explain))
        .route("/v1/components/{id}/details", get(details))
        .route("/v1/components/{id}/history", get(history))
        .route("/v1/components/{id}/start", post(async |a| component_command(Verb::Start, a).await))
        .route("/v1/components/{id}/stop", post(async |a| component_command(Verb::Stop, a).await))
        .route(
            "/v1/components/{id}/restart",
            post(async |a| component_command(Verb::Restart, a).await),
        )
        .route("/v1/components/{id}/kill", post(async |a| component_command(Verb::Kill, a).await))
        .route("/v1/components/{id}/hold", post(hold))
        .route("/v1/components/{id}/release", post(release))
        .route("/v1/start", post(async |a| command(Verb::Start, a).await))
        .route("/v1/stop", post(async |a| command(Verb::Stop, a).await))
        .route("/v1/restart", post(async |a| command(Verb::Restart, a).await))
        .route("/v1/kill", post(async |a| command(Verb::Kill, a).await))
        .route("/v1/reload", post(reload))
        .route("/v1/shutdown", post(shutdown))
        .route("/v1/upgrade", post(upgrade))
        .route("/v1/operations/{n}", get(operation))
        .route("/v1/updates", get(updates))
        .route("/v1/events", get(events))
        .route("/v1/logs", get(logs))
        .route("/v1/components/{id}/logs", get(component_logs))
        .route("/v1/supervisor/logs", get(supervisor_logs))
        .route("/v1/reopen", post(reopen))
        .route("/metrics", get(metrics))
        .route("/v1/openapi.json", get(description))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/livez", get(live))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(handle)
        .layer(middleware::from_fn(take_body))
        .layer(middleware::from_fn(check_rights))
}

/// What every answer carries, refusals included; the outermost layer.
pub(super) fn finish(routes: Router) -> Router {
    routes.layer(middleware::map_response(async |mut response: Response| {
        let headers = response.headers_mut();
        headers.insert(header::SERVER, HeaderValue::from_static(PRODUCT));
        // What was true a second ago may mislead, so no cache keeps it.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }))
}

/// One request, as the routes see it.
#[derive(Debug)]
pub(super) struct Ask {
    handle: Handle,
    parameters: Parameters,
    headers: HeaderMap,
    access: Option<Access>,
    /// What stands for `{…}` in the path; empty where the path has none.
    name: String,
}

impl Ask {
    /// Who asks, for what changes something.
    fn origin(&self) -> Origin {
        self.access.as_ref().map(|access| access.origin(&self.headers)).unwrap_or_default()
    }

    /// To be called when all known parameters are read.
    fn no_more_parameters(&mut self) -> Result<(), Refusal> {
        std::mem::take(&mut self.parameters).end()
    }
}

impl FromRequestParts<Handle> for Ask {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, handle: &Handle) -> Result<Self, Refusal> {
        let params = RawPathParams::from_request_parts(parts, handle)
            .await
            .map_err(|error| Refusal::bad_request(format!("cannot read the path: {error}")))?;
        let name = params.iter().next().map_or_else(String::new, |(_, name)| name.to_owned());
        Ok(Self {
            handle: handle.clone(),
            parameters: Parameters::of(&parts.uri)?,
            access: parts.extensions.remove(),
            headers: std::mem::take(&mut parts.headers),
            name,
        })
    }
}

/// Paths that answer without a token: whether we are well is no secret from this machine.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/livez")
}

/// The engine's answer, or a problem that says that there was none in time.
async fn from_engine<T>(answer: impl Future<Output = Result<T, Problem>>) -> Result<T, Refusal> {
    within(ENGINE_TIMEOUT, answer).await
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Refusal> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(Refusal::from),
        Err(_elapsed) => Err(Refusal::new(
            ProblemCode::Internal,
            format!(
                "the engine did not answer within {} s; a command may still be carried out",
                limit.as_secs()
            ),
        )),
    }
}

/// Keeps a caller without full access from everything that changes something.
async fn check_rights(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let refusal = match request.extensions().get::<Access>() {
        None if !is_probe(request.uri().path()) => {
            Refusal::new(ProblemCode::Unauthorized, "nobody said who is asking")
        }
        Some(access) if !reads && !access.may_change() => Refusal::new(
            ProblemCode::ReadOnly,
            format!(
                "this token reads only, and {} changes something: use control.token",
                request.method()
            ),
        ),
        _ => return next.run(request).await,
    };
    refusal.into_response()
}

/// Takes the whole body, within its bounds, before the route is asked.
async fn take_body(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let too_large = || {
        let detail = format!("the body is larger than {LARGEST_BODY} bytes");
        cut_off(Refusal::new(ProblemCode::TooLarge, detail))
    };
    let (parts, body) = request.into_parts();
    // The lower bound is what Content-Length says: refused before anything is read.
    if body.size_hint().lower() > LARGEST_BODY as u64 {
        return too_large();
    }
    let body = Limited::new(body, LARGEST_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body.to_bytes()))).await,
        Ok(Err(error)) if error.is::<LengthLimitError>() => too_large(),
        Ok(Err(error)) => cut_off(Refusal::bad_request(format!("cannot read the body: {error}"))),
        Err(_elapsed) => cut_off(Refusal::bad_request(format!(
            "the body did not arrive within {} s",
            BODY_TIMEOUT.as_secs()
        ))),
    }
}

/// A refusal after which the connection is of no more use: the rest of the body is in the way.
fn cut_off(refusal: Refusal) -> Response {
    let mut response = refusal.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn unknown_path(uri: Uri) -> Refusal {
    Refusal::new(
        ProblemCode::UnknownPath,
        format!("there is no {}; GET /v1/openapi.json lists every path", uri.path()),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    Refusal::new(
        ProblemCode::MethodNotAllowed,
        format!("{} does not take {method}; the Allow header says what it takes", uri.path()),
    )
}
