//! The Supervisor's own log, while a screen shows it.

use std::convert::Infallible;

use tokio::{sync::watch, time::sleep};

use super::{Host, delays::Delays};
use crate::{
    client::{ClientError, TraceQuery},
    console::feed::{ConsoleGone, News},
};

/// Events that are asked for at first.
const TAIL: u32 = 1000;

/// Follows it while that is wished for and the host is connected.
pub(super) async fn follow(
    host: &Host,
    mut wish: watch::Receiver<bool>,
    mut live: watch::Receiver<bool>,
) -> ConsoleGone {
    // Kept over all streams and wishes: the screen goes on where it was left.
    let mut after = None;
    loop {
        if wish.wait_for(|wanted| *wanted).await.is_err() {
            return ConsoleGone;
        }
        let ended = tokio::select! {
            ended = wish.wait_for(|wanted| !wanted) => ended.map(|_| ()).map_err(|_closed| ConsoleGone),
            ended = hold(host, &mut after, &mut live) => ended.map(|never| match never {}),
        };
        if let Err(gone) = ended {
            return gone;
        }
    }
}

async fn hold(
    host: &Host,
    after: &mut Option<u64>,
    live: &mut watch::Receiver<bool>,
) -> Result<Infallible, ConsoleGone> {
    let mut delays = Delays::default();
    loop {
        live.wait_for(|live| *live).await.map_err(|_closed| ConsoleGone)?;
        // Why a stream broke is told by the connection, when it is one reason for both.
        let _broken: Result<(), ClientError> = read(host, after, &mut delays).await?;
        sleep(delays.next(fastrand::f64())).await;
    }
}

async fn read(
    host: &Host,
    after: &mut Option<u64>,
    delays: &mut Delays,
) -> Result<Result<(), ClientError>, ConsoleGone> {
    let tail = after.is_none().then_some(TAIL);
    let query = TraceQuery { after: *after, tail, follow: true };
    let mut stream = match host.client.supervisor_log(query).await {
        Ok(stream) => stream,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        let records = match stream.next().await {
            Ok(Some(records)) => records,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        };
        delays.reset();
        *after = records.last().map(|record| record.seq).or(*after);
        host.tell(News::SupervisorLog(records)).await?;
    }
}
