//! The engine's side of having a guardian: what is heard from it, and what it is told.

use std::{collections::BTreeMap, io, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::io::unix::AsyncFd;

use super::{
    clock,
    driver::Driver,
    signals::{SentTo, SignalKind},
};
use crate::{
    guardian::{Death, Link, News},
    model::{Exit, Moment, RunId, in_words},
    process,
    wire::EventKind,
};

/// How long the guardian may take to tell how a process ended that it has reaped.
const TELLS_WITHIN: Duration = Duration::from_secs(1);

/// Until words for which there was no room are offered again.
const OFFER_AGAIN: Duration = Duration::from_millis(5);

/// The guardian as the driver knows it.
#[derive(Debug, Default)]
pub(super) struct Guarding {
    pub link: Option<Arc<Link>>,
    /// It is our parent, so it reaps what an engine before us has started.
    pub is_parent: bool,
    /// Runs that ended, and until when the guardian may tell how.
    unsure: BTreeMap<RunId, Moment>,
    /// Heard before there was anything to do about it.
    early: Vec<News>,
}

impl Guarding {
    pub fn new(link: Option<Arc<Link>>) -> Self {
        let pid = link.as_ref().map(|link| link.guardian());
        process::set_guardian(pid);
        let is_parent = pid.is_some_and(|pid| pid == std::os::unix::process::parent_id());
        Self { link, is_parent, unsure: BTreeMap::new(), early: Vec::new() }
    }

    /// The guardian's pid, while it lives.
    pub fn pid(&self) -> Option<u32> {
        self.alive().map(Link::guardian).filter(|pid| *pid != 0)
    }

    pub fn alive(&self) -> Option<&Link> {
        self.link.as_deref().filter(|link| !link.is_broken())
    }

    pub fn next_deadline(&self) -> Option<Moment> {
        let is_behind = self.link.as_ref().is_some_and(|link| link.is_behind());
        let offer = is_behind.then(|| clock::now().after(OFFER_AGAIN));
        self.unsure.values().copied().chain(offer).min()
    }

    /// Whether it may still be told how the process of this run ended.
    fn may_tell(&mut self, run: RunId, now: Moment) -> bool {
        if !self.is_parent || self.alive().is_none() {
            self.unsure.remove(&run);
            return false;
        }
        let until = *self.unsure.entry(run).or_insert_with(|| now.after(TELLS_WITHIN));
        if now >= until {
            self.unsure.remove(&run);
        }
        now < until
    }
}

/// Readable when the guardian has said something.
pub(super) fn news_of(link: Option<&Arc<Link>>) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    link.map(|link| process::readable(link.news_descriptor()?)).transpose()
}

impl Driver {
    /// Learns how processes ended; what else the guardian has said waits.
    pub fn hear_ends(&mut self) {
        let news = self.guarding.link.as_ref().map(|link| link.news()).unwrap_or_default();
        for one in news {
            match one {
                News::Ended(end) => self.ends.note(end),
                News::Signal(_) | News::Gone => self.guarding.early.push(one),
            }
        }
    }

    /// Takes what the guardian has said.
    pub fn hear_guardian(&mut self) {
        self.hear_ends();
        for one in std::mem::take(&mut self.guarding.early) {
            match one {
                News::Ended(end) => self.ends.note(end),
                News::Signal(number) => {
                    if let Some(signal) = SignalKind::of_number(number) {
                        self.signalled(signal, SentTo::Guardian);
                    }
                }
                News::Gone => {
                    tracing::error!("the guardian is gone: nobody would start this engine again");
                    let text = "the guardian has ended; supervision goes on without";
                    self.tell(None, EventKind::Supervisor, text, None);
                }
            }
        }
        self.ask_the_unsure();
    }

    /// What is due by now.
    pub fn keep_guardian(&mut self, now: Moment) {
        if let Some(link) = &self.guarding.link
            && link.is_behind()
        {
            link.flush();
        }
        if self.guarding.unsure.values().any(|until| *until <= now) {
            self.ask_the_unsure();
        }
    }

    fn ask_the_unsure(&mut self) {
        for run in self.guarding.unsure.keys().copied().collect::<Vec<_>>() {
            self.leader_ended(run);
        }
        self.take_facts();
    }

    /// How a run's leader ended; `None`: it lives, or that will be known in a moment.
    pub fn exit_of(&mut self, run: RunId) -> Option<Exit> {
        let running = self.running.get_mut(&run)?;
        let (pid, start_time) = (running.child.pid(), running.child.start_time());
        let exit = match running.child.reap() {
            Ok(exit) => exit?,
            Err(error) => {
                tracing::error!(id = %running.id, %error, "cannot ask how a process ended");
                Exit::Unknown
            }
        };
        // Whoever reaped it knows, and may not have said so yet.
        let told = self.ends.of(pid, start_time).filter(|_| exit == Exit::Unknown);
        match told {
            None if exit == Exit::Unknown && self.guarding.may_tell(run, clock::now()) => None,
            told => {
                self.guarding.unsure.remove(&run);
                Some(told.unwrap_or(exit))
            }
        }
    }

    /// An engine before this one died, and this one goes on.
    pub fn tell_death(&self, death: Death) {
        let Death { exit, at } = death;
        let gap = clock::now().since(at);
        let kept = self.running.values().filter(|running| !running.leader_ended).count();
        let gap = if gap < Duration::from_secs(1) {
            format!("{:.1} ms", gap.as_secs_f64() * 1e3)
        } else {
            in_words(gap)
        };
        tracing::error!(%exit, gap, kept, "the engine died, and was started again");
        let text =
            format!("the engine ended by {exit}; restarted after {gap}, {kept} components kept");
        self.tell(None, EventKind::Supervisor, text, None);
    }
}
