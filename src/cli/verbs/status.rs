//! `status`: what runs, since when, with how much memory.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::{
    cli::{
        Context,
        exit::{Exit, Failure},
        several::{self, Heard},
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
    /// The object of GET /v1/status, unchanged; of several hosts an array
    #[arg(long, conflicts_with = "watch")]
    json: bool,
    /// Show it again each second; without a terminal, a line for each change
    #[arg(short, long)]
    watch: bool,
}

pub async fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let clients = context.place.clients("cli")?;
    if clients.len() > 1 {
        return of_several(context, arguments, &clients).await;
    }
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
    } else {
        until_interrupted(async {
            if context.ui.out.terminal {
                watch(context, &client, &arguments.ids).await;
            } else {
                stream::follow(context, &client, &arguments.ids, || false).await;
            }
        })
        .await;
    }
    Ok(())
}

/// Ctrl-C is how a watch ends: then the client still gives back what it holds, a login say.
async fn until_interrupted(watch: impl Future<Output = ()>) {
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = watch => {}
    }
}

/// Several hosts in one table. What is wrong with some is told, the others are shown all the
/// same, and the worst decides the exit status.
async fn of_several(
    context: &Context,
    arguments: &Arguments,
    clients: &[(String, Client)],
) -> Result<(), Failure> {
    if arguments.watch {
        let ids = &arguments.ids;
        until_interrupted(async {
            if context.ui.out.terminal {
                watch_several(context, clients, ids).await;
            } else {
                stream::follow_several(context, clients, ids).await;
            }
        })
        .await;
        return Ok(());
    }
    let heard = several::ask(clients).await;
    let known = heard.iter().flatten().flat_map(|status| &status.components);
    let known: Vec<&str> = known.map(|component| component.id.as_str()).collect();
    // A component need not be on every host; one that is on none is a mistake, unless it may be on
    // a host that does not answer.
    if heard.iter().all(Result::is_ok)
        && let Some(id) = arguments.ids.iter().find(|id| !known.contains(&id.as_str()))
    {
        return Err(unknown(id, known.into_iter()));
    }
    let heard: Vec<_> =
        heard.into_iter().map(|heard| heard.map(|of| only(of, &arguments.ids))).collect();
    if arguments.json {
        let hosts = clients.iter().zip(&heard).map(|((host, _), heard)| match heard {
            Ok(status) => serde_json::json!({ "host": host, "status": status }),
            Err(error) => serde_json::json!({ "host": host, "error": error.to_string() }),
        });
        context.ui.line(hosts.collect::<serde_json::Value>());
    } else {
        context.ui.print(&render_several(clients, &heard, context.ui.out.colour));
    }
    let failures: Vec<Failure> = heard.into_iter().filter_map(Result::err).map(failure).collect();
    let Some(worst) = failures.iter().map(|failure| failure.exit).max_by_key(|exit| *exit as u8)
    else {
        return Ok(());
    };
    let messages: Vec<String> = failures.into_iter().map(|failure| failure.message).collect();
    Err(Failure::new(worst, messages.join("\n")))
}

fn render_several(clients: &[(String, Client)], heard: &[Heard], colour: bool) -> String {
    let answered = clients.iter().zip(heard);
    let answered =
        answered.filter_map(|((host, _), heard)| Some((host.as_str(), heard.as_ref().ok()?)));
    table::statuses(&answered.collect::<Vec<_>>(), Timestamp::now(), colour)
}

/// Redraws the table of several hosts each second; a host that does not answer keeps a line.
async fn watch_several(context: &Context, clients: &[(String, Client)], ids: &[String]) {
    const SECOND: Duration = Duration::from_secs(1);
    let mut latest: Vec<Option<Heard>> = clients.iter().map(|_| None).collect();
    let mut asked = several::watch(clients, SECOND);
    let mut frames = tokio::time::interval(SECOND);
    context.ui.print("\x1b[2J");
    while !context.ui.reader_gone() {
        tokio::select! {
            Some((index, heard)) = asked.answers.recv() => {
                latest[index] = Some(heard.map(|status| only(status, ids)));
                continue;
            }
            _ = frames.tick() => {}
        }
        let colour = context.ui.out.colour;
        let seen = clients
            .iter()
            .zip(&latest)
            .filter_map(|((host, _), heard)| Some((host.as_str(), heard.as_ref()?.as_ref().ok()?)));
        let mut text = table::statuses(&seen.collect::<Vec<_>>(), Timestamp::now(), colour);
        for (host, heard) in clients.iter().map(|(host, _)| host).zip(&latest) {
            let trouble = match heard {
                Some(Ok(_)) => continue,
                Some(Err(error)) => error.reason(),
                None => "no answer yet".to_owned(),
            };
            text.extend([host, ": ", &trouble, "\n"]);
        }
        redraw(context, &text);
    }
}

/// The status of these components; of all where none is named.
fn only(mut status: Status, ids: &[String]) -> Status {
    status.components.retain(|component| ids.is_empty() || ids.contains(&component.id));
    status
}

/// The LSB has a status of its own for "not running"; not to know is something else.
fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::NotRunning { .. } => Failure::new(Exit::NotRunning, error.to_string()),
        other => other.into(),
    }
}

/// The status of these components only; of all where none is named.
fn chosen(status: Status, ids: &[String]) -> Result<Status, Failure> {
    for id in ids {
        if !status.components.iter().any(|component| component.id == *id) {
            let known = status.components.iter().map(|component| component.id.as_str());
            return Err(unknown(id, known));
        }
    }
    Ok(only(status, ids))
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
        redraw(context, &text);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Puts the text over what is on the terminal, as much of it as fits.
fn redraw(context: &Context, text: &str) {
    let (_, height) = context.ui.terminal_size();
    let mut frame = String::from("\x1b[H");
    for line in text.lines().take(height.saturating_sub(1)) {
        frame.push_str(line);
        frame.push_str("\x1b[K\r\n");
    }
    frame.push_str("\x1b[J");
    context.ui.print(&frame);
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
