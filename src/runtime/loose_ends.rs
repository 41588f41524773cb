//! Runs of which something did not come off, and is tried again until it does: the kernel had no memory or
//! descriptor for it at that moment.
//!
//! What is not watched is looked at; what could not be killed is killed again. Nothing of it is given up
//! while the run is there, because a run that is forgotten is one that nobody ends.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use super::{driver::Driver, launch};
use crate::{logs::Logs, model::RunId, process, registry::Component, supervisor::Fact};

/// How often they are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct LooseEnds {
    /// Their leader ended, and no event tells about the rest of their tree: there is no cgroup, or it
    /// could not be read.
    lingering: BTreeSet<RunId>,
    /// Nothing tells when their leader ends.
    unwatched: BTreeSet<RunId>,
    /// They were to be killed.
    unkilled: BTreeSet<RunId>,
    /// Orphans may have ended, and are to be reaped.
    orphans: bool,
    /// They were taken over, and nobody reads what they write: when their pipe is full they wait.
    unread: BTreeSet<RunId>,
}

impl LooseEnds {
    pub fn is_empty(&self) -> bool {
        let Self { lingering, unwatched, unkilled, unread, orphans } = self;
        !orphans && [lingering, unwatched, unkilled, unread].iter().all(|runs| runs.is_empty())
    }

    /// Nothing is left of the run.
    pub fn forget(&mut self, run: RunId) {
        self.lingering.remove(&run);
        self.unwatched.remove(&run);
        self.unkilled.remove(&run);
        self.unread.remove(&run);
    }
}

/// Reads a component's output from now on. The write ends are dropped: its process holds its own.
pub(super) fn open_output(logs: &Logs, config: &Component, temp: &Path) -> io::Result<()> {
    let owner = launch::pipe_owner(config).ok().flatten();
    let pipes = launch::pipes_folder(temp);
    logs.open(&config.id, config.output.arc(), &pipes, owner).map(drop)
}

impl Driver {
    /// Has the end of a run's leader told; by looking, where the kernel cannot do it now.
    pub(super) fn watch_leader(&mut self, run: RunId) {
        let Some(running) = self.running.get(&run) else { return };
        match self.watcher.add_child(&running.child, run.0) {
            Ok(()) => {
                self.loose_ends.unwatched.remove(&run);
            }
            Err(error) => {
                if self.loose_ends.unwatched.insert(run) {
                    tracing::warn!(id = %running.id, %run, %error, "cannot watch a process; tried again");
                }
            }
        }
    }

    /// Has the end of what is left of a tree told.
    pub(super) fn watch_tree(&mut self, run: RunId) {
        let Some(running) = self.running.get(&run) else { return };
        match self.watcher.add_tree(&running.tree, run.0) {
            Ok(true) => {}
            Ok(false) => {
                self.loose_ends.lingering.insert(run);
            }
            Err(error) => {
                tracing::warn!(id = %running.id, %error, "cannot watch a tree; it is looked at");
                self.loose_ends.lingering.insert(run);
            }
        }
    }

    pub(super) fn look_at_tree(&mut self, run: RunId) {
        let Some(running) = self.running.get_mut(&run).filter(|one| one.leader_ended) else {
            return;
        };
        if let Some(end) = running.tree.end() {
            // Its zombies go before anything starts that might look for their pids.
            self.reap_orphans();
            self.forget(run, end);
            self.facts.push(Fact::TreeGone { run });
        } else {
            // Whoever told that it is empty does not say so twice.
            self.loose_ends.lingering.insert(run);
        }
    }

    /// Of processes that came to us when their parent ended; again, where something is being started.
    pub(super) fn reap_orphans(&mut self) {
        self.loose_ends.orphans = process::reap_orphans(|_| false).is_none();
    }

    /// There may be some.
    pub(super) fn expect_orphans(&mut self) {
        self.loose_ends.orphans = true;
    }

    pub(super) fn kill(&mut self, run: RunId) {
        let Some(running) = self.running.get_mut(&run) else { return };
        match running.tree.kill() {
            Ok(()) => {
                self.loose_ends.unkilled.remove(&run);
            }
            Err(error) => {
                // What another user's process refuses it refuses each time.
                let is_passing = error.kind() != io::ErrorKind::PermissionDenied;
                if !is_passing || self.loose_ends.unkilled.insert(run) {
                    tracing::warn!(id = %running.id, %run, %error, "cannot kill all of a process tree");
                }
            }
        }
    }

    /// What a process of an earlier engine writes, and wrote while nobody read.
    pub(super) fn read_output_of(&mut self, run: RunId) {
        let Some(running) = self.running.get(&run) else { return };
        let id = &running.id;
        let Some(config) = self.supervisor.config(id) else { return };
        match open_output(&self.logs, config, &self.supervisor.registry().config.temp) {
            Ok(()) => {
                self.logs.started(id, run, running.child.pid().unsigned_abs());
                self.loose_ends.unread.remove(&run);
            }
            Err(error) => {
                if self.loose_ends.unread.insert(run) {
                    tracing::error!(%id, %error, "cannot read the output of a process taken over; tried again");
                }
            }
        }
    }

    pub(super) fn look_after_loose_ends(&mut self) {
        if self.loose_ends.orphans {
            self.reap_orphans();
        }
        for run in self.loose_ends.unkilled.clone() {
            self.kill(run);
        }
        for run in self.loose_ends.unread.clone() {
            self.read_output_of(run);
        }
        for run in self.loose_ends.unwatched.clone() {
            self.watch_leader(run);
        }
        for run in self.loose_ends.lingering.clone() {
            self.look_at_tree(run);
        }
        self.take_facts();
    }
}
