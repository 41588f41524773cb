//! Waiting for what was asked for, with progress, until it is so or the operator has enough.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{
    Context,
    exit::{Exit, Failure},
    progress::{self, Board},
    ui::Ui,
};
use crate::{
    client::{Answer, Client, ClientError, CommandOptions},
    wire::{Acceptance, Operation, OperationState, ProblemCode, Verb},
};

/// How an operation ended as far as this client can tell.
#[derive(Debug)]
pub enum End {
    /// The engine said so.
    Told(Operation),
    /// The Supervisor went away before it said so; the last that was heard.
    Silent(Option<Operation>),
}

/// Between two looks at an operation: often enough for a person, rare enough for the engine.
const LOOK: Duration = Duration::from_millis(200);

/// Follows an operation to its end.
pub async fn operation(context: &Context, client: &Client, id: u64) -> Result<End, Failure> {
    unless_interrupted(client, to_its_end(&context.ui, client, id)).await
}

/// Waits for `work`, but no longer than the operator wants: one listener for the whole wait, so
/// that no Ctrl-C falls between two looks.
pub async fn unless_interrupted<T>(
    client: &Client,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        // The listener first: it must be there before anything is asked.
        biased;
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.map_err(|error| Failure::failed(format!("cannot wait: {error}")))?;
            Err(given_up(client))
        }
        done = work => done,
    }
}

/// As [`operation`], for whoever listens to interrupts himself.
pub async fn to_its_end(ui: &Ui, client: &Client, id: u64) -> Result<End, Failure> {
    let mut board = Board::default();
    let mut last = None;
    let end = loop {
        match client.wait(id, LOOK).await {
            Ok(operation) if operation.state == OperationState::Pending => {
                board.show(ui, &operation, now());
                last = Some(operation);
            }
            Ok(operation) => {
                // Changes since the last look belong to the record where nothing is redrawn.
                if !ui.err.terminal {
                    board.show(ui, &operation, now());
                }
                break Ok(End::Told(operation));
            }
            Err(ClientError::NotRunning { .. } | ClientError::Unreachable { .. }) => {
                break Ok(End::Silent(last));
            }
            Err(ClientError::Problem(problem)) if problem.code == ProblemCode::ShuttingDown => {
                break Ok(End::Silent(last));
            }
            // Only this answer is late. The engine may be busy; what was asked for goes on.
            Err(ClientError::TimedOut { .. }) => {}
            Err(error) => break Err(error.into()),
        }
    };
    board.clear();
    end
}

/// Ctrl-C while waiting stops the waiting and nothing else.
fn given_up(client: &Client) -> Failure {
    Failure::failed(format!(
        "no longer waiting; the Supervisor at {} goes on with what was asked for \
         (see: s7supervisor status)",
        client.target()
    ))
}

/// Prints the result of an operation that has ended; it is the command's own result.
pub fn conclude(context: &Context, operation: &Operation) -> Result<(), Failure> {
    context.ui.print(&progress::result(operation, context.ui.out.colour));
    match progress::failure(operation) {
        Some(message) => Err(Failure::failed(message)),
        None => Ok(()),
    }
}

/// One command to components, waited for.
pub async fn command(
    context: &Context,
    client: &Client,
    verb: Verb,
    ids: &[String],
) -> Result<(), Failure> {
    let ids = distinct(ids);
    let answer = client.command(verb, &ids, CommandOptions::default()).await?;
    match answer {
        Answer::Operation(operation) => conclude(context, &operation),
        Answer::Accepted(Acceptance::Applied { operation: id }) => {
            command_end(context, operation(context, client, id).await?)
        }
        Answer::Accepted(Acceptance::Redundant { operation: id }) => match id {
            Some(id) => command_end(context, operation(context, client, id).await?),
            None => already(context, client, &ids).await,
        },
    }
}

fn command_end(context: &Context, end: End) -> Result<(), Failure> {
    match end {
        End::Told(operation) => conclude(context, &operation),
        End::Silent(_) => Err(Failure::new(
            Exit::Unavailable,
            "the Supervisor ended before it was done; see its log",
        )),
    }
}

/// Nothing had to be done: how it stands.
async fn already(context: &Context, client: &Client, ids: &[String]) -> Result<(), Failure> {
    let status = client.status().await?;
    let chosen = |id: &str| ids.is_empty() || ids.iter().any(|wanted| wanted == id);
    for component in status.components.iter().filter(|component| chosen(&component.id)) {
        context.ui.line(format_args!("{} is {} already", component.id, component.state));
    }
    Ok(())
}

/// Each id once, in the order given: naming one twice asks for nothing more.
fn distinct(ids: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    ids.iter().filter(|id| seen.insert(id.as_str())).cloned().collect()
}

/// The monotonic clock, for the pace of what is shown.
#[expect(clippy::disallowed_methods, reason = "the pace of the operator's screen is no policy")]
pub fn now() -> Instant {
    Instant::now()
}
