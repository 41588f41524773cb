//! Errors of the API: RFC 9457 problem objects with a stable `code`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// A URI that names the kind: `urn:s7supervisor:problem:unknown_component`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of this code.
    pub title: String,
    pub status: u16,
    /// This problem in words: what, why, what to do next.
    pub detail: String,
    pub code: ProblemCode,
    /// The nearest known name, where a name was unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// The diagnostics of a registry that was refused, rendered without colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    BadRequest,
    Unauthorized,
    ReadOnly,
    OriginRefused,
    MisdirectedHost,
    UnknownComponent,
    UnknownPath,
    UnknownOperation,
    MethodNotAllowed,
    Denied,
    RunEnded,
    TooLarge,
    RegistryInvalid,
    UpgradeRefused,
    Upgrading,
    ShuttingDown,
    TooManyConnections,
    Internal,
}

impl ProblemCode {
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::ReadOnly | Self::OriginRefused => 403,
            Self::UnknownComponent | Self::UnknownPath | Self::UnknownOperation => 404,
            Self::MethodNotAllowed => 405,
            Self::Denied => 409,
            Self::RunEnded => 412,
            Self::TooLarge => 413,
            Self::MisdirectedHost => 421,
            Self::RegistryInvalid | Self::UpgradeRefused => 422,
            Self::Internal => 500,
            Self::Upgrading | Self::ShuttingDown | Self::TooManyConnections => 503,
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be understood",
            Self::Unauthorized => "No token, or a wrong one",
            Self::ReadOnly => "This token only reads",
            Self::OriginRefused => "Requests from web pages are refused",
            Self::MisdirectedHost => "This Host is not ours",
            Self::UnknownComponent => "No such component",
            Self::UnknownPath => "No such path",
            Self::UnknownOperation => "No such operation",
            Self::MethodNotAllowed => "This path does not take this method",
            Self::Denied => "Not possible in this state",
            Self::RunEnded => "That run has ended",
            Self::TooLarge => "The request is too large",
            Self::RegistryInvalid => "The registry is wrong",
            Self::UpgradeRefused => "This binary cannot take over",
            Self::Upgrading => "The Supervisor is being upgraded",
            Self::ShuttingDown => "The Supervisor is shutting down",
            Self::TooManyConnections => "Too many connections",
            Self::Internal => "The Supervisor made a mistake",
        }
    }

    /// The code as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::ReadOnly => "read_only",
            Self::OriginRefused => "origin_refused",
            Self::MisdirectedHost => "misdirected_host",
            Self::UnknownComponent => "unknown_component",
            Self::UnknownPath => "unknown_path",
            Self::UnknownOperation => "unknown_operation",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Denied => "denied",
            Self::RunEnded => "run_ended",
            Self::TooLarge => "too_large",
            Self::RegistryInvalid => "registry_invalid",
            Self::UpgradeRefused => "upgrade_refused",
            Self::Upgrading => "upgrading",
            Self::ShuttingDown => "shutting_down",
            Self::TooManyConnections => "too_many_connections",
            Self::Internal => "internal",
        }
    }
}

impl Problem {
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:s7supervisor:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            nearest: None,
            diagnostics: None,
        }
    }

    #[must_use]
    pub fn nearest(mut self, name: Option<String>) -> Self {
        self.nearest = name;
        self
    }

    #[must_use]
    pub fn diagnostics(mut self, text: String) -> Self {
        self.diagnostics = Some(text);
        self
    }
}
