//! Takes the terminal over and gives it back, whatever happens in between.
//!
//! The output goes through a description of its own (`/dev/tty` opened anew, non-blocking), so
//! that a terminal that does not read can never block the console, and standard output keeps its
//! flags. Giving back is idempotent and allocates nothing: the panic hook, the signals and the
//! normal end all come here.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::{Mode, OFlags},
    termios::{OptionalActions, Termios},
};

const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?2004h";
const LEAVE: &str =
    "\u{1b}[?2026l\u{1b}[?1006l\u{1b}[?1000l\u{1b}[?2004l\u{1b}[m\u{1b}[2J\u{1b}[?25h\u{1b}[?1049l";
const MOUSE_ON: &str = "\u{1b}[?1000h\u{1b}[?1006h";
const MOUSE_OFF: &str = "\u{1b}[?1006l\u{1b}[?1000l";

/// The terminal while the console has it.
#[derive(Debug)]
pub struct Tty {
    input: OwnedFd,
    output: File,
    /// Bytes of the last frame that the terminal has not taken yet.
    pending: Vec<u8>,
    restore: Arc<Restore>,
}

/// What it takes to give the terminal back, from any thread.
#[derive(Debug)]
pub struct Restore {
    output: File,
    input: OwnedFd,
    saved: Mutex<Option<Termios>>,
    /// Standard error as it was.
    stderr: Mutex<Option<OwnedFd>>,
    /// The terminal is gone: writing to it is of no use.
    lost: AtomicBool,
}

/// What woke the console.
#[expect(clippy::struct_excessive_bools, reason = "any of them may be at the same time")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Woken {
    pub input: bool,
    pub lost: bool,
    pub news: bool,
    pub signal: bool,
}

impl Tty {
    /// Raw mode, alternate screen, bracketed paste; standard error goes to `stderr` meanwhile,
    /// because whatever is written there would stand across the screen.
    pub fn enter(stderr: Option<File>) -> io::Result<Self> {
        let input = input()?;
        let saved = rustix::termios::tcgetattr(&input)?;
        let output = open(&input)?;
        let restore = Arc::new(Restore {
            output: output.try_clone()?,
            input: input.try_clone()?,
            saved: Mutex::new(Some(saved.clone())),
            stderr: Mutex::new(None),
            lost: AtomicBool::new(false),
        });
        let tty = Self { input, output, pending: Vec::new(), restore };
        tty.raw(saved)?;
        if let Some(sink) = stderr {
            let own = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
            rustix::stdio::dup2_stderr(&sink)?;
            *lock(&tty.restore.stderr) = Some(own);
        }
        (&tty.output).write_all(ENTER.as_bytes())?;
        Ok(tty)
    }

    fn raw(&self, mut modes: Termios) -> io::Result<()> {
        modes.make_raw();
        rustix::termios::tcsetattr(&self.input, OptionalActions::Now, &modes)?;
        Ok(())
    }

    /// After a stop and a continue the shell has set its own modes.
    pub fn again(&mut self) -> io::Result<()> {
        let modes = lock(&self.restore.saved).clone();
        if let Some(modes) = modes {
            self.raw(modes)?;
        }
        self.pending.clear();
        self.send(ENTER.as_bytes())
    }

    pub fn restore(&self) -> Arc<Restore> {
        Arc::clone(&self.restore)
    }

    pub fn size(&self) -> io::Result<(u16, u16)> {
        let size = rustix::termios::tcgetwinsize(&self.output)?;
        Ok((size.ws_col, size.ws_row))
    }

    /// What has been typed; an error of kind `UnexpectedEof` where the terminal is gone.
    pub fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match rustix::io::read(&self.input, bytes) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => Ok(count),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the last frame is out: as long as it is not, none is made.
    pub fn is_ready(&self) -> bool {
        self.pending.is_empty()
    }

    /// One write. What the terminal does not take at once goes with [`Tty::flush`], before
    /// anything else: at most one frame waits, whatever the terminal does.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.pending.extend_from_slice(bytes);
            return self.flush();
        }
        let sent = self.write(bytes)?;
        self.pending.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    pub fn flush(&mut self) -> io::Result<()> {
        let sent = self.write(&self.pending)?;
        self.pending.drain(..sent);
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match (&self.output).write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    pub fn mouse(&mut self, on: bool) -> io::Result<()> {
        self.send(if on { MOUSE_ON } else { MOUSE_OFF }.as_bytes())
    }

    /// Sleeps until there is input, news, a signal, room for output that waits, or the time has
    /// passed.
    pub fn wait(
        &self,
        news: BorrowedFd<'_>,
        signals: BorrowedFd<'_>,
        timeout: std::time::Duration,
    ) -> io::Result<Woken> {
        let output = if self.is_ready() { PollFlags::empty() } else { PollFlags::OUT };
        let mut watched = [
            PollFd::from_borrowed_fd(self.input.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(news, PollFlags::IN),
            PollFd::from_borrowed_fd(signals, PollFlags::IN),
            PollFd::from_borrowed_fd(self.output.as_fd(), output),
        ];
        let timeout = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match rustix::event::poll(&mut watched, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        let flags = watched.map(|one| one.revents());
        Ok(Woken {
            lost: flags[0].intersects(gone) || flags[3].intersects(gone),
            input: flags[0].contains(PollFlags::IN),
            news: flags[1].contains(PollFlags::IN),
            signal: flags[2].contains(PollFlags::IN),
        })
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        self.restore.now();
    }
}

impl Restore {
    /// For who keeps the terminal as it is now, to give it back should another lose it.
    ///
    /// In the background it stops here until it is brought to the foreground, as every program does
    /// that sets up its terminal; where nobody can bring it there, it is an error.
    pub fn of_terminal() -> io::Result<Arc<Self>> {
        let input = input()?;
        let saved = rustix::termios::tcgetattr(&input)?;
        rustix::termios::tcsetattr(&input, OptionalActions::Now, &saved)?;
        Ok(Arc::new(Self {
            output: open(&input)?,
            input,
            saved: Mutex::new(Some(saved)),
            stderr: Mutex::new(None),
            lost: AtomicBool::new(false),
        }))
    }

    /// The terminal is gone: nothing is written to it any more, not even at the end.
    pub fn lost(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Gives the terminal back; once, whoever calls.
    pub fn now(&self) {
        // Taken first: the second caller finds nothing to do.
        let saved = lock(&self.saved).take();
        if let Some(own) = lock(&self.stderr).take() {
            let _best_effort = rustix::stdio::dup2_stderr(&own);
        }
        let Some(saved) = saved else { return };
        if self.lost.load(Ordering::Acquire) {
            return;
        }
        let _best_effort = (&self.output).write_all(LEAVE.as_bytes());
        // Not with `Flush`, which would wait for a terminal that takes nothing.
        let _best_effort = rustix::termios::tcsetattr(&self.input, OptionalActions::Now, &saved);
        // What was typed for the console and not read: the shell must not run it.
        let _best_effort =
            rustix::termios::tcflush(&self.input, rustix::termios::QueueSelector::IFlush);
    }
}

/// A poisoned lock holds its value all the same.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Standard input where it is a terminal, else `/dev/tty`.
fn input() -> io::Result<OwnedFd> {
    let stdin = rustix::stdio::stdin();
    if rustix::termios::isatty(stdin) {
        return Ok(rustix::io::fcntl_dupfd_cloexec(stdin, 3)?);
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open("/dev/tty", flags, Mode::empty())?)
}

/// The same terminal, opened anew so that its flags are ours alone.
fn open(input: &OwnedFd) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let name = rustix::termios::ttyname(input, Vec::new());
    let opened = match name {
        Ok(name) => rustix::fs::open(name, flags, Mode::empty()),
        Err(_unnamed) => rustix::fs::open("/dev/tty", flags, Mode::empty()),
    };
    Ok(File::from(opened?))
}
