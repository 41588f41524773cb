//! `GET /metrics`, for Prometheus.

use axum::{
    Extension,
    http::header,
    response::{IntoResponse, Response},
};

use super::{Ask, from_engine};
use crate::{
    control::{refusal::Refusal, seats::Seats},
    metrics::{CONTENT_TYPE, Exposition, Kind},
    wire::Problem,
};

/// What is counted and measured, in Prometheus' text form.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "state",
    responses((status = 200, description = "Prometheus' text form, version 0.0.4", body = String,
            content_type = "text/plain"),
        (status = 503, body = Problem)))]
pub(in crate::control) async fn metrics(
    seats: Option<Extension<Seats>>,
    mut ask: Ask,
) -> Result<Response, Refusal> {
    ask.no_more_parameters()?;
    let mut text = from_engine(ask.handle.metrics()).await?;
    if let Some(Extension(seats)) = seats {
        let taken = seats.taken();
        let mut own = Exposition::new();
        let help = "Open connections of the control API.";
        own.family("s7supervisor_control_connections", Kind::Gauge, help).count(&[], taken as u64);
        text.push_str(&own.into_text());
    }
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
