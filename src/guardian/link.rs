//! The engine's end of the socket pair.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::FdFlags,
};

use super::{
    inheritance::{DescriptorStore, End, Inheritance, Kept},
    socket::{self, LONGEST, Received, Sent},
    word::{ToEngine, ToGuardian},
};
use crate::process::{Reaped, exit_of_status};

/// Words that wait for room at most: a guardian that hangs must not cost memory for ever. Each
/// component has a handful of descriptors, so this is thousands of components.
const MOST_WAITING: usize = 32 << 10;

/// For the answers of a guardian that lives, but may have to be woken.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way to the guardian. Nothing here waits, but where it says so.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    waiting: Mutex<VecDeque<(Vec<u8>, Option<OwnedFd>)>>,
    /// Heard while something else was waited for.
    early: Mutex<Vec<News>>,
    is_broken: AtomicBool,
    guardian: AtomicU32,
}

/// What the guardian said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Ended(End),
    /// It was sent this signal.
    Signal(i32),
    /// It is gone; that is said once.
    Gone,
}

impl Link {
    pub(super) fn new(socket: OwnedFd, guardian: u32) -> Self {
        Self {
            socket,
            waiting: Mutex::default(),
            early: Mutex::default(),
            is_broken: AtomicBool::new(false),
            guardian: AtomicU32::new(guardian),
        }
    }

    /// A link to a guardian that is about to be made, and its end of it.
    pub fn to_newborn() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socket::pair()?;
        Ok((Self::new(ours, 0), theirs))
    }

    /// Who it is.
    pub fn is_to(&self, guardian: u32) {
        self.guardian.store(guardian, Ordering::Relaxed);
    }

    /// The link of the engine that we were before we executed ourselves, with everything that
    /// was kept. Waits for the guardian, for seconds at most.
    pub fn resume(socket: OwnedFd) -> io::Result<(Self, Inheritance)> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let link = Self::new(socket, 0);
        let mut inheritance = Inheritance::default();
        link.say(&ToGuardian::GiveBack, None);
        let complete = link.listen(|word, descriptor| match (word, descriptor) {
            (ToEngine::Back(name), Some(descriptor)) => {
                inheritance.kept.push(Kept { name: (*name).to_owned(), descriptor });
                false
            }
            (ToEngine::Ended(reaped), _) => {
                inheritance.ends.push(end(*reaped));
                false
            }
            (ToEngine::BackComplete { guardian }, _) => {
                link.guardian.store(*guardian, Ordering::Relaxed);
                true
            }
            _ => false,
        });
        if complete {
            Ok((link, inheritance))
        } else {
            Err(io::Error::new(io::ErrorKind::BrokenPipe, "the guardian does not answer"))
        }
    }

    /// The guardian's pid; 0 where it has not told yet.
    pub fn guardian(&self) -> u32 {
        self.guardian.load(Ordering::Relaxed)
    }

    /// Readable when there is news.
    pub fn news_descriptor(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    /// Left open for the program that takes this one's place: its number there.
    pub fn leave_open(self: Arc<Self>) -> io::Result<RawFd> {
        rustix::io::fcntl_setfd(&self.socket, FdFlags::empty())?;
        let number = self.socket.as_raw_fd();
        // Not closed by whoever drops the last of the others.
        std::mem::forget(self);
        Ok(number)
    }

    /// What was said since the last call.
    pub fn news(&self) -> Vec<News> {
        let mut news = std::mem::take(&mut *self.early());
        let mut bytes = [0; LONGEST];
        loop {
            match socket::receive(self.socket.as_fd(), &mut bytes) {
                Received::Packet(length, _) => match ToEngine::decode(&bytes[..length]) {
                    Some(ToEngine::Ended(reaped)) => news.push(News::Ended(end(reaped))),
                    Some(ToEngine::Signal(signal)) => news.push(News::Signal(signal)),
                    _ => {}
                },
                Received::Nothing => return news,
                Received::Broken => {
                    self.waiting().clear();
                    if !self.is_broken.swap(true, Ordering::Relaxed) {
                        news.push(News::Gone);
                    }
                    return news;
                }
            }
        }
    }

    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Whether words wait for room: then [`flush`](Self::flush) is to be called a little later.
    pub fn is_behind(&self) -> bool {
        !self.is_broken() && !self.waiting().is_empty()
    }

    pub fn flush(&self) {
        let mut waiting = self.waiting();
        while let Some((bytes, descriptor)) = waiting.front() {
            match socket::send(self.socket.as_fd(), bytes, descriptor.as_ref().map(AsFd::as_fd)) {
                Sent::Gone => drop(waiting.pop_front()),
                Sent::Full => return,
                // The reader finds that out, too.
                Sent::Broken => return waiting.clear(),
            }
        }
    }

    pub fn serving(&self) {
        self.say(&ToGuardian::Serving, None);
    }

    pub fn stopping(&self) {
        self.say(&ToGuardian::Stopping, None);
    }

    pub(super) fn forget_all(&self, names: &[String]) {
        let mut together = String::new();
        for name in names {
            if !together.is_empty() && together.len() + name.len() + 2 > LONGEST {
                self.say(&ToGuardian::ForgetAll(&together), None);
                together.clear();
            }
            if !together.is_empty() {
                together.push('\n');
            }
            together.push_str(name);
        }
        if !together.is_empty() {
            self.say(&ToGuardian::ForgetAll(&together), None);
        }
    }

    /// A message for the service manager.
    pub fn notify(&self, message: &str) {
        self.say(&ToGuardian::Notify(message.as_bytes()), None);
    }

    /// The engine ends in order: when this returns nothing is kept any more. Waits for the
    /// guardian, for seconds at most.
    pub fn farewell(&self) {
        self.say(&ToGuardian::Farewell, None);
        let _gone_or_hung = self.listen(|word, _| *word == ToEngine::Farewell);
    }

    fn say(&self, word: &ToGuardian<'_>, descriptor: Option<OwnedFd>) {
        if self.is_broken() {
            return;
        }
        let mut waiting = self.waiting();
        if waiting.len() < MOST_WAITING {
            waiting.push_back((word.encode(), descriptor));
        }
        drop(waiting);
        self.flush();
    }

    /// Reads until `is_last`; false: it never came.
    fn listen(&self, mut is_last: impl FnMut(&ToEngine<'_>, Option<OwnedFd>) -> bool) -> bool {
        let mut bytes = [0; LONGEST];
        loop {
            self.flush();
            match socket::receive(self.socket.as_fd(), &mut bytes) {
                Received::Packet(length, descriptor) => {
                    let word = ToEngine::decode(&bytes[..length]);
                    if let Some(ToEngine::Signal(signal)) = word {
                        self.early().push(News::Signal(signal));
                    } else if word.is_some_and(|word| is_last(&word, descriptor)) {
                        return true;
                    }
                }
                Received::Broken => return false,
                Received::Nothing => {
                    let writes = !self.waiting().is_empty();
                    let what = if writes { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
                    let patience = Timespec::try_from(PATIENCE).ok();
                    let came = poll(&mut [PollFd::new(&self.socket, what)], patience.as_ref());
                    if matches!(came, Ok(0)) {
                        return false;
                    }
                }
            }
        }
    }

    fn early(&self) -> MutexGuard<'_, Vec<News>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Vec<u8>, Option<OwnedFd>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DescriptorStore for Link {
    fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) {
        if self.is_broken() {
            return;
        }
        let word = ToGuardian::Keep(name).encode();
        if self.waiting().is_empty()
            && matches!(
                socket::send(self.socket.as_fd(), &word, Some(descriptor)),
                Sent::Gone | Sent::Broken
            )
        {
            return;
        }
        // Out of descriptors: then a successor does without.
        if let Ok(copy) = descriptor.try_clone_to_owned() {
            self.say(&ToGuardian::Keep(name), Some(copy));
        }
    }

    fn forget(&self, name: &str) {
        self.say(&ToGuardian::Forget(name), None);
    }
}

pub(super) fn end(reaped: Reaped) -> End {
    let Reaped { pid, start_time, status } = reaped;
    End { pid, start_time, exit: exit_of_status(status) }
}
