//! `explain`: why a component is in its state, as a colleague would tell it.

use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;

use crate::{
    cli::{
        Context,
        exit::Failure,
        ui::{Tone, clean, paint},
        verbs::hold,
        words,
    },
    wire::{ComponentStatus, Explanation, Health},
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The component
    #[arg(value_name = "ID")]
    id: String,
    /// The object of GET /v1/components/ID/explain
    #[arg(long)]
    json: bool,
}

pub async fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let client = context.place.client()?;
    let explanation = client.explain(&arguments.id).await?;
    if arguments.json {
        let json = serde_json::to_string(&explanation)
            .map_err(|error| Failure::failed(format!("cannot write the explanation: {error}")))?;
        context.ui.line(json);
    } else {
        context.ui.print(&render(&explanation, Timestamp::now(), context.ui.out.colour));
    }
    Ok(())
}

fn render(explanation: &Explanation, now: Timestamp, colour: bool) -> String {
    let status = &explanation.status;
    let mut text = String::new();
    let state = paint(words::state_tone(status.state), status.state.as_str(), colour);
    let _ = write!(text, "{} is {state}", paint(Tone::Strong, &clean(&status.id), colour));
    if !status.description.is_empty() {
        let description = format!(" ({})", clean(&status.description));
        text.push_str(&paint(Tone::Dim, &description, colour));
    }
    let _ = writeln!(text, "\n{}\n", clean(&explanation.summary));

    let mut fact = |name: &str, value: &str| {
        let name = format!("{name:<9}");
        let _ = writeln!(text, "{} {}", paint(Tone::Dim, &name, colour), clean(value));
    };
    fact("wish", &explanation.intent);
    if let Some(blocker) = &explanation.blocker {
        fact("blocked", blocker);
    }
    fact("process", &process(status));
    if status.health != Health::None {
        fact("health", &health(status));
    }
    if let Some(attempts) = attempts(explanation) {
        fact("attempts", &attempts);
    }
    if let Some(hold) = &status.hold {
        let given = words::ago(&hold.since, now);
        fact("hold", &format!("{}; given {given}", hold::in_words(hold, now)));
    }
    if !status.enabled {
        fact("enabled", "no: it starts only when it is asked for");
    }

    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{}", paint(Tone::Strong, title, colour));
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    };
    section("Last exits", exits(explanation, now));
    section("Dossiers", dossiers(explanation, now));
    let said = explanation.last_lines.iter();
    section("It wrote last", said.map(|line| format!("| {}", clean(line))).collect());
    let advice = explanation.advice.iter();
    section("What to do", advice.map(|line| format!("- {}", clean(line))).collect());
    text
}

fn process(status: &ComponentStatus) -> String {
    let Some(pid) = status.pid else {
        return format!("none; {} so far", words::count(status.restarts as usize, "restart"));
    };
    let mut text = format!("pid {pid}");
    if let Some(uptime) = status.uptime_s {
        let _ = write!(text, ", up {}", words::span(uptime));
    }
    if status.processes > 1 {
        let _ = write!(text, ", {} processes in its tree", status.processes);
    }
    if let Some(memory) = status.memory_bytes {
        let _ = write!(text, ", memory {}", words::bytes(memory));
    }
    if let Some(cpu) = status.cpu_percent {
        let _ = write!(text, ", CPU {}", words::percent(cpu));
    }
    let _ = write!(text, ", {}", words::count(status.restarts as usize, "restart"));
    text
}

fn health(status: &ComponentStatus) -> String {
    match &status.health_detail {
        Some(detail) => format!("{}: {detail}", status.health),
        None => status.health.to_string(),
    }
}

/// How often it has been tried, how often it may be, and when next.
fn attempts(explanation: &Explanation) -> Option<String> {
    if explanation.attempt == 0 && explanation.next_attempt_s.is_none() {
        return None;
    }
    let mut text = format!("{} in a row", explanation.attempt);
    if let Some(most) = explanation.max_restarts {
        let window = format!("{} s", explanation.window_s);
        let _ = write!(
            text,
            ", {} within {window} are allowed",
            words::count(most as usize, "restart")
        );
    }
    if let Some(next) = explanation.next_attempt_s {
        let _ = write!(text, "; the next one in {}", words::span(next));
    }
    Some(text)
}

fn exits(explanation: &Explanation, now: Timestamp) -> Vec<String> {
    let rows: Vec<[String; 5]> = explanation
        .exits
        .iter()
        .map(|record| {
            [
                words::ago(&record.exit.at, now),
                format!("run {}", record.run),
                words::ending(&record.exit),
                format!("after {}", lasted(record.lasted_s)),
                clean(&record.cause).into_owned(),
            ]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn dossiers(explanation: &Explanation, now: Timestamp) -> Vec<String> {
    let lines = explanation.dossiers.iter().flat_map(|dossier| {
        let head = format!(
            "{}  run {}: {}",
            words::ago(&dossier.at, now),
            dossier.run,
            clean(&dossier.what)
        );
        [head, format!("  {}", clean(&dossier.path))]
    });
    lines.collect()
}

/// Short runs matter to the fraction: they tell a crash at once from a crash after a while.
fn lasted(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.1}s") } else { words::span(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::samples::{component, exit, now},
        wire::{ComponentState, DossierRef, ExitRecord, LastExit},
    };

    fn failed() -> Explanation {
        let mut status = component("ps", ComponentState::Failed);
        status.restarts = 10;
        status.health = Health::Unknown;
        let record = |run, exit| ExitRecord {
            run,
            exit,
            lasted_s: 0.31,
            cause: "exited by itself".to_owned(),
        };
        Explanation {
            status,
            summary: "failed: exited with 1 ten times within 600 s".to_owned(),
            intent: "running (asked by root (cli))".to_owned(),
            blocker: Some("the restart budget is spent".to_owned()),
            attempt: 10,
            max_restarts: Some(10),
            window_s: 600.0,
            next_attempt_s: None,
            exits: vec![
                record(14, exit(Some(1), None)),
                record(13, LastExit { core: true, ..exit(None, Some(11)) }),
            ],
            last_lines: vec!["Error: port 8080 is in use\x1b[31m".to_owned()],
            advice: vec!["free port 8080, then: s7supervisor start ps".to_owned()],
            dossiers: vec![DossierRef {
                path: "/opt/is/logs/dossiers/ps-20261122T140002Z-run14".to_owned(),
                at: "2026-11-22T14:00:02Z".to_owned(),
                run: 14,
                what: "it exited with 1".to_owned(),
            }],
        }
    }

    #[test]
    fn a_failed_component_is_explained() {
        insta::assert_snapshot!(render(&failed(), now(), false));
    }

    #[test]
    fn where_all_is_well_little_is_said() {
        let mut well = failed();
        well.status = component("is", ComponentState::Running);
        well.status.processes = 3;
        well.summary = "running, as wished".to_owned();
        well.blocker = None;
        well.attempt = 0;
        well.exits.clear();
        well.last_lines.clear();
        well.advice.clear();
        well.dossiers.clear();
        insta::assert_snapshot!(render(&well, now(), false));
    }

    #[test]
    fn a_core_is_told() {
        assert!(render(&failed(), now(), false).contains("SIGSEGV (core)"));
    }

    #[test]
    fn nothing_that_it_wrote_reaches_the_terminal_as_a_command() {
        assert!(!render(&failed(), now(), false).contains('\x1b'));
    }
}
