//! From a decision to start a run to its process: announced in the journal, ordered when that is
//! written, taken in when it was born.

use std::{os::fd::AsFd as _, sync::Arc, time::Duration};

use super::{
    clock,
    driver::{Driver, Running},
    journal::Entry,
    launch,
    spawner::{Made, Newborn, Nursery, Order, Spawner},
};
use crate::{
    guardian::{self, DescriptorStore as _},
    model::{ComponentId, Moment, RunId},
    process::Tree,
    supervisor::Fact,
};

/// How often newborns are looked for while more starts are ordered than are made at once.
const LOOK: Duration = Duration::from_millis(3);

/// Where nothing was found, each look is twice as far from the last one, up to this: a program may
/// take its time to be read.
const LOOK_MAX: Duration = Duration::from_millis(400);

/// For what is cleared away at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The starts that are under way.
#[derive(Debug)]
pub(super) struct Births {
    spawner: Spawner,
    /// Announced in what was gathered for the journal.
    announced: Vec<Order>,
    /// Ordered, and nothing is known of them yet.
    under_way: usize,
    due: Option<Moment>,
    pause: Duration,
}

impl Births {
    pub fn new(spawner: Spawner) -> Self {
        Self { spawner, announced: Vec::new(), under_way: 0, due: None, pause: LOOK }
    }

    /// It is begun when the journal is written.
    pub fn announce(&mut self, order: Order) {
        self.announced.push(order);
    }

    pub fn announced(&self) -> usize {
        self.announced.len()
    }

    /// Begins what was announced.
    pub fn begin(&mut self) {
        for order in self.announced.drain(..) {
            self.under_way += 1;
            self.due.get_or_insert_with(|| clock::now().after(LOOK));
            self.spawner.order(order);
        }
    }

    /// Removes what is kept for a tree that is gone; nothing of its component is started any more.
    pub fn clear_away(&self, tree: Tree) {
        self.spawner.clear_away(tree);
    }

    /// Waits until everything is cleared away, for a moment at most.
    pub fn finish(self) {
        self.spawner.finish(FAREWELL);
    }

    /// When to look for newborns.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.due
    }

    fn looked(&mut self, found: bool, now: Moment) {
        if self.under_way == 0 {
            self.due = None;
        } else if found {
            self.pause = LOOK;
            self.due = Some(now.after(LOOK));
        } else if self.due.is_none_or(|due| due <= now) {
            self.pause = (self.pause * 2).min(LOOK_MAX);
            self.due = Some(now.after(self.pause));
        }
    }
}

impl Driver {
    pub fn spawn(&mut self, id: &ComponentId, run: RunId) {
        let Some(component) = self.supervisor.config(id).map(Arc::clone) else { return };
        let record = self.supervisor.past(id).map(|(record, _)| Box::new(record.clone()));
        self.journal.gather(&Entry::Starting { id: id.clone(), run, record });
        self.count_start(id);
        self.configs().insert(id.clone(), Arc::clone(&component));
        match self.probes.prepare(run, &component) {
            Ok(extra) => {
                self.keep_socket(id, run);
                self.births.announce(Order { run, component, extra });
            }
            Err(error) => {
                self.gone.push((id.clone(), run));
                self.facts.push(Fact::SpawnFailed { run, error: error.to_string() });
            }
        }
    }

    /// Takes in who was born meanwhile.
    pub fn take_newborns(&mut self, nursery: &Nursery) {
        let mut any = false;
        while let Some(made) = nursery.take() {
            any = true;
            self.births.under_way -= 1;
            self.made(made);
        }
        if any {
            self.trace.gather();
            self.take_facts();
        }
        self.births.looked(any, clock::now());
    }

    fn made(&mut self, made: Made) {
        let Made { run, result } = made;
        match result {
            Ok(newborn) => {
                let process = newborn.process;
                self.take_in(run, newborn);
                self.facts.push(Fact::Spawned { run, process });
            }
            Err(error) => {
                self.forget_probes(run);
                if let Some(id) = self.supervisor.component_of(run).cloned() {
                    self.gone.push((id, run));
                }
                self.facts.push(Fact::SpawnFailed { run, error });
            }
        }
    }

    fn take_in(&mut self, run: RunId, newborn: Newborn) {
        let Newborn { child, mut tree, process, unbounded } = newborn;
        let Some(id) = self.supervisor.component_of(run).cloned() else {
            tracing::error!(%run, "nobody waits for a new process any more; it is ended");
            let _nobody_could_try_again = tree.kill();
            return;
        };
        if let Some(config) = self.supervisor.config(&id) {
            self.journal.gather(&Entry::Started {
                id: id.clone(),
                run,
                pid: child.pid(),
                start_time: child.start_time(),
                at: process.started,
                restarts: 0,
                fingerprint: launch::fingerprint(config),
            });
        }
        self.tell_unbounded(&id, unbounded);
        self.keep_limits(&id);
        self.stores.keep(&guardian::name::pid(&id, run), child.as_fd());
        let running = Running { id, child, tree, leader_ended: false, used: Duration::ZERO };
        self.running.insert(run, Box::new(running));
        self.watch_leader(run);
    }
}
