//! What lies in the runtime folder, and processes that nobody supervises.

use std::{
    fs,
    os::unix::fs::FileTypeExt as _,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;

use super::{Finding, Scene, Sheet, engine::Engine, proc, trees};
use crate::{
    control,
    runtime::{self, Lock},
};

/// More names than this of one kind are counted only.
const NAMED: usize = 5;

pub(super) fn check(scene: &Scene, sheet: &Sheet) {
    sheet.look_at(&scene.temp);
    if !scene.temp.exists() {
        sheet.add(Finding::ok("runtime_folder", "nothing there yet"));
        return;
    }
    lock(scene, sheet);
    socket(scene, sheet);
    let remains = runtime::remains(&scene.temp);
    journal(scene, &remains, sheet);
    processes(scene, &remains, sheet);
    holds(scene, &remains, sheet);
    start_errors(scene, sheet);
}

/// No Supervisor is there, as far as we can tell.
fn is_down(scene: &Scene) -> bool {
    matches!(scene.engine, Engine::Absent)
}

fn lock(scene: &Scene, sheet: &Sheet) {
    let path = scene.temp.join(Lock::NAME);
    let shown = path.display();
    match (proc::lock_holder(&path), scene.status()) {
        (Some(holder), Some(status)) if holder != status.supervisor.pid => sheet.add(
            Finding::note("lock", format!("{shown} is held by {}", proc::described(holder)))
                .why("that is not the process that answers"),
        ),
        (Some(holder), _) => {
            sheet.add(Finding::ok("lock", format!("{shown} is held by pid {holder}")));
        }
        (None, Some(_)) => sheet.add(
            Finding::problem("lock", format!("nobody holds {shown}, and a Supervisor answers"))
                .why("it was removed or replaced: a second Supervisor could start beside the first")
                .advice(scene.command("restart")),
        ),
        (None, None) if path.exists() => {
            sheet.add(Finding::ok("lock", format!("nobody holds {shown}")));
        }
        (None, None) => sheet.add(Finding::ok("lock", "no Supervisor ever ran here")),
    }
}

fn socket(scene: &Scene, sheet: &Sheet) {
    let path = scene.temp.join(control::SOCKET_NAME);
    let Ok(metadata) = fs::symlink_metadata(&path) else { return };
    let shown = path.display();
    if !metadata.file_type().is_socket() {
        sheet.add(
            Finding::problem("socket", format!("{shown} is no socket"))
                .why("the Supervisor does not start: it replaces nothing that is not its own")
                .advice("move it away"),
        );
    } else if is_down(scene) {
        sheet.add(
            Finding::note("socket", format!("nobody answers at {shown}"))
                .why("a Supervisor was killed; the next start replaces it"),
        );
    }
}

fn journal(scene: &Scene, remains: &runtime::Remains, sheet: &Sheet) {
    match &remains.journal {
        Ok(None) => {}
        Ok(Some(journal)) => {
            let seen = match journal.processes.len() {
                1 => "it names one process of this boot".to_owned(),
                count => format!("it names {count} processes of this boot"),
            };
            sheet.add(Finding::ok("journal", seen));
        }
        Err(why) => sheet.add(
            Finding::problem("journal", format!("the journal {why}"))
                .why("the next Supervisor does not start, for it may not know every process")
                .advice(format!(
                    "end the components that are left, then: rm {}",
                    scene.temp.join("journal").display()
                )),
        ),
    }
}

fn processes(scene: &Scene, remains: &runtime::Remains, sheet: &Sheet) {
    let marked = trees::marked(scene);
    if let Some(status) = scene.status() {
        let known: Vec<u64> =
            status.components.iter().filter_map(|component| component.run).collect();
        // What started since we asked is not astray.
        let newest = known.iter().copied().max().unwrap_or_default();
        let alive = |run: u64| {
            let mut components = status.components.iter();
            components.any(|component| component.run == Some(run) && component.pid.is_some())
        };
        let astray: Vec<u32> = marked
            .iter()
            .filter(|of| of.run <= newest && !alive(of.run))
            .map(|of| of.pid)
            .collect();
        if astray.is_empty() {
            sheet.add(Finding::ok("processes", "every process belongs to a component that lives"));
        } else {
            sheet.add(
                Finding::warning(
                    "processes",
                    format!("of runs that have ended: {}", named(&astray)),
                )
                .why("they are left of components, and hold what they have open")
                .advice(kill(&astray)),
            );
        }
        return;
    }
    if !is_down(scene) {
        return;
    }
    let mut left: Vec<u32> = marked.iter().map(|of| of.pid).collect();
    if let Ok(Some(journal)) = &remains.journal {
        let alive = journal.processes.iter().filter(|one| one.lives);
        left.extend(alive.map(|one| one.pid.unsigned_abs()));
    }
    left.sort_unstable();
    left.dedup();
    if left.is_empty() {
        sheet.add(Finding::ok("processes", "no Supervisor left any"));
    } else {
        let runs = trees::by_run(marked).len();
        let seen = format!("a Supervisor left {} ({runs} runs)", named(&left));
        sheet.add(
            Finding::warning("processes", seen)
                .why("they run, and nobody restarts them; their output waits in pipes and then blocks")
                .advice(format!("{} takes them over", scene.command("start"))),
        );
    }
}

fn named(pids: &[u32]) -> String {
    let names: Vec<String> = pids.iter().take(NAMED).map(|&pid| proc::described(pid)).collect();
    match pids.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

fn kill(pids: &[u32]) -> String {
    let words: Vec<String> = pids.iter().take(NAMED).map(ToString::to_string).collect();
    format!("look at them, then: kill {}", words.join(" "))
}

fn holds(scene: &Scene, remains: &runtime::Remains, sheet: &Sheet) {
    let path = scene.temp.join("holds.json");
    match &remains.holds {
        Err(why) => sheet.add(
            Finding::problem("holds", format!("{} {why}", path.display()))
                .why("the next Supervisor does not start, for holds would be lost")
                .advice("mend it, or remove it to go on without"),
        ),
        // The one that runs tells them with its components.
        Ok(_) if scene.status().is_some() => {}
        Ok(holds) => {
            for (id, hold) in holds {
                let until = hold.until.as_deref().and_then(|until| until.parse::<Timestamp>().ok());
                let finding = if until.is_some_and(|until| until <= Timestamp::now()) {
                    Finding::note("holds", "its hold has expired")
                        .why("the next start forgets it, and starts the component")
                } else {
                    Finding::note("holds", format!("held by {}", hold.by))
                        .why("the next start does not start it")
                        .advice(scene.command(&format!("release {id}")))
                };
                sheet.add(finding.of(id.as_str()));
            }
        }
    }
}

/// What a Supervisor in the background said before it could write a log.
fn start_errors(scene: &Scene, sheet: &Sheet) {
    let path = scene.temp.join("start.err");
    if !is_down(scene) {
        return;
    }
    let Ok(text) = fs::read_to_string(&path) else { return };
    let Some(last) = text.lines().rfind(|line| !line.trim().is_empty()) else { return };
    let age = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok().map(age);
    let age = age.map(|age| format!(", {} old", in_words(age))).unwrap_or_default();
    sheet.add(
        Finding::note("start_err", format!("{}{age}: {last}", path.display()))
            .why("the last start in the background said that"),
    );
}

fn age(of: SystemTime) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the age of a file, for display")]
    let now = SystemTime::now();
    now.duration_since(of).unwrap_or_default()
}

fn in_words(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_processes_are_counted() {
        let us = std::process::id();
        assert!(named(&[us; 7]).ends_with(" and 2 more"));
        assert_eq!(in_words(Duration::from_secs(7_300)), "2 h");
    }
}
