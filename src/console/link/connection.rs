//! The stream of updates of one host, for ever.
//!
//! ```text
//!   Connecting ──► Live ──► (snapshot | Resumed) ──► messages
//!       ▲                                               │ broken, silent, ended
//!       └── Lost / VersionMismatch / Refused ◄──────────┘
//!            after a while, or when the operator asks
//! ```
//!
//! A connection that is made again asks for what came after the last message. What it gets is
//! checked: a message that does not follow on the last one would leave the screen wrong without
//! anybody noticing, so everything is then asked for anew.

use std::time::Duration;

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

use super::{
    Host,
    delays::{self, Delays},
};
use crate::{
    client::{Client, ClientError, Updates},
    console::feed::{ConsoleGone, Link, News},
    wire::{ProblemCode, Update},
};

/// A connection that lived for so long was well: the next loss begins with the shortest wait.
const WELL: Duration = Duration::from_secs(5);

/// How far the messages of a host are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A snapshot has to come before anything else.
    Nowhere,
    After(u64),
}

/// Keeps the console informed of one host until the console ends.
pub(super) async fn keep(host: &Host, again: &Notify, live: &watch::Sender<bool>) -> ConsoleGone {
    match try_keep(host, again, live).await {
        Ok(never) => match never {},
        Err(gone) => gone,
    }
}

async fn try_keep(
    host: &Host,
    again: &Notify,
    live: &watch::Sender<bool>,
) -> Result<std::convert::Infallible, ConsoleGone> {
    let mut delays = Delays::default();
    let mut place = Place::Nowhere;
    loop {
        host.tell(News::Link(Link::Connecting)).await?;
        let after = match place {
            Place::Nowhere => None,
            Place::After(seq) => Some(seq),
        };
        let error = match host.client.updates(after).await {
            Ok(stream) => {
                host.tell(News::Link(Link::Live)).await?;
                let begun = Instant::now();
                let error = read(host, stream, &mut place, live).await?;
                live.send_replace(false);
                if begun.elapsed() >= WELL {
                    delays.reset();
                }
                error
            }
            Err(error) => error,
        };
        let (link, pause) = verdict(&host.client, error, &mut delays);
        host.tell(News::Link(link)).await?;
        tokio::select! {
            () = sleep(pause) => {}
            () = again.notified() => {}
        }
    }
}

/// Passes the messages on until the stream breaks; says why it did.
async fn read(
    host: &Host,
    mut stream: Updates,
    place: &mut Place,
    live: &watch::Sender<bool>,
) -> Result<ClientError, ConsoleGone> {
    let mut current = false;
    loop {
        let message = match stream.next().await {
            Ok(message) => message,
            Err(error) => return Ok(error),
        };
        let next = match (&message.update, *place) {
            (Update::Snapshot(_), _) => Place::After(message.seq),
            (Update::Gap { .. }, _) => Place::Nowhere,
            (_, Place::After(seq)) if message.seq == seq.wrapping_add(1) => {
                Place::After(message.seq)
            }
            _ => {
                *place = Place::Nowhere;
                let why = "a message is missing in the stream".to_owned();
                let target = host.client.target().to_owned();
                return Ok(ClientError::Unreachable { target, why });
            }
        };
        let is_current = next != Place::Nowhere;
        let resumed = is_current && !current && !matches!(message.update, Update::Snapshot(_));
        if resumed {
            host.tell(News::Link(Link::Resumed)).await?;
        }
        host.tell(News::Update(message)).await?;
        *place = next;
        current |= is_current;
        // After the message: whoever waits for it finds the console informed.
        live.send_if_modified(|live| !std::mem::replace(live, current));
    }
}

/// What the operator is told of a connection that failed, and when the next attempt comes.
fn verdict(client: &Client, error: ClientError, delays: &mut Delays) -> (Link, Duration) {
    let foreign = client.foreign_version();
    let not_understood = match &error {
        ClientError::Protocol { .. } => true,
        ClientError::Problem(problem) => problem.code == ProblemCode::UnknownPath,
        _ => false,
    };
    match (error, foreign) {
        (_, Some(theirs)) if not_understood => {
            let ours = env!("CARGO_PKG_VERSION").to_owned();
            (Link::VersionMismatch { ours, theirs }, delays::slow(fastrand::f64()))
        }
        (error @ (ClientError::NotPermitted { .. } | ClientError::Protocol { .. }), _) => {
            (Link::Refused { why: error.reason() }, delays::slow(fastrand::f64()))
        }
        (error, _) => {
            let retry_in = delays.next(fastrand::f64());
            (Link::Lost { why: error.reason(), retry_in }, retry_in)
        }
    }
}
