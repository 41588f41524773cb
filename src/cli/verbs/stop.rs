//! `stop`: everything and the Supervisor; answers when all is gone.

use std::time::Duration;

use crate::{
    cli::{
        Context,
        exit::Failure,
        follow::{self, End},
        gone::Held,
        progress,
    },
    client::{Client, ClientError},
    wire::{Acceptance, Operation, OperationState, Status, Verb},
};

pub async fn perform(context: &Context, ids: &[String]) -> Result<(), Failure> {
    let client = context.place.client()?;
    if !ids.is_empty() {
        return match follow::command(context, &client, Verb::Stop, ids).await {
            Err(failure) if is_down(&client).await => {
                // Where no Supervisor runs, none of its components does.
                context.ui.detail(failure);
                nothing_runs(context);
                Ok(())
            }
            other => other,
        };
    }
    let status = match client.status().await {
        Err(ClientError::NotRunning { .. }) => {
            nothing_runs(context);
            return Ok(());
        }
        answer => answer?,
    };
    let held = Processes::of(context, &status);
    let accepted = match client.shutdown(false).await {
        // It ended by itself between the two calls.
        Err(ClientError::NotRunning { .. }) => Acceptance::Redundant { operation: None },
        answer => answer?,
    };
    let end = match accepted {
        Acceptance::Applied { operation }
        | Acceptance::Redundant { operation: Some(operation) } => {
            follow::operation(context, &client, operation).await?
        }
        Acceptance::Redundant { operation: None } => End::Silent(None),
    };
    let last = match end {
        End::Told(operation) => Some(operation),
        End::Silent(last) => last,
    };
    follow::unless_interrupted(&client, all_gone(context, &client, &held)).await?;
    held.none_left(last.as_ref())?;
    if let Some(operation) = &last
        && operation.state == OperationState::Failed
        && let Some(message) = progress::failure(operation)
    {
        return Err(Failure::failed(format!("{message}\nThe Supervisor has ended.")));
    }
    context.ui.line(format_args!(
        "{} and the Supervisor have stopped.",
        match status.components.len() {
            1 => "The component".to_owned(),
            number => format!("All {number} components"),
        }
    ));
    Ok(())
}

fn nothing_runs(context: &Context) {
    context.ui.line("The Supervisor is not running.");
}

async fn is_down(client: &Client) -> bool {
    matches!(client.status().await, Err(ClientError::NotRunning { .. }))
}

/// The processes that must be gone when `stop` says so, held since before it was asked for.
struct Processes {
    /// The engine and its guardian.
    supervisor: Vec<Held>,
    components: Vec<(String, Held)>,
}

impl Processes {
    /// Bounded, because each takes a descriptor; the engine answers for all of them anyway.
    const MOST: usize = 500;

    fn of(context: &Context, status: &Status) -> Self {
        if context.place.is_elsewhere() {
            // The numbers mean other processes here.
            return Self { supervisor: Vec::new(), components: Vec::new() };
        }
        let hold = |component: &crate::wire::ComponentStatus| {
            Some((component.id.clone(), Held::new(component.pid?)?))
        };
        let own = [Some(status.supervisor.pid), status.supervisor.guardian_pid];
        Self {
            supervisor: own.into_iter().flatten().filter_map(Held::new).collect(),
            components: status.components.iter().filter_map(hold).take(Self::MOST).collect(),
        }
    }

    /// An engine that was killed on the way cannot have kept its word.
    fn none_left(&self, last: Option<&Operation>) -> Result<(), Failure> {
        if last.is_some_and(|operation| operation.state == OperationState::Done) {
            return Ok(());
        }
        let left: Vec<String> = self
            .components
            .iter()
            .filter(|(_, held)| !held.has_ended())
            .map(|(id, held)| format!("{id} (pid {})", held.pid))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "the Supervisor ended before it had stopped {}; start it again to take over or end \
             what is left",
            left.join(", ")
        )))
    }
}

/// Returns when the socket is gone and the Supervisor's processes have ended.
async fn all_gone(context: &Context, client: &Client, held: &Processes) -> Result<(), Failure> {
    let gone = async {
        while !is_down(client).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for process in &held.supervisor {
            process.ended().await;
        }
    };
    tokio::pin!(gone);
    loop {
        tokio::select! {
            () = &mut gone => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(10)) => {
                context.ui.note("waiting: every component has been dealt with, the Supervisor ends");
            }
        }
    }
}
