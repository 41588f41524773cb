//! Performs what the supervisor decided.

use std::{sync::Arc, time::Duration};

use super::{
    clock,
    driver::{CROWD, Driver, End, MOST_GATHERED},
    journal::Entry,
    messages::Internal,
    status,
    telling::About,
    tidy::Tidy,
};
use crate::{
    machine::{Resting, State, StopUnderWay},
    model::{ComponentId, OperationId, RunId},
    probes::{CommandRequest, Watched},
    process::Signal,
    supervisor::{Effect, Transition},
    wire::{ComponentState, EventKind, Intent, Verb},
};

/// Of a crowd of starts so many are announced and begun together.
const MOST_ORDERS: usize = 8;

impl Driver {
    pub fn perform(&mut self, mut effects: Vec<Effect>) {
        let is_crowd = self.is_crowd || effects.len() > CROWD;
        if is_crowd {
            self.trace.gather();
            if self.supervisor.is_shutting_down() {
                // What is asked to end ends while the rest is seen to.
                effects.sort_by_key(|effect| match effect {
                    Effect::Asked { .. } => 0,
                    Effect::RequestStop { .. } => 1,
                    _ => 2,
                });
            }
        }
        for effect in effects {
            let starts = matches!(effect, Effect::Spawn { .. });
            tracing::debug!(?effect, "to be done");
            match effect {
                Effect::Spawn { id, run } => self.spawn(&id, run),
                Effect::GatherEvidence { id, run, ended } => self.gather_evidence(&id, run, ended),
                Effect::Crashed { id, run, process, ended } => {
                    self.keep_crash(&id, run, process.pid, &ended);
                }
                Effect::RequestStop { id, run } => self.request_stop(&id, run),
                Effect::RequestOrphansStop { run } => self.request_orphans_stop(run),
                Effect::KillTree { run } => self.kill_tree(run),
                Effect::StartProbes { id, run, ready_already } => {
                    self.start_probes(&id, run, ready_already);
                }
                Effect::StopProbes { run } => self.probes.quiet(run),
                Effect::Transition(transition) => {
                    self.tell_transition(&transition);
                    self.changed(&transition);
                }
                Effect::Asked { verb, ids, origin, operation } => {
                    self.asked(verb, &ids, &origin, operation);
                }
                Effect::OperationEnded { id } => self.operation_ended(id),
                Effect::HoldChanged { id, change } => self.hold_changed(&id, &change),
                Effect::Reconfigured { id } => self.reconfigured(&id),
                Effect::Removed { id } => self.removed(&id),
                Effect::AllGone { restart, left } => self.end = Some(End { restart, left }),
            }
            // Alone, a start is on its way before anything else is said about it.
            if starts && (!is_crowd || self.births.announced() >= MOST_ORDERS)
                || self.journal.gathered() >= MOST_GATHERED
            {
                self.write_down_all();
            }
        }
    }

    /// The polite way: the stop command where there is one, else the signal to the leader.
    fn request_stop(&mut self, id: &ComponentId, run: RunId) {
        self.give_up_evidence(run);
        let Some(config) = self.supervisor.config(id).map(Arc::clone) else { return };
        let Some(command) = config.stop.command.clone() else {
            self.send_stop_signal(run, config.stop.signal.into());
            return;
        };
        let request = CommandRequest { run, id: id.clone(), command };
        let (commands, internal) = (Arc::clone(&self.commands), self.internal.clone());
        let task = tokio::spawn(async move {
            let result = commands.run(request).await;
            // The loop outlives every task but at the very end.
            let _nobody_listens = internal.send(Internal::StopCommandEnded { run, result });
        });
        self.stop_commands.insert(run, task.abort_handle());
    }

    pub fn send_stop_signal(&mut self, run: RunId, signal: Signal) {
        let Some(running) = self.running.get(&run) else { return };
        if let Err(error) = running.child.ask_to_end(signal) {
            tracing::warn!(id = %running.id, %signal, %error, "cannot send the stop signal");
        }
    }

    fn request_orphans_stop(&mut self, run: RunId) {
        let Some(running) = self.running.get_mut(&run) else { return };
        let config = self.supervisor.config(&running.id);
        let signal = config.map_or(Signal::Term, |config| config.stop.signal.into());
        match running.tree.signal(signal).and_then(|count| {
            running.tree.signal(Signal::Cont)?;
            Ok(count)
        }) {
            Ok(count) => tracing::info!(
                id = %running.id, %run, processes = count, %signal,
                "the leader has ended; the rest of its tree is asked to end"
            ),
            Err(error) => tracing::warn!(
                id = %running.id, %run, %error,
                "cannot ask the rest of a tree to end"
            ),
        }
    }

    fn kill_tree(&mut self, run: RunId) {
        self.give_up_evidence(run);
        self.kill(run);
    }

    pub fn start_probes(&mut self, id: &ComponentId, run: RunId, ready: bool) {
        let Some(config) = self.supervisor.config(id).map(Arc::clone) else { return };
        let Some(process) = self.process_of(run) else { return };
        let age = clock::now().since(process.started);
        self.probes.watch(run, &config, Watched { pid: process.pid, age, ready });
    }

    fn changed(&mut self, transition: &Transition) {
        self.history.changed(transition);
        let Transition { id, run, pid, from, to, reason } = transition;
        let run_number = run.map(|run| run.0);
        match to {
            ComponentState::Failed | ComponentState::Unkillable => {
                tracing::error!(%id, run = run_number, %from, %to, reason, "component");
            }
            ComponentState::Backoff => {
                let next = self.supervisor.component(id).and_then(|view| view.next_attempt);
                let wait = next.map_or(Duration::ZERO, |at| at.since(clock::now()));
                let next_attempt_s = wait.as_secs_f64();
                tracing::warn!(%id, run = run_number, %from, %to, reason, next_attempt_s, "component");
            }
            ComponentState::Starting if reason.is_some() => {
                tracing::warn!(%id, run = run_number, %from, %to, reason, "component");
            }
            _ => tracing::info!(%id, run = run_number, pid, %from, %to, reason, "component"),
        }
        self.write_down(transition);
    }

    /// For a successor, should this be the last that we do.
    fn write_down(&mut self, transition: &Transition) {
        let id = &transition.id;
        let Some((record, state)) = self.supervisor.past(id) else { return };
        let record = || Box::new(record.clone());
        let entry = match (state, transition.run) {
            (State::Running { since, .. }, Some(run)) => {
                Entry::Ready { id: id.clone(), run, at: Some(*since) }
            }
            (State::Stopping { run, .. }, _) => {
                let Some(stop) = StopUnderWay::of(state) else { return };
                Entry::Stopping { id: id.clone(), run: *run, stop, record: record() }
            }
            _ => match Resting::of(state) {
                // Of one that was never touched there is nothing to remember.
                Some(Resting::Stopped) if !self.journal.knows(id) => return,
                Some(resting) => Entry::Rests { id: id.clone(), resting, record: record() },
                // A start has its entry already; what is unkillable was being killed before.
                None => return,
            },
        };
        self.journal.gather(&entry);
    }

    fn asked(&mut self, verb: Verb, ids: &[ComponentId], origin: &str, operation: OperationId) {
        let names = match ids {
            few if few.len() <= 8 => {
                few.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(" ")
            }
            many => format!("{} components", many.len()),
        };
        tracing::info!(%verb, components = names, by = origin, %operation, "asked for");
        self.tell_asked(verb, ids, origin);
        // What an operator wished outlives us; what a shutdown stops is started again next time.
        if !self.supervisor.is_shutting_down() {
            for id in ids {
                let wish = self.supervisor.component(id).map(|view| view.intent);
                let stopped =
                    matches!(verb, Verb::Stop | Verb::Kill) && wish == Some(Intent::Stopped);
                if self.journal.is_stopped_by_hand(id) != stopped {
                    self.journal.gather(&Entry::StoppedByHand { id: id.clone(), stopped });
                }
            }
            self.write_down_all();
        }
    }

    fn operation_ended(&mut self, id: OperationId) {
        let is_burst = self.boot == Some(id)
            || self.supervisor.extent_of(id).is_some_and(|(verb, size)| Tidy::is_burst(verb, size));
        if is_burst {
            self.tidy.burst_ended(clock::now());
        }
        let Some(waiters) = self.waiters.remove(&id) else { return };
        let Some(view) = self.supervisor.operation(id) else { return };
        let operation = status::operation(view, clock::now());
        for waiter in waiters {
            let _gave_up_waiting = waiter.send(Ok(operation.clone()));
        }
    }

    fn reconfigured(&mut self, id: &ComponentId) {
        let Some(config) = self.supervisor.config(id).map(Arc::clone) else { return };
        self.logs.configure(id, config.output.arc());
        self.keep_limits(id);
        self.configs().insert(id.clone(), Arc::clone(&config));
        let view = self.supervisor.component(id);
        let Some((run, view)) = view.and_then(|view| Some((view.run?, view))) else { return };
        if view.pid.is_some()
            && matches!(view.state, ComponentState::Starting | ComponentState::Running)
        {
            // New checks take the place of the old ones.
            self.forget_probes(run);
            if let Err(error) = self.probes.prepare(run, &config) {
                tracing::warn!(%id, %error, "cannot prepare the new checks");
            }
            self.keep_socket(id, run);
            self.start_probes(id, run, view.state == ComponentState::Running);
        }
    }

    fn removed(&mut self, id: &ComponentId) {
        tracing::info!(%id, "the component has left the registry, and nothing of it runs");
        let about = Some(About { id, run: None });
        self.tell(about, EventKind::Reload, "left the registry; nothing of it runs", None);
        self.publish_anew();
        self.configs().remove(id);
        self.tallies.components.remove(id);
        self.probes.forget_component(id);
        self.logs.close(id, true);
        self.journal.append(&Entry::Forgotten { id: id.clone() });
        self.hold_file.is_behind = true;
        self.desk.forget(id);
        self.containment.forget(&|other| other != id.as_str());
    }

    pub fn configs(
        &self,
    ) -> std::sync::MutexGuard<
        '_,
        std::collections::HashMap<ComponentId, Arc<crate::registry::Component>>,
    > {
        self.configs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
