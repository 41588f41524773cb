//! The guardian's life: one thread, one loop, two or three descriptors to wait at.
//!
//! ```text
//!            fork                  died                     delay over, or asked to end
//!   start ─────────► engine lives ──────► waits (often not) ───────────────────────────► fork
//!                        │ ended with a code                     
//!                        ▼
//!                 ends with that code
//! ```
//!
//! It has no memory of its own to speak of: what it executes, and most of what it touches, is
//! shared with the engine, of which it is the beginning.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
    time::{ClockId, clock_gettime},
};

use super::{
    budget::{Budget, Verdict},
    depot::Depot,
    inheritance::{Death, Inheritance, Kept},
    link::Link,
    service::ServiceSocket,
    socket::{self, LONGEST, Received, Sent},
    successor,
    vault::Vault,
    word::{ToEngine, ToGuardian},
};
use crate::{
    model::{Exit, Moment},
    process::{self, Fork, SignalInbox},
};

/// What is passed on to the engine.
const PASSED_ON: [i32; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGQUIT];
/// The exit code of a Rust program that panicked: it did not end in order.
const PANICKED: i32 = 101;
/// For an engine that takes back what was kept, and reads meanwhile.
const READS_WITHIN: Duration = Duration::from_secs(2);
/// After the engine has said something it is listened to again so much later: its words come in
/// crowds, and wait in the socket meanwhile, also beyond its death.
const LISTENS_AGAIN: Duration = Duration::from_millis(10);
/// Where an engine could not be forked at all, nothing is gained by trying faster.
const SHORTEST_REST: Duration = Duration::from_millis(20);
/// Until a burst of starts is taken for over.
const REST: Duration = Duration::from_secs(3);

/// What this process is from now on.
#[derive(Debug)]
pub enum Role {
    /// The engine, with its guardian as its parent.
    Engine(Guarded),
    /// It was the guardian, and everything is over: the exit status.
    Over(u8),
    /// It was the guardian, and gave up: so many engines died before one served. Components that
    /// run are left for the next Supervisor.
    GaveUp { deaths: u32, last: Exit },
}

/// An engine that has a guardian.
#[derive(Debug)]
pub struct Guarded {
    pub link: Arc<Link>,
    pub inheritance: Inheritance,
}

/// Splits this process in two: a guardian, and the engine that it guards. Returns in the engine,
/// and in each that follows; in the guardian when all is over.
///
/// To be called early, with one thread and after [`process::hygiene`].
///
/// `passed`: what the service manager had kept for us.
pub fn guard(passed: Vec<Kept>) -> io::Result<Role> {
    // The main process is who the service manager listens to.
    Guardian::new(Vault::beside(Depot::from_environment(), passed))?.run()
}

/// As [`guard`], for an engine that runs already, at the other end of this socket: it is not in
/// order any more when it dies, and then the next one is our child.
pub fn guard_beside(socket: OwnedFd) -> io::Result<Role> {
    let peer = rustix::net::sockopt::socket_peercred(&socket)?.pid.as_raw_nonzero().get();
    let start_time = process::start_time(peer)?.unwrap_or_default();
    let Some(stranger) = process::Child::adopt(peer, start_time)? else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the engine has ended"));
    };
    let mut guardian = Guardian::new(Vault::default())?;
    // It serves, or it would not have made us.
    guardian.budget.served();
    guardian.engine = Some(Engine {
        pid: peer,
        stranger: Some(stranger),
        socket: Some(socket),
        since: now(),
        ends: false,
    });
    guardian.run()
}

impl Guardian {
    fn new(vault: Vault) -> io::Result<Self> {
        let mut inbox = PASSED_ON.to_vec();
        inbox.push(libc::SIGCHLD);
        let signals = SignalInbox::open(&inbox)?;
        // Refused: then orphans go where they always went, and are adopted without exact ends.
        let _as_before = process::become_subreaper();
        process::set_name(c"s7-guardian");
        Ok(Self {
            signals,
            vault,
            budget: Budget::default(),
            service: ServiceSocket::from_environment(),
            engine: None,
            death: None,
            stopping: false,
            end_asked: None,
            unheard: Vec::new(),
            quit: false,
            is_quiet: false,
            listens_at: None,
        })
    }
}

struct Guardian {
    signals: SignalInbox,
    vault: Vault,
    budget: Budget,
    service: Option<ServiceSocket>,
    engine: Option<Engine>,
    /// Of the engine before.
    death: Option<Death>,
    /// Everything was asked to end.
    stopping: bool,
    /// The signal that asked for the end, for as long as no engine says that it has heard.
    end_asked: Option<i32>,
    /// Other signals, for an engine that does not live yet.
    unheard: Vec<i32>,
    /// `SIGQUIT` was passed on: the operator wants the engine's core, not another engine.
    quit: bool,
    /// Nothing came while it waited last.
    is_quiet: bool,
    /// When the engine is listened to again.
    listens_at: Option<Moment>,
}

struct Engine {
    pid: i32,
    /// Held by its pidfd where it is not our child, but we are its.
    stranger: Option<process::Child>,
    /// `None`: it has closed its end.
    socket: Option<OwnedFd>,
    since: Moment,
    /// It has said farewell.
    ends: bool,
}

/// What has become of the engine.
enum Turn {
    Lives,
    Ended(Exit),
}

impl Guardian {
    fn run(mut self) -> io::Result<Role> {
        loop {
            if self.engine.is_none() {
                match self.start() {
                    Ok(None) => {}
                    Ok(Some(guarded)) => {
                        drop(self);
                        return Ok(Role::Engine(guarded));
                    }
                    // No process, memory or descriptor to be had. Components may run that nobody
                    // else looks after, so there is no end to it.
                    Err(error) => match self.budget.died(now(), Duration::ZERO) {
                        Verdict::StartAt(at) => {
                            self.rest_until(at.max(now().after(SHORTEST_REST)));
                            continue;
                        }
                        Verdict::GiveUp(_) => return Err(error),
                    },
                }
            }
            // A burst of starts leaves memory, which goes back when nothing has come for a while.
            let mut is_restless = true;
            let exit = loop {
                let turn = self.turn(is_restless.then_some(REST));
                if self.is_quiet && is_restless {
                    process::give_back();
                }
                is_restless = !self.is_quiet;
                match turn {
                    Turn::Lives => {}
                    Turn::Ended(exit) => break exit,
                }
            };
            let Some(engine) = self.engine.take() else { continue };
            if let Some(over) = self.is_over(&engine, exit) {
                return Ok(Role::Over(over));
            }
            let now = now();
            self.death = Some(Death { exit, at: now });
            match self.budget.died(now, now.since(engine.since)) {
                Verdict::StartAt(at) => self.wait_until(at),
                Verdict::GiveUp(deaths) => return Ok(Role::GaveUp { deaths, last: exit }),
            }
        }
    }

    /// The exit status, if no other engine is to follow.
    fn is_over(&self, engine: &Engine, exit: Exit) -> Option<u8> {
        match exit {
            Exit::Code(PANICKED) if !engine.ends => None,
            // It has not said farewell, so components may run.
            Exit::Code(code)
                if code != 0
                    && !engine.ends
                    && self.budget.outlasts_failure(self.stopping || self.end_asked.is_some()) =>
            {
                None
            }
            Exit::Code(code) => Some(u8::try_from(code).unwrap_or(1)),
            Exit::Signal { signal, .. } => (engine.ends || self.quit && signal == libc::SIGQUIT)
                .then(|| 128 + u8::try_from(signal).unwrap_or(0)),
            Exit::Unknown => engine.ends.then_some(0),
        }
    }

    /// Forks an engine; `Some` in its process.
    fn start(&mut self) -> io::Result<Option<Guarded>> {
        let (ours, theirs) = socket::pair()?;
        let parent = std::process::id();
        let Fork::Parent(pid) = process::fork()? else {
            drop(ours);
            process::set_name(c"s7supervisor");
            process::unblock_signals();
            // What a terminal sends to all its processes comes once, through the guardian.
            process::own_group();
            process::set_guardian(Some(parent));
            let mut inheritance = std::mem::take(&mut self.vault).into_inheritance();
            inheritance.death = self.death;
            inheritance.stopping = self.stopping;
            successor::follow(&theirs, parent, &mut inheritance);
            let link = Arc::new(Link::new(theirs, parent));
            return Ok(Some(Guarded { link, inheritance }));
        };
        drop(theirs);
        self.vault.all_told();
        for signal in self.end_asked.into_iter().chain(std::mem::take(&mut self.unheard)) {
            let _fresh_and_empty =
                socket::send(ours.as_fd(), ToEngine::Signal(signal).encode().as_bytes(), None);
        }
        let socket = Some(ours);
        self.engine = Some(Engine { pid, stranger: None, socket, since: now(), ends: false });
        Ok(None)
    }

    /// Until then, whatever comes meanwhile.
    fn rest_until(&mut self, due: Moment) {
        loop {
            let left = due.since(now());
            if left.is_zero() {
                return;
            }
            self.turn(Some(left));
        }
    }

    /// Until the next engine is due; who asks for an end does not wait.
    fn wait_until(&mut self, due: Moment) {
        loop {
            let left = due.since(now());
            if left.is_zero() || self.end_asked.is_some() || !self.unheard.is_empty() {
                return;
            }
            self.turn(Some(left));
        }
    }

    /// Waits for something, and sees to it.
    fn turn(&mut self, patience: Option<Duration>) -> Turn {
        let socket = self.engine.as_ref().and_then(|engine| engine.socket.as_ref());
        let stranger = self.engine.as_ref().and_then(|engine| engine.stranger.as_ref());
        let tells = self.vault.next_untold().is_some();
        let rest = self.listens_at.map(|at| at.since(now())).filter(|rest| !rest.is_zero());
        let mut what = PollFlags::empty();
        what.set(PollFlags::OUT, tells);
        what.set(PollFlags::IN, rest.is_none());
        let patience = patience.into_iter().chain(rest).min();
        let mut watched = [
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::from_borrowed_fd(
                socket.map_or(self.signals.as_fd(), AsFd::as_fd),
                if socket.is_some() { what } else { PollFlags::empty() },
            ),
            PollFd::from_borrowed_fd(
                stranger.map_or(self.signals.as_fd(), AsFd::as_fd),
                if stranger.is_some() { PollFlags::IN } else { PollFlags::empty() },
            ),
        ];
        let pause = self.vault.pause();
        let patience = patience.into_iter().chain(pause).min();
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        // Interrupted or refused: then there is nothing to be read below.
        let is_over = matches!(poll(&mut watched, patience.as_ref()), Ok(0));
        let [_, from_engine, of_stranger] = watched.map(|one| one.revents());
        self.is_quiet = is_over && rest.is_none() && pause.is_none();
        if pause.is_some() {
            self.vault.settle();
        }
        let mut children = false;
        while let Some(signal) = self.signals.next() {
            if signal == libc::SIGCHLD {
                children = true;
            } else {
                self.pass_on(signal);
            }
        }
        if from_engine.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.hear();
            // Whoever ends waits for the answer to its farewell.
            let is_busy = !self.stopping && self.end_asked.is_none();
            self.listens_at = is_busy.then(|| now().after(LISTENS_AGAIN));
        }
        let turn = if children { self.reap() } else { Turn::Lives };
        let turn = if of_stranger.is_empty() { turn } else { self.ask_stranger() };
        self.tell_ends();
        turn
    }

    fn pass_on(&mut self, signal: i32) {
        let asks_for_end = matches!(signal, libc::SIGTERM | libc::SIGINT);
        if asks_for_end && !self.stopping {
            self.end_asked = Some(signal);
            self.listens_at = None;
        }
        let Some(engine) = &self.engine else {
            if !asks_for_end && !self.unheard.contains(&signal) {
                self.unheard.push(signal);
            }
            return;
        };
        if signal == libc::SIGQUIT {
            self.quit = true;
            if let Some(pid) = Pid::from_raw(engine.pid) {
                // Our child, not reaped yet: the number is its own.
                let _ends_already = kill_process(pid, Signal::QUIT);
            }
            return;
        }
        let word = ToEngine::Signal(signal).encode();
        if let Some(socket) = &engine.socket
            && socket::send(socket.as_fd(), word.as_bytes(), None) == Sent::Full
        {
            // An engine that reads nothing any more may still hear a signal.
            let number = Signal::from_named_raw(signal).zip(Pid::from_raw(engine.pid));
            if let Some((signal, pid)) = number {
                let _ends_already = kill_process(pid, signal);
            }
        }
    }

    /// Reads what the engine says.
    fn hear(&mut self) {
        let mut bytes = [0; LONGEST];
        loop {
            let Some(engine) = &mut self.engine else { return };
            let Some(socket) = &engine.socket else { return };
            let (length, descriptor) = match socket::receive(socket.as_fd(), &mut bytes) {
                Received::Packet(length, descriptor) => (length, descriptor),
                Received::Nothing => return,
                Received::Broken => {
                    engine.socket = None;
                    return;
                }
            };
            match (ToGuardian::decode(&bytes[..length]), descriptor) {
                (Some(ToGuardian::Keep(name)), Some(descriptor)) => {
                    self.vault.keep(name, descriptor);
                }
                (Some(ToGuardian::Forget(name)), _) => self.vault.forget(name),
                (Some(ToGuardian::ForgetAll(names)), _) => {
                    names.split('\n').for_each(|name| self.vault.forget(name));
                }
                (Some(ToGuardian::Serving), _) => self.budget.served(),
                (Some(ToGuardian::Stopping), _) => {
                    self.stopping = true;
                    self.end_asked = None;
                }
                (Some(ToGuardian::Notify(text)), _) => {
                    if !self.vault.say(text)
                        && let Some(service) = &self.service
                    {
                        let _manager_is_gone = service.send(text);
                    }
                }
                (Some(ToGuardian::GiveBack), _) => self.give_back(),
                (Some(ToGuardian::Farewell), _) => self.farewell(),
                (Some(ToGuardian::Keep(_)) | None, _) => {}
            }
        }
    }

    /// The engine has executed itself anew, and begins as a new one does.
    fn give_back(&mut self) {
        let Some(engine) = &mut self.engine else { return };
        engine.since = now();
        self.stopping = false;
        let Some(socket) = &engine.socket else { return };
        let send = |word: ToEngine<'_>, descriptor: Option<&OwnedFd>| {
            let packet = word.encode();
            while socket::send(socket.as_fd(), packet.as_bytes(), descriptor.map(AsFd::as_fd))
                == Sent::Full
            {
                let patience = Timespec::try_from(READS_WITHIN).ok();
                let mut room = [PollFd::new(socket, PollFlags::OUT)];
                if matches!(poll(&mut room, patience.as_ref()), Ok(0)) {
                    return;
                }
            }
        };
        for (name, descriptor) in self.vault.kept() {
            send(ToEngine::Back(name), Some(descriptor));
        }
        send(ToEngine::BackComplete { guardian: std::process::id() }, None);
    }

    fn farewell(&mut self) {
        self.vault.clear();
        if let Some(engine) = &mut self.engine {
            engine.ends = true;
            if let Some(socket) = &engine.socket {
                let word = ToEngine::Farewell.encode();
                let _ends_already = socket::send(socket.as_fd(), word.as_bytes(), None);
            }
        }
    }

    /// An engine whose child we are has ended, perhaps.
    fn ask_stranger(&mut self) -> Turn {
        // Its last words first.
        self.hear();
        let engine = self.engine.as_ref().and_then(|engine| engine.stranger.as_ref());
        match engine.map(process::Child::reap) {
            Some(Ok(Some(exit))) => Turn::Ended(exit),
            Some(Err(_)) => Turn::Ended(Exit::Unknown),
            Some(Ok(None)) | None => Turn::Lives,
        }
    }

    fn reap(&mut self) -> Turn {
        let mut turn = Turn::Lives;
        while let Some(reaped) = process::reap_any() {
            match &self.engine {
                Some(engine) if engine.pid == reaped.pid => {
                    // Its last words first.
                    self.hear();
                    turn = Turn::Ended(process::exit_of_status(reaped.status));
                }
                _ => self.vault.note(reaped),
            }
        }
        turn
    }

    fn tell_ends(&mut self) {
        let Some(Engine { socket: Some(socket), .. }) = &self.engine else { return };
        while let Some(reaped) = self.vault.next_untold() {
            match socket::send(socket.as_fd(), ToEngine::Ended(reaped).encode().as_bytes(), None) {
                Sent::Gone => self.vault.told(),
                Sent::Full | Sent::Broken => return,
            }
        }
    }
}

fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    Moment::from_boot(seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs()))
}
