//! What a broken run is doing, before it is ended: its processes, where their threads are, and
//! what JVMs say of theirs.
//!
//! Bounded in time by the machine: when its patience is over, the task that runs this is dropped.

use std::time::Duration;

use super::samples::Samples;
use crate::{
    dossier,
    logs::Logs,
    model::{ComponentId, RunId, secret},
    process::{self, Child, Delivery, Signal},
    runtime::status::sanitised,
    sampler::{ProcessUsage, Source},
};

/// How long a JVM may take for its dump.
const DUMP: Duration = Duration::from_secs(2);
/// Silence after what ends a dump, and before that in any case.
const SILENCE: Duration = Duration::from_millis(200);
/// JVMs of one tree that are asked.
const JVMS: usize = 4;
/// Processes of one tree that are looked at.
const PROCESSES: usize = 64;
/// Lines of a dump.
const LINES: usize = 20_000;

/// What could be found out.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub processes: Vec<ProcessUsage>,
    pub stacks: String,
    /// Thread dumps by pid.
    pub dumps: Vec<(i32, String)>,
    /// What could not be found out, and why.
    pub missing: Vec<String>,
}

pub(super) async fn gather(
    samples: Samples,
    logs: Logs,
    id: &ComponentId,
    run: RunId,
    source: Source,
) -> Evidence {
    let looking = tokio::task::spawn_blocking(move || {
        let processes = samples.inspect(run, &source);
        let pids: Vec<i32> = processes.iter().map(|one| one.pid).take(PROCESSES).collect();
        let stacks = dossier::stacks(&pids);
        let jvms: Vec<i32> =
            pids.into_iter().filter(|&pid| dossier::is_jvm_that_dumps(pid)).take(JVMS).collect();
        (Evidence { processes, stacks, ..Evidence::default() }, jvms)
    });
    let Ok((mut evidence, jvms)) = looking.await else { return Evidence::default() };
    for pid in jvms {
        match thread_dump(&logs, id, pid).await {
            Ok(dump) => evidence.dumps.push((pid, dump)),
            Err(why) => evidence.missing.push(format!("a thread dump of pid {pid}: {why}")),
        }
    }
    evidence
}

/// Asks a JVM for its threads, and reads the answer from its output.
async fn thread_dump(logs: &Logs, id: &ComponentId, pid: i32) -> Result<String, String> {
    let mut changes = logs.changes();
    let mut next = logs.tail(id, 1).last().map_or(1, |line| line.sequence + 1);
    ask(pid)?;
    let deadline = tokio::time::Instant::now() + DUMP;
    let mut text = String::new();
    let (mut lines, mut is_complete) = (0, false);
    loop {
        let limit = if is_complete {
            deadline.min(tokio::time::Instant::now() + SILENCE)
        } else {
            deadline
        };
        let news = tokio::time::timeout_at(limit, changes.changed()).await;
        if let Some(batch) = logs.since(id, next, LINES) {
            next = batch.next;
            lines += batch.lines.len();
            for line in &batch.lines {
                let line = sanitised(&line.text);
                is_complete |= line.contains("JNI global ref");
                text.push_str(&secret::masked(&line));
                text.push('\n');
            }
        }
        if !matches!(news, Ok(Ok(()))) || lines >= LINES {
            break;
        }
    }
    if !text.contains("Full thread dump") {
        return Err(format!("none came within {} s", DUMP.as_secs()));
    }
    Ok(text)
}

fn ask(pid: i32) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot ask for it: {error}");
    let Some(start_time) = process::start_time(pid).map_err(cannot)? else {
        return Err("it has ended".to_owned());
    };
    let child = Child::adopt(pid, start_time).map_err(cannot)?;
    let child = child.ok_or_else(|| "it has ended".to_owned())?;
    // Between the look at it and this it could have become another program: asked once more,
    // since whoever does not catch the signal dies of it.
    if !dossier::is_jvm_that_dumps(pid) {
        return Err("it is no JVM any more".to_owned());
    }
    match child.signal(Signal::Quit).map_err(cannot)? {
        Delivery::Delivered => Ok(()),
        Delivery::AlreadyGone => Err("it has ended".to_owned()),
    }
}
