//! Where a Supervisor is reached.

use std::{fmt, path::PathBuf, str::FromStr};

use super::ssh::{Ssh, SshOptions};

/// A way to a Supervisor. Written as `unix:PATH`, `http://HOST:PORT` or
/// `ssh://[USER@]HOST[:PORT]`.
#[derive(Clone)]
pub enum Endpoint {
    /// The socket in the Supervisor's runtime folder. Paths of any length work.
    Unix(PathBuf),
    /// The TCP port of the registry's `tcpport`, with the token that it asks for.
    Tcp { host: String, port: u16, token: Option<String> },
    /// The socket of another machine, through a login there.
    Ssh(Ssh),
    /// The router itself, inside the same process.
    InProcess(axum::Router),
}

/// Why a text names no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" names no Supervisor: {why}; write unix:PATH, http://HOST:PORT or \
         ssh://[USER@]HOST[:PORT]"
)]
pub struct InvalidEndpoint {
    text: String,
    why: &'static str,
}

impl Endpoint {
    /// The same endpoint with a token; only TCP has one.
    #[must_use]
    pub fn with_token(self, token: impl Into<String>) -> Self {
        match self {
            Self::Tcp { host, port, token: _ } => {
                Self::Tcp { host, port, token: Some(token.into()) }
            }
            other => other,
        }
    }

    /// The same endpoint with ssh run in this way; only ssh has one.
    #[must_use]
    pub fn with_ssh(self, options: SshOptions) -> Self {
        match self {
            Self::Ssh(ssh) => Self::Ssh(ssh.with_options(options)),
            other => other,
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why| Err(InvalidEndpoint { text: text.to_owned(), why });
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                refuse("the path is missing")
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        if let Some(login) = text.strip_prefix("ssh://") {
            return Ssh::parse(login).map(Self::Ssh).or_else(refuse);
        }
        let Some(authority) = text.strip_prefix("http://") else {
            return refuse(if text.starts_with("https://") {
                "the control port speaks no TLS"
            } else {
                "the kind of connection is missing"
            });
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let Some((host, port)) = authority.rsplit_once(':') else {
            return refuse("the port is missing");
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let ok = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let well_formed = if bare.len() == host.len() {
            !host.is_empty() && host.bytes().all(ok)
        } else {
            bare.parse::<std::net::Ipv6Addr>().is_ok()
        };
        if !well_formed {
            return refuse("the host is no name or address (an IPv6 address stands in brackets)");
        }
        match port.parse() {
            Ok(0) | Err(_) => refuse("the port is no number from 1 to 65535"),
            Ok(port) => Ok(Self::Tcp { host: bare.to_owned(), port, token: None }),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => {
                write!(f, "http://[{host}]:{port}")
            }
            Self::Tcp { host, port, .. } => write!(f, "http://{host}:{port}"),
            Self::Ssh(ssh) => ssh.fmt(f),
            Self::InProcess(_) => f.write_str("this process"),
        }
    }
}

/// As written; a token is never shown.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Endpoint, InvalidEndpoint> {
        text.parse()
    }

    #[test]
    fn endpoints_are_read_as_they_are_written() {
        for text in [
            "unix:/run/s7/supervisor.sock",
            "http://localhost:9910",
            "http://[::1]:9910",
            "ssh://anna@img-3:2222",
        ] {
            assert_eq!(parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_endpoint_is_refused_with_its_reason() {
        for (text, why) in [
            ("unix:", "path is missing"),
            ("localhost:9910", "kind of connection is missing"),
            ("https://localhost:9910", "no TLS"),
            ("http://localhost", "port is missing"),
            ("http://localhost:0", "no number from 1"),
            ("http://localhost:99999", "no number from 1"),
            ("http://:9910", "host is no name"),
            ("http://::1:9910", "in brackets"),
            ("http://a/b:1", "host is no name"),
            ("ssh://-oProxyCommand=x", "host is no name"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let endpoint = parse("http://localhost:1").expect("well-formed").with_token("secret");
        assert_eq!(format!("{endpoint:?} {endpoint}"), "http://localhost:1 http://localhost:1");
    }
}
