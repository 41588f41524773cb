//! `upgrade`: another version in the Supervisor's place; answers when it answers.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    cli::{Context, exit::Failure, follow, gone::Held},
    client::Client,
    wire::UpgradeReport,
};

/// For the new version to answer: a thousand components take a second.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The new binary [default: what is now where the running one was started from]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

pub async fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let client = context.place.client()?.with_timeout(Client::ANSWER_TIMEOUT * 4);
    let elsewhere = context.place.is_elsewhere();
    let binary =
        match &arguments.binary {
            // The Supervisor works in another folder.
            Some(path) if !elsewhere => Some(std::path::absolute(path).map_err(|error| {
                Failure::failed(format!("cannot use {}: {error}", path.display()))
            })?),
            given => given.clone(),
        };
    let before = client.status().await?.supervisor;
    let process = if elsewhere { None } else { Held::new(before.pid) };
    let report = client.upgrade(binary.as_deref()).await?;
    let took_over = takes_over(&client, &report, process.as_ref());
    let now = follow::unless_interrupted(&client, took_over).await?;
    let UpgradeReport { from, pid, .. } = report;
    context.ui.print(&format!("{from} -> {now} (pid {pid} as before)\n"));
    Ok(())
}

/// Returns the version that answers when it is not the one before.
async fn takes_over(
    client: &Client,
    report: &UpgradeReport,
    process: Option<&Held>,
) -> Result<String, Failure> {
    let until = follow::now() + PATIENCE;
    loop {
        // Not yet: cut off in between, or still on its way.
        if let Ok(status) = client.status().await {
            let supervisor = status.supervisor;
            if supervisor.upgrades > report.upgrades {
                return Ok(supervisor.version);
            }
            if follow::now() + PATIENCE > until + Duration::from_secs(1) {
                return Err(Failure::failed(format!(
                    "{} goes on: {} could not be executed; s7supervisor events says why",
                    supervisor.version, report.binary
                )));
            }
        }
        if process.is_some_and(Held::has_ended) {
            return Err(Failure::failed(format!(
                "the Supervisor ended while {} took over; its components go on: s7supervisor start \
                 takes them over",
                report.to
            )));
        }
        if follow::now() >= until {
            return Err(Failure::failed(format!(
                "{} has not answered within {} s",
                report.to,
                PATIENCE.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
