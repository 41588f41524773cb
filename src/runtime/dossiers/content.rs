//! The files of a dossier, from what is in memory. Blocks for a moment: for the blocking pool.

use std::{fmt::Write as _, path::PathBuf};

use jiff::{SignedDuration, Timestamp};

use crate::{
    dossier::{Dossier, Summary},
    logs::{Line, Logs, Source},
    model::{ComponentId, RunId, secret},
    runtime::{evidence::Evidence, samples::Samples, status::sanitised},
    sampler::ProcessUsage,
    supervisor::ComponentView,
    wire::History,
};

/// Lines of its own output.
const OWN_LINES: usize = 1000;
/// Lines of each neighbour, and how long before the end they may be.
const LINES_OF_EACH: usize = 200;
const BEFORE: SignedDuration = SignedDuration::from_secs(60);
const NEIGHBOUR_LINES: usize = 5000;

/// What a dossier is made of.
pub struct Material {
    pub summary: Summary,
    pub run: RunId,
    /// When the failure showed.
    pub at: Timestamp,
    pub others: Vec<ComponentId>,
    pub states: Vec<ComponentView>,
    pub evidence: Option<Evidence>,
}

impl Material {
    pub fn collect(
        self,
        logs: &Logs,
        samples: &Samples,
        hour: &History,
        replaces: Option<PathBuf>,
    ) -> Dossier {
        let Self { mut summary, run, at, others, states, evidence } = self;
        let lines = logs.tail(&summary.id, OWN_LINES);
        let mut files = vec![
            ("output.log".to_owned(), own_output(&lines, run).into_bytes()),
            ("neighbours.log".to_owned(), neighbours(logs, &others, at).into_bytes()),
        ];
        let processes = evidence.as_ref().map_or(&[][..], |evidence| &evidence.processes);
        files.push(("processes.txt".to_owned(), table(processes, &states).into_bytes()));
        files.push(("resources.json".to_owned(), resources(samples, run, processes, hour)));
        if let Some(evidence) = evidence {
            files.push(("stacks.txt".to_owned(), evidence.stacks.into_bytes()));
            for (pid, dump) in evidence.dumps {
                files.push((format!("threads-{pid}.txt"), dump.into_bytes()));
            }
            summary.missing.extend(evidence.missing);
        }
        Dossier { summary, files, replaces }
    }
}

/// What this run wrote: from the end of the one before on, or as far back as it is kept, to its
/// own end. (Its first words may stand before the remark of its start.)
fn own_output(lines: &[Line], run: RunId) -> String {
    let earlier = |line: &Line| line.run.is_some_and(|other| other < run);
    let later = |line: &Line| line.run.is_some_and(|other| other > run);
    let ends_it = |line: &Line| {
        line.run == Some(run) && memchr::memmem::find(&line.text, b" ended").is_some()
    };
    let begins = lines.iter().rposition(earlier).map_or(0, |at| at + 1);
    let own = &lines[begins..];
    let ends = own.iter().position(|line| ends_it(line) || later(line));
    let ends = ends.map_or(own.len(), |at| if ends_it(&own[at]) { at + 1 } else { at });
    let mut text = String::new();
    for line in &own[..ends] {
        write_line(&mut text, line, None);
    }
    text
}

fn neighbours(logs: &Logs, others: &[ComponentId], at: Timestamp) -> String {
    let from = at.checked_sub(BEFORE).unwrap_or(Timestamp::MIN);
    let mut all: Vec<(&ComponentId, Line)> = Vec::new();
    for id in others {
        let lines = logs.tail(id, LINES_OF_EACH).into_iter();
        all.extend(lines.filter(|line| line.at >= from).map(|line| (id, line)));
    }
    all.sort_by_key(|(_, line)| line.at);
    let over = all.len().saturating_sub(NEIGHBOUR_LINES);
    let mut text = String::new();
    for (id, line) in all.into_iter().skip(over) {
        write_line(&mut text, &line, Some(id));
    }
    text
}

fn write_line(text: &mut String, line: &Line, id: Option<&ComponentId>) {
    let source = match line.source {
        Source::Out => "out",
        Source::Err => "err",
        Source::Supervisor => "---",
    };
    let said = sanitised(&line.text);
    let said = secret::masked(&said);
    let id = id.map(|id| format!("{id} ")).unwrap_or_default();
    let _infallible = writeln!(text, "{:.3} {id}{source} {said}", line.at);
}

fn table(processes: &[ProcessUsage], states: &[ComponentView]) -> String {
    let mut text = String::new();
    if processes.is_empty() {
        text.push_str("Its processes: not looked at (it had ended, or did not wait for that).\n");
    } else {
        text.push_str("Its processes:\n");
        let _infallible = writeln!(
            text,
            "{:>8} {:>8} {:>6} {:>9} {:>7} {:>5}  COMMAND",
            "PID", "PARENT", "CPU%", "MEM KiB", "THREADS", "FILES"
        );
        for one in processes {
            let words = secret::masked_command(one.command.iter().map(String::as_str));
            let files = one.open_files.map_or_else(|| "-".to_owned(), |count| count.to_string());
            let _infallible = writeln!(
                text,
                "{:>8} {:>8} {:>6.1} {:>9} {:>7} {files:>5}  {}",
                one.pid,
                one.parent,
                one.cpu_percent.unwrap_or_default(),
                one.memory_bytes >> 10,
                one.threads,
                sanitised(words.join(" ").as_bytes())
            );
        }
    }
    text.push_str("\nAll components:\n");
    for view in states {
        let pid = view.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let _infallible = write!(
            text,
            "{:<20} {:<10} {:<7} pid {pid:<8} {} restarts",
            view.id, view.state, view.health, view.restarts
        );
        if let Some(waiting) = &view.waiting_for {
            let _infallible = write!(text, ", waits for {waiting}");
        }
        text.push('\n');
    }
    text
}

fn resources(samples: &Samples, run: RunId, processes: &[ProcessUsage], hour: &History) -> Vec<u8> {
    let last = samples.last(run).map(|(age, usage)| {
        serde_json::json!({
            "age_s": age.as_secs_f64(),
            "cpu_percent": usage.cpu_percent,
            "cpu_time_s": usage.cpu_time.as_secs_f64(),
            "memory_bytes": usage.memory_bytes,
            "processes": usage.processes,
            "threads": usage.threads,
        })
    });
    let processes: Vec<serde_json::Value> = processes
        .iter()
        .map(|one| {
            serde_json::json!({
                "pid": one.pid,
                "parent": one.parent,
                "cpu_percent": one.cpu_percent,
                "memory_bytes": one.memory_bytes,
                "threads": one.threads,
                "open_files": one.open_files,
            })
        })
        .collect();
    let value = serde_json::json!({
        "last_sample": last,
        "processes": processes,
        "last_hour": hour,
    });
    let mut text = serde_json::to_vec_pretty(&value).unwrap_or_default();
    text.push(b'\n');
    text
}
