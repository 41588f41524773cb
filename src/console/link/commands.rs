//! Commands to one host: in the operator's order, each answered.

use tokio::sync::mpsc;

use super::Host;
use crate::{
    client::{self, ClientError, CommandOptions},
    console::feed::{Answer, News},
    wire::{Acceptance, Verb},
};

/// One command, as the console numbered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) number: u64,
    pub(super) order: Order,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    Verb { verb: Verb, ids: Vec<String>, if_run: Option<u64> },
    Hold { id: String, until: Option<String>, reason: Option<String> },
    Release { id: String },
}

/// Sends one after the other: a stop and a start that overtake each other would leave the
/// opposite of what was asked for.
pub(super) async fn perform(host: Host, mut queue: mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = queue.recv().await {
        let answer = send(&host, &command.order).await;
        let lost = matches!(answer, Answer::Unknown { .. });
        // Nobody may be there to read it: what was asked for is sent all the same.
        let _console_gone = host.tell(News::Answer { number: command.number, answer }).await;
        if !lost {
            continue;
        }
        // What waited behind it was meant for a host that answers. Sent later, it would surprise.
        while let Ok(Command { number, order: _ }) = queue.try_recv() {
            let reason = "not sent, because the command before it was not answered".to_owned();
            let answer = Answer::Denied { reason };
            let _console_gone = host.tell(News::Answer { number, answer }).await;
        }
    }
}

async fn send(host: &Host, order: &Order) -> Answer {
    let answer = match order {
        Order::Hold { id, until, reason } => {
            let report = host.client.hold(id, until.as_deref(), reason.as_deref()).await;
            report.map(|report| report.hold != report.before)
        }
        Order::Release { id } => {
            host.client.release(id).await.map(|report| report.before.is_some())
        }
        Order::Verb { verb: Verb::Reload, .. } => {
            host.client.reload(false).await.map(|report| report.operation.is_some())
        }
        Order::Verb { verb: Verb::Shutdown, .. } => {
            host.client.shutdown(false).await.map(|answer| is_applied(&answer))
        }
        Order::Verb { verb, ids, if_run } => {
            let options = CommandOptions { if_run: *if_run, wait: None };
            host.client.command(*verb, ids, options).await.map(|answer| match answer {
                client::Answer::Accepted(acceptance) => is_applied(&acceptance),
                client::Answer::Operation(_) => true,
            })
        }
    };
    match answer {
        Ok(true) => Answer::Applied,
        Ok(false) => Answer::Redundant,
        Err(
            error @ (ClientError::Problem(_)
            | ClientError::NotPermitted { .. }
            | ClientError::NotRunning { .. }),
        ) => Answer::Denied { reason: error.reason() },
        // It may have been carried out.
        Err(
            error @ (ClientError::Unreachable { .. }
            | ClientError::TimedOut { .. }
            | ClientError::Protocol { .. }),
        ) => Answer::Unknown { reason: error.reason() },
    }
}

fn is_applied(acceptance: &Acceptance) -> bool {
    matches!(acceptance, Acceptance::Applied { .. })
}
