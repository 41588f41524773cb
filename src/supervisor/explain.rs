//! Answers to "why": one component's state as a colleague would explain it.

use std::{path::Path, time::Duration};

use super::{ComponentView, Slot, Supervisor};
use crate::{
    machine::{Event, ExitEntry, State},
    model::{Moment, in_words},
    wire::{Health, Intent},
};

/// Why a component is in its state.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    pub view: ComponentView,
    pub summary: String,
    pub intent: String,
    pub blocker: Option<String>,
    pub attempt: u32,
    pub max_restarts: Option<u32>,
    pub window: Duration,
    /// Newest first.
    pub exits: Vec<ExitEntry>,
    pub advice: Vec<String>,
}

impl Supervisor {
    pub fn explain(&self, now: Moment, id: &str) -> Option<Explain> {
        let slot = self.find(id)?;
        let entry = self.entry(slot);
        let record = entry.machine.record();
        let policy = &entry.config().restart;
        Some(Explain {
            view: self.view(slot),
            summary: self.summary(now, slot),
            intent: self.intent_in_words(slot),
            blocker: self.blocker(now, slot),
            attempt: record.failures_in_a_row,
            max_restarts: policy.max_restarts,
            window: policy.window,
            exits: record.exits.iter().cloned().collect(),
            advice: self.advice(slot),
        })
    }

    fn intent_in_words(&self, slot: Slot) -> String {
        let entry = self.entry(slot);
        let wish = match entry.machine.wish() {
            Intent::Running => "running",
            Intent::Stopped => "stopped",
        };
        if entry.machine.record().last_run.is_none()
            && entry.machine.wish() == Intent::Stopped
            && !entry.config().enabled
        {
            return "stopped (not enabled: it is started by hand only)".to_owned();
        }
        format!("{wish} (asked by {})", entry.asked_by)
    }

    fn summary(&self, now: Moment, slot: Slot) -> String {
        let text = self.summary_of_state(now, slot);
        let Some(hold) = &self.entry(slot).hold else { return text };
        let left = hold.until.as_ref().map(|until| in_words(until.at.since(now)));
        let left = left.map(|left| format!(" (for {left} more)")).unwrap_or_default();
        format!("{text}; {hold}{left}")
    }

    fn summary_of_state(&self, now: Moment, slot: Slot) -> String {
        let entry = self.entry(slot);
        let record = entry.machine.record();
        let trouble = record.trouble.as_ref().map(ToString::to_string);
        match entry.machine.state() {
            State::Stopped => self.stopped_in_words(slot),
            State::Waiting { since } => {
                let what = self.waiting_for(slot).unwrap_or_default();
                format!("it has waited {} for {what}", in_words(now.since(*since)))
            }
            State::Starting { live, .. } => match live.process {
                None => "starting: its process is being made".to_owned(),
                Some(process) => {
                    let since = in_words(now.since(process.started));
                    let what = self.waiting_for(slot).unwrap_or_default();
                    format!(
                        "starting for {since}: pid {} is alive, waiting for {what}",
                        process.pid
                    )
                }
            },
            State::Running { live, since } => {
                let pid = live.process.map(|process| process.pid).unwrap_or_default();
                let asked = live
                    .asked
                    .as_ref()
                    .map(|cause| format!("; {cause}, and its turn has not come"));
                let since = in_words(now.since(*since));
                let ill = (entry.health == Health::Failing).then(|| {
                    let why = entry.health_detail.as_deref().unwrap_or("its health check fails");
                    format!("; {why}")
                });
                format!(
                    "running as pid {pid} for {since}{}{}",
                    ill.unwrap_or_default(),
                    asked.unwrap_or_default()
                )
            }
            State::Stopping { cause, .. } => {
                let what = self.waiting_for(slot).unwrap_or_default();
                let by = if cause.is_expected() {
                    format!(" by {}", entry.asked_by)
                } else {
                    String::new()
                };
                if !cause.is_expected() && entry.machine.wish() == Intent::Running {
                    return format!("being stopped for a restart: {cause}; waiting for {what}");
                }
                format!("stopping because {cause}{by}; waiting for {what}")
            }
            State::Backoff { until } => {
                let why = trouble.unwrap_or_default();
                let n = record.failures_in_a_row;
                let again = in_words(until.since(now));
                format!(
                    "in back-off after failure {n} in a row: {why}; the next attempt is in {again}"
                )
            }
            State::Exited => {
                "exited: it did its work, and the policy does not start it again".to_owned()
            }
            State::Failed { reason } => format!("failed: {reason}"),
            State::Unkillable { .. } => {
                format!("unkillable: {}", self.reason_of(slot).unwrap_or_default())
            }
        }
    }

    /// Nothing of it runs: since when there never was anything, or who saw to that.
    fn stopped_in_words(&self, slot: Slot) -> String {
        let entry = self.entry(slot);
        let ran = entry.machine.record().last_run.is_some();
        match (ran, entry.config().enabled) {
            (false, false) => {
                "never started: it is not enabled, and starts by hand only".to_owned()
            }
            (false, true) => "never started under this Supervisor: nothing of it runs".to_owned(),
            (true, _) if entry.machine.wish() == Intent::Stopped => {
                format!("stopped by {}: nothing of it runs", entry.asked_by)
            }
            (true, _) => "stopped: nothing of it runs".to_owned(),
        }
    }

    fn blocker(&self, now: Moment, slot: Slot) -> Option<String> {
        let entry = self.entry(slot);
        if let Some(hold) = &entry.hold
            && entry.machine.wish() == Intent::Running
            && (entry.machine.state().run().is_none() || entry.restart_is_held())
        {
            return Some(format!("it is {hold}"));
        }
        if let Some(event) = &entry.put_off {
            return Some(format!("it is held, and would be restarted otherwise: {}", why(event)));
        }
        match entry.machine.state() {
            State::Backoff { until } if entry.governed => {
                let next = in_words(until.since(now));
                Some(format!("{}; the next may start in {next}", self.governor()))
            }
            State::Backoff { until } => {
                Some(format!("the back-off, for {} more", in_words(until.since(now))))
            }
            State::Failed { .. } if entry.machine.wish() == Intent::Running => {
                Some("it has failed for good and waits for an operator".to_owned())
            }
            _ => self.waiting_for(slot),
        }
    }

    fn advice(&self, slot: Slot) -> Vec<String> {
        let entry = self.entry(slot);
        let id = &entry.id;
        let release = || format!("to end the hold: s7supervisor release {id}");
        if entry.hold.is_some() && !matches!(entry.machine.state(), State::Unkillable { .. }) {
            return vec![release()];
        }
        match entry.machine.state() {
            State::Failed { .. } => vec![
                format!("read what it wrote: {}", dated(&entry.config().output.log)),
                format!("when the cause is removed: s7supervisor start {id}"),
            ],
            State::Backoff { .. } => vec![format!("to try at once: s7supervisor start {id}")],
            State::Waiting { .. } => {
                let down = self.blockers(slot).into_iter().filter(|&other| {
                    let other = &self.entry(other).machine;
                    other.wish() == Intent::Stopped || matches!(other.state(), State::Failed { .. })
                });
                down.map(|other| {
                    format!("start what it waits for: s7supervisor start {}", self.entry(other).id)
                })
                .collect()
            }
            State::Unkillable { process, .. } => vec![
                format!("see what it waits for: ps -o pid,stat,wchan -p {}", process.pid),
                "a process in state D is in the kernel, mostly for a disk or a network file system"
                    .to_owned(),
            ],
            State::Stopped if entry.machine.wish() == Intent::Stopped => {
                vec![format!("to start it: s7supervisor start {id}")]
            }
            State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Exited => Vec::new(),
        }
    }
}

fn why(event: &Event) -> &str {
    match event {
        Event::Unhealthy { why, .. }
        | Event::NotReady { why, .. }
        | Event::OverLimit { why, .. } => why,
        _ => "",
    }
}

/// The pattern of the daily files of a base path: `logs/ps-*.log`.
fn dated(base: &Path) -> String {
    let stem = base.file_stem().unwrap_or_default().to_string_lossy();
    let suffix = base.extension().map(|suffix| format!(".{}", suffix.to_string_lossy()));
    let name = format!("{stem}-*{}", suffix.unwrap_or_default());
    base.with_file_name(name).display().to_string()
}
