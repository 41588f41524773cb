//! What changes something: verbs for components, reload, shutdown.

use std::{path::PathBuf, time::Duration};

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Ask, from_engine, operations::awaited};
use crate::{
    control::{query::if_match, refusal::Refusal},
    model::OperationId,
    runtime::{Handle, Request, Targets},
    wire::{Acceptance, HoldReport, Operation, Problem, ReloadReport, UpgradeReport, Verb},
};

/// Bytes of a path.
const LONGEST_PATH: usize = 4096;
/// Bytes of a hold's reason.
const LONGEST_REASON: usize = 200;

/// Starts, stops, restarts or kills one component.
///
/// A kill ends the whole process tree at once. With `wait` the answer is the operation, also
/// where the command was redundant because the same is under way.
#[utoipa::path(post, path = "/v1/components/{id}/{verb}", operation_id = "component_command",
    tag = "commands",
    params(
        ("id" = String, Path, description = "Id of a component"),
        ("verb" = ComponentVerb, Path, description = "What to do"),
        ("wait" = Option<f64>, Query, minimum = 0.0, maximum = 3600.0,
            description = "Seconds to hold the answer back until the operation has ended"),
        ("If-Match" = Option<String>, Header,
            description = "Refuse when this is no longer the component's current `run`")),
    responses(
        (status = 200, description = "Redundant; or, with `wait`, the operation that has ended \
            (its `state` says how)", body = Answer),
        (status = 202, description = "Applied, `Location` is the operation; or, with `wait`, the \
            operation that has not ended yet", body = Answer),
        (status = 404, description = "Unknown; `nearest` is the nearest known id", body = Problem),
        (status = 409, description = "Denied in this state; `detail` says why", body = Problem),
        (status = 412, description = "The run has ended", body = Problem)))]
pub(in crate::control) async fn component_command(
    verb: Verb,
    mut ask: Ask,
) -> Result<Response, Refusal> {
    let if_run = if_match(&ask.headers)?;
    let wait = ask.parameters.wait()?;
    ask.no_more_parameters()?;
    let origin = ask.origin();
    let request = Request { verb, targets: Targets::Ids(vec![ask.name]), if_run, origin };
    let acceptance = from_engine(ask.handle.command(request)).await?;
    answered(&ask.handle, acceptance, wait).await
}

/// Starts, stops, restarts or kills several components as one operation, or all of them.
///
/// Without `id` the verb means all; `restart` then includes the Supervisor itself, and `kill`
/// is refused.
#[utoipa::path(post, path = "/v1/{verb}", operation_id = "command", tag = "commands",
    params(
        ("verb" = ComponentVerb, Path, description = "What to do"),
        ("id" = Option<Vec<String>>, Query, explode,
            description = "Id of a component; repeatable. Without: all"),
        ("wait" = Option<f64>, Query, minimum = 0.0, maximum = 3600.0,
            description = "Seconds to hold the answer back until the operation has ended"),
        ("If-Match" = Option<String>, Header,
            description = "Refuse when this is no longer the current `run`; with one `id` only")),
    responses(
        (status = 200, description = "Redundant; or, with `wait`, the operation that has ended \
            (its `state` says how)", body = Answer),
        (status = 202, description = "Applied, `Location` is the operation; or, with `wait`, the \
            operation that has not ended yet", body = Answer),
        (status = 404, description = "Unknown; `nearest` is the nearest known id", body = Problem),
        (status = 409, description = "Denied in this state; `detail` says why", body = Problem),
        (status = 412, description = "The run has ended", body = Problem)))]
pub(in crate::control) async fn command(verb: Verb, mut ask: Ask) -> Result<Response, Refusal> {
    let if_run = if_match(&ask.headers)?;
    let wait = ask.parameters.wait()?;
    let ids = ask.parameters.all("id");
    ask.no_more_parameters()?;
    if if_run.is_some() && ids.len() != 1 {
        return Err(Refusal::bad_request("If-Match is for one component: name one id"));
    }
    let acceptance = match (verb, ids.is_empty()) {
        (Verb::Kill, true) => {
            return Err(Refusal::bad_request(
                "kill is for components: name them with ?id=; \
                 to end everything POST /v1/stop or /v1/shutdown",
            ));
        }
        (Verb::Restart, true) => from_engine(ask.handle.shutdown(true, ask.origin())).await?,
        (_, all) => {
            let targets = if all { Targets::All } else { Targets::Ids(ids) };
            let request = Request { verb, targets, if_run, origin: ask.origin() };
            from_engine(ask.handle.command(request)).await?
        }
    };
    answered(&ask.handle, acceptance, wait).await
}

/// Holds a component: it is neither started nor restarted, by nobody and nothing, until it is
/// released or the time has come.
///
/// What runs goes on running, and can be stopped. A hold that is in force gets these terms.
#[utoipa::path(post, path = "/v1/components/{id}/hold", operation_id = "hold", tag = "commands",
    params(
        ("id" = String, Path, description = "Id of a component"),
        ("until" = Option<String>, Query,
            description = "RFC 3339, or from now on: `+2h`. Without: until it is released"),
        ("reason" = Option<String>, Query, description = "Shown wherever the hold is")),
    responses(
        (status = 200, description = "In force, and stored", body = HoldReport),
        (status = 404, description = "Unknown; `nearest` is the nearest known id", body = Problem)))]
pub(in crate::control) async fn hold(mut ask: Ask) -> Result<Json<HoldReport>, Refusal> {
    let until = ask.parameters.until()?;
    let reason = ask.parameters.line("reason", LONGEST_REASON)?;
    ask.no_more_parameters()?;
    let origin = ask.origin();
    Ok(Json(from_engine(ask.handle.hold(ask.name, until, reason, origin)).await?))
}

/// Ends a hold; what it held back is carried out.
#[utoipa::path(post, path = "/v1/components/{id}/release", operation_id = "release",
    tag = "commands",
    params(("id" = String, Path, description = "Id of a component")),
    responses(
        (status = 200, description = "Not held; `before` is the hold that was in force, if one \
            was", body = HoldReport),
        (status = 404, description = "Unknown; `nearest` is the nearest known id", body = Problem)))]
pub(in crate::control) async fn release(mut ask: Ask) -> Result<Json<HoldReport>, Refusal> {
    ask.no_more_parameters()?;
    let origin = ask.origin();
    Ok(Json(from_engine(ask.handle.release(ask.name, origin)).await?))
}

/// Reads the registry again and restarts only what changed.
#[utoipa::path(post, path = "/v1/reload", operation_id = "reload", tag = "commands",
    params(("dry_run" = Option<bool>, Query, description = "Only tell what would be done")),
    responses(
        (status = 200, description = "What is (or would be) done; nothing is under way",
            body = ReloadReport),
        (status = 202, description = "What is done; `Location` is the operation",
            body = ReloadReport),
        (status = 422, description = "The registry is wrong, and the old one stays in force; \
            `diagnostics` shows all its problems", body = Problem)))]
pub(in crate::control) async fn reload(mut ask: Ask) -> Result<Response, Refusal> {
    let dry_run = ask.parameters.flag("dry_run")?;
    ask.no_more_parameters()?;
    let report = from_engine(ask.handle.reload(dry_run, ask.origin())).await?;
    Ok(match report.operation {
        Some(id) if !dry_run => accepted(id, report),
        _ => Json(report).into_response(),
    })
}

/// Stops every component, then the Supervisor.
#[utoipa::path(post, path = "/v1/shutdown", operation_id = "shutdown", tag = "commands",
    params(("wait" = Option<f64>, Query, minimum = 0.0, maximum = 3600.0,
        description = "Seconds to hold the answer back until the operation has ended")),
    responses((status = 200, body = Answer), (status = 202, body = Answer),
        (status = 503, description = "It has ended meanwhile", body = Problem)))]
pub(in crate::control) async fn shutdown(mut ask: Ask) -> Result<Response, Refusal> {
    let wait = ask.parameters.wait()?;
    ask.no_more_parameters()?;
    let acceptance = from_engine(ask.handle.shutdown(false, ask.origin())).await?;
    answered(&ask.handle, acceptance, wait).await
}

/// Puts another version in the Supervisor's place: the same process, whose components do not notice.
///
/// The binary is asked first whether it can take over. Answered when it is about to: connections end
/// then, and new ones wait until the new version answers.
#[utoipa::path(post, path = "/v1/upgrade", operation_id = "upgrade", tag = "commands",
    params(("binary" = Option<String>, Query,
        description = "Absolute path. Without: what is now where the running one was started from")),
    responses(
        (status = 202, description = "It takes over now; `upgrades` in the status grows by one",
            body = UpgradeReport),
        (status = 409, description = "Not at this moment; `detail` says why", body = Problem),
        (status = 422, description = "This binary cannot take over; `detail` says why, \
            `diagnostics` shows what it has against the registry", body = Problem)))]
pub(in crate::control) async fn upgrade(mut ask: Ask) -> Result<Response, Refusal> {
    let binary = ask.parameters.line("binary", LONGEST_PATH)?;
    ask.no_more_parameters()?;
    let binary = binary.map(PathBuf::from);
    if binary.as_ref().is_some_and(|path| !path.is_absolute()) {
        return Err(Refusal::bad_request("binary is an absolute path"));
    }
    let report = from_engine(ask.handle.upgrade(binary, ask.origin())).await?;
    Ok((StatusCode::ACCEPTED, Json(report)).into_response())
}

/// The verbs that components take.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the description: the routes name each verb themselves")]
pub(in crate::control) enum ComponentVerb {
    Start,
    Stop,
    Restart,
    Kill,
}

/// The answer to a command: at once, or with `wait` the operation.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the description: the routes answer with what they have")]
pub(in crate::control) enum Answer {
    Acceptance(Acceptance),
    Operation(Operation),
}

/// The answer to a command that was accepted, held back as long as the caller wished.
async fn answered(
    handle: &Handle,
    acceptance: Acceptance,
    wait: Option<Duration>,
) -> Result<Response, Refusal> {
    let under_way = match &acceptance {
        Acceptance::Applied { operation } => Some(*operation),
        Acceptance::Redundant { operation } => *operation,
    };
    if let (Some(id), Some(wait)) = (under_way, wait) {
        return awaited(handle, OperationId(id), wait).await;
    }
    Ok(match acceptance {
        Acceptance::Applied { operation } => accepted(operation, acceptance),
        Acceptance::Redundant { .. } => Json(acceptance).into_response(),
    })
}

/// 202, and where to see how it goes on.
pub(super) fn accepted(id: u64, body: impl serde::Serialize) -> Response {
    let location = [(header::LOCATION, format!("/v1/operations/{id}"))];
    (StatusCode::ACCEPTED, location, Json(body)).into_response()
}
