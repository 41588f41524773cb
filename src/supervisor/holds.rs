//! Holds: an operator's word that a component is neither started nor restarted for a while.
//!
//! A hold is a gate, not a state. What runs goes on running; what ends stays down, as a wish
//! that is carried out when the hold is released or expires; a stop or a kill is possible at any
//! time. A verdict that would lead to a restart (unhealthy, not ready) is put off: an operator who
//! looks into a hung process must not have it taken away. Nobody but its dependents waits for a
//! held component: it leaves the order of starts.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Denial, Effect, Slot, Supervisor};
use crate::{
    machine::{Event, State, StopCause},
    model::{ComponentId, Moment, Origin},
    wire::{Intent, Verb},
};

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who asked for it, in words.
    pub by: String,
    pub reason: Option<String>,
    /// RFC 3339, UTC, for display.
    pub since: String,
    /// None: until it is released.
    pub until: Option<Until>,
}

/// When a hold expires: the moment decides, the time is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Until {
    pub at: Moment,
    /// RFC 3339, UTC.
    pub time: String,
}

/// What became of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldChange {
    Held(Hold),
    Released { by: String },
    Expired,
}

impl Supervisor {
    /// Holds a component, or gives the hold that it has other terms. The hold before.
    pub fn hold(
        &mut self,
        now: Moment,
        id: &str,
        hold: Hold,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Hold>, Denial> {
        let slot = self.find(id).ok_or_else(|| self.unknown(id))?;
        if self.entry(slot).removed {
            return Err(Denial::Leaving { id: self.entry(slot).id.clone() });
        }
        let before = self.put_hold(slot, Some(hold.clone()));
        let id = self.entry(slot).id.clone();
        effects.push(Effect::HoldChanged { id, change: HoldChange::Held(hold) });
        self.hold_moved(slot);
        self.finish_turn(now, effects);
        Ok(before)
    }

    /// Ends a hold; what it put off is carried out. The hold that was in force, if one was.
    pub fn release(
        &mut self,
        now: Moment,
        id: &str,
        origin: &Origin,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Hold>, Denial> {
        let slot = self.find(id).ok_or_else(|| self.unknown(id))?;
        let before = self.entry(slot).hold.as_deref().cloned();
        if before.is_some() {
            let change = HoldChange::Released { by: origin.to_string() };
            self.end_hold(now, slot, change, effects);
            self.finish_turn(now, effects);
        }
        Ok(before)
    }

    /// Continues the holds of an earlier Supervisor, before anything is started.
    pub fn restore_hold(&mut self, id: &str, hold: Hold) -> bool {
        let Some(slot) = self.find(id) else { return false };
        self.put_hold(slot, Some(hold));
        true
    }

    /// Every hold in force, in the order of the registry.
    pub fn holds(&self) -> impl Iterator<Item = (&ComponentId, &Hold)> {
        self.order.iter().filter_map(|&slot| {
            let entry = self.entry(slot);
            Some((&entry.id, entry.hold.as_deref()?))
        })
    }

    pub(super) fn expire_holds(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        while let Some(&(moment, slot)) = self.hold_ends.first()
            && moment <= now
        {
            self.end_hold(now, slot, HoldChange::Expired, effects);
        }
    }

    fn end_hold(&mut self, now: Moment, slot: Slot, change: HoldChange, effects: &mut Vec<Effect>) {
        self.put_hold(slot, None);
        let id = self.entry(slot).id.clone();
        effects.push(Effect::HoldChanged { id, change });
        self.hold_moved(slot);
        if self.shutdown.is_some() && self.entry(slot).machine.state().run().is_some() {
            // Nothing keeps it out of a restart of everything any more.
            self.entry_mut(slot).put_off = None;
            self.step(now, slot, Event::Stop(StopCause::Shutdown), effects);
            return;
        }
        // One that was asked to stop meanwhile has its turn in the order of stops.
        let wish = self.entry(slot).machine.wish();
        if let Some(event) = self.entry_mut(slot).put_off.take()
            && wish == Intent::Running
        {
            self.step(now, slot, *event, effects);
        }
    }

    /// Forgets the hold of a component that leaves.
    pub(super) fn drop_hold(&mut self, slot: Slot) {
        self.put_hold(slot, None);
    }

    fn put_hold(&mut self, slot: Slot, hold: Option<Hold>) -> Option<Hold> {
        let ends = |hold: Option<&Hold>| hold?.until.as_ref().map(|until| until.at);
        let new_end = ends(hold.as_ref());
        let before = std::mem::replace(&mut self.entry_mut(slot).hold, hold.map(Box::new));
        let before = before.map(|before| *before);
        if let Some(at) = ends(before.as_ref()) {
            self.hold_ends.remove(&(at, slot));
        }
        self.hold_ends.extend(new_end.map(|at| (at, slot)));
        before
    }

    /// Gates and hopes look at it anew.
    fn hold_moved(&mut self, slot: Slot) {
        self.update_gates(slot);
        self.recheck_around(slot);
        self.touched.insert(slot);
        self.hopes_moved = true;
    }

    pub(super) fn outlives_restart(&self, slot: Slot) -> bool {
        self.entry(slot).outlives_restart()
    }

    /// The hold that forbids a start or restart asked for by hand, if one does.
    pub(super) fn forbidding(&self, verb: Verb, slot: Slot) -> Option<&Hold> {
        let entry = self.entry(slot);
        let hold = entry.hold.as_deref()?;
        match (verb, entry.machine.state()) {
            // It runs and goes on: nothing is started.
            (Verb::Start, State::Starting { .. } | State::Running { .. }) => None,
            (Verb::Start | Verb::Restart, _) => Some(hold),
            _ => None,
        }
    }

    pub(super) fn held_denial(&self, slot: Slot, needed_by: Option<Slot>) -> Option<Denial> {
        let entry = self.entry(slot);
        Some(Denial::Held {
            id: entry.id.clone(),
            hold: entry.hold.as_deref().cloned()?,
            needed_by: needed_by.map(|slot| self.entry(slot).id.clone()),
        })
    }
}

impl super::Entry {
    /// A restart was asked for and waits for the end of the hold.
    pub fn restart_is_held(&self) -> bool {
        self.hold.is_some()
            && self.machine.wish() == Intent::Running
            && self.machine.state().stop_asked().is_some()
    }

    /// Whether it goes on running while everything else, the Supervisor too, restarts.
    pub fn outlives_restart(&self) -> bool {
        let (State::Starting { live, .. } | State::Running { live, .. }) = self.machine.state()
        else {
            return false;
        };
        let goes_on = live.asked.is_none() || self.restart_is_held();
        self.hold.is_some() && live.process.is_some() && goes_on
    }

    /// Keeps a verdict that would end a held component's run for the end of the hold.
    pub fn puts_off(&mut self, event: &Event) -> bool {
        let verdict = matches!(
            event,
            Event::Unhealthy { .. } | Event::NotReady { .. } | Event::OverLimit { .. }
        );
        let lives = matches!(self.machine.state(), State::Starting { .. } | State::Running { .. });
        let put_off =
            verdict && lives && self.hold.is_some() && self.machine.wish() == Intent::Running;
        if put_off {
            self.put_off = Some(Box::new(event.clone()));
        }
        put_off
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held by {}{}", self.by, self.terms())
    }
}

impl Hold {
    /// ` until 2026-11-23 14:30:00 UTC: disk swap`
    pub fn terms(&self) -> String {
        let until = self.until.as_ref().map(|until| {
            let time = until.time.replace('T', " ");
            match time.strip_suffix('Z') {
                Some(time) => format!(" until {time} UTC"),
                None => format!(" until {time}"),
            }
        });
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}"));
        until.unwrap_or_default() + &reason.unwrap_or_default()
    }
}
