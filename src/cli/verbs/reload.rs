//! `reload`: the registry again; what would change is shown first.

use std::fmt::Write as _;

use clap::Args;

use crate::{
    cli::{
        Context,
        exit::{Exit, Failure},
        follow::{self, End},
        ui::{Tone, clean, paint},
        words,
    },
    wire::{ComponentPlan, ReloadReport},
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
}

pub async fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let client = context.place.client()?;
    let plan = client.reload(true).await?;
    for warning in &plan.warnings {
        context.ui.note(warning.trim_end());
    }
    context.ui.print(&render(&plan, context.ui.out.colour));
    if arguments.dry_run {
        return Ok(());
    }
    let done = client.reload(false).await?;
    if !same(&plan, &done) {
        context.ui.note("The registry has changed since; this is what is being done:");
        context.ui.print(&render(&done, context.ui.out.colour));
    }
    let Some(operation) = done.operation else { return Ok(()) };
    match follow::operation(context, &client, operation).await? {
        End::Told(operation) => follow::conclude(context, &operation),
        End::Silent(_) => Err(Failure::new(
            Exit::Unavailable,
            "the Supervisor ended before the reload was done; see its log",
        )),
    }
}

fn same(plan: &ReloadReport, done: &ReloadReport) -> bool {
    plan.added == done.added
        && plan.removed == done.removed
        && plan.changed == done.changed
        && plan.updated == done.updated
        && plan.needs_supervisor_restart == done.needs_supervisor_restart
}

fn render(report: &ReloadReport, colour: bool) -> String {
    let mut text = String::new();
    let groups: [(&str, Tone, &[ComponentPlan]); 4] = [
        ("+ start", Tone::Good, &report.added),
        ("- stop", Tone::Bad, &report.removed),
        ("~ restart", Tone::Busy, &report.changed),
        ("= update", Tone::Plain, &report.updated),
    ];
    for (sign, tone, plans) in groups {
        for plan in plans {
            let sign = format!("{sign:<10}");
            let _ = write!(text, "{} {}", paint(tone, &sign, colour), clean(&plan.id));
            if !plan.differences.is_empty() {
                let _ = write!(text, ": {}", clean(&plan.differences.join(", ")));
            }
            text.push('\n');
        }
    }
    match (text.is_empty(), report.unchanged.len()) {
        (true, number) => {
            let _ =
                writeln!(text, "Nothing to do: {} unchanged.", words::count(number, "component"));
        }
        (false, 0) => {}
        (false, number) => {
            let _ = writeln!(text, "{} left alone.", words::count(number, "component"));
        }
    }
    if !report.needs_supervisor_restart.is_empty() {
        let what = report.needs_supervisor_restart.join(", ");
        let _ = writeln!(
            text,
            "Takes effect at a restart of the Supervisor: {} (s7supervisor restart)",
            clean(&what)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(id: &str, differences: &[&str]) -> ComponentPlan {
        let differences = differences.iter().map(|&name| name.to_owned()).collect();
        ComponentPlan { id: id.to_owned(), differences }
    }

    #[test]
    fn the_plan_says_what_happens_to_whom_and_why() {
        let report = ReloadReport {
            generation: 2,
            added: vec![plan("worker-2", &[])],
            removed: vec![plan("cron", &[])],
            changed: vec![plan("ps", &["arguments", "environment"])],
            updated: vec![plan("svg", &["stopTimeout"])],
            unchanged: vec!["is".to_owned()],
            needs_supervisor_restart: vec!["tcpport".to_owned()],
            ..ReloadReport::default()
        };
        insta::assert_snapshot!(render(&report, false));
        let nothing = ReloadReport { unchanged: vec!["is".to_owned()], ..Default::default() };
        assert_eq!(render(&nothing, false), "Nothing to do: 1 component unchanged.\n");
    }
}
