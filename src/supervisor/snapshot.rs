//! What is true now, in words and numbers, for those who look.

use super::{Hold, Slot, Supervisor};
use crate::{
    machine::{Record, State, StopCause, StopPhase},
    model::{ComponentId, LastExit, Moment, RunId, secret},
    registry::Check,
    wire::{ComponentState, Health, Intent},
};

/// One component at one moment. Moments are the engine's; the driver turns them into times.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentView {
    pub id: ComponentId,
    pub description: String,
    pub state: ComponentState,
    pub health: Health,
    pub health_detail: Option<String>,
    pub pid: Option<u32>,
    /// The present run, or the last one.
    pub run: Option<RunId>,
    pub started: Option<Moment>,
    pub restarts: u32,
    pub restarts_asked: u32,
    pub last_exit: Option<LastExit>,
    pub intent: Intent,
    pub waiting_for: Option<String>,
    pub next_attempt: Option<Moment>,
    pub attempt: u32,
    pub enabled: bool,
    pub hold: Option<Hold>,
    pub reason: Option<String>,
}

impl Supervisor {
    /// Every component, in the order of the registry.
    pub fn snapshot(&self) -> Vec<ComponentView> {
        self.order.iter().map(|&slot| self.view(slot)).collect()
    }

    pub fn component(&self, id: &str) -> Option<ComponentView> {
        self.find(id).map(|slot| self.view(slot))
    }

    /// Every component's state, and its present or last run.
    pub fn states(&self) -> impl Iterator<Item = (&ComponentId, ComponentState, Option<RunId>)> {
        self.order.iter().map(|&slot| {
            let entry = self.entry(slot);
            let machine = &entry.machine;
            (&entry.id, machine.state().name(), machine.record().last_run)
        })
    }

    /// What the journal keeps of a component: its past, and its state.
    pub fn past(&self, id: &str) -> Option<(&Record, &State)> {
        let machine = &self.entry(self.find(id)?).machine;
        Some((machine.record(), machine.state()))
    }

    /// Why a run is being ended, if it is.
    pub fn stop_cause(&self, run: RunId) -> Option<&StopCause> {
        match self.entry(*self.runs.get(&run)?).machine.state() {
            State::Stopping { cause, .. } | State::Unkillable { cause, .. } => Some(cause),
            _ => None,
        }
    }

    /// Every id, in the order of the registry.
    pub fn ids(&self) -> impl Iterator<Item = &ComponentId> {
        self.order.iter().map(|&slot| &self.entry(slot).id)
    }

    /// Components that should run and do not, or whose health fails.
    pub fn not_ready(&self) -> Vec<ComponentId> {
        let wished = |slot: &&Slot| {
            let entry = self.entry(**slot);
            let running = matches!(entry.machine.state(), State::Running { .. } | State::Exited);
            entry.machine.wish() == Intent::Running && (!running || entry.health == Health::Failing)
        };
        self.order.iter().filter(wished).map(|&slot| self.entry(slot).id.clone()).collect()
    }

    pub(super) fn view(&self, slot: Slot) -> ComponentView {
        let entry = self.entry(slot);
        let (machine, record) = (&entry.machine, entry.machine.record());
        let state = machine.state();
        let process = state.process();
        ComponentView {
            id: entry.id.clone(),
            description: entry.config().description.clone(),
            state: state.name(),
            health: entry.health,
            health_detail: entry.health_detail.clone(),
            pid: process.map(|process| process.pid),
            run: record.last_run,
            started: process.map(|process| process.started),
            restarts: record.restarts,
            restarts_asked: record.restarts_asked,
            last_exit: record.last_exit,
            intent: machine.wish(),
            waiting_for: self.waiting_for(slot),
            next_attempt: match state {
                State::Backoff { until } => Some(*until),
                _ => None,
            },
            attempt: match state {
                State::Running { .. } => 0,
                _ => record.failures_in_a_row,
            },
            enabled: entry.config().enabled,
            hold: entry.hold.as_deref().cloned(),
            reason: self.reason_of(slot),
        }
    }

    /// Why a component is where it should not be, if so.
    pub(super) fn reason_of(&self, slot: Slot) -> Option<String> {
        let entry = self.entry(slot);
        match entry.machine.state() {
            State::Failed { reason } => Some(reason.to_string()),
            State::Backoff { .. } | State::Starting { .. } | State::Waiting { .. } => {
                entry.machine.record().trouble.as_ref().map(ToString::to_string)
            }
            State::Stopping { cause, .. } => Some(cause.to_string()),
            State::Unkillable { process, .. } => Some(format!(
                "pid {} or a process of its tree was killed, but does not go away",
                process.pid
            )),
            State::Stopped | State::Running { .. } | State::Exited => None,
        }
    }

    /// What holds a component back, in words.
    pub(super) fn waiting_for(&self, slot: Slot) -> Option<String> {
        let entry = self.entry(slot);
        match entry.machine.state() {
            State::Waiting { .. } if entry.hold.is_some() => Some("the end of its hold".to_owned()),
            State::Waiting { .. } => {
                let blockers = self.blockers(slot);
                if blockers.is_empty() {
                    return Some("its turn".to_owned());
                }
                Some(self.named(&blockers, |state| format!("({state})")))
            }
            State::Starting { .. } | State::Running { .. } if entry.restart_is_held() => {
                Some("the end of its hold, to be restarted".to_owned())
            }
            State::Starting { live, .. } | State::Running { live, .. } if live.asked.is_some() => {
                let later = self.those_who_stop_first(slot);
                Some(self.named(&later, |_| "to stop".to_owned()))
            }
            State::Starting { live, .. } if live.process.is_some() => {
                Some(match (&entry.config().ready, &entry.health_detail) {
                    (Some(_), Some(answer)) => format!("its readiness check: {answer}"),
                    (Some(probe), None) => format!("its readiness check ({})", asked(&probe.check)),
                    (None, _) => {
                        let delay = entry.config().start_delay.as_secs_f64();
                        format!("its start delay of {delay} s")
                    }
                })
            }
            State::Stopping { phase: StopPhase::Evidence { .. }, .. } => {
                Some("what it is doing to be written down".to_owned())
            }
            State::Stopping { leader, cause, .. } => Some(match (leader, cause) {
                (None, StopCause::Failure(_)) => "its process to end".to_owned(),
                (None, _) => "its process to end as asked".to_owned(),
                (Some(_), _) => "the rest of its process tree to end".to_owned(),
            }),
            State::Unkillable { .. } => Some("the kernel to let its process go".to_owned()),
            // A dependency comes first: the governor's turn is of no use without it.
            State::Backoff { .. } if entry.governed => match self.missing_dependency(slot) {
                Some(other) => Some(self.named(&[other], |state| format!("({state})"))),
                None => Some(self.governor()),
            },
            State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed { .. } => None,
        }
    }

    /// "the governor: 60 restarts in the last minute, and startsPerMinute allows no more".
    pub(super) fn governor(&self) -> String {
        let limit = self.registry.config.starts_per_minute.unwrap_or_default();
        let restarts = if limit == 1 { "restart" } else { "restarts" };
        format!(
            "the governor: {limit} {restarts} in the last minute, and startsPerMinute allows no more"
        )
    }

    /// Whom a waiting component waits for: dependencies first, else lower priorities.
    pub(super) fn blockers(&self, slot: Slot) -> Vec<Slot> {
        let missing: Vec<Slot> = self
            .dependencies(slot)
            .filter(|&other| !self.entry(other).satisfies_dependents())
            .collect();
        if !missing.is_empty() {
            return missing;
        }
        let Some((request, priority)) = self.entry(slot).starting_in else { return missing };
        let Some(group) = self.groups.get(&request) else { return missing };
        group.starting.range(..priority).flat_map(|(_, members)| members).copied().collect()
    }

    fn those_who_stop_first(&self, slot: Slot) -> Vec<Slot> {
        let entry = self.entry(slot);
        let going = |&other: &Slot| self.entry(other).is_going_down();
        let mut first: Vec<Slot> = self.dependents_in_order(slot).filter(going).collect();
        if let Some((request, priority)) = entry.stopping_in
            && let Some(group) = self.groups.get(&request)
        {
            let later = group.stopping.range(priority + 1..).flat_map(|(_, members)| members);
            first.extend(later.filter(|other| !entry.dependents.contains(other)));
        }
        first
    }

    /// "is (starting), svg (backoff) and 3 more".
    fn named(&self, slots: &[Slot], word: impl Fn(ComponentState) -> String) -> String {
        const SHOWN: usize = 3;
        let named = slots.iter().take(SHOWN).map(|&slot| {
            let entry = self.entry(slot);
            format!("{} {}", entry.id, word(entry.machine.state().name()))
        });
        let text = named.collect::<Vec<_>>().join(", ");
        if slots.len() > SHOWN {
            return format!("{text} and {} more", slots.len() - SHOWN);
        }
        text
    }
}

/// What a check asks, in words, without secrets.
fn asked(check: &Check) -> String {
    match check {
        Check::Tcp { host, port } => format!("tcp {host}:{port}"),
        Check::Http { url, .. } => format!("GET {}", secret::masked(url)),
        Check::Exec { command } => {
            secret::masked_command(command.iter().map(String::as_str)).join(" ")
        }
        Check::Log { pattern } => format!("a line that matches \"{pattern}\""),
        Check::Notify => "READY=1 from it".to_owned(),
    }
}
