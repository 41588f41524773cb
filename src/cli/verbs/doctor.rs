//! `doctor`: checks the installation and explains what it finds.

use clap::Args;
use serde::Serialize;

use crate::{
    cli::{
        Context,
        exit::{Exit, Failure},
        findings::{self, Look},
        loading,
    },
    console::is_ascii,
    doctor::{self, Finding, Report, Subject, Verdict},
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Everything that was looked at, as JSON
    #[arg(long)]
    json: bool,
}

pub fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let (ui, place) = (&context.ui, &context.place);
    if place.is_elsewhere() {
        return Err(Failure::new(
            Exit::Usage,
            "doctor looks at the machine that it runs on; run it there: ssh HOST s7supervisor doctor",
        ));
    }
    let report = doctor::examine(Subject {
        install_folder: place.install_folder.clone(),
        registry_file: place.registry.clone(),
        sources: loading::sources(place),
        command: place.command(),
    });
    if arguments.json {
        let json = serde_json::to_string_pretty(&Answer::new(context, &report))
            .map_err(|error| Failure::failed(format!("cannot write the findings: {error}")))?;
        ui.line(json);
    } else {
        let look = Look {
            width: if ui.out.terminal { ui.terminal_size().0 } else { findings::PLAIN_WIDTH },
            colour: ui.out.colour,
            ascii: is_ascii(|name| std::env::var(name).ok()),
            quiet: !ui.tells_progress(),
        };
        ui.print(&findings::render(&report.findings, &look));
    }
    let exit = if report.registry_is_wrong {
        Exit::Registry
    } else if report.count(Verdict::Problem) > 0 {
        Exit::Failed
    } else {
        return Ok(());
    };
    // Everything has been said.
    Err(Failure::new(exit, ""))
}

/// `doctor --json`.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    version: &'a str,
    install_folder: &'a std::path::Path,
    registry: &'a std::path::Path,
    summary: Summary,
    findings: &'a [Finding],
}

/// How many of each.
#[derive(Debug, Serialize)]
struct Summary {
    problem: usize,
    warning: usize,
    note: usize,
    ok: usize,
}

impl<'a> Answer<'a> {
    fn new(context: &'a Context, report: &'a Report) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            install_folder: &context.place.install_folder,
            registry: &context.place.registry,
            summary: Summary {
                problem: report.count(Verdict::Problem),
                warning: report.count(Verdict::Warning),
                note: report.count(Verdict::Note),
                ok: report.count(Verdict::Ok),
            },
            findings: &report.findings,
        }
    }
}
