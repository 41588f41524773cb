//! The control API as calls: what the command line and the console ask the Supervisor with.
//!
//! Owns where a Supervisor is reached ([`Endpoint`]), the time that each call may take, and what
//! can go wrong on the way ([`ClientError`]). It knows the API's words alone: it prints nothing,
//! reads no registry, no token file and no environment, and retries nothing (only the caller
//! knows whether a command may be asked twice).
//!
//! Every call has a connection of its own. On a Unix socket that costs about a tenth of a
//! millisecond, and it spares the one case that HTTP cannot tell apart: a kept connection that
//! dies under a `POST` which may or may not have been carried out.

mod answer;
mod call;
mod endpoint;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod lines;
mod queries;
mod sse;
mod ssh;
mod streams;
mod transport;

pub use call::{Answer, CommandOptions, RawAnswer};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::ClientError;
pub use queries::{EventQuery, LogQuery, TraceQuery};
pub use ssh::SshOptions;
pub use streams::{ComponentLog, Records, SILENCE, Updates};
#[cfg(unix)]
pub use transport::dial;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The version that this client was built as, in the form of the `Server` header.
pub const PRODUCT: &str = concat!("s7supervisor/", env!("CARGO_PKG_VERSION"));

/// Calls to one Supervisor. Cheap to clone; clones share what they learned of the server.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    /// As in error texts: `unix:/run/s7/supervisor.sock`.
    target: String,
    name: String,
    ssh: Option<String>,
    timeout: Duration,
    server_version: Mutex<Option<String>>,
}

impl Client {
    /// How long the connection may take.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// How long an answer may take, apart from a wait that was asked for.
    pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
    /// The longest wait that the server takes; longer ones are asked in parts.
    pub const LONGEST_WAIT: Duration = Duration::from_hours(1);

    /// A client that calls itself `name` (`cli`, `console`): events show it beside the user.
    /// Nothing is connected yet.
    pub fn new(endpoint: Endpoint, name: &str) -> Self {
        Self {
            inner: Arc::new(Inner {
                target: endpoint.to_string(),
                endpoint,
                name: name.to_owned(),
                ssh: None,
                timeout: Self::ANSWER_TIMEOUT,
                server_version: Mutex::new(None),
            }),
        }
    }

    /// Tells the server that this client runs over ssh: pass on what `SSH_CONNECTION` says.
    #[must_use]
    pub fn over_ssh(self, connection: impl Into<String>) -> Self {
        let connection = Some(connection.into());
        self.changed(|inner| inner.ssh = connection)
    }

    /// Another limit for answers than [`Self::ANSWER_TIMEOUT`].
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        self.changed(|inner| inner.timeout = timeout)
    }

    /// All connections over ssh take one login, which ends with the last clone of this client.
    /// Other ways stay as they are.
    pub fn with_one_login(self) -> io::Result<Self> {
        let Endpoint::Ssh(ssh) = &self.inner.endpoint else { return Ok(self) };
        let endpoint = Endpoint::Ssh(ssh.clone().shared()?);
        Ok(self.changed(|inner| inner.endpoint = endpoint))
    }

    pub fn is_over_ssh(&self) -> bool {
        matches!(self.inner.endpoint, Endpoint::Ssh(_))
    }

    /// From now on ssh fails where it would ask for a password or about a key: something else is
    /// on the terminal. Until then it may ask. Clones are told, too.
    pub fn ask_nothing(&self) {
        if let Endpoint::Ssh(ssh) = &self.inner.endpoint {
            ssh.ask_nothing();
        }
    }

    /// Where it goes, as in error texts: `unix:/run/s7/supervisor.sock`.
    pub fn target(&self) -> &str {
        &self.inner.target
    }

    /// The server's version when it differs from ours; none as long as nothing has been answered.
    pub fn foreign_version(&self) -> Option<String> {
        let seen = self.inner.server_version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.filter(|version| version != env!("CARGO_PKG_VERSION"))
    }

    fn changed(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner {
            endpoint: self.inner.endpoint.clone(),
            target: self.inner.target.clone(),
            name: self.inner.name.clone(),
            ssh: self.inner.ssh.clone(),
            timeout: self.inner.timeout,
            server_version: Mutex::new(None),
        };
        change(&mut inner);
        Self { inner: Arc::new(inner) }
    }

    fn saw_version(&self, version: &str) {
        let mut seen = self.inner.server_version.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.as_deref() != Some(version) {
            *seen = Some(version.to_owned());
        }
    }
}
