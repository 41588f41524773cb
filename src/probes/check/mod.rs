//! One check: asks once, under a time limit, and tells what was answered.

mod command;
mod http;
mod resolve;
mod runner;
mod tcp;

use std::{io, time::Duration};

use tokio::time::Instant;

use crate::{
    model::{ComponentId, RunId},
    registry::{Check, Probe},
};

use super::{Shared, text};

pub use command::{CommandEnd, CommandError, CommandRequest, Commands};
pub(super) use resolve::Resolver;
pub use runner::{LaunchOf, Runner};

pub(super) use http::Expected;

/// What one check found. The text names what was asked and what was answered; it stays the same
/// as long as the answer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub outcome: Outcome,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    Bad,
    /// The question could not be put, for a reason that is ours (no descriptor, no port): it says
    /// nothing about the component and counts neither way.
    NotAsked,
}

/// Asks once; the answer, and how long it took. Dropping the future ends what it had begun.
pub(super) async fn ask(
    shared: &Shared,
    run: RunId,
    id: &ComponentId,
    probe: &Probe,
    expected: &Expected,
) -> (Answer, Duration) {
    let check = &probe.check;
    // Waiting for a slot is our affair, so the component's time begins after it.
    let _slot = match check {
        Check::Exec { .. } => shared.command_slots.acquire().await.ok(),
        _ => None,
    };
    let asked = Instant::now();
    let asking = async {
        match check {
            Check::Tcp { host, port } => tcp::ask(&shared.resolver, host, *port).await,
            Check::Http { url, status, .. } => {
                http::ask(&shared.resolver, url, status, expected).await
            }
            Check::Exec { command } => {
                let command = command.clone();
                let request = CommandRequest { run, id: id.clone(), command };
                command::ask(shared.services.commands.as_ref(), request).await
            }
            Check::Log { .. } | Check::Notify => {
                unreachable!("the component itself speaks here: nothing is asked")
            }
        }
    };
    let answer = match tokio::time::timeout(probe.timeout, asking).await {
        Ok((outcome, said)) => Answer { outcome, detail: told(check, &said) },
        Err(_elapsed) => {
            let said = format!("no answer within {}", text::seconds(probe.timeout));
            Answer { outcome: Outcome::Bad, detail: told(check, &said) }
        }
    };
    (answer, asked.elapsed())
}

/// What was asked and what was said to it, in one line.
fn told(check: &Check, said: &str) -> String {
    let asked = match check {
        Check::Tcp { host, port } if host.contains(':') => format!("tcp [{host}]:{port}"),
        Check::Tcp { host, port } => format!("tcp {host}:{port}"),
        Check::Http { url, .. } => format!("GET {}", http::shown(url)),
        Check::Exec { command } => text::shortened(&command.join(" "), 80),
        Check::Log { pattern } => format!("log \"{pattern}\""),
        Check::Notify => "notify".to_owned(),
    };
    text::clip(&format!("{asked} {said}"))
}

/// How an attempt to connect failed: by the other side, or for want of something of ours.
fn refusal(error: &io::Error) -> (Outcome, String) {
    use rustix::io::Errno;
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL, // every local port is taken
    ];
    let is_ours = Errno::from_io_error(error).is_some_and(|errno| ours.contains(&errno));
    let reason = text::reason(error);
    if is_ours {
        (Outcome::NotAsked, format!("could not be asked: {reason}"))
    } else {
        (Outcome::Bad, format!("failed: {reason}"))
    }
}
