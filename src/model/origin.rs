//! Who asked for something: every command carries it, every event of a command shows it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The asker of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub via: Via,
    /// What the client calls itself: `cli`, `console`, `curl/8.5`. Not to be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Set where the request came over ssh: what `SSH_CONNECTION` said. Not to be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
}

/// The way a command came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Via {
    /// The Supervisor itself: its start, its policy.
    #[default]
    Supervisor,
    /// A signal to the Supervisor's process: `SIGTERM`.
    Signal { name: String },
    /// The Unix socket; the kernel vouches for the peer.
    Socket { uid: u32, gid: u32, pid: Option<i32>, user: Option<String> },
    /// TCP with a token of this name.
    Tcp { peer: String, token: String },
    /// A call inside the process (console mode).
    InProcess,
    /// The Windows service manager.
    ServiceManager,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.via {
            Via::Supervisor => f.write_str("supervisor")?,
            Via::Signal { name } => f.write_str(name)?,
            Via::Socket { uid, user, .. } => match user {
                Some(user) => f.write_str(user)?,
                None => write!(f, "uid {uid}")?,
            },
            Via::Tcp { peer, token } => write!(f, "{token} token from {peer}")?,
            Via::InProcess => f.write_str("operator")?,
            Via::ServiceManager => f.write_str("service manager")?,
        }
        if let Some(client) = &self.client {
            write!(f, " ({client})")?;
        }
        if let Some(ssh) = &self.ssh {
            write!(f, " over ssh from {ssh}")?;
        }
        Ok(())
    }
}
