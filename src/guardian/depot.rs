//! systemd's descriptor store (`FDSTORE=1` of `sd_notify(3)`): what it has keeps its value even when
//! guardian and engine both die, and comes back when the service is started again.
//!
//! systemd hears its main process alone, never answers, and forgets what is too much for
//! `FileDescriptorStoreMax=`. So this is a ledger: what we have, what it has, and what is still
//! to be said to make the two equal. Nothing here waits: what finds no room is said later.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io::{self, IoSlice},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use super::{
    inheritance::Kept,
    name,
    service::address_of,
    socket::{self, Sent},
};
use crate::process;

/// Ours in the store, where sockets of a `.socket` unit may be as well.
const PREFIX: &str = "s7.";
/// Texts that wait for room, the newest.
const MOST_TEXTS: usize = 32;
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// For a manager that does not read at all.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What goes first where the store is too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Two at most: nobody is refused.
    Listener,
    /// A component that lives says something once.
    Notify,
    /// Last words are lost with the last holder of their pipe.
    Pipe,
    /// How a process ended.
    Process,
}

impl Rank {
    /// `None`: of no use to a service that is started again. Locked by systemd, the lock would be
    /// that of a Supervisor that does not live.
    fn of(name: &str) -> Option<Self> {
        match name.split_once('.').map_or(name, |(kind, _)| kind) {
            name::CONTROL | name::TCP => Some(Self::Listener),
            "notify" => Some(Self::Notify),
            "out" | "err" => Some(Self::Pipe),
            "pid" => Some(Self::Process),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub struct Depot {
    socket: UnixDatagram,
    address: SocketAddr,
    /// `FileDescriptorStoreMax=`.
    room: usize,
    stored: BTreeSet<(Rank, Box<str>)>,
    unstored: BTreeSet<(Rank, Box<str>)>,
    /// In the store, and nobody needs them.
    superfluous: VecDeque<Box<str>>,
    texts: VecDeque<Box<[u8]>>,
    /// There was no room for the last word.
    pause: Option<Duration>,
}

impl Depot {
    /// `None`: there is no such store, or systemd (before version 254) does not tell.
    pub fn from_environment() -> Option<Self> {
        let room = std::env::var("FDSTORE").ok()?.parse().ok().filter(|room| *room > 0)?;
        Self::new(&std::env::var("NOTIFY_SOCKET").ok()?, room).ok()
    }

    fn new(socket: &str, room: usize) -> io::Result<Self> {
        let address = address_of(socket)?;
        Ok(Self {
            socket: connect(&address)?,
            address,
            room,
            stored: BTreeSet::new(),
            unstored: BTreeSet::new(),
            superfluous: VecDeque::new(),
            texts: VecDeque::new(),
            pause: None,
        })
    }

    /// Whether the store is to have what is kept under this name.
    pub fn takes(name: &str) -> bool {
        Rank::of(name).is_some()
    }

    /// The store has this, from a Supervisor before us.
    pub(super) fn has(&mut self, name: &str) {
        let Some(rank) = Rank::of(name) else { return };
        if !self.stored.insert((rank, name.into())) {
            // Twice, and removed at once: one of them comes again.
            self.replaced(name);
        }
    }

    /// There is a descriptor of this name now.
    pub(super) fn keep(&mut self, name: &str) {
        if let Some(rank) = Rank::of(name)
            && !self.stored.contains(&(rank, name.into()))
        {
            self.unstored.insert((rank, name.into()));
        }
    }

    /// It is another one now than the store may have.
    pub(super) fn replaced(&mut self, name: &str) {
        self.forget(name);
        self.keep(name);
    }

    pub(super) fn forget(&mut self, name: &str) {
        let Some(rank) = Rank::of(name) else { return };
        let entry = (rank, name.into());
        self.unstored.remove(&entry);
        if self.stored.remove(&entry) {
            self.superfluous.push_back(entry.1);
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.unstored.clear();
        self.superfluous.extend(std::mem::take(&mut self.stored).into_iter().map(|(_, name)| name));
    }

    /// A message that is no descriptor's.
    pub(super) fn say(&mut self, text: &[u8]) {
        if self.texts.len() == MOST_TEXTS {
            self.texts.pop_front();
        }
        self.texts.push_back(text.into());
    }

    /// How long to wait before the next attempt; `None`: everything is said.
    pub fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// Says what there is room for.
    pub(super) fn settle(&mut self, kept: &HashMap<Box<str>, OwnedFd>) {
        let mut is_said = false;
        let sent = loop {
            match self.say_one(kept) {
                Some(Sent::Gone) => is_said = true,
                Some(sent) => break sent,
                None => {
                    self.pause = None;
                    return;
                }
            }
        };
        if sent == Sent::Broken {
            // A manager that came anew listens elsewhere, under the same name.
            if let Ok(socket) = connect(&self.address) {
                self.socket = socket;
            }
        }
        let longer = self.pause.map(|pause| (pause * 2).min(LONGEST_PAUSE));
        self.pause = Some(longer.filter(|_| !is_said).unwrap_or(FIRST_PAUSE));
    }

    /// `None`: there is nothing to say.
    fn say_one(&mut self, kept: &HashMap<Box<str>, OwnedFd>) -> Option<Sent> {
        if let Some(text) = self.texts.front() {
            let sent = self.send(&[text], None);
            // One that nobody takes must not stand in the way of the others.
            if sent != Sent::Full {
                self.texts.pop_front();
            }
            return Some(sent);
        }
        if let Some(name) = self.superfluous.front() {
            let words: [&[u8]; 3] =
                [b"FDSTOREREMOVE=1\nFDNAME=", PREFIX.as_bytes(), name.as_bytes()];
            let sent = self.send(&words, None);
            if sent == Sent::Gone {
                self.superfluous.pop_front();
            }
            return Some(sent);
        }
        let (rank, name) = self.unstored.first()?;
        let Some(descriptor) = kept.get(name) else {
            self.unstored.pop_first();
            return Some(Sent::Gone);
        };
        if self.stored.len() >= self.room {
            if self.stored.last().is_none_or(|(least, _)| least <= rank) {
                return None;
            }
            let (least, name) = self.stored.pop_last()?;
            self.superfluous.push_back(name.clone());
            self.unstored.insert((least, name));
            return Some(Sent::Gone);
        }
        // systemd watches what it has for its end, and drops it then: what has ended matters most.
        let words: [&[u8]; 3] =
            [b"FDSTORE=1\nFDPOLL=0\nFDNAME=", PREFIX.as_bytes(), name.as_bytes()];
        let sent = self.send(&words, Some(descriptor));
        if sent == Sent::Gone {
            self.stored.extend(self.unstored.pop_first());
        }
        Some(sent)
    }

    fn send(&self, words: &[&[u8]], descriptor: Option<&OwnedFd>) -> Sent {
        let mut parts = [IoSlice::new(b""); 3];
        for (part, word) in parts.iter_mut().zip(words) {
            *part = IoSlice::new(word);
        }
        let descriptor = descriptor.map(OwnedFd::as_fd);
        socket::send_parts(self.socket.as_fd(), &parts[..words.len().min(3)], descriptor)
    }
}

/// What the service manager has passed to this process and is ours, the newest last. Once, in a
/// process that has one thread.
pub fn passed_by_manager() -> Vec<Kept> {
    let passed = process::take_passed().into_iter();
    // Others are closed: sockets of a `.socket` unit, which we have no use for.
    let ours = passed.filter_map(|(name, descriptor)| {
        let name = name.strip_prefix(PREFIX)?.to_owned();
        Some(Kept { name, descriptor })
    });
    ours.collect()
}

fn connect(address: &SocketAddr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Manager {
        folder: tempfile::TempDir,
        socket: UnixDatagram,
    }

    impl Manager {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let socket = UnixDatagram::bind(folder.path().join("notify")).expect("our folder");
            socket.set_nonblocking(true).expect("a socket of ours");
            Self { folder, socket }
        }

        fn depot(&self, room: usize) -> Depot {
            let path = self.folder.path().join("notify");
            Depot::new(path.to_str().expect("ASCII"), room).expect("it listens")
        }

        /// What it was told since, in short: `+NAME`, `-NAME`, or the text.
        fn heard(&self) -> Vec<String> {
            let mut bytes = [0; 512];
            let mut heard = Vec::new();
            while let Ok(length) = self.socket.recv(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                let stored = text.strip_prefix("FDSTORE=1\nFDPOLL=0\nFDNAME=s7.");
                let removed = text.strip_prefix("FDSTOREREMOVE=1\nFDNAME=s7.");
                let short = stored.map(|name| format!("+{name}"));
                heard.push(short.or(removed.map(|name| format!("-{name}"))).unwrap_or(text));
            }
            heard
        }
    }

    fn kept(names: &[&str]) -> HashMap<Box<str>, OwnedFd> {
        let null = || std::fs::File::open("/dev/null").expect("it is there").into();
        names.iter().map(|name| ((*name).into(), null())).collect()
    }

    #[test]
    fn the_store_is_told_what_is_kept_and_what_is_no_more() {
        let manager = Manager::new();
        let mut depot = manager.depot(10);
        let all = kept(&["lock", "successor", "out.a", "pid.a.1"]);
        for name in all.keys() {
            depot.keep(name);
        }
        depot.say(b"READY=1");
        depot.settle(&all);
        assert_eq!(manager.heard(), ["READY=1", "+out.a", "+pid.a.1"]);
        depot.keep("out.a");
        depot.settle(&all);
        assert!(manager.heard().is_empty(), "it has that already");
        depot.replaced("out.a");
        depot.forget("pid.a.1");
        depot.settle(&all);
        assert_eq!(manager.heard(), ["-out.a", "-pid.a.1", "+out.a"]);
        depot.forget_all();
        depot.settle(&all);
        assert_eq!(manager.heard(), ["-out.a"]);
        assert_eq!(depot.pause(), None);
    }

    #[test]
    fn where_it_is_too_small_it_has_what_matters_most() {
        let manager = Manager::new();
        let mut depot = manager.depot(3);
        let all = kept(&["pid.a.1", "pid.b.2", "out.a", "control", "notify.a", "err.a"]);
        for name in ["pid.a.1", "pid.b.2", "out.a", "err.a"] {
            depot.keep(name);
            depot.settle(&all);
        }
        assert_eq!(manager.heard(), ["+pid.a.1", "+pid.b.2", "+out.a", "-pid.b.2", "+err.a"]);
        for name in ["control", "notify.a"] {
            depot.keep(name);
            depot.settle(&all);
        }
        assert_eq!(manager.heard(), ["-pid.a.1", "+control", "-out.a", "+notify.a"]);
        // Room again, and it goes to the first of those that wait.
        depot.forget("control");
        depot.settle(&all);
        assert_eq!(manager.heard(), ["-control", "+out.a"]);
        assert_eq!(depot.pause(), None, "who waits for room only is not asked about");
    }

    #[test]
    fn a_manager_that_reads_late_is_told_late_and_everything() {
        let manager = Manager::new();
        let mut depot = manager.depot(1_000);
        let names: Vec<String> = (0..600).map(|n| format!("out.c{n:03}")).collect();
        let all = kept(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for name in &names {
            depot.keep(name);
            depot.settle(&all);
        }
        assert!(depot.pause().is_some(), "its queue is full");
        depot.say(b"WATCHDOG=1");
        let mut heard = manager.heard();
        while depot.pause().is_some() {
            depot.settle(&all);
            heard.extend(manager.heard());
        }
        assert!(heard.len() == 601 && heard.contains(&"WATCHDOG=1".to_owned()), "{heard:?}");
        assert!(
            heard[..heard.len() - 1].iter().any(|text| text == "WATCHDOG=1"),
            "before the rest"
        );
    }

    #[test]
    fn what_comes_back_is_not_told_again_unless_it_came_twice() {
        let manager = Manager::new();
        let mut depot = manager.depot(10);
        let all = kept(&["out.a", "pid.a.1"]);
        for name in ["out.a", "pid.a.1", "out.a"] {
            depot.has(name);
        }
        depot.settle(&all);
        assert_eq!(manager.heard(), ["-out.a", "+out.a"]);
    }

    #[test]
    fn a_manager_that_is_gone_holds_nobody_up() {
        let manager = Manager::new();
        let mut depot = manager.depot(10);
        let Manager { folder, socket } = manager;
        drop(socket);
        let all = kept(&["out.a"]);
        depot.keep("out.a");
        depot.settle(&all);
        let pause = depot.pause().expect("it is tried again");
        for _ in 0..20 {
            depot.settle(&all);
        }
        assert!(pause < LONGEST_PAUSE && depot.pause() == Some(LONGEST_PAUSE));
        std::fs::remove_file(folder.path().join("notify")).expect("ours");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("our folder");
        socket.set_nonblocking(true).expect("a socket of ours");
        let manager = Manager { folder, socket };
        for _ in 0..2 {
            depot.settle(&all);
        }
        assert_eq!(manager.heard(), ["+out.a"]);
    }
}
