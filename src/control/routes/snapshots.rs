//! What is: the Supervisor, its components, and the description of this API.

use axum::{
    Json,
    http::header,
    response::{IntoResponse, Response},
};

use jiff::ZonedDateTime;

use super::{Ask, from_engine};
use crate::{
    control::{openapi, refusal::Refusal},
    runtime::HistoryRange,
    wire::{ComponentDetails, ComponentStatus, Explanation, History, Problem, Status},
};

/// The Supervisor and all components, in the order of the registry.
#[utoipa::path(get, path = "/v1/status", operation_id = "status", tag = "state",
    responses((status = 200, body = Status), (status = 503, body = Problem)))]
pub(in crate::control) async fn status(mut ask: Ask) -> Result<Json<Status>, Refusal> {
    ask.no_more_parameters()?;
    Ok(Json(from_engine(ask.handle.status()).await?))
}

/// One component.
#[utoipa::path(get, path = "/v1/components/{id}", operation_id = "component", tag = "state",
    params(("id" = String, Path, description = "Id of a component")),
    responses((status = 200, body = ComponentStatus),
        (status = 404, description = "Unknown; `nearest` is the nearest known id", body = Problem)))]
pub(in crate::control) async fn component(mut ask: Ask) -> Result<Json<ComponentStatus>, Refusal> {
    ask.no_more_parameters()?;
    Ok(Json(from_engine(ask.handle.component(ask.name)).await?))
}

/// Why a component is in its state.
#[utoipa::path(get, path = "/v1/components/{id}/explain", operation_id = "explain", tag = "state",
    params(("id" = String, Path, description = "Id of a component")),
    responses((status = 200, body = Explanation), (status = 404, body = Problem)))]
pub(in crate::control) async fn explain(mut ask: Ask) -> Result<Json<Explanation>, Refusal> {
    ask.no_more_parameters()?;
    Ok(Json(from_engine(ask.handle.explain(ask.name)).await?))
}

/// How a component is launched, its limits and checks, and its live process tree.
///
/// What looks like a secret does not travel: a variable's value is null, in commands `***` stands
/// for it.
#[utoipa::path(get, path = "/v1/components/{id}/details", operation_id = "details", tag = "state",
    params(("id" = String, Path, description = "Id of a component")),
    responses((status = 200, body = ComponentDetails), (status = 404, body = Problem)))]
pub(in crate::control) async fn details(mut ask: Ask) -> Result<Json<ComponentDetails>, Refusal> {
    ask.no_more_parameters()?;
    Ok(Json(from_engine(ask.handle.details(ask.name)).await?))
}

/// CPU, memory and state of a component over time, up to 24 h back.
///
/// One point for each step: the highest values that were measured in it. Steps begin at multiples
/// of their length; a step that would make more than 1,500 points is made longer, `step_s` says
/// how long it is.
#[utoipa::path(get, path = "/v1/components/{id}/history", operation_id = "history", tag = "state",
    params(("id" = String, Path, description = "Id of a component"),
        ("from" = Option<String>, Query,
            description = "RFC 3339, `14:02`, `-10m`; an hour before `to`, where none is given"),
        ("to" = Option<String>, Query, description = "The same; now, where none is given"),
        ("step" = Option<f64>, Query, minimum = 1.0,
            description = "Seconds; without it there are about 120 steps")),
    responses((status = 200, body = History), (status = 404, body = Problem)))]
pub(in crate::control) async fn history(mut ask: Ask) -> Result<Json<History>, Refusal> {
    let now = ZonedDateTime::now();
    let range = HistoryRange {
        from: ask.parameters.time("from", &now)?,
        to: ask.parameters.time("to", &now)?,
        step: ask.parameters.seconds("step")?,
    };
    ask.no_more_parameters()?;
    if let (Some(from), Some(to)) = (range.from, range.to)
        && from > to
    {
        return Err(Refusal::bad_request(format!("from is {from}, and that is after to, {to}")));
    }
    Ok(Json(from_engine(ask.handle.history(ask.name, range)).await?))
}

/// This description.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "openapi", tag = "state",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(in crate::control) async fn description(mut ask: Ask) -> Result<Response, Refusal> {
    ask.no_more_parameters()?;
    Ok(([(header::CONTENT_TYPE, "application/json")], openapi::document()).into_response())
}
