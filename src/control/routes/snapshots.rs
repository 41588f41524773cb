//! What is: the Supervisor, its components, and the description of this API.

use axum::{
    Json,
    http::header,
    response::{IntoResponse, Response},
};

use super::{Ask, from_engine};
use crate::{
    control::{openapi, refusal::Refusal},
    wire::{ComponentDetails, ComponentStatus, Explanation, Problem, Status},
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

/// This description.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "openapi", tag = "state",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(in crate::control) async fn description(mut ask: Ask) -> Result<Response, Refusal> {
    ask.no_more_parameters()?;
    Ok(([(header::CONTENT_TYPE, "application/json")], openapi::document()).into_response())
}
