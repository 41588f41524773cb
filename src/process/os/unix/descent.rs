//! A process tree without a cgroup: who descends from the leader, as far as it can be known.
//!
//! We are the subreaper of all our descendants, so whatever loses its parent becomes a child of
//! ours: nothing leaves the family unseen. What can be lost is *whose* an orphan was. Evidence,
//! in this order: it was seen in the tree before; its session was; the marker stands in its
//! environment. A daemon that was born and orphaned between two scans, in a new session and
//! with a cleared environment, belongs to nobody (see `Containment::sweep`).
//!
//! Every process is known by pid *and* start time, and gets its signals through a pidfd that
//! was opened before its start time was compared, so a reused pid never gets one.

use std::{
    collections::{HashMap, HashSet},
    io, thread,
};

use rustix::process::pidfd_send_signal;

use super::{
    Child, child,
    family::{children_of, every_process, has_in_environment, own_children, own_orphans},
    guard, leaders,
    stat::Stat,
};
use crate::{
    model::{ComponentId, RunId},
    process::{Marked, Signal},
};

#[derive(Debug)]
pub(super) struct Descent {
    /// `NAME=value` as it stands in the environment.
    marker: Vec<u8>,
    /// It descends from an earlier Supervisor: its orphans went elsewhere, so look everywhere.
    is_adopted: bool,
    leader: Option<Identity>,
    /// Living members: start time by pid.
    known: HashMap<i32, u64>,
    /// Sessions of all members that were ever seen.
    sessions: HashSet<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Identity {
    pid: i32,
    start_time: u64,
}

/// Where to look for processes that lost their parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Among the children of our first thread. The kernel gives orphans to the first thread that
    /// lives, and leaders are the children of the thread that starts them, so this list stays
    /// short however many components there are.
    AtOrphans,
    /// Among all our children, which relies on nothing: it has the last word.
    Everywhere,
}

/// What a look at the orphans found.
#[derive(Debug, Default)]
struct Orphans {
    found: Vec<i32>,
    /// Some on the list had ended by the time they were looked at.
    some_ended: bool,
    /// Some are just executing a program, so their environment cannot be read.
    some_unclear: bool,
}

impl Descent {
    pub(super) fn new(marker: Vec<u8>, is_adopted: bool) -> Self {
        Self { marker, is_adopted, leader: None, known: HashMap::new(), sessions: HashSet::new() }
    }

    pub(super) fn lead(&mut self, leader: &Child) {
        let identity = Identity { pid: leader.pid(), start_time: leader.start_time() };
        self.leader = Some(identity);
        self.known.insert(identity.pid, identity.start_time);
        self.sessions.insert(identity.pid);
    }

    /// Whether nothing of it lives. Cheap as long as something is known to; what cannot be told
    /// at this moment is no.
    pub(super) fn is_empty(&mut self) -> bool {
        let is_alive = |(&pid, &start_time): (&i32, &u64)| {
            living(pid).is_some_and(|stat| stat.start_time == start_time)
        };
        !self.known.iter().any(is_alive) && self.scan(Look::Everywhere) && self.known.is_empty()
    }

    /// Pids of the living members, as of now.
    pub(super) fn members(&mut self) -> Vec<i32> {
        self.scan(Look::AtOrphans);
        self.known.keys().copied().collect()
    }

    /// Brings `known` up to date. False: something could not be told, so ask again.
    fn scan(&mut self, look: Look) -> bool {
        /// Only a tree that forks and dies all the time keeps a scan from coming to rest.
        const PASSES: u32 = 64;
        /// Where all processes are looked at, some have always ended meanwhile, for others' come and go
        /// as well. So many lists on which nothing of it was: what lives was on one of them.
        const PASSES_OF_ALL: u32 = 4;
        let mut frontier = Vec::new();
        self.known.retain(|&pid, &mut start_time| {
            let alive = living(pid).is_some_and(|stat| stat.start_time == start_time);
            if alive {
                frontier.push(pid);
            }
            alive
        });
        self.follow(frontier);
        // A process that ended after the list was read has left its children to us after it, so
        // the list is conclusive only when nobody on it turns out to have ended since.
        let mut buried = HashSet::new();
        let (mut is_quiet, mut is_clear) = (self.is_adopted, false);
        for _ in 0..if self.is_adopted { PASSES_OF_ALL } else { PASSES } {
            let orphans = self.orphans(look, &mut buried);
            is_quiet &= orphans.found.is_empty();
            is_clear = !orphans.some_unclear;
            if orphans.some_unclear {
                // Executing a program takes it a fraction of a millisecond.
                thread::yield_now();
            } else if orphans.found.is_empty() && !orphans.some_ended {
                return true;
            }
            self.follow(orphans.found);
        }
        is_quiet && is_clear
    }

    /// Takes in everything that descends from these members.
    fn follow(&mut self, mut frontier: Vec<i32>) {
        while let Some(parent) = frontier.pop() {
            let Some(&parent_start) = self.known.get(&parent) else { continue };
            let found = children_of(parent);
            if found.is_empty() {
                continue;
            }
            // Had the pid changed hands meanwhile, these would be another's children.
            if living(parent).is_none_or(|stat| stat.start_time != parent_start) {
                continue;
            }
            for pid in found {
                let child = living(pid).filter(|stat| stat.ppid == parent);
                if let Some(stat) = child
                    && self.admit(pid, &stat)
                {
                    frontier.push(pid);
                }
            }
        }
    }

    /// True when it was not known yet.
    fn admit(&mut self, pid: i32, stat: &Stat) -> bool {
        self.sessions.insert(stat.session);
        self.known.insert(pid, stat.start_time) != Some(stat.start_time)
    }

    /// Takes in processes that lost their parent and are known to be of this tree.
    fn orphans(&mut self, look: Look, buried: &mut HashSet<i32>) -> Orphans {
        let us = std::process::id().cast_signed();
        let guardian = guard::guardian();
        let earliest = self.leader.map_or(0, |leader| leader.start_time);
        let candidates = match look {
            _ if self.is_adopted => every_process(),
            Look::Everywhere => own_children(),
            Look::AtOrphans => own_orphans(),
        };
        let mut orphans = Orphans::default();
        for pid in leaders::others(candidates) {
            if pid == us || Some(pid) == guardian || self.known.contains_key(&pid) {
                continue;
            }
            let Some(stat) = living(pid) else {
                orphans.some_ended |= buried.insert(pid);
                continue;
            };
            if stat.start_time < earliest {
                continue;
            }
            // A session proves something for children of ours (or of our guardian, who gets the
            // orphans of an engine that died) alone: elsewhere its number may have been given to
            // another's.
            let is_child = stat.ppid == us || Some(stat.ppid) == guardian;
            let by_session = is_child && self.sessions.contains(&stat.session);
            let is_ours =
                if by_session { Some(true) } else { has_in_environment(pid, &self.marker) };
            match is_ours {
                Some(true) if self.admit(pid, &stat) => orphans.found.push(pid),
                Some(_) => {}
                None => orphans.some_unclear = true,
            }
        }
        orphans
    }

    /// Freezes what it finds until nothing new appears, then kills it, until two scans in a row
    /// find nothing that was not killed.
    ///
    /// A process to which `SIGSTOP` was sent can no more fork, so a scan after it is exact; were
    /// parents killed at once, their newborn would become orphans of unknown origin.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        /// A tree that is not ended after so many passes makes processes that we may not stop.
        const PASSES: u32 = 64;
        let mut killed = HashSet::new();
        let mut refused = None;
        for _ in 0..PASSES {
            let (mut frozen, mut certain) = self.freeze(Look::AtOrphans, &killed);
            if frozen.is_empty() {
                (frozen, certain) = self.freeze(Look::Everywhere, &killed);
            }
            if frozen.is_empty() && certain {
                break;
            }
            for identity in frozen {
                if let Err(error) = send(identity, Signal::Kill) {
                    refused.get_or_insert(error);
                }
                killed.insert(identity);
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// What it froze, and whether that certainly is all.
    fn freeze(&mut self, look: Look, killed: &HashSet<Identity>) -> (HashSet<Identity>, bool) {
        let mut frozen = HashSet::new();
        loop {
            let before = frozen.len();
            let certain = self.scan(look);
            for identity in self.identities() {
                if !killed.contains(&identity) && frozen.insert(identity) {
                    // What we may not stop we may not kill either: kill() reports it.
                    let _refused = send(identity, Signal::Stop);
                }
            }
            if frozen.len() == before {
                return (frozen, certain);
            }
        }
    }

    /// Sends to every member; how many got it.
    pub(super) fn signal(&mut self, signal: Signal) -> io::Result<usize> {
        let mut reached = 0;
        let mut refused = None;
        self.scan(Look::AtOrphans);
        for identity in self.identities() {
            match send(identity, signal) {
                Ok(true) => reached += 1,
                Ok(false) => {}
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        refused.map_or(Ok(reached), Err)
    }

    fn identities(&self) -> Vec<Identity> {
        let known = self.known.iter();
        known.map(|(&pid, &start_time)| Identity { pid, start_time }).collect()
    }
}

/// The state of a process that has not ended.
fn living(pid: i32) -> Option<Stat> {
    Stat::of(pid).ok().flatten().filter(|stat| !stat.is_dead())
}

/// False: it is gone.
fn send(identity: Identity, signal: Signal) -> io::Result<bool> {
    let Some(pidfd) = child::open(identity.pid)? else { return Ok(false) };
    if living(identity.pid).is_none_or(|stat| stat.start_time != identity.start_time) {
        return Ok(false);
    }
    match pidfd_send_signal(pidfd, signal.into()) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The process with this marker that leads its session, as every leader does from its start.
pub(super) fn leader_by(marker: &[u8]) -> Option<Child> {
    let leads = |pid: i32| living(pid).filter(|stat| stat.session == pid).map(|stat| (stat, pid));
    let carries_it = |pid: &i32| has_in_environment(*pid, marker) == Some(true);
    // A daemon below it may lead a session of its own; the leader came first.
    let leaders = every_process().into_iter().filter(carries_it).filter_map(leads);
    let (stat, pid) = leaders.min_by_key(|(stat, _)| stat.start_time)?;
    Child::adopt(pid, stat.start_time).ok().flatten()
}

/// Every living process whose environment says that a Supervisor of this name started it, or what it
/// descends from; none where that would be ourselves. Looks at all processes of the machine.
pub(super) fn marked(marker: &str, name: &str) -> Vec<Marked> {
    let prefix = format!("{marker}={name}:");
    let read = |pid: &str| std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let value = |environment: &[u8], prefix: &str| {
        let mut entries = environment.split(|&byte| byte == 0);
        let value = entries.find_map(|entry| entry.strip_prefix(prefix.as_bytes()))?;
        String::from_utf8(value.to_vec()).ok()
    };
    // Started from within a component: whatever is done to its tree is done to us.
    if value(&read("self"), &prefix).is_some() {
        return Vec::new();
    }
    let find = |pid: i32| {
        let environment = read(&pid.to_string());
        let run = RunId(value(&environment, &prefix)?.parse().ok()?);
        let component = value(&environment, "S7SUPERVISOR_COMPONENT=")?;
        let stat = living(pid)?;
        let component = ComponentId::new(&component).ok()?;
        let leads = stat.session == pid;
        Some(Marked { component, run, pid, start_time: stat.start_time, leads })
    };
    every_process().into_iter().filter_map(find).collect()
}

/// Kills every living descendant of ours that is no leader's and below none; how many.
pub(super) fn sweep() -> usize {
    let mut frontier = leaders::others(own_children());
    frontier.retain(|pid| Some(*pid) != guard::guardian());
    let mut swept = HashSet::new();
    while let Some(pid) = frontier.pop() {
        let Some(stat) = living(pid) else { continue };
        let identity = Identity { pid, start_time: stat.start_time };
        if swept.insert(identity) {
            let _gone_or_refused = send(identity, Signal::Stop);
            frontier.extend(children_of(pid));
        }
    }
    swept.iter().filter(|&&identity| matches!(send(identity, Signal::Kill), Ok(true))).count()
}
