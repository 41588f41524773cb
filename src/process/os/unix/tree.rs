//! Whole process trees: how they are known is chosen once, at the start of the Supervisor.

use std::{ffi::OsString, io, os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};

use super::{
    Child,
    cgroup::{Base, Leaf},
    descent::{self, Descent},
    prepare::Joining,
};
use crate::{
    model::{ComponentId, RunId},
    process::{Leftover, Level, Marked, Signal, TreeEnd, Unbounded},
    registry::Limits,
};

/// Name of the variable that marks every process of a tree, unless it clears its environment.
pub const MARKER: &str = "S7SUPERVISOR_TREE";

/// The means by which trees are known. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Containment {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Unique to the runtime folder, so that two Supervisors never claim each other's.
    name: String,
    means: Means,
    /// Why it is not the best level.
    reason: Option<String>,
}

#[derive(Debug)]
enum Means {
    Cgroup(Base),
    Subreaper,
}

/// The process tree of one run: the leader and all that it started.
///
/// Dropping it ends nothing.
#[derive(Debug)]
pub struct Tree {
    marker: OsString,
    members: Members,
}

#[derive(Debug)]
enum Members {
    Cgroup(Leaf, Joining),
    Descent(Box<Descent>),
}

impl Containment {
    /// Finds the best means, by trying it, or takes `forced` if that can be had.
    ///
    /// `name` must be the same for every Supervisor of one runtime folder and no other;
    /// what is not a letter, digit, dot, hyphen or underscore is replaced.
    pub fn probe(name: &str, forced: Option<Level>) -> Self {
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name: String = name.chars().map(|c| if safe(c) { c } else { '-' }).collect();
        // From now on the orphans of our descendants become our children. Without cgroups that is
        // how they are found; with them it keeps their zombies, which still have a pid that
        // `kill -0` finds, from waiting for an init that may never come.
        let us = Some(rustix::process::getpid());
        let refused = rustix::process::set_child_subreaper(us).err();
        let cgroup = match forced {
            None | Some(Level::Cgroup) => Base::make(&name),
            Some(Level::Subreaper | Level::JobObject) => {
                Err("the Supervisor was told to do without cgroups".to_owned())
            }
        };
        let (means, reason) = match cgroup {
            Ok(base) => (Means::Cgroup(base), None),
            Err(reason) => {
                let refused = refused.map(|error| format!("; cannot become subreaper: {error}"));
                (Means::Subreaper, Some(reason + &refused.unwrap_or_default()))
            }
        };
        Self { shared: Arc::new(Shared { name, means, reason }) }
    }

    pub fn level(&self) -> Level {
        match self.shared.means {
            Means::Cgroup(_) => Level::Cgroup,
            Means::Subreaper => Level::Subreaper,
        }
    }

    /// Why it is not the best level, for `status` and `doctor`.
    pub fn reason(&self) -> Option<&str> {
        self.shared.reason.as_deref()
    }

    /// The folder in which the components' cgroups are, where there are any.
    pub fn folder(&self) -> Option<&Path> {
        match &self.shared.means {
            Means::Cgroup(base) => Some(base.folder()),
            Means::Subreaper => None,
        }
    }

    /// An empty tree for a run that is about to start: pass it to [`spawn`](super::spawn).
    pub fn tree(&self, component: &ComponentId, run: RunId) -> io::Result<Tree> {
        let members = match &self.shared.means {
            Means::Cgroup(base) => Members::Cgroup(base.leaf(component, run)?, base.joining()),
            Means::Subreaper => self.descent(run, false),
        };
        Ok(Tree { marker: self.marker(run), members })
    }

    /// Has the kernel bound what is started in the tree: CPU, processes, and memory for good. What
    /// of it is not kept here is returned.
    pub fn bound(&self, tree: &Tree, limits: &Limits) -> Vec<Unbounded> {
        let reason = match (&self.shared.means, &tree.members) {
            (Means::Cgroup(base), Members::Cgroup(leaf, _)) => return base.bound(leaf, limits),
            (means, _) => match means {
                Means::Cgroup(_) => "its process tree is not in a cgroup".to_owned(),
                Means::Subreaper => "process trees are held without cgroups here".to_owned(),
            },
        };
        let given = [
            (limits.cpu.is_some(), "limits/cpu"),
            (limits.memory_max.is_some(), "limits/memoryMax"),
            (limits.processes.is_some(), "limits/processes"),
        ];
        let given = given.into_iter().filter(|(given, _)| *given);
        given.map(|(_, element)| Unbounded { element, reason: reason.clone() }).collect()
    }

    /// The tree of a run that an earlier Supervisor started and whose leader was adopted; the
    /// leader may have ended.
    pub fn adopt(&self, component: &ComponentId, run: RunId, leader: &Child) -> Tree {
        let leaf = match &self.shared.means {
            Means::Cgroup(base) => match base.leaf_of(leader.pid()) {
                Ok(Some(leaf)) => Some(leaf),
                // It has ended, so it is nowhere any more.
                Ok(None) | Err(_) => base.leaf_of_run(component, run),
            },
            Means::Subreaper => None,
        };
        let mut tree = self.of_leaf(run, leaf);
        tree.lead(leader);
        tree
    }

    /// What may be left of a run whose leader is gone.
    pub fn remains(&self, component: &ComponentId, run: RunId) -> Tree {
        let leaf = match &self.shared.means {
            Means::Cgroup(base) => base.leaf_of_run(component, run),
            Means::Subreaper => None,
        };
        self.of_leaf(run, leaf)
    }

    fn of_leaf(&self, run: RunId, leaf: Option<Leaf>) -> Tree {
        // Nobody is started in it any more, so how to join does not matter.
        let members = leaf.map_or_else(
            || self.descent(run, true),
            |leaf| Members::Cgroup(leaf, Joining::ByWriting),
        );
        Tree { marker: self.marker(run), members }
    }

    /// The leader of a run whose start was announced and not confirmed: the Supervisor died in
    /// between. `None`: there is no such process.
    pub fn leader_of(&self, run: RunId) -> Option<Child> {
        let marker = format!("{MARKER}={}:{run}", self.shared.name);
        descent::leader_by(marker.as_bytes())
    }

    /// Living processes of every run of this runtime folder, by the mark in their environments, however
    /// trees are held. Looks at all processes of the machine.
    pub fn marked(&self) -> Vec<Marked> {
        descent::marked(MARKER, &self.shared.name)
    }

    /// Components whose cgroups are populated: to be asked at start, before anything is started.
    pub fn leftovers(&self) -> Vec<Leftover> {
        match &self.shared.means {
            Means::Cgroup(base) => base.leftovers(),
            Means::Subreaper => Vec::new(),
        }
    }

    /// Ends descendants of ours that could not be attributed to any component; how many. For
    /// the Supervisor's own end, when every component has stopped.
    pub fn sweep(&self) -> usize {
        match &self.shared.means {
            Means::Cgroup(_) => 0,
            Means::Subreaper => descent::sweep(),
        }
    }

    /// Removes what is kept for components that are not known and of which nothing runs. Not to be
    /// called while something may be starting in a tree that is not known.
    pub fn forget(&self, is_known: &dyn Fn(&str) -> bool) {
        if let Means::Cgroup(base) = &self.shared.means {
            base.forget(is_known);
        }
    }

    /// Removes our own empty cgroups, at the end.
    pub fn remove(&self) {
        if let Means::Cgroup(base) = &self.shared.means {
            base.remove();
        }
    }

    fn marker(&self, run: RunId) -> OsString {
        format!("{}:{run}", self.shared.name).into()
    }

    fn descent(&self, run: RunId, is_adopted: bool) -> Members {
        let marker = format!("{MARKER}={}:{run}", self.shared.name);
        Members::Descent(Box::new(Descent::new(marker.into_bytes(), is_adopted)))
    }
}

impl Tree {
    /// What is put into the environment of the leader.
    pub(super) fn marker(&self) -> (&'static str, &OsString) {
        (MARKER, &self.marker)
    }

    pub(super) fn lead(&mut self, leader: &Child) {
        match &mut self.members {
            Members::Cgroup(..) => {}
            Members::Descent(descent) => descent.lead(leader),
        }
    }

    /// The cgroup's folder, where there is one: the sampler reads there.
    pub fn folder(&self) -> Option<&Path> {
        match &self.members {
            Members::Cgroup(leaf, _) => Some(leaf.folder()),
            Members::Descent(_) => None,
        }
    }

    /// CPU time of all that ever was in it; none where nobody counts that by tree.
    pub fn cpu_time(&self) -> Option<Duration> {
        match &self.members {
            Members::Cgroup(leaf, _) => leaf.cpu_time(),
            Members::Descent(_) => None,
        }
    }

    /// How many of its processes the kernel's out-of-memory killer took; none where nobody counts
    /// them by tree.
    pub fn oom_kills(&self) -> Option<u64> {
        match &self.members {
            Members::Cgroup(leaf, _) => leaf.oom_kills(),
            Members::Descent(_) => None,
        }
    }

    /// Its cgroup, where there is one, open for a birth into it.
    pub(super) fn cgroup(&mut self) -> io::Result<Option<OwnedFd>> {
        match &mut self.members {
            Members::Cgroup(leaf, _) => leaf.for_birth().map(Some),
            Members::Descent(_) => Ok(None),
        }
    }

    pub(super) fn joining(&self) -> Joining {
        match &self.members {
            Members::Cgroup(_, joining) => *joining,
            Members::Descent(_) => Joining::AtBirth,
        }
    }

    pub(super) fn open_events(&self) -> io::Result<Option<OwnedFd>> {
        match &self.members {
            Members::Cgroup(leaf, _) => leaf.open_events().map(Some),
            Members::Descent(_) => Ok(None),
        }
    }

    /// Ends all of it with `SIGKILL`. That is asked for when this returns, and done when
    /// [`is_empty`](Self::is_empty) says so. An error means that some refused (another user's).
    pub fn kill(&mut self) -> io::Result<()> {
        match &mut self.members {
            Members::Cgroup(leaf, _) => leaf.kill(),
            Members::Descent(descent) => descent.kill(),
        }
    }

    /// Sends to every member; how many got it.
    pub fn signal(&mut self, signal: Signal) -> io::Result<usize> {
        match &mut self.members {
            Members::Cgroup(leaf, _) => leaf.signal(signal),
            Members::Descent(descent) => descent.signal(signal),
        }
    }

    /// Whether no process of it lives any more. Zombies do not count.
    pub fn is_empty(&mut self) -> bool {
        match &mut self.members {
            // What cannot be read is not known to be empty.
            Members::Cgroup(leaf, _) => leaf.is_empty().unwrap_or(false),
            Members::Descent(descent) => descent.is_empty(),
        }
    }

    /// How it ended, when no process of it lives any more.
    pub fn end(&mut self) -> Option<TreeEnd> {
        match &mut self.members {
            // What cannot be read is not known to be empty.
            Members::Cgroup(leaf, _) => leaf.end().unwrap_or(None),
            Members::Descent(descent) => descent.is_empty().then(TreeEnd::default),
        }
    }

    /// Pids of the living members. Asked now and then, it makes a tree without cgroup better
    /// known: what was once seen is remembered.
    pub fn members(&mut self) -> Vec<i32> {
        match &mut self.members {
            Members::Cgroup(leaf, _) => leaf.members(),
            Members::Descent(descent) => descent.members(),
        }
    }

    /// Removes its cgroup, if that is empty: the component is no longer in the registry.
    pub fn remove(self) {
        match self.members {
            Members::Cgroup(leaf, _) => leaf.remove(),
            Members::Descent(_) => {}
        }
    }
}
