//! `GET /metrics`, for Prometheus.

use std::sync::Arc;

use axum::{
    Extension,
    http::header,
    response::{IntoResponse, Response},
};
use tokio::sync::Semaphore;

use super::{Ask, from_engine};
use crate::{
    control::refusal::Refusal,
    metrics::{CONTENT_TYPE, Exposition, Kind},
    wire::Problem,
};

/// How many connections there are.
#[derive(Debug, Clone)]
pub(in crate::control) struct Connections {
    pub free: Arc<Semaphore>,
    pub all: usize,
}

/// What is counted and measured, in Prometheus' text form.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "state",
    responses((status = 200, description = "Prometheus' text form, version 0.0.4", body = String,
            content_type = "text/plain"),
        (status = 503, body = Problem)))]
pub(in crate::control) async fn metrics(
    connections: Option<Extension<Connections>>,
    mut ask: Ask,
) -> Result<Response, Refusal> {
    ask.no_more_parameters()?;
    let mut text = from_engine(ask.handle.metrics()).await?;
    if let Some(Extension(connections)) = connections {
        let taken = connections.all.saturating_sub(connections.free.available_permits());
        let mut own = Exposition::new();
        let help = "Open connections of the control API.";
        own.family("s7supervisor_control_connections", Kind::Gauge, help).count(&[], taken as u64);
        text.push_str(&own.into_text());
    }
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
