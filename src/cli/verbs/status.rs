//! `status`: what runs, since when, with how much memory.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::{
    cli::{
        Context,
        exit::{Exit, Failure},
        stream, table,
    },
    client::{Client, ClientError},
    wire::Status,
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Only these components
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// The object of GET /v1/status, unchanged
    #[arg(long, conflicts_with = "watch")]
    json: bool,
    /// Show it again each second; without a terminal, a line for each change
    #[arg(short, long)]
    watch: bool,
}

pub async fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let client = context.place.client()?;
    if arguments.json && arguments.ids.is_empty() {
        let answer = client.raw("/v1/status").await.map_err(failure)?;
        let text = String::from_utf8_lossy(&answer.body);
        context.ui.line(text.trim_end());
        return Ok(());
    }
    let status = chosen(client.status().await.map_err(failure)?, &arguments.ids)?;
    if arguments.json {
        let json = serde_json::to_string(&status)
            .map_err(|error| Failure::failed(format!("cannot write the status: {error}")))?;
        context.ui.line(json);
    } else if !arguments.watch {
        context.ui.print(&table::status(&status, Timestamp::now(), context.ui.out.colour));
    } else if context.ui.out.terminal {
        watch(context, &client, &arguments.ids).await;
    } else {
        stream::follow(context, &client, &arguments.ids, || false).await;
    }
    Ok(())
}

/// The LSB has a status of its own for "not running"; not to know is something else.
fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::NotRunning { .. } => Failure::new(Exit::NotRunning, error.to_string()),
        other => other.into(),
    }
}

/// The status of these components only; of all where none is named.
fn chosen(mut status: Status, ids: &[String]) -> Result<Status, Failure> {
    for id in ids {
        if !status.components.iter().any(|component| component.id == *id) {
            let known = status.components.iter().map(|component| component.id.as_str());
            return Err(unknown(id, known));
        }
    }
    if !ids.is_empty() {
        status.components.retain(|component| ids.contains(&component.id));
    }
    Ok(status)
}

fn unknown<'a>(id: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let distance = |name: &&str| strsim::damerau_levenshtein(id, name);
    let message = match known.min_by_key(distance) {
        Some(nearest) if distance(&nearest) <= 2.max(id.len() / 3) => {
            format!("there is no component \"{id}\"; did you mean {nearest}?")
        }
        Some(_) => format!("there is no component \"{id}\"; s7supervisor status lists them all"),
        None => format!("there is no component \"{id}\": the registry has none"),
    };
    Failure::new(Exit::Usage, message)
}

/// Redraws the table in place, each second. Ctrl-C ends it; nothing has to be restored then.
async fn watch(context: &Context, client: &Client, ids: &[String]) {
    context.ui.print("\x1b[2J");
    while !context.ui.reader_gone() {
        let text = match client.status().await.map_err(failure) {
            Ok(status) => match chosen(status, ids) {
                Ok(status) => table::status(&status, Timestamp::now(), context.ui.out.colour),
                // A reload took it away: it may come back.
                Err(failure) => failure.message,
            },
            Err(failure) => failure.message,
        };
        let (_, height) = context.ui.terminal_size();
        let mut frame = String::from("\x1b[H");
        for line in text.lines().take(height.saturating_sub(1)) {
            frame.push_str(line);
            frame.push_str("\x1b[K\r\n");
        }
        frame.push_str("\x1b[J");
        context.ui.print(&frame);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::samples::{component, status},
        wire::ComponentState,
    };

    #[test]
    fn components_are_chosen_by_id_and_unknown_ones_refused_with_the_nearest() {
        let all = || {
            let names = ["is", "svg", "ps"];
            status(names.map(|id| component(id, ComponentState::Running)).to_vec())
        };
        let ids = |names: &[&str]| names.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        assert_eq!(chosen(all(), &[]).expect("all").components.len(), 3);
        let one = chosen(all(), &ids(&["ps"])).expect("known");
        assert_eq!(one.components[0].id, "ps");
        let failure = chosen(all(), &ids(&["ps", "sgv"])).expect_err("unknown");
        assert_eq!(failure.exit as u8, 2);
        assert_eq!(failure.message, "there is no component \"sgv\"; did you mean svg?");
    }
}
