//! The engine's side of having a guardian: what is heard from it, and what it is told.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::io::unix::AsyncFd;

use super::{
    clock,
    driver::Driver,
    messages::Internal,
    signals::{SentTo, SignalKind},
};
use crate::{
    guardian::{self, Death, DescriptorStore as _, Link, News},
    model::{ComponentId, Exit, Moment, RunId, in_words},
    process,
    wire::{self, EventKind, GuardianForm},
};

/// How long the guardian may take to tell how a process ended that it has reaped.
const TELLS_WITHIN: Duration = Duration::from_secs(1);

/// Until words for which there was no room are offered again.
const OFFER_AGAIN: Duration = Duration::from_millis(5);

/// Between two attempts to make a guardian.
const MAKE_AGAIN: Duration = Duration::from_secs(5);

/// How this engine makes a guardian where it has none, as its child.
#[derive(Debug, Clone)]
pub struct Successor {
    /// The command line of the guardian: it finds its socket at its standard output.
    pub guardian: Vec<OsString>,
    /// Where it, and an engine after us, write; none: where we do.
    pub output: Option<PathBuf>,
    /// The program that takes our place at a restart understands `--guarded=FD`.
    pub is_handed_over: bool,
}

/// A guardian that has just been started, and our way to it.
#[derive(Debug)]
pub(super) struct NewGuardian {
    link: Link,
    child: process::Child,
}

/// The guardian as the driver knows it.
#[derive(Debug, Default)]
pub(super) struct Guarding {
    pub link: Option<Arc<Link>>,
    /// Readable when it has said something.
    pub news: Option<AsyncFd<OwnedFd>>,
    pub successor: Option<Successor>,
    /// What one that comes is to keep, beside processes and pipes.
    pub held: Vec<(&'static str, OwnedFd)>,
    /// It is our parent, so it reaps what an engine before us has started.
    is_parent: bool,
    since: Option<Moment>,
    /// Where it is our child.
    child: Option<process::Child>,
    /// One is to be made.
    make_at: Option<Moment>,
    made_at: Option<Moment>,
    /// Runs that ended, and until when the guardian may tell how.
    unsure: BTreeMap<RunId, Moment>,
    /// Heard before there was anything to do about it.
    early: Vec<News>,
}

impl Guarding {
    pub fn new(link: Option<Arc<Link>>, successor: Option<Successor>) -> io::Result<Self> {
        let mut guarding = Self { successor, ..Self::default() };
        guarding.set_link(link)?;
        Ok(guarding)
    }

    fn set_link(&mut self, link: Option<Arc<Link>>) -> io::Result<()> {
        let news = link.as_ref().map(|link| process::readable(link.news_descriptor()?));
        self.news = news.transpose()?;
        let pid = link.as_ref().map(|link| link.guardian());
        process::set_guardian(pid);
        self.is_parent = pid.is_some_and(|pid| pid == std::os::unix::process::parent_id());
        let age = pid.and_then(|pid| process::age(i32::try_from(pid).ok()?).ok().flatten());
        self.since =
            age.map(|age| Moment::from_boot(clock::now().since_boot().saturating_sub(age)));
        self.link = link;
        Ok(())
    }

    /// The guardian's pid, while it lives.
    pub fn pid(&self) -> Option<u32> {
        self.alive().map(Link::guardian).filter(|pid| *pid != 0)
    }

    /// For the status.
    pub fn status(&self, now: Moment) -> Option<wire::GuardianStatus> {
        let form = if self.is_parent { GuardianForm::Parent } else { GuardianForm::Beside };
        let uptime_s = self.since.map_or(0.0, |since| now.since(since).as_secs_f64());
        self.pid().map(|pid| wire::GuardianStatus { pid, form, uptime_s })
    }

    pub fn alive(&self) -> Option<&Link> {
        self.link.as_deref().filter(|link| !link.is_broken())
    }

    pub fn next_deadline(&self) -> Option<Moment> {
        let is_behind = self.link.as_ref().is_some_and(|link| link.is_behind());
        let offer = is_behind.then(|| clock::now().after(OFFER_AGAIN));
        self.unsure.values().copied().chain(offer).chain(self.make_at).min()
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
                News::Gone => self.guardian_gone(),
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
        // An engine that has no guardian.
        if self.stores.pause().is_some() {
            self.stores.settle();
        }
        if self.guarding.unsure.values().any(|until| *until <= now) {
            self.ask_the_unsure();
        }
        if self.guarding.make_at.is_some_and(|at| at <= now) {
            self.guarding.make_at = None;
            self.make_guardian(now);
        }
    }

    fn guardian_gone(&mut self) {
        tracing::error!("the guardian has ended: nobody would start this engine again");
        let text = "the guardian has ended; supervision goes on, and another one is started";
        let text = if self.guarding.successor.is_some() { text } else { "the guardian has ended" };
        self.tell(None, EventKind::Supervisor, text, None);
        self.stores.set_guardian(None);
        self.guarding.news = None;
        process::set_guardian(None);
        // Not a zombie yet, perhaps: then it goes with the orphans.
        if let Some(child) = self.guarding.child.take() {
            let _reaped = child.reap();
        }
        self.want_guardian();
    }

    /// Has a guardian made where there is none, and a way to make one.
    pub fn want_guardian(&mut self) {
        if self.guarding.alive().is_none() && self.guarding.successor.is_some() {
            let now = clock::now();
            let earliest = self.guarding.made_at.map(|at| at.after(MAKE_AGAIN));
            self.guarding.make_at = Some(earliest.map_or(now, |at| at.max(now)));
        }
    }

    /// On the blocking pool: to execute a program takes a disk.
    fn make_guardian(&mut self, now: Moment) {
        let Some(successor) = self.guarding.successor.clone() else { return };
        if self.supervisor.is_shutting_down() {
            return;
        }
        self.guarding.made_at = Some(now);
        let internal = self.internal.clone();
        tokio::task::spawn_blocking(move || {
            let made = start_guardian(&successor).map(Box::new);
            // The loop outlives every task but at the very end.
            let _nobody_listens = internal.send(Internal::GuardianMade(made));
        });
    }

    pub fn guardian_made(&mut self, made: Result<Box<NewGuardian>, String>) {
        let link = made.and_then(|made| {
            let NewGuardian { link, child } = *made;
            let link = Arc::new(link);
            self.guarding.set_link(Some(Arc::clone(&link))).map_err(|error| error.to_string())?;
            self.guarding.child = Some(child);
            Ok(link)
        });
        let link = match link {
            Ok(link) => link,
            Err(error) => {
                tracing::warn!(error, "cannot start a guardian; tried again");
                self.want_guardian();
                return;
            }
        };
        tracing::info!(pid = link.guardian(), "a guardian has been started");
        self.stores.set_guardian(Some(Arc::clone(&link)));
        for (name, descriptor) in &self.guarding.held {
            self.stores.keep(name, descriptor.as_fd());
        }
        for (run, running) in &self.running {
            let name = guardian::name::pid(&running.id, *run);
            self.stores.keep(&name, running.child.as_fd());
            self.keep_socket(&running.id, *run);
        }
        self.logs.keep_pipes();
        link.serving();
    }

    /// What the run says of itself while no engine lives is for the next one.
    pub fn keep_socket(&self, id: &ComponentId, run: RunId) {
        if let Some(socket) = self.probes.socket(run) {
            self.stores.keep(&guardian::name::notify(id, run), socket);
        }
    }

    /// The checks of a run end, and what is kept for them goes.
    pub fn forget_probes(&mut self, run: RunId) {
        let id = self.running.get(&run).map(|running| &running.id);
        if self.probes.socket(run).is_some()
            && let Some(id) = id.or_else(|| self.supervisor.component_of(run))
        {
            self.stores.forget(&guardian::name::notify(id, run));
        }
        self.probes.forget(run);
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
        let kept = match kept {
            1 => "1 component".to_owned(),
            many => format!("{many} components"),
        };
        let text = format!("the engine ended by {exit}; restarted after {gap}, {kept} kept");
        self.tell(None, EventKind::Supervisor, text, None);
    }
}

fn start_guardian(successor: &Successor) -> Result<NewGuardian, String> {
    let Successor { guardian, output, .. } = successor;
    let failed = |error: io::Error| error.to_string();
    let stderr = match output {
        Some(path) => File::options().append(true).create(true).open(path).map(OwnedFd::from),
        None => io::stderr().as_fd().try_clone_to_owned(),
    };
    let (link, theirs) = Link::to_newborn().map_err(failed)?;
    let child = process::spawn_beside(guardian, theirs, stderr.map_err(failed)?);
    let child = child.map_err(|error| error.to_string())?;
    link.is_to(child.pid().unsigned_abs());
    Ok(NewGuardian { link, child })
}
