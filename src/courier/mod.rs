//! The courier: brings a message to a webhook or to a mail server.
//!
//! Owns one try: connections, TLS, time-outs, and what an answer means. Knows nothing of when
//! and how often (that is decided in `alerts`), and keeps nothing between two tries, so that a
//! changed name, certificate or password file counts at once.
//!
//! [`deliver`] blocks for up to [`PATIENCE`]: it is for a thread of its own, never for the
//! engine's.

mod mail;
mod tls;
mod web;

use std::time::Duration;

use crate::{
    alerts::{Failure, Message},
    registry::NotifyTarget,
};

/// For one try, from the name to the last byte of the answer. A receiver that trickles is cut
/// off as one that is silent.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Brings `message` to `target`, once.
pub fn deliver(target: &NotifyTarget, message: &Message) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .map_err(|error| Failure::passing(format!("cannot make an event loop: {error}")))?;
    let outcome = runtime.block_on(async {
        let attempt = async {
            match target {
                NotifyTarget::Webhook { url } => web::post(url, message).await,
                NotifyTarget::Mail(mail) => mail::send(mail, message).await,
            }
        };
        tokio::time::timeout(PATIENCE, attempt).await.unwrap_or_else(|_elapsed| {
            let limit = PATIENCE.as_secs();
            Err(Failure::passing(format!("no answer within {limit} s")))
        })
    });
    // A name may still be looked up, which cannot be called off; nobody waits for it.
    runtime.shutdown_background();
    outcome
}

/// This host, as messages name it.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The receiver for people and logs. Paths, queries and credentials of webhooks are secrets.
pub fn shown(target: &NotifyTarget) -> String {
    match target {
        NotifyTarget::Webhook { url } => {
            let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            let place = authority.rsplit('@').next().unwrap_or_default();
            let hidden = rest.len() > authority.len() + 1;
            format!("{scheme}://{place}/{}", if hidden { "…" } else { "" })
        }
        NotifyTarget::Mail(mail) => {
            format!("{} by {}:{}", mail.to.join(", "), mail.host, mail.port)
        }
    }
}

/// An error with its causes, which say more than it does, in one line.
fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let shown = |url: &str| shown(&NotifyTarget::Webhook { url: url.to_owned() });
        assert_eq!(shown("https://hooks.example.com/T0/B1/xyz"), "https://hooks.example.com/…");
        assert_eq!(shown("http://me:secret@[::1]:80?token=x"), "http://[::1]:80/…");
        assert_eq!(shown("http://127.0.0.1:9000/"), "http://127.0.0.1:9000/");
    }
}
