//! What keeps components within their limits: who uses too much memory, what nobody can keep, and
//! who ended for want of memory.
//!
//! Trees with a memory limit are looked at every [`LOOK`], and every second once one is above its
//! limit; above it in [`LOOKS_ABOVE`] looks in a row, a component is restarted as if it were
//! unhealthy: under the same policy and budget as a crash. Without such a limit there are no
//! looks and no timer.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    clock,
    details::amount,
    driver::{Driver, Running},
    messages::Internal,
    telling::About,
};
use crate::{
    model::{ComponentId, Exit, Moment, RunId},
    process::{KernelLog, Unbounded},
    sampler::{Sampler, Source},
    supervisor::Fact,
    wire::EventKind,
};

/// Between two looks at the memory of trees with a limit.
const LOOK: Duration = Duration::from_secs(5);

/// The same while one is above its limit.
const LOOK_ABOVE: Duration = Duration::from_secs(1);

/// So often in a row above its limit means: a leak, not a peak.
const LOOKS_ABOVE: u32 = 3;

pub(super) struct LimitWatch {
    /// One of its own: between two looks of this one others may sample.
    sampler: Arc<Mutex<Sampler>>,
    kernel_log: KernelLog,
    /// When the next look is due, where there is a limit to be kept.
    next: Option<Moment>,
    is_looking: bool,
    /// Looks in a row at which a run was above its limit.
    above: HashMap<RunId, u32>,
    /// Elements of which it was told that nobody keeps them.
    told: BTreeSet<&'static str>,
}

impl LimitWatch {
    pub fn new() -> Self {
        Self {
            sampler: Arc::default(),
            kernel_log: KernelLog::open(),
            next: None,
            is_looking: false,
            above: HashMap::new(),
            told: BTreeSet::new(),
        }
    }

    pub fn next_deadline(&self) -> Option<Moment> {
        self.next.filter(|_| !self.is_looking)
    }
}

impl Driver {
    /// A run lives, or has other limits than before.
    pub fn keep_limits(&mut self, id: &ComponentId) {
        let has_limit =
            self.supervisor.config(id).is_some_and(|config| config.limits.memory.is_some());
        if has_limit {
            self.limits.next.get_or_insert(clock::now().after(LOOK));
        }
    }

    /// Takes a look, if one is due.
    pub fn look_at_limits(&mut self, now: Moment) {
        if self.limits.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        let limited =
            self.running.iter().filter(|(_, running)| self.memory_limit(running).is_some());
        let trees: Vec<(RunId, Source)> =
            limited.map(|(&run, running)| (run, running.source())).collect();
        if trees.is_empty() {
            self.limits.next = None;
            // What it kept open belongs to nobody any more.
            self.limits.sampler = Arc::default();
            self.limits.above.clear();
            return;
        }
        self.limits.is_looking = true;
        let (sampler, internal) = (Arc::clone(&self.limits.sampler), self.internal.clone());
        tokio::task::spawn_blocking(move || {
            let mut sampler = sampler.lock().unwrap_or_else(PoisonError::into_inner);
            let usages = sampler.sample(&trees, clock::now()).into_iter();
            let used = usages.map(|(run, usage)| (run, usage.memory_bytes)).collect();
            let _ended_meanwhile = internal.send(Internal::MemoryLookedAt { used });
        });
    }

    pub fn memory_looked_at(&mut self, used: Vec<(RunId, u64)>) {
        let before = std::mem::take(&mut self.limits.above);
        for (run, bytes) in used {
            let Some(running) = self.running.get(&run) else { continue };
            let Some(limit) = self.memory_limit(running).filter(|limit| bytes > *limit) else {
                continue;
            };
            let looks = before.get(&run).copied().unwrap_or_default().saturating_add(1);
            self.limits.above.insert(run, looks);
            if looks == LOOKS_ABOVE {
                let id = running.id.clone();
                let why = format!(
                    "its memory limit was passed: {} MiB resident, {} allowed",
                    bytes >> 20,
                    amount(limit)
                );
                tracing::warn!(%id, %run, why, "the component is restarted");
                let about = About { id: &id, run: Some(run) };
                self.tell(Some(about), EventKind::Limit, why.clone(), None);
                self.facts.push(Fact::OverLimit { run, why });
            }
        }
        let is_above = self.limits.above.values().any(|&looks| looks <= LOOKS_ABOVE);
        let pause = if is_above { LOOK_ABOVE } else { LOOK };
        self.limits.is_looking = false;
        self.limits.next = Some(clock::now().after(pause));
        self.take_facts();
    }

    fn memory_limit(&self, running: &Running) -> Option<u64> {
        let config = self.supervisor.config(&running.id)?;
        config.limits.memory.filter(|_| !running.leader_ended)
    }

    /// Tells limits that nobody keeps, each once.
    pub fn tell_unbounded(&mut self, id: &ComponentId, unbounded: Vec<Unbounded>) {
        for Unbounded { element, reason } in unbounded {
            if self.limits.told.insert(element) {
                tracing::warn!(%id, element, reason, "this limit cannot be kept here");
                let text = format!("{element} cannot be kept here: {reason}");
                self.tell(None, EventKind::Supervisor, text, None);
            }
        }
    }

    /// Whether the kernel's out-of-memory killer made this end.
    pub fn is_out_of_memory(&mut self, run: RunId, exit: Exit) -> bool {
        if !exit.may_be_out_of_memory() {
            return false;
        }
        let started = self.process_of(run).map_or_else(Moment::default, |process| process.started);
        let Some(running) = self.running.get(&run) else { return false };
        running.tree.oom_kills().is_some_and(|kills| kills > 0)
            || self.limits.kernel_log.has_killed(running.child.pid(), started)
    }
}
