//! `restart`: everything and the Supervisor; answers when all runs again.

use std::time::Duration;

use super::{hold, start};
use crate::{
    cli::{Context, exit::Failure, follow, gone::Held, loading, ui::clean},
    client::{Client, ClientError},
    wire::{Acceptance, Verb},
};

pub async fn perform(context: &Context, ids: &[String]) -> Result<(), Failure> {
    let client = context.place.client()?;
    if !ids.is_empty() {
        return follow::command(context, &client, Verb::Restart, ids).await;
    }
    let elsewhere = context.place.is_elsewhere();
    let before = match client.status().await {
        Err(ClientError::NotRunning { .. }) if !elsewhere => {
            return start::launch(context, &client).await;
        }
        answer => answer?,
    };
    if !elsewhere {
        // A registry that is wrong must not cost what runs. The engine checks its own as well.
        loading::load_to_run(&context.place)?.tell_warnings(context);
    }
    for component in &before.components {
        if let Some(hold) = &component.hold {
            let what = if component.pid.is_some() { "is left running" } else { "is not started" };
            let why = hold::in_words(hold, jiff::Timestamp::now());
            context.ui.note(format_args!("{} {what}: it is {why}", clean(&component.id)));
        }
    }
    let process = if elsewhere { None } else { Held::new(before.supervisor.pid) };
    let asked = follow::now();
    let accepted = client.shutdown(true).await?;
    if let Acceptance::Applied { operation }
    | Acceptance::Redundant { operation: Some(operation) } = accepted
    {
        // The engine stops everything, then begins anew and forgets this operation: its end may
        // be told or not, and the boot of the new one tells the rest.
        follow::operation(context, &client, operation).await?;
    }
    let anew = begins_anew(&client, asked, process.as_ref());
    follow::unless_interrupted(&client, anew).await?;
    start::boot(context, &client).await
}

/// Returns when a Supervisor answers that started after `asked`.
async fn begins_anew(
    client: &Client,
    asked: std::time::Instant,
    process: Option<&Held>,
) -> Result<(), Failure> {
    loop {
        if let Ok(status) = client.status().await
            && status.supervisor.uptime_s < follow::now().duration_since(asked).as_secs_f64()
        {
            return Ok(());
        }
        if process.is_some_and(Held::has_ended) {
            return Err(Failure::failed(
                "the Supervisor ended instead of starting anew; everything is stopped, its log \
                 says why",
            ));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
