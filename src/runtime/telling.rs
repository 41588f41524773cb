//! Events: what happened, in words, into the durable log and onto the stream of updates.

use std::time::Duration;

use jiff::Timestamp;

use super::{clock, driver::Driver, messages::Internal};
use crate::{
    events::{EventLog, Written},
    model::{ComponentId, Exit, Moment, Origin, RunId, in_words},
    plan::Difference,
    supervisor::{ComponentView, ReloadPlan, Transition},
    wire::{ComponentState, EventKind, EventRecord, Update, Verb},
};

/// What happens together is written together, and not while a start is under way.
const COLLECT: Duration = Duration::from_millis(10);

/// After the disk took nothing.
const RETRY: Duration = Duration::from_secs(1);

/// The log of events, and how its writing goes.
pub(super) struct Telling {
    /// Runs from this one on were started by this engine.
    own_from: RunId,
    pub log: EventLog,
    writing: bool,
    retry_at: Option<Moment>,
    due: Option<Moment>,
}

/// What is told of.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub id: &'a ComponentId,
    pub run: Option<RunId>,
}

/// What is known of an end besides its exit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// Somebody asked for it.
    pub expected: bool,
    /// The kernel's out-of-memory killer made it.
    pub oom: bool,
}

impl Telling {
    pub fn new(log: EventLog, own_from: RunId) -> Self {
        Self { log, writing: false, retry_at: None, due: None, own_from }
    }

    pub fn next_deadline(&self) -> Option<Moment> {
        [self.retry_at, self.due].into_iter().flatten().min()
    }
}

impl Driver {
    /// Makes an event of it; `origin`: who asked, where somebody did.
    pub fn tell(
        &self,
        about: Option<About<'_>>,
        kind: EventKind,
        text: impl Into<String>,
        origin: Option<String>,
    ) {
        let event = self.telling.log.gather(EventRecord {
            seq: 0,
            at: format!("{:.3}", Timestamp::now()),
            component: about.map(|about| about.id.to_string()),
            run: about.and_then(|about| about.run).map(|run| run.0),
            kind,
            text: text.into(),
            origin,
        });
        self.tallies.count_event(kind);
        self.offer_to_alerts(&event);
        self.publisher.updates.publish(Update::Event { event: (*event).clone() });
    }

    /// At the end of each turn: has what came written, by a thread that may wait for the disk.
    pub fn write_events(&mut self, now: Moment) {
        if self.telling.writing
            || self.telling.retry_at.is_some_and(|at| at > now)
            || !self.telling.log.is_behind()
        {
            return;
        }
        if *self.telling.due.get_or_insert(now.after(COLLECT)) > now {
            return;
        }
        self.telling.due = None;
        self.telling.retry_at = None;
        self.telling.writing = true;
        let (log, internal) = (self.telling.log.clone(), self.internal.clone());
        tokio::task::spawn_blocking(move || {
            let _ended_meanwhile = internal.send(Internal::EventsWritten(log.write()));
        });
    }

    pub fn events_written(&mut self, written: Written) {
        self.telling.writing = false;
        match written {
            Written::All => {
                let lost = self.telling.log.take_lost();
                if lost > 0 {
                    let text = format!("{lost} events could not be stored");
                    tracing::warn!(lost, "events could not be stored, and are again");
                    self.tell(None, EventKind::Dropped, text, None);
                }
            }
            Written::Failed { error, first } => {
                if first {
                    tracing::error!(%error, "events cannot be stored; the newest are kept in memory");
                    let text = format!("events cannot be stored: {error}");
                    self.tell(None, EventKind::Dropped, text, None);
                }
                self.telling.retry_at = Some(clock::now().after(RETRY));
            }
        }
    }

    pub fn tell_transition(&self, transition: &Transition) {
        let view = self.supervisor.component(&transition.id);
        let (kind, text) = transition_in_words(transition, view.as_ref(), clock::now());
        let about = About { id: &transition.id, run: transition.run };
        self.tell(Some(about), kind, text, None);
    }

    pub fn tell_asked(&self, verb: Verb, ids: &[ComponentId], origin: &str) {
        let about = match ids {
            [id] => Some(About { id, run: None }),
            _ => None,
        };
        let text = asked_in_words(verb, ids, self.supervisor.ids().count());
        self.tell(about, EventKind::Command, text, Some(origin.to_owned()));
    }

    pub fn tell_reload(&self, plan: &ReloadPlan, origin: &Origin) {
        let Difference { added, removed, changed, updated, .. } = &plan.difference;
        let counts = [
            (added.len(), "added"),
            (removed.len(), "removed"),
            (changed.len(), "changed"),
            (updated.len(), "updated"),
        ];
        let moved = counts.iter().filter(|(count, _)| *count > 0);
        let moved: Vec<String> = moved.map(|(count, what)| format!("{count} {what}")).collect();
        let moved = if moved.is_empty() { "nothing differs".to_owned() } else { moved.join(", ") };
        let generation = self.supervisor.generation();
        let text = format!("the registry was read again (generation {generation}): {moved}");
        self.tell(None, EventKind::Reload, text, Some(origin.to_string()));
    }

    /// The end of a leader; what follows from it is told by the transition.
    pub fn tell_exit(&self, id: &ComponentId, run: RunId, exit: Exit, as_it_was: Told) {
        let Told { expected, oom } = as_it_was;
        let is_end = |kind| matches!(kind, EventKind::Exited | EventKind::Crashed);
        // By an engine that was killed before it had written down what follows.
        let is_told = |event: &EventRecord| {
            event.run == Some(run.0)
                && event.component.as_deref() == Some(id.as_str())
                && is_end(event.kind)
        };
        if run < self.telling.own_from && self.telling.log.knows(is_told) {
            return;
        }
        let policy = self.supervisor.config(id).map(|config| &config.restart);
        let well = match exit {
            Exit::Code(code) => policy.is_some_and(|policy| policy.is_success(code)),
            Exit::Signal { .. } | Exit::Unknown => false,
        };
        let kind = if expected || well { EventKind::Exited } else { EventKind::Crashed };
        let started = self.supervisor.component(id).and_then(|view| view.started);
        let lasted = started.map(|started| clock::now().since(started));
        let lasted = lasted.map(|lasted| format!(" after {}", in_words(lasted)));
        let as_asked = if expected { " as asked" } else { "" };
        let out_of_memory = if oom { " (out of memory)" } else { "" };
        let lasted = lasted.unwrap_or_default();
        let text = format!("{exit}{out_of_memory}{lasted}{as_asked}");
        self.tell(Some(About { id, run: Some(run) }), kind, text, None);
    }
}

fn transition_in_words(
    transition: &Transition,
    view: Option<&ComponentView>,
    now: Moment,
) -> (EventKind, String) {
    let reason = transition.reason.as_deref();
    let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    match transition.to {
        ComponentState::Waiting => {
            let what = view.and_then(|view| view.waiting_for.as_deref()).unwrap_or("its turn");
            (EventKind::Waiting, format!("waits for {what}"))
        }
        ComponentState::Starting => {
            let attempt = view.map_or(0, |view| view.attempt);
            let attempt =
                if attempt > 0 { format!(", attempt {}", attempt + 1) } else { String::new() };
            (EventKind::Starting, format!("starting{attempt}{because}"))
        }
        ComponentState::Running => {
            let pid = transition.pid.map(|pid| format!(" as pid {pid}")).unwrap_or_default();
            (EventKind::Running, format!("running{pid}"))
        }
        ComponentState::Stopping => (EventKind::Stopping, format!("stopping{because}")),
        ComponentState::Stopped => (EventKind::Stopped, "stopped: nothing of it runs".to_owned()),
        ComponentState::Backoff => {
            let next = view.and_then(|view| view.next_attempt).map(|at| at.since(now));
            let next = next.map(|wait| format!("; next attempt in {}", in_words(wait)));
            let why = reason.unwrap_or("it ended");
            (EventKind::Backoff, format!("{why}{}", next.unwrap_or_default()))
        }
        ComponentState::Exited => {
            (EventKind::Exited, "did its work, and is not started again".to_owned())
        }
        ComponentState::Failed => (EventKind::Failed, format!("failed{because}")),
        ComponentState::Unkillable => (EventKind::Unkillable, format!("unkillable{because}")),
    }
}

fn asked_in_words(verb: Verb, ids: &[ComponentId], all: usize) -> String {
    const NAMED: usize = 8;
    match ids {
        [_] => format!("{verb} asked"),
        few if few.len() <= NAMED => {
            let names: Vec<&str> = few.iter().map(ComponentId::as_str).collect();
            format!("{verb} asked: {}", names.join(" "))
        }
        many if many.len() == all => format!("{verb} asked: all {all} components"),
        many => format!("{verb} asked: {} components", many.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_named_and_many_are_counted() {
        let ids = |count: usize| -> Vec<ComponentId> {
            (0..count).map(|n| format!("c{n}").parse().expect("an id")).collect()
        };
        assert_eq!(asked_in_words(Verb::Stop, &ids(1), 9), "stop asked");
        assert_eq!(asked_in_words(Verb::Stop, &ids(2), 9), "stop asked: c0 c1");
        assert_eq!(asked_in_words(Verb::Start, &ids(9), 9), "start asked: all 9 components");
        assert_eq!(asked_in_words(Verb::Start, &ids(9), 12), "start asked: 9 components");
    }
}
