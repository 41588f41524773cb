//! The logs on the screen: one stream for all of a host.

use std::convert::Infallible;

use tokio::{sync::watch, time::sleep};

use super::{Host, delays::Delays};
use crate::{
    client::{ClientError, ComponentLog, LogQuery},
    console::feed::{ConsoleGone, LogWish, News},
    wire::{Update, UpdateMessage},
};

/// Follows what is wished for, whatever happens to the stream, while the host is connected.
pub(super) async fn follow(
    host: &Host,
    mut wishes: watch::Receiver<Vec<LogWish>>,
    mut live: watch::Receiver<bool>,
) -> ConsoleGone {
    let mut delays = Delays::default();
    loop {
        let wanted = wishes.borrow_and_update().clone();
        delays.reset();
        let followed = tokio::select! {
            // A new wish replaces the stream. What is on its way is not lost: the wish says how
            // far the console has come.
            changed = wishes.changed() => changed.map_err(|_closed| ConsoleGone),
            followed = hold(host, wanted, &mut live, &mut delays) => followed.map(|never| match never {}),
        };
        if let Err(gone) = followed {
            return gone;
        }
    }
}

/// One wish, through any number of streams.
async fn hold(
    host: &Host,
    mut wanted: Vec<LogWish>,
    live: &mut watch::Receiver<bool>,
    delays: &mut Delays,
) -> Result<Infallible, ConsoleGone> {
    if wanted.is_empty() {
        std::future::pending::<()>().await;
    }
    loop {
        // While the host is lost, the connection is what tries.
        live.wait_for(|live| *live).await.map_err(|_closed| ConsoleGone)?;
        // Why a stream broke is told by the connection, when it is one reason for both.
        let _broken: ClientError = read(host, &mut wanted, delays).await?;
        sleep(delays.next(fastrand::f64())).await;
    }
}

/// Passes on what comes, and notes how far it came, until the stream breaks.
async fn read(
    host: &Host,
    wanted: &mut [LogWish],
    delays: &mut Delays,
) -> Result<ClientError, ConsoleGone> {
    let mut stream = match host.client.logs(&query(wanted)).await {
        Ok(stream) => stream,
        Err(error) => return Ok(error),
    };
    loop {
        let batch = match stream.next().await {
            Ok(Some(batch)) => batch,
            Ok(None) => {
                let target = host.client.target().to_owned();
                let why = "it closed the stream of logs".to_owned();
                return Ok(ClientError::Unreachable { target, why });
            }
            Err(error) => return Ok(error),
        };
        delays.reset();
        for (id, records) in by_component(batch) {
            let newest = records.iter().map(|record| record.seq).max();
            let update = Update::Log { id: id.clone(), records };
            host.tell(News::Update(UpdateMessage { seq: 0, update })).await?;
            if let Some(wish) = wanted.iter_mut().find(|wish| wish.id == id) {
                wish.after = wish.after.max(newest);
            }
        }
    }
}

/// Where every log goes on from a known place nothing is left out, however much it is: a tail of it
/// would hide a hole. Of those that begin anew the newest lines are enough.
fn query(wanted: &[LogWish]) -> LogQuery {
    let begins = wanted.iter().any(|wish| wish.after.is_none());
    let after = wanted.iter().filter_map(|wish| Some((wish.id.clone(), wish.after?)));
    LogQuery {
        ids: wanted.iter().map(|wish| wish.id.clone()).collect(),
        after: after.collect(),
        tail: wanted.iter().map(|wish| wish.tail).max().filter(|_| begins),
        follow: true,
        ..LogQuery::default()
    }
}

/// The records of each component together, each in its order.
pub(super) fn by_component(batch: Vec<ComponentLog>) -> Vec<(String, Vec<crate::wire::LogRecord>)> {
    let mut groups: Vec<(String, Vec<_>)> = Vec::new();
    for ComponentLog { id, record } in batch {
        match groups.iter_mut().find(|(of, _)| *of == id) {
            Some((_, records)) => records.push(record),
            None => groups.push((id, vec![record])),
        }
    }
    groups
}
