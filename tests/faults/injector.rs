//! Faults for the real binary: chosen system calls of it fail, or do half of what they were asked for.
//!
//! A thread of the test puts a seccomp filter on itself and starts the Supervisor, which inherits it. Each
//! of [`CALLS`] then asks us before it is made, whoever makes it: the library of C, Rust's, or the program
//! itself. Components inherit the filter as well; they, and everything that nobody wished
//! to fail, get `CONTINUE`. The clock is read without a call, and is not seen here.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::fs::FileExt as _},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, mpsc},
    thread,
};

use libc::seccomp_notif;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, PidfdGetfdFlags},
};

use super::{
    calls::{About, CALLS, Call, Effect},
    seccomp::{self, Answer},
};

/// Which of the Supervisor's processes makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The process that was started as `run`.
    First,
    /// Its child: the engine, where there is a guardian.
    Engine,
    /// A component before its program runs.
    Newborn,
}

/// A wish that calls go wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    pub calls: Vec<&'static str>,
    pub effect: Effect,
    /// Whose; anybody's of the Supervisor where there is none.
    pub role: Option<Role>,
    /// Only calls about a path that has this in it.
    pub about: Option<String>,
    /// The first one that it happens to, counted from 1.
    pub first: u64,
    /// To how many.
    pub times: u64,
}

impl Fault {
    pub fn of(calls: &[&'static str], effect: Effect) -> Self {
        let calls = calls.to_vec();
        Self { calls, effect, role: None, about: None, first: 1, times: u64::MAX }
    }

    pub fn by(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    pub fn about(mut self, part: &str) -> Self {
        self.about = Some(part.to_owned());
        self
    }

    pub fn at(mut self, first: u64, times: u64) -> Self {
        (self.first, self.times) = (first, times);
        self
    }
}

#[derive(Default)]
struct State {
    /// Each with how many calls it met.
    faults: Vec<(Fault, u64)>,
    counts: BTreeMap<(Role, &'static str), u64>,
    hits: Vec<String>,
}

/// Who answers the calls of one Supervisor, and of all that it starts.
pub struct Injector(Arc<Mutex<State>>);

impl Injector {
    /// Has `start` start a Supervisor under these faults.
    pub fn around<T: Send>(faults: Vec<Fault>, start: impl FnOnce() -> T + Send) -> (Self, T) {
        let state =
            State { faults: faults.into_iter().map(|it| (it, 0)).collect(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let (sender, receiver) = mpsc::channel();
        let serving = Arc::clone(&state);
        // Ends when the last process with the filter has ended.
        thread::spawn(move || {
            if let Ok(listener) = receiver.recv() {
                serve(&listener, &serving);
            }
        });
        let started = thread::scope(|scope| {
            let starter = scope.spawn(|| {
                let numbers: Vec<_> = CALLS.iter().map(|call| call.number).collect();
                let listener =
                    seccomp::install(&numbers).expect("seccomp with a listener (Linux 5.19)");
                sender.send(listener).expect("the server waits for it");
                start()
            });
            starter.join()
        });
        let started = started.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (Self(state), started)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this lock")
    }

    /// From now on these go wrong, and no others.
    pub fn set(&self, faults: Vec<Fault>) {
        self.state().faults = faults.into_iter().map(|it| (it, 0)).collect();
    }

    /// All is well again.
    pub fn lift(&self) {
        self.set(Vec::new());
    }

    /// How often each call was made.
    pub fn counts(&self) -> BTreeMap<(Role, &'static str), u64> {
        self.state().counts.clone()
    }

    /// What went wrong, in order.
    pub fn hits(&self) -> Vec<String> {
        self.state().hits.clone()
    }
}

fn serve(listener: &OwnedFd, state: &Mutex<State>) {
    loop {
        let mut waiting = [PollFd::new(listener, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("cannot wait for calls: {error}"),
        }
        if !waiting[0].revents().contains(PollFlags::IN) {
            // Nobody is left who could ask.
            return;
        }
        // Its caller may have been killed meanwhile.
        let Ok(asked) = seccomp::receive(listener) else { continue };
        let answer = decide(&asked, state);
        let _is_gone = seccomp::answer(listener, asked.id, answer);
    }
}

fn decide(asked: &seccomp_notif, state: &Mutex<State>) -> Answer {
    let Some(caller) = Caller::of(asked.pid) else { return Answer::Continue };
    let number = i64::from(asked.data.nr);
    let Some(call) = CALLS.iter().find(|call| call.number == number) else {
        return Answer::Continue;
    };
    // Of its many uses one makes a descriptor.
    let is_duplicate = |command: u64| {
        [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC].iter().any(|&it| u64::try_from(it) == Ok(command))
    };
    if call.number == libc::SYS_fcntl && !is_duplicate(asked.data.args[1]) {
        return Answer::Continue;
    }
    let mut state = state.lock().expect("no test panics while it holds this lock");
    let State { faults, counts, hits } = &mut *state;
    let count = counts.entry((caller.role, call.name)).or_default();
    *count += 1;
    let wished = faults.iter_mut().find_map(|(fault, met)| {
        let is_meant = fault.calls.contains(&call.name)
            && fault.role.is_none_or(|role| role == caller.role)
            && fault.about.as_ref().is_none_or(|part| caller.about(call, asked).contains(part));
        if !is_meant {
            return None;
        }
        *met += 1;
        let is_due = *met >= fault.first && *met - fault.first < fault.times;
        is_due.then_some(fault.effect)
    });
    let Some(effect) = wished else { return Answer::Continue };
    let answer = match effect {
        Effect::Fails(errno) => Answer::Fails(errno),
        Effect::Half => match caller.half(call, asked) {
            Some(done) => Answer::Done(done),
            None => return Answer::Continue,
        },
    };
    if hits.len() < 1000 {
        hits.push(format!(
            "{:?} {} {} {}: {}",
            caller.role,
            caller.thread(),
            call.name,
            caller.about(call, asked),
            effect.name()
        ));
    }
    answer
}

/// A thread of the Supervisor's program.
struct Caller {
    thread: u32,
    process: u32,
    role: Role,
}

impl Caller {
    /// None where it is not one of the Supervisor's.
    fn of(thread: u32) -> Option<Self> {
        let own = Path::new(env!("CARGO_BIN_EXE_s7supervisor"));
        if fs::read_link(format!("/proc/{thread}/exe")).ok()? != own {
            return None;
        }
        let (process, parent) = family(thread)?;
        let test = std::process::id();
        let role = if parent == test {
            Role::First
        } else if family(parent)?.1 == test {
            Role::Engine
        } else {
            Role::Newborn
        };
        Some(Self { thread, process, role })
    }

    fn thread(&self) -> String {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.thread)).unwrap_or_default();
        name.trim_end().to_owned()
    }

    /// The path that the call is about.
    fn about(&self, call: &Call, asked: &seccomp_notif) -> String {
        match call.about {
            About::Nothing => String::new(),
            About::Path(argument) => self.text(asked.data.args[argument]).unwrap_or_default(),
            About::Descriptor(argument) => {
                let link = format!("/proc/{}/fd/{}", self.thread, asked.data.args[argument]);
                fs::read_link(link).unwrap_or_default().display().to_string()
            }
        }
    }

    fn memory(&self) -> io::Result<File> {
        File::options().read(true).write(true).open(format!("/proc/{}/mem", self.thread))
    }

    fn text(&self, address: u64) -> Option<String> {
        let mut bytes = vec![0; 4096];
        let count = self.memory().ok()?.read_at(&mut bytes, address).ok()?;
        let text = bytes.get(..count)?.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Does half of what the call asks for; none where that cannot be.
    fn half(&self, call: &Call, asked: &seccomp_notif) -> Option<i64> {
        let [descriptor, address, length, offset, ..] = asked.data.args;
        let (address, length) = match call.name {
            // The first of its parts.
            "writev" => {
                let mut part = [0; 16];
                self.memory().ok()?.read_exact_at(&mut part, address).ok()?;
                let (address, length) = part.split_first_chunk::<8>()?;
                (u64::from_ne_bytes(*address), u64::from_ne_bytes(*length.first_chunk()?))
            }
            _ => (address, length),
        };
        let half = usize::try_from(length / 2).ok().filter(|half| *half > 0)?;
        let process = Pid::from_raw(self.process.try_into().ok()?)?;
        let process = rustix::process::pidfd_open(process, PidfdFlags::empty()).ok()?;
        let descriptor = i32::try_from(descriptor).ok()?;
        let file =
            rustix::process::pidfd_getfd(&process, descriptor, PidfdGetfdFlags::empty()).ok()?;
        if let Ok(kind) = rustix::net::sockopt::socket_type(&file)
            && kind != rustix::net::SocketType::STREAM
        {
            return None;
        }
        let is_reading = matches!(call.name, "read" | "pread64" | "recvfrom");
        let flags = if is_reading { PollFlags::IN } else { PollFlags::OUT };
        let mut ready = [PollFd::new(&file, flags)];
        // It must not be us who waits.
        if poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).ok()? == 0 {
            return None;
        }
        let mut bytes = vec![0; half];
        let memory = self.memory().ok()?;
        let count = if is_reading {
            let count = match call.name {
                "pread64" => rustix::io::pread(&file, &mut bytes, offset),
                _ => rustix::io::read(&file, &mut bytes),
            };
            let count = count.ok()?;
            memory.write_all_at(bytes.get(..count)?, address).ok()?;
            count
        } else {
            memory.read_exact_at(&mut bytes, address).ok()?;
            let count = match call.name {
                "pwrite64" => rustix::io::pwrite(&file, &bytes, offset),
                "sendto" => rustix::net::send(&file, &bytes, rustix::net::SendFlags::NOSIGNAL),
                _ => rustix::io::write(&file, &bytes),
            };
            count.ok()?
        };
        i64::try_from(count).ok()
    }
}

/// The process of a thread, and its parent.
fn family(thread: u32) -> Option<(u32, u32)> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let number = |name: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
    };
    Some((number("Tgid:")?, number("PPid:")?))
}
