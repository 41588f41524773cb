//! `check`: the registry is read and verified, and the plan printed: order and commands.

use std::{
    collections::HashMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use crate::{
    cli::{
        Context,
        exit::{Exit, Failure},
        loading, receivers,
        ui::{Tone, clean, paint},
        words,
    },
    model::ComponentId,
    plan,
    registry::{Check, Component, Registry, RestartWhen},
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Warnings are errors
    #[arg(long)]
    strict: bool,
    /// The plan as JSON
    #[arg(long)]
    json: bool,
    /// Send a test message to whom the registry names in `<notify>`, instead of the plan
    #[arg(long, conflicts_with = "json")]
    notify: bool,
}

pub fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let ui = &context.ui;
    let width = ui.terminal_size().0.min(120);
    let (loaded, open) = loading::load_safely(&context.place, ui.err.colour, width)?;
    if arguments.strict && !loaded.warnings.is_empty() {
        return Err(loading::wrong(&loaded.warnings.strict(), ui.err.colour, width));
    }
    loaded.tell_warnings(context);
    for finding in &open {
        ui.note(format_args!("open to other users: {}", clean(&finding.to_string())));
    }
    if arguments.strict && !open.is_empty() {
        return Err(Failure::new(Exit::Registry, "others could change what is run"));
    }
    if arguments.notify {
        return receivers::test(context, &loaded.registry);
    }
    if arguments.json {
        let json = serde_json::to_string_pretty(&Plan::new(&loaded.registry))
            .map_err(|error| Failure::failed(format!("cannot write the plan: {error}")))?;
        ui.line(json);
    } else {
        ui.print(&render(&loaded.registry, &is_missing, ui.out.colour));
    }
    Ok(())
}

/// Components in the order of their start, those that start together in one stage.
fn stages(registry: &Registry) -> Vec<Vec<&Component>> {
    let by_id: HashMap<&ComponentId, &Component> =
        registry.components.iter().map(|component| (&component.id, &**component)).collect();
    let known = |stage: Vec<ComponentId>| stage.iter().map(|id| by_id[id]).collect();
    plan::start_stages(&registry.components).into_iter().map(known).collect()
}

fn render(registry: &Registry, missing: &dyn Fn(&Component) -> bool, colour: bool) -> String {
    let mut text = format!(
        "{} is right: {}.\nPaths are relative to {}.\n",
        clean(&registry.file.display().to_string()),
        words::count(registry.components.len(), "component"),
        clean(&registry.install_folder.display().to_string()),
    );
    if registry.components.is_empty() {
        return text;
    }
    text.push_str("They start in this order and stop in the reverse one:\n");
    for (number, stage) in (1..).zip(stages(registry)) {
        let priority = stage.first().map_or(0, |component| component.start_priority);
        let title = format!("{number}. (priority {priority})");
        let _ = writeln!(text, "\n{}", paint(Tone::Strong, &title, colour));
        for component in stage {
            text.push_str(&entry(component, missing(component), colour));
        }
    }
    text
}

fn entry(component: &Component, missing: bool, colour: bool) -> String {
    let mut text = format!("  {}", paint(Tone::Good, &component.id, colour));
    if !component.description.is_empty() {
        let _ = write!(text, "  {}", clean(&component.description));
    }
    text.push('\n');
    let mut fact = |name: &str, value: &str| {
        let name = format!("{name:<10}");
        let _ = writeln!(text, "    {} {}", paint(Tone::Dim, &name, colour), clean(value));
    };
    if !component.enabled {
        fact("enabled", "no: it starts only when it is asked for");
    }
    if !component.depends_on.is_empty() {
        let ids: Vec<&str> = component.depends_on.iter().map(ComponentId::as_str).collect();
        fact("after", &ids.join(", "));
    }
    fact("command", &component.command_line());
    if missing {
        fact("", "this executable is not there, or may not be executed");
    }
    fact("folder", &component.working_directory.display().to_string());
    let own: Vec<&str> = component.environment.keys().map(String::as_str).collect();
    if !own.is_empty() {
        // The values may be secrets.
        fact("sets", &own.join(", "));
    }
    fact("running", &running(component));
    fact("stop", &stop(component));
    fact("restart", &restart(component));
    text
}

/// When it counts as running.
fn running(component: &Component) -> String {
    match &component.ready {
        Some(probe) => format!("when {}", passes(&probe.check)),
        None if component.start_delay.is_zero() => "at once".to_owned(),
        None => format!("when alive for {}", words::seconds(component.start_delay)),
    }
}

fn passes(check: &Check) -> String {
    match check {
        Check::Tcp { host, port } => format!("{host}:{port} takes connections"),
        Check::Http { url, .. } => format!("{url} answers"),
        Check::Exec { command } => {
            format!("{} succeeds", words::command_line(command.iter().map(String::as_str)))
        }
        Check::Log { pattern } => format!("a line that it writes matches {pattern}"),
        Check::Notify => "it says READY=1".to_owned(),
    }
}

fn stop(component: &Component) -> String {
    let how = match &component.stop.command {
        Some(command) => words::command_line(command.iter().map(String::as_str)),
        None => format!("SIG{}", component.stop.signal.name()),
    };
    format!("{how}, the whole tree is killed after {}", words::seconds(component.stop.timeout))
}

fn restart(component: &Component) -> String {
    let policy = &component.restart;
    let when = match policy.when {
        RestartWhen::Always => "always",
        RestartWhen::OnFailure => "on failure",
        RestartWhen::Never => return "never".to_owned(),
    };
    let delay = if policy.delay.is_zero() {
        "at once".to_owned()
    } else {
        format!("after {} to {}", words::seconds(policy.delay), words::seconds(policy.max_delay))
    };
    match policy.max_restarts {
        None => format!("{when}, {delay}, without limit"),
        Some(most) => {
            format!("{when}, {delay}, at most {most} within {}", words::seconds(policy.window))
        }
    }
}

/// Whether the start would fail for want of the executable. Only a remark: an installation may
/// be checked before it is complete, and on another machine.
fn is_missing(component: &Component) -> bool {
    let executable = &component.executable;
    if executable.components().count() > 1 || executable.is_absolute() {
        return !is_executable(executable);
    }
    let own = component.environment.get("PATH").map(std::ffi::OsString::from);
    let Some(path) = own.or_else(|| std::env::var_os("PATH")) else { return false };
    !std::env::split_paths(&path).any(|folder: PathBuf| is_executable(&folder.join(executable)))
}

fn is_executable(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    #[cfg(unix)]
    let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let executable = true;
    metadata.is_file() && executable
}

/// `check --json`.
#[derive(Debug, Serialize)]
struct Plan<'a> {
    registry: &'a Path,
    install_folder: &'a Path,
    /// In the order of start.
    stages: Vec<Stage<'a>>,
}

#[derive(Debug, Serialize)]
struct Stage<'a> {
    priority: i32,
    components: Vec<Entry<'a>>,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    id: &'a str,
    description: &'a str,
    enabled: bool,
    depends_on: Vec<&'a str>,
    executable: &'a Path,
    arguments: &'a [String],
    working_directory: &'a Path,
}

impl<'a> Plan<'a> {
    fn new(registry: &'a Registry) -> Self {
        let entry = |component: &'a Component| Entry {
            id: component.id.as_str(),
            description: &component.description,
            enabled: component.enabled,
            depends_on: component.depends_on.iter().map(ComponentId::as_str).collect(),
            executable: &component.executable,
            arguments: &component.arguments,
            working_directory: &component.working_directory,
        };
        let stages = stages(registry).into_iter().map(|stage| Stage {
            priority: stage.first().map_or(0, |component| component.start_priority),
            components: stage.into_iter().map(entry).collect(),
        });
        Self {
            registry: &registry.file,
            install_folder: &registry.install_folder,
            stages: stages.collect(),
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
