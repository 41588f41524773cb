//! `start`: the engine in the background; answers when every component runs, or which does not.

use std::{ffi::OsString, fs, path::Path, time::Duration};

use crate::{
    cli::{
        Context,
        exit::{Exit, Failure},
        follow::{self, End},
        loading,
    },
    client::{Client, ClientError},
    control, model,
    process::{self, Child},
    wire::{ProblemCode, Verb},
};

/// The engine's own start of everything is its first operation.
const BOOT: u64 = 1;

/// How long a Supervisor that lives may take until it answers: long enough for a machine that
/// is just booting, short enough for the script that waits.
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);

pub async fn perform(context: &Context, ids: &[String]) -> Result<(), Failure> {
    let client = context.place.client()?;
    if !ids.is_empty() {
        return follow::command(context, &client, Verb::Start, ids).await;
    }
    match client.status().await {
        Ok(status) if status.supervisor.shutting_down => Err(Failure::failed(format!(
            "the Supervisor (pid {}) is shutting down: start again when it has ended",
            status.supervisor.pid
        ))),
        Ok(status) => {
            context.ui.note(format_args!(
                "The Supervisor is running already (pid {}).",
                status.supervisor.pid
            ));
            follow::command(context, &client, Verb::Start, &[]).await
        }
        Err(ClientError::NotRunning { .. }) if !context.place.is_elsewhere() => {
            launch(context, &client).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Starts a Supervisor in a session of its own and follows its boot.
pub async fn launch(context: &Context, client: &Client) -> Result<(), Failure> {
    let loaded = loading::load_to_run(&context.place)?;
    loaded.tell_warnings(context);
    let config = &loaded.registry.config;
    let temp = &config.temp;
    make_runtime_folder(temp, config.control_group.as_deref())?;
    let output = temp.join("start.err");
    // What an earlier start left there would be taken for this one's words.
    fs::write(&output, b"")
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", output.display())))?;
    let child = process::spawn_detached(&arguments(context), Some(&output))
        .map_err(|error| Failure::failed(format!("cannot start the Supervisor: {error}")))?;
    context.ui.detail(format_args!("The Supervisor starts as pid {}.", child.pid()));
    follow::unless_interrupted(client, answers(client, &child, &output)).await?;
    boot(context, client).await
}

/// Follows the engine's start of everything, after a start or a restart.
pub async fn boot(context: &Context, client: &Client) -> Result<(), Failure> {
    let status = client.status().await?;
    context.ui.note(format_args!("The Supervisor runs (pid {}).", status.supervisor.pid));
    match follow::operation(context, client, BOOT).await {
        Ok(End::Told(operation)) => follow::conclude(context, &operation),
        Ok(End::Silent(_)) => Err(Failure::failed(format!(
            "the Supervisor ended while it started its components; see {}",
            context.place.temp().join("start.err").display()
        ))),
        Err(failure) => Err(failure),
    }
}

/// The same place, told by absolute paths: the working directory may be another one later.
fn arguments(context: &Context) -> Vec<OsString> {
    let place = &context.place;
    let mut arguments: Vec<OsString> = vec![
        "run".into(),
        "--detached".into(),
        "--install-folder".into(),
        place.install_folder.clone().into(),
        "--registry".into(),
        place.registry.clone().into(),
    ];
    for (name, value) in &place.settings {
        arguments.push("--set".into());
        arguments.push(format!("{name}={value}").into());
    }
    arguments
}

fn make_runtime_folder(temp: &Path, group: Option<&str>) -> Result<(), Failure> {
    control::prepare_folder(temp, group).map_err(|error| {
        let exit = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Exit::NotPermitted,
            _ => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    })
}

/// Returns when the Supervisor answers; fails when it ends first, with its own words.
async fn answers(client: &Client, child: &Child, output: &Path) -> Result<(), Failure> {
    let deadline = follow::now() + ANSWERS_WITHIN;
    loop {
        match client.status().await {
            Ok(_) => return Ok(()),
            Err(ClientError::Problem(problem)) if problem.code == ProblemCode::ShuttingDown => {}
            Err(ClientError::NotPermitted { target, why }) => {
                return Err(ClientError::NotPermitted { target, why }.into());
            }
            // Not yet: no socket, nobody behind it, or cut off in between.
            Err(_) => {}
        }
        let ended = child.reap().map_err(|error| {
            Failure::failed(format!("cannot watch the Supervisor start: {error}"))
        })?;
        if let Some(exit) = ended {
            return Err(died(exit, output));
        }
        if follow::now() >= deadline {
            return Err(Failure::failed(format!(
                "the Supervisor (pid {}) runs, but has not answered at {} within {} s; it is left \
                 running, its words are in {}",
                child.pid(),
                client.target(),
                ANSWERS_WITHIN.as_secs(),
                output.display()
            )));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn died(exit: model::Exit, output: &Path) -> Failure {
    let words = fs::read_to_string(output).unwrap_or_default();
    let status = match exit {
        model::Exit::Code(77) => Exit::NotPermitted,
        model::Exit::Code(78) => Exit::Registry,
        _ => Exit::Failed,
    };
    let words = words.trim_end();
    let words = words.strip_prefix("error: ").unwrap_or(words);
    if words.is_empty() {
        Failure::new(status, format!("the Supervisor ended at its start without a word: {exit}"))
    } else {
        Failure::new(status, format!("the Supervisor ended at its start ({exit}):\n{words}"))
    }
}
