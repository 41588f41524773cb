//! Who asks, and what they may do.

use axum::http::{HeaderMap, header};

use crate::model::{Origin, Via};

/// A caller that was let in. The listeners put one on every request; a request without one
/// gets no further than the probes (`/healthz` and its like).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    via: Via,
    read_only: bool,
}

impl Access {
    /// The console in the Supervisor's own process.
    pub fn in_process() -> Self {
        Self::full(Via::InProcess)
    }

    /// Everything is allowed.
    pub fn full(via: Via) -> Self {
        Self { via, read_only: false }
    }

    /// Only what changes nothing.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Of the process at the other end, where the kernel tells.
    pub(super) fn pid(&self) -> Option<i32> {
        match self.via {
            Via::Socket { pid, .. } => pid,
            _ => None,
        }
    }

    pub(super) fn may_change(&self) -> bool {
        !self.read_only
    }

    /// The origin of a command: what we know of the caller and what it says of itself.
    pub(super) fn origin(&self, headers: &HeaderMap) -> Origin {
        let said = |name: &str, longest| {
            let text = headers.get(name)?.as_bytes();
            tidy(text, longest)
        };
        let agent = || said(header::USER_AGENT.as_str(), LONGEST_NAME);
        // Of "curl/8.5 (x86_64-pc-linux-gnu) libcurl/8.5" the first word names the program.
        let program = || agent()?.split(' ').next().map(str::to_owned);
        let mut via = self.via.clone();
        #[cfg(unix)]
        if let Via::Socket { uid, user: user @ None, .. } = &mut via {
            *user = super::names::user_name(*uid);
        }
        Origin {
            via,
            client: said("x-s7-client", LONGEST_NAME).or_else(program),
            ssh: said("x-s7-ssh", LONGEST_SSH),
        }
    }
}

/// Bytes of a client's name that are kept.
const LONGEST_NAME: usize = 64;
/// Two addresses and two ports, as `SSH_CONNECTION` has them.
const LONGEST_SSH: usize = 120;

/// What a stranger wrote, fit for a terminal and a log: printable ASCII, one line, bounded.
/// A parenthesis would let a name pretend to be the end of the origin's text.
fn tidy(text: &[u8], longest: usize) -> Option<String> {
    let printable = |&byte: &u8| match byte {
        b'(' | b')' => '?',
        b' '..=b'~' => char::from(byte),
        _ => '?',
    };
    let text: String = text.trim_ascii().iter().take(longest).map(printable).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn origin(headers: &[(&'static str, &[u8])]) -> Origin {
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_bytes(value).expect("a legal header");
            (HeaderName::from_static(name), value)
        });
        Access::in_process().origin(&headers.collect())
    }

    #[test]
    fn a_client_names_itself_or_is_named_by_its_user_agent() {
        let named = origin(&[("x-s7-client", b"cli"), ("user-agent", b"s7supervisor/1")]);
        assert_eq!(named.client.as_deref(), Some("cli"));
        let agent = origin(&[("user-agent", b"curl/8.5 (linux) x")]);
        assert_eq!(agent.to_string(), "operator (curl/8.5)");
        assert_eq!(origin(&[]).client, None);
    }

    #[test]
    fn what_a_client_says_of_itself_cannot_garble_a_terminal_or_forge_an_origin() {
        let evil = origin(&[("x-s7-client", b"x) over ssh from \xff\x80\t9"), ("x-s7-ssh", b"  ")]);
        assert_eq!(evil.client.as_deref(), Some("x? over ssh from ???9"));
        assert_eq!(evil.ssh, None);
        let long = origin(&[("x-s7-client", &[b'a'; 500])]);
        assert_eq!(long.client.map(|name| name.len()), Some(LONGEST_NAME));
    }
}
