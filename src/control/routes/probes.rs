//! Is it well? For load balancers and orchestrators: no token, a status code, a short body.

use std::time::Duration;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{Ask, within};
use crate::{
    control::refusal::Refusal,
    wire::{Problem, Readiness},
};

/// Who asks often needs an answer soon.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether everything that should run does.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "probes", security(()),
    responses((status = 200, body = Readiness),
        (status = 503, description = "These components are not ready", body = Readiness)))]
pub(in crate::control) async fn health(ask: Ask) -> Result<Response, Refusal> {
    let readiness = within(PROBE_TIMEOUT, ask.handle.readiness()).await?;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(readiness)).into_response())
}

/// The same as `/healthz`, under the name that orchestrators use.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "probes", security(()),
    responses((status = 200, body = Readiness),
        (status = 503, description = "These components are not ready", body = Readiness)))]
pub(in crate::control) async fn ready(ask: Ask) -> Result<Response, Refusal> {
    health(ask).await
}

/// Whether the Supervisor itself answers, however its components are: for a liveness probe,
/// which would otherwise restart a Supervisor that is busy restarting a component.
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "probes", security(()),
    responses((status = 200, body = Readiness),
        (status = 500, description = "The engine does not answer", body = Problem)))]
pub(in crate::control) async fn live(ask: Ask) -> Result<Json<Readiness>, Refusal> {
    Ok(Json(within(PROBE_TIMEOUT, ask.handle.readiness()).await?))
}
