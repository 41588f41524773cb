//! How far a command has come.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};

use super::{Ask, commands::accepted, from_engine, within};
use crate::{
    control::refusal::Refusal,
    model::OperationId,
    runtime::Handle,
    wire::{Operation, OperationState, Problem, ProblemCode},
};

/// What an operation has reached and what it waits for.
///
/// With `wait` the answer is held back until the operation has ended.
#[utoipa::path(get, path = "/v1/operations/{n}", operation_id = "operation", tag = "commands",
    params(
        ("n" = u64, Path, description = "Number of an operation"),
        ("wait" = Option<f64>, Query, minimum = 0.0, maximum = 3600.0,
            description = "Seconds to hold the answer back until the operation has ended")),
    responses(
        (status = 200, body = Operation),
        (status = 202, description = "It has not ended within `wait`", body = Operation),
        (status = 404, description = "Unknown, or too long ago", body = Problem)))]
pub(in crate::control) async fn operation(mut ask: Ask) -> Result<Response, Refusal> {
    let wait = ask.parameters.wait()?;
    ask.no_more_parameters()?;
    let Ok(id) = ask.name.parse().map(OperationId) else {
        let detail = format!("\"{}\" is no operation's number", ask.name.escape_debug());
        return Err(Refusal::new(ProblemCode::UnknownOperation, detail));
    };
    match wait {
        Some(wait) => awaited(&ask.handle, id, wait).await,
        None => Ok(Json(from_engine(ask.handle.operation(id)).await?).into_response()),
    }
}

/// The operation when it has ended (200), or as it stands when the wait is over (202).
pub(super) async fn awaited(
    handle: &Handle,
    id: OperationId,
    wait: Duration,
) -> Result<Response, Refusal> {
    // The handle ends the wait itself; the limit is for an engine that no longer answers.
    let limit = wait.saturating_add(super::ENGINE_TIMEOUT);
    let operation = within(limit, handle.wait(id, wait)).await?;
    Ok(match operation.state {
        OperationState::Pending => accepted(operation.id, operation),
        OperationState::Done | OperationState::Failed => Json(operation).into_response(),
    })
}
