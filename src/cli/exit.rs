//! How a command ends: the exit statuses, and the failure that carries one.

use std::fmt;

use crate::{
    client::ClientError,
    wire::{Problem, ProblemCode},
};

/// The exit status of the program. 0 is no failure, hence not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The operation failed: which component, and why.
    Failed = 1,
    /// Usage, or an unknown id.
    Usage = 2,
    /// `status`: the Supervisor is not running (LSB).
    NotRunning = 3,
    /// Not running or not reachable (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// Not permitted (`EX_NOPERM`).
    NotPermitted = 77,
    /// The registry is wrong (`EX_CONFIG`).
    Registry = 78,
}

/// Why a command did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// For standard error; may have several lines. Empty: everything has been said.
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// With what to do about it.
    #[must_use]
    pub fn and(mut self, advice: &str) -> Self {
        self.message = format!("{}; {advice}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::NotPermitted { .. } => Exit::NotPermitted,
            ClientError::Problem(problem) => return (**problem).clone().into(),
            ClientError::NotRunning { .. }
            | ClientError::Unreachable { .. }
            | ClientError::TimedOut { .. }
            | ClientError::Protocol { .. } => Exit::Unavailable,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let exit = match problem.code {
            ProblemCode::UnknownComponent => Exit::Usage,
            ProblemCode::Unauthorized
            | ProblemCode::ReadOnly
            | ProblemCode::OriginRefused
            | ProblemCode::MisdirectedHost => Exit::NotPermitted,
            ProblemCode::RegistryInvalid => Exit::Registry,
            ProblemCode::Upgrading
            | ProblemCode::ShuttingDown
            | ProblemCode::TooManyConnections => Exit::Unavailable,
            ProblemCode::BadRequest
            | ProblemCode::UnknownPath
            | ProblemCode::UnknownOperation
            | ProblemCode::MethodNotAllowed
            | ProblemCode::Denied
            | ProblemCode::RunEnded
            | ProblemCode::TooLarge
            | ProblemCode::UpgradeRefused
            | ProblemCode::Internal => Exit::Failed,
        };
        let mut message = problem.detail;
        // The engine may have put the hint into its sentence already.
        if let Some(nearest) = problem.nearest
            && !message.contains("did you mean")
        {
            message = format!("{message}; did you mean {nearest}?");
        }
        if let Some(diagnostics) = problem.diagnostics {
            message = format!("{message}\n{}", diagnostics.trim_end());
        }
        Self::new(exit, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(code: ProblemCode) -> Exit {
        Failure::from(ClientError::Problem(Box::new(Problem::new(code, "why")))).exit
    }

    #[test]
    fn every_refusal_has_its_documented_exit_status() {
        assert_eq!(exit_of(ProblemCode::UnknownComponent) as u8, 2);
        assert_eq!(exit_of(ProblemCode::Denied) as u8, 1);
        assert_eq!(exit_of(ProblemCode::RegistryInvalid) as u8, 78);
        assert_eq!(exit_of(ProblemCode::ReadOnly) as u8, 77);
        let target = "unix:/x".to_owned();
        let gone = ClientError::NotRunning { target, why: "there is no socket".to_owned() };
        assert_eq!(Failure::from(gone).exit as u8, 69);
    }

    #[test]
    fn an_unknown_id_comes_with_the_nearest_known_one() {
        let problem = Problem::new(ProblemCode::UnknownComponent, "there is no component \"pss\"");
        let failure = Failure::from(problem.nearest(Some("ps".to_owned())));
        // "pss" contains "ps": the hint must come all the same.
        assert_eq!(failure.message, "there is no component \"pss\"; did you mean ps?");
    }
}
