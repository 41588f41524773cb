//! FIFOs, epoll and an eventfd (Linux).

use std::{
    ffi::OsString,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStringExt as _, fs::DirBuilderExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll},
    fs::{CWD, FileType, Gid, Mode, OFlags, Stat, Uid},
    io::Errno,
};

/// What a component is given for a stream: the FIFO, open for reading and writing, so that it
/// never sees an end or a `SIGPIPE`, whatever becomes of us.
pub type WriteEnd = OwnedFd;

/// The user and group that a component runs as.
pub type Owner = (u32, u32);

/// Pipes that are busy are enlarged to this, in bytes.
const LARGE: usize = 256 << 10;

const OPEN: OFlags =
    OFlags::RDWR.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NOCTTY);

/// Our end of a stream.
#[derive(Debug)]
pub struct Pipe {
    // Read-write as well: a pipe that somebody holds for writing has no end of file, and what
    // is in it stays there while the component restarts.
    fd: OwnedFd,
    capacity: usize,
    enlarge: bool,
    /// The poller looks at it.
    is_polled: bool,
}

/// A FIFO that was opened on both sides.
#[derive(Debug)]
pub struct Opened {
    pub pipe: Pipe,
    pub write_end: WriteEnd,
    pub identity: PipeIdentity,
}

/// Tells two FIFOs apart although they have the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipeIdentity {
    device: u64,
    inode: u64,
}

/// Where the symbolic link at `path` leads, if root or we have made it; another's is refused.
///
/// Owner and target are asked of the same link, whatever is put in its place meanwhile.
pub fn target_of_our_link(path: &Path) -> io::Result<PathBuf> {
    let link =
        rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&link)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        // It was replaced: whoever opens it next finds what is there now.
        return Err(Errno::AGAIN.into());
    }
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        let text = format!(
            "it is a symbolic link that another user (uid {}) has made; logs are not written through it, \
             remove it",
            stat.st_uid
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let target = rustix::fs::readlinkat(&link, "", Vec::new())?;
    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
    Ok(path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target)))
}

/// Opens the FIFO at `path`, and makes it first where there is none.
///
/// One that exists is taken only if it is a FIFO that belongs to us or to `owner`. Its mode
/// becomes 0600, its owner `owner` where that is given: a component that opens `/dev/stderr`
/// opens its FIFO anew, and needs the permission.
pub fn open_pipe(path: &Path, owner: Option<Owner>) -> io::Result<Opened> {
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::mkfifoat(CWD, path, mode) {
        Ok(()) => {}
        // Looked at before it is opened: opening a device could have effects of its own.
        Err(Errno::EXIST) => check(&rustix::fs::lstat(path)?, owner)?,
        Err(error) => return Err(error.into()),
    }
    let fd = rustix::fs::open(path, OPEN | OFlags::NONBLOCK, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    check(&stat, owner)?;
    if stat.st_mode & 0o777 != mode.as_raw_mode() {
        rustix::fs::fchmod(&fd, mode)?;
    }
    if let Some((uid, gid)) = owner
        && (stat.st_uid, stat.st_gid) != (uid, gid)
    {
        rustix::fs::fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    // A second open file: O_NONBLOCK must not be shared with the component.
    let identity = identity(&stat);
    let write_end = try_reopen(path, identity)?
        .ok_or_else(|| io::Error::other("it was replaced while it was opened"))?;
    let capacity = rustix::pipe::fcntl_getpipe_size(&fd)?;
    Ok(Opened { pipe: Pipe { fd, capacity, enlarge: true, is_polled: false }, write_end, identity })
}

/// A write end of the FIFO at `path`; `None` when another one stands there, or none.
pub fn reopen_pipe(path: &Path, identity: PipeIdentity) -> Option<WriteEnd> {
    try_reopen(path, identity).ok().flatten()
}

fn try_reopen(path: &Path, identity: PipeIdentity) -> io::Result<Option<WriteEnd>> {
    // Should something else stand there meanwhile, opening it must not wait.
    let write_end = match rustix::fs::open(path, OPEN | OFlags::NONBLOCK, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        answer => answer?,
    };
    if self::identity(&rustix::fs::fstat(&write_end)?) != identity {
        return Ok(None);
    }
    rustix::fs::fcntl_setfl(&write_end, OFlags::RDWR)?;
    Ok(Some(write_end))
}

/// Makes the folder, and those above it, for this user alone; one that exists stays as it is.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes the FIFO; one that is not there, or is something else, is left as it is.
pub fn remove_pipe(path: &Path) {
    if rustix::fs::lstat(path).is_ok_and(|stat| is_fifo(&stat)) {
        // A leftover in the runtime folder harms nobody: the next start takes it over.
        let _ = rustix::fs::unlink(path);
    }
}

fn check(stat: &Stat, owner: Option<Owner>) -> io::Result<()> {
    let us = rustix::process::geteuid();
    let ours = stat.st_uid == us.as_raw() || owner.is_some_and(|(uid, _)| uid == stat.st_uid);
    // Root may meet a FIFO of the user that the component had before a reload.
    if is_fifo(stat) && (ours || us.is_root()) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something else than a pipe of this Supervisor is there; remove it",
        ))
    }
}

fn is_fifo(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Fifo
}

fn identity(stat: &Stat) -> PipeIdentity {
    PipeIdentity { device: stat.st_dev, inode: stat.st_ino }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Pipe {
    /// Reads what is there, up to the buffer's size; `None`: nothing is.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match rustix::io::read(&self.fd, &mut *buffer) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(None),
                Ok(count) => return Ok(Some(count)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives it more room, once, where the system allows it: an unprivileged user has 64 MiB for
    /// all pipes together, so the silent ones stay small.
    pub fn enlarge(&mut self) {
        if std::mem::take(&mut self.enlarge)
            && self.capacity < LARGE
            && let Ok(capacity) = rustix::pipe::fcntl_setpipe_size(&self.fd, LARGE)
        {
            self.capacity = capacity;
        }
    }

    /// Bytes that wait in the pipe.
    pub fn waiting(&self) -> usize {
        // Where it cannot be told: as if there were something, so that it is read.
        let waiting = rustix::io::ioctl_fionread(&self.fd).unwrap_or(1);
        usize::try_from(waiting).unwrap_or(usize::MAX)
    }

    /// Bytes that it holds.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

/// Wakes the log thread.
#[derive(Debug)]
pub struct Waker {
    eventfd: OwnedFd,
    /// Woken and not yet awake, or about to look by itself: no system call is needed.
    pending: AtomicBool,
}

impl Waker {
    pub fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.ring();
        }
    }

    /// Whoever waits for the answer does not wait for the end of a rest.
    pub fn wake_now(&self) {
        self.pending.store(true, Ordering::Release);
        self.ring();
    }

    fn ring(&self) {
        // It can fail only when the counter is full, and then the thread is awake anyway.
        let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
    }

    fn silence(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.eventfd, &mut count);
    }
}

/// Waits for all pipes and the waker at once.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    waker: Arc<Waker>,
}

/// What came out of waiting.
#[derive(Debug, Default)]
pub struct Ready {
    /// The waker was used.
    pub woken: bool,
    /// Keys of the pipes that have something to read.
    pub pipes: Vec<u64>,
}

const WAKER: u64 = u64::MAX;
/// Pipes in one turn; those that do not fit are the first of the next.
const EVENTS: usize = 128;

impl Poller {
    pub fn new() -> io::Result<(Self, Arc<Waker>)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &eventfd, epoll::EventData::new_u64(WAKER), epoll::EventFlags::IN)?;
        let waker = Arc::new(Waker { eventfd, pending: AtomicBool::new(false) });
        Ok((Self { epoll, waker: Arc::clone(&waker) }, waker))
    }

    /// `key` comes back from [`wait`](Self::wait) as long as the pipe has something to read. It
    /// ends by itself when the pipe is dropped.
    pub fn add(&self, pipe: &mut Pipe, key: u64) -> io::Result<()> {
        if !pipe.is_polled {
            let data = epoll::EventData::new_u64(key);
            epoll::add(&self.epoll, &pipe.fd, data, epoll::EventFlags::IN)?;
            pipe.is_polled = true;
        }
        Ok(())
    }

    /// Does not look at the pipe until it is added again. Who writes to it then has nobody to wake,
    /// which costs a fifth of a short write.
    pub fn remove(&self, pipe: &mut Pipe) -> io::Result<()> {
        if pipe.is_polled {
            epoll::delete(&self.epoll, &pipe.fd)?;
            pipe.is_polled = false;
        }
        Ok(())
    }

    /// Waits until something is ready, or `timeout` is over (`None`: for ever).
    pub fn wait(&self, timeout: Option<Duration>, ready: &mut Ready) -> io::Result<()> {
        ready.woken = false;
        ready.pipes.clear();
        let timeout = timeout.map(timespec);
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS];
        let events = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in events {
            match event.data.u64() {
                WAKER => {
                    self.waker.silence();
                    ready.woken = true;
                }
                key => ready.pipes.push(key),
            }
        }
        Ok(())
    }

    /// From now on whoever has something to say rings; to be called before the queues are looked
    /// at, so that nothing slips between. Until then nobody rings again.
    pub fn listen(&self) {
        self.waker.pending.store(false, Ordering::Release);
    }

    /// Lets output collect in the pipes for `time` (less than a second), unless the waker is
    /// used.
    pub fn pause(&self, time: Duration) {
        let mut waker = [PollFd::new(&self.waker.eventfd, PollFlags::IN)];
        // Interrupted or failed: the pause was shorter, no more.
        let time = Timespec { tv_sec: 0, tv_nsec: i64::from(time.subsec_nanos()) };
        let _ = poll(&mut waker, Some(&time));
    }
}

fn timespec(duration: Duration) -> Timespec {
    // Rounded up to a millisecond: kernels before 5.11 know no finer time-out, and one that is
    // rounded down to 0 would spin.
    let millis = i64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(i64::MAX / 1000);
    let millis = millis.min(i64::from(i32::MAX));
    Timespec { tv_sec: millis / 1000, tv_nsec: (millis % 1000) * 1_000_000 }
}

/// Whether a write of at most 4,096 bytes would not block, as far as the system can tell.
pub fn ready_for_writing(file: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&file, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
        && fds[0].revents().contains(PollFlags::OUT)
}

/// The calling thread's work can wait: compressing must not take time from components.
pub fn lower_priority() {
    // On Linux it is the thread's own value. Refused: then it runs as everybody does.
    let _ = rustix::process::nice(10);
}
