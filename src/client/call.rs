//! The routes as calls.

use std::{fmt::Write as _, time::Duration};

use http_body_util::Full;
use hyper::{Method, Request, StatusCode, body::Bytes, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Client, ClientError};
use crate::wire::{
    Acceptance, ComponentStatus, Explanation, HoldReport, Operation, Problem, Readiness,
    ReloadReport, Status, UpgradeReport, Verb,
};

/// How a command is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommandOptions {
    /// Refuse when this is no longer the component's current run; for one component only.
    pub if_run: Option<u64>,
    /// Have the answer held back until the command is carried out, at most this long
    /// ([`Client::LONGEST_WAIT`] at most). None: answer at once.
    pub wait: Option<Duration>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// Without a wait; or `Redundant`: it was so already.
    Accepted(Acceptance),
    /// With a wait: the operation when it had ended, or as it stood when the wait was over.
    Operation(Operation),
}

impl Answer {
    /// The operation that carries the command out; none where there was nothing to do.
    pub fn operation_id(&self) -> Option<u64> {
        match self {
            Self::Accepted(Acceptance::Applied { operation }) => Some(*operation),
            Self::Accepted(Acceptance::Redundant { operation }) => *operation,
            Self::Operation(operation) => Some(operation.id),
        }
    }
}

/// An answer before it is understood.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: Bytes,
}

impl Client {
    /// The Supervisor and all components.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    pub async fn component(&self, id: &str) -> Result<ComponentStatus, ClientError> {
        self.get(&format!("/v1/components/{}", escaped(id))).await
    }

    /// Why a component is in its state.
    pub async fn explain(&self, id: &str) -> Result<Explanation, ClientError> {
        self.get(&format!("/v1/components/{}/explain", escaped(id))).await
    }

    /// One operation for all of `ids`, in the registry's order; without ids for everything, and
    /// `Restart` then includes the Supervisor itself. `Kill` needs ids; `Reload` and `Shutdown`
    /// have calls of their own and are refused by the server.
    pub async fn command(
        &self,
        verb: Verb,
        ids: &[String],
        options: CommandOptions,
    ) -> Result<Answer, ClientError> {
        let mut path = match ids {
            [id] => format!("/v1/components/{}/{verb}", escaped(id)),
            _ => format!("/v1/{verb}"),
        };
        let mut separator = '?';
        let mut add = |path: &mut String, parameter: &str| {
            path.push(separator);
            path.push_str(parameter);
            separator = '&';
        };
        if ids.len() > 1 {
            for id in ids {
                add(&mut path, &format!("id={}", escaped(id)));
            }
        }
        if let Some(wait) = options.wait {
            add(&mut path, &format!("wait={}", wait_seconds(wait)));
        }
        let mut request = request(Method::POST, &path);
        if let Some(run) = options.if_run {
            request = request.header(header::IF_MATCH, format!("\"{run}\""));
        }
        self.call(request, options.wait).await
    }

    /// Holds a component: it is neither started nor restarted until `until` (RFC 3339), or until
    /// it is released.
    pub async fn hold(
        &self,
        id: &str,
        until: Option<&str>,
        reason: Option<&str>,
    ) -> Result<HoldReport, ClientError> {
        let parameters = [("until", until), ("reason", reason)];
        let given = parameters.iter().filter_map(|(name, value)| Some((name, (*value)?)));
        let query: Vec<String> =
            given.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let path = format!("/v1/components/{}/hold?{}", escaped(id), query.join("&"));
        self.call(request(Method::POST, &path), None).await
    }

    /// Ends a hold.
    pub async fn release(&self, id: &str) -> Result<HoldReport, ClientError> {
        let path = format!("/v1/components/{}/release", escaped(id));
        self.call(request(Method::POST, &path), None).await
    }

    /// An operation as it stands.
    pub async fn operation(&self, id: u64) -> Result<Operation, ClientError> {
        self.get(&format!("/v1/operations/{id}")).await
    }

    /// An operation when it has ended, or as it stands after `timeout`
    /// ([`Self::LONGEST_WAIT`] at most).
    pub async fn wait(&self, id: u64, timeout: Duration) -> Result<Operation, ClientError> {
        let path = format!("/v1/operations/{id}?wait={}", wait_seconds(timeout));
        self.call(request(Method::GET, &path), Some(timeout)).await
    }

    /// Reads the registry again; with `dry_run` only tells what would change.
    pub async fn reload(&self, dry_run: bool) -> Result<ReloadReport, ClientError> {
        self.call(request(Method::POST, &format!("/v1/reload?dry_run={dry_run}")), None).await
    }

    /// Stops every component, then the Supervisor; with `restart` it then starts anew.
    pub async fn shutdown(&self, restart: bool) -> Result<Acceptance, ClientError> {
        let path = if restart { "/v1/restart" } else { "/v1/shutdown" };
        self.call(request(Method::POST, path), None).await
    }

    /// Has another binary take over in the Supervisor's process: this one, or what is where its own
    /// was. Answered when that is about to happen.
    pub async fn upgrade(
        &self,
        binary: Option<&std::path::Path>,
    ) -> Result<UpgradeReport, ClientError> {
        let path = match binary {
            Some(path) => format!("/v1/upgrade?binary={}", escaped(&path.to_string_lossy())),
            None => "/v1/upgrade".to_owned(),
        };
        self.call(request(Method::POST, &path), None).await
    }

    /// Closes the log files; the next output goes to new ones.
    pub async fn reopen(&self) -> Result<(), ClientError> {
        let answer = self.exchange(request(Method::POST, "/v1/reopen"), self.timeout()).await?;
        self.refusal(&answer).map_or(Ok(()), Err)
    }

    /// Whether everything that should run does. "Not ready" is an answer, no error.
    pub async fn readiness(&self) -> Result<Readiness, ClientError> {
        let answer = self.exchange(request(Method::GET, "/readyz"), self.timeout()).await?;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE.as_u16()
            && let Ok(readiness) = serde_json::from_slice(&answer.body)
        {
            return Ok(readiness);
        }
        self.understand(&answer)
    }

    /// Any path of the API, as it is answered: for a command that hands the JSON on unchanged.
    pub async fn raw(&self, path: &str) -> Result<RawAnswer, ClientError> {
        let answer = self.exchange(request(Method::GET, path), self.timeout()).await?;
        self.refusal(&answer).map_or(Ok(answer), Err)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(request(Method::GET, path), None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: hyper::http::request::Builder,
        wait: Option<Duration>,
    ) -> Result<T, ClientError> {
        // The server holds the answer back for as long as it was asked to.
        let held = wait.unwrap_or_default().min(Self::LONGEST_WAIT);
        let answer = self.exchange(request, self.timeout().saturating_add(held)).await?;
        self.understand(&answer)
    }

    fn understand<T: DeserializeOwned>(&self, answer: &RawAnswer) -> Result<T, ClientError> {
        if let Some(refusal) = self.refusal(answer) {
            return Err(refusal);
        }
        serde_json::from_slice(&answer.body).map_err(|error| self.protocol(&error.to_string()))
    }

    /// The error in an answer that carries one.
    pub(super) fn refusal(&self, answer: &RawAnswer) -> Option<ClientError> {
        if answer.status < 400 {
            return None;
        }
        let Ok(problem) = serde_json::from_slice::<Problem>(&answer.body) else {
            return Some(self.protocol(&format!("status {} without a reason", answer.status)));
        };
        Some(match problem.status {
            401 | 403 => {
                ClientError::NotPermitted { target: self.target().to_owned(), why: problem.detail }
            }
            _ => ClientError::Problem(Box::new(problem)),
        })
    }

    pub(super) fn protocol(&self, why: &str) -> ClientError {
        let why = match self.foreign_version() {
            Some(theirs) => format!(
                "{why}; the Supervisor is version {theirs}, this client {}: use the same version",
                env!("CARGO_PKG_VERSION")
            ),
            None => why.to_owned(),
        };
        ClientError::Protocol { target: self.target().to_owned(), why }
    }

    async fn exchange(
        &self,
        request: hyper::http::request::Builder,
        limit: Duration,
    ) -> Result<RawAnswer, ClientError> {
        let request = request
            .body(Full::new(Bytes::new()))
            .map_err(|error| self.protocol(&format!("cannot ask that: {error}")))?;
        super::transport::exchange(self, request, limit).await
    }

    pub(super) fn timeout(&self) -> Duration {
        self.inner.timeout
    }
}

pub(super) fn request(method: Method, path: &str) -> hyper::http::request::Builder {
    Request::builder().method(method).uri(path)
}

/// Seconds with thousandths: what the server's `wait` takes.
fn wait_seconds(wait: Duration) -> String {
    format!("{:.3}", wait.min(Client::LONGEST_WAIT).as_secs_f64())
}

/// Percent-encodes all but the unreserved characters, so that any text is one path segment or
/// one query value: an id that is none is refused by the server, by name.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
