//! What can go wrong between a client and the Supervisor.

use std::time::Duration;

use crate::wire::Problem;

/// Why a call has no answer of the expected kind. Each variant is a case that a caller treats
/// apart; each text says what to do next where there is something to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens there: no socket, or nobody behind it.
    #[error("the Supervisor is not running at {target}: {why}")]
    NotRunning { target: String, why: String },
    /// The file system, the token or the token's rights forbid it.
    #[error("not permitted at {target}: {why}")]
    NotPermitted { target: String, why: String },
    /// No connection, for another reason; or it broke before the answer was complete, in which
    /// case a command may have been carried out.
    #[error("cannot reach the Supervisor at {target}: {why}")]
    Unreachable { target: String, why: String },
    /// It was reached, but did not answer in time. A command may still be carried out.
    #[error("the Supervisor at {target} did not {step} within {} s", after.as_secs_f64())]
    TimedOut { target: String, step: &'static str, after: Duration },
    /// The Supervisor refused; the problem says why.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The answer is not what this client understands: another version, or another program.
    #[error("cannot understand the answer from {target}: {why}")]
    Protocol { target: String, why: String },
}

impl ClientError {
    /// The text without where: for a place that names the target itself.
    pub fn reason(&self) -> String {
        match self {
            Self::NotRunning { why, .. } => format!("the Supervisor is not running: {why}"),
            Self::NotPermitted { why, .. } => format!("not permitted: {why}"),
            Self::Unreachable { why, .. } => why.clone(),
            Self::TimedOut { step, after, .. } => {
                format!("it did not {step} within {} s", after.as_secs_f64())
            }
            Self::Problem(problem) => problem.detail.clone(),
            Self::Protocol { why, .. } => format!("cannot understand the answer: {why}"),
        }
    }

    /// The Supervisor's own words, where it answered with a problem.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }
}
