//! One component with what the supervisor knows of it beside its machine.

use std::sync::Arc;

use super::{Hold, Slot};
use crate::{
    machine::{Event, Machine, State},
    model::{ComponentId, Moment, OperationId, Origin},
    registry::Component,
    wire::{Health, Intent},
};

#[derive(Debug)]
pub(super) struct Entry {
    pub id: ComponentId,
    config: Arc<Component>,
    /// Takes the place of `config` when the present run is gone.
    next_config: Option<Arc<Component>>,
    pub machine: Machine,
    pub health: Health,
    pub health_detail: Option<String>,
    /// The request in whose order it starts, and its priority there, until it has settled.
    pub starting_in: Option<(OperationId, i32)>,
    /// The request in whose order it stops, and its priority there, until it has stopped.
    pub stopping_in: Option<(OperationId, i32)>,
    /// Operations that wait for it.
    pub awaited_by: Vec<Awaited>,
    /// Who asked for the present wish.
    pub asked_by: Arc<Origin>,
    /// Neither started nor restarted as long as it has one.
    pub hold: Option<Box<Hold>>,
    /// What would have ended its run, had it not been held.
    pub put_off: Option<Box<Event>>,
    /// Left the registry; forgotten when its tree is gone.
    pub removed: bool,
    pub dependents: Vec<Slot>,
    /// As it stands in the supervisor's index.
    pub deadline: Option<Moment>,
    /// It is among those that may look different.
    pub changed: bool,
    /// Its next attempt would be due, but for the bound of all restarts.
    pub governed: bool,
}

/// An operation that waits for a component, and the component's place among its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Awaited {
    pub operation: OperationId,
    pub position: usize,
}

impl Entry {
    pub fn new(config: Arc<Component>) -> Self {
        Self {
            id: config.id.clone(),
            config,
            next_config: None,
            machine: Machine::new(),
            health: Health::None,
            health_detail: None,
            starting_in: None,
            stopping_in: None,
            awaited_by: Vec::new(),
            asked_by: Arc::default(),
            hold: None,
            put_off: None,
            removed: false,
            dependents: Vec::new(),
            deadline: None,
            changed: false,
            governed: false,
        }
    }

    /// What its present run lives under, or its next one will.
    pub fn config(&self) -> &Arc<Component> {
        &self.config
    }

    /// What its next run will live under.
    pub fn next_config(&self) -> &Arc<Component> {
        self.next_config.as_ref().unwrap_or(&self.config)
    }

    /// Gives it new values: at once where no process lives or none is concerned.
    pub fn reconfigure(&mut self, config: Arc<Component>, at_once: bool) {
        if at_once || self.machine.state().run().is_none() {
            self.config = config;
            self.next_config = None;
        } else {
            self.next_config = Some(config);
        }
    }

    /// The same values once more: those before need not be kept beside them.
    pub fn renew(&mut self, config: Arc<Component>) {
        match &mut self.next_config {
            Some(next) => *next = config,
            None => self.config = config,
        }
    }

    #[cfg(test)]
    pub fn has_next_config(&self) -> bool {
        self.next_config.is_some()
    }

    /// To be called when the run is gone.
    pub fn take_next_config(&mut self) {
        if let Some(config) = self.next_config.take() {
            self.config = config;
        }
    }

    /// Whether its dependents may run: it does, or did its work and ended well.
    pub fn satisfies_dependents(&self) -> bool {
        match self.machine.state() {
            // One that has a place in an order of stops is about to be asked.
            State::Running { live, .. } => {
                let goes_on = live.asked.is_none() || self.restart_is_held();
                goes_on && self.stopping_in.is_none()
            }
            // One that has a place in an order of starts is about to begin anew.
            State::Exited => self.starting_in.is_none(),
            State::Stopped
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Failed { .. }
            | State::Unkillable { .. } => false,
        }
    }

    /// Whether it still is on its way to what a start asked for, so that later ones wait.
    pub fn is_starting_up(&self) -> bool {
        if self.machine.wish() == Intent::Stopped {
            return false;
        }
        // Held, it comes when the hold ends: nobody but its dependents waits for that.
        if self.hold.is_some() && !matches!(self.machine.state(), State::Starting { .. }) {
            return false;
        }
        match self.machine.state() {
            // Stopping with this wish means: on its way down to come up again.
            State::Waiting { .. }
            | State::Starting { .. }
            | State::Backoff { .. }
            | State::Stopping { .. } => true,
            // A restart that has not had its turn.
            State::Running { live, .. } => live.asked.is_some(),
            State::Stopped | State::Exited | State::Failed { .. } | State::Unkillable { .. } => {
                false
            }
        }
    }

    /// Whether it is to be ended on request and is not gone yet, so that earlier ones wait.
    pub fn is_going_down(&self) -> bool {
        match self.machine.state() {
            State::Starting { live, .. } | State::Running { live, .. } => {
                live.asked.is_some() && !self.restart_is_held()
            }
            State::Stopping { cause, .. } => {
                cause.is_expected() || self.machine.wish() == Intent::Stopped
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed { .. }
            | State::Unkillable { .. } => false,
        }
    }

    /// Waits for a gate.
    pub fn is_blocked(&self) -> bool {
        matches!(self.machine.state(), State::Waiting { .. })
            || self.machine.state().stop_asked().is_some()
    }
}
