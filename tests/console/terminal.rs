//! A terminal with the binary under test in it.

use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags},
    process::Signal,
    pty::OpenptFlags,
    termios::{Termios, Winsize},
};

use crate::support::{PATIENCE, Place, processes, until};

/// Between two keys: longer than a question is deaf for.
const FINGER: Duration = Duration::from_millis(200);

/// What has come out of the terminal.
#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    closed: bool,
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

pub struct Terminal {
    child: Child,
    ended: Option<ExitStatus>,
    /// Our end; none once the terminal is gone.
    master: Option<File>,
    seen: Shared,
    reader: Option<JoinHandle<()>>,
    /// Dropped, it has the reader let go of our end.
    hold: Option<UnixStream>,
    size: (u16, u16),
    before: Termios,
}

impl Terminal {
    /// `s7supervisor` with these words, for this place's installation.
    pub fn open(place: &Place, words: &[&str]) -> Self {
        let folder = place.path("");
        let mut all = vec!["-i", crate::support::place::text(&folder)];
        all.extend(words);
        Self::run(place, env!("CARGO_BIN_EXE_s7supervisor"), &all)
    }

    /// Any program, in a terminal of 80 columns and 24 rows.
    pub fn run(place: &Place, program: &str, words: &[&str]) -> Self {
        Self::sized(place, program, words, (80, 24))
    }

    pub fn sized(place: &Place, program: &str, words: &[&str], size: (u16, u16)) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).expect("a terminal");
        rustix::pty::grantpt(&master).expect("a terminal");
        rustix::pty::unlockpt(&master).expect("a terminal");
        let name = rustix::pty::ptsname(&master, Vec::new()).expect("it has a name");
        let slave = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().expect("plain"))
            .expect("the other end");
        set_size(&master, size);
        let before = rustix::termios::tcgetattr(&slave).expect("a terminal has modes");
        // It makes the terminal the controlling one, as a login does, and executes the program.
        let mut command = Command::new("setsid");
        // An ordinary login, and no operator's own ideas; then the place's.
        for name in ["NO_COLOR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "SSH_CONNECTION"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8");
        command.env("HOME", place.path("home"));
        place.prepare(&mut command);
        command.arg("--ctty").arg(program).args(words).current_dir(place.path(""));
        let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid");
        let seen = Shared::default();
        let master = File::from(master);
        let (hold, kept) = UnixStream::pair().expect("sockets");
        let (from, sink) = (master.try_clone().expect("a descriptor"), Arc::clone(&seen));
        let reader = Some(std::thread::spawn(move || read(from, &kept, &sink)));
        let (master, hold) = (Some(master), Some(hold));
        Self { child, ended: None, master, seen, reader, hold, size, before }
    }

    /// The process that the terminal was opened with: the front, where there is one.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        processes::signal(self.pid(), signal);
    }

    // ---- what is seen ----------------------------------------------------------------------

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a terminal has made of everything so far.
    pub fn parsed(&self) -> vt100::Parser {
        let side = |side| std::num::NonZero::new(side).expect("not zero");
        let mut parser = vt100::Parser::new(side(self.size.1), side(self.size.0), 0);
        parser.process(&self.seen().bytes);
        parser
    }

    pub fn screen(&self) -> String {
        self.parsed().screen().contents()
    }

    /// Whether these bytes were among all that came, whatever a terminal makes of them.
    pub fn wrote(&self, bytes: &[u8]) -> bool {
        memchr::memmem::find(&self.seen().bytes, bytes).is_some()
    }

    /// How often these bytes came.
    pub fn times(&self, bytes: &[u8]) -> usize {
        memchr::memmem::find_iter(&self.seen().bytes, bytes).count()
    }

    /// How many bytes have come.
    pub fn bytes(&self) -> usize {
        self.seen().bytes.len()
    }

    /// Waits until the screen is as wanted; yields what was wanted of it.
    #[track_caller]
    pub fn until<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let pause = Duration::from_millis(50);
        let mut passed = Duration::ZERO;
        loop {
            let screen = self.screen();
            if let Some(found) = wanted(&screen) {
                return found;
            }
            assert!(passed < PATIENCE, "waited in vain for {what}; the screen is\n{screen}");
            let (_seen, woken) = self
                .seen
                .1
                .wait_timeout(self.seen(), pause)
                .unwrap_or_else(PoisonError::into_inner);
            if woken.timed_out() {
                passed += pause;
            }
        }
    }

    #[track_caller]
    pub fn shows(&self, text: &str) {
        self.until(text, |screen| screen.contains(text).then_some(()));
    }

    #[track_caller]
    pub fn shows_no(&self, text: &str) {
        let what = format!("the end of \"{text}\"");
        self.until(&what, |screen| (!screen.contains(text)).then_some(()));
    }

    /// Waits until a row of the table has all of these words; yields the row's words.
    #[track_caller]
    pub fn row(&self, id: &str, words: &[&str]) -> Vec<String> {
        self.until(&format!("the row of {id} with {words:?}"), |screen| {
            let row = screen
                .lines()
                .map(row_words)
                .find(|row| row.first().is_some_and(|first| first == id))?;
            let has = |word: &&str| row.iter().any(|one| one == *word);
            words.iter().all(has).then_some(row)
        })
    }

    // ---- what is done ----------------------------------------------------------------------

    /// Keys as they are, at once.
    pub fn send(&mut self, keys: &str) {
        let mut master = self.master.as_ref().expect("the terminal is there");
        master.write_all(keys.as_bytes()).expect("it takes keys");
    }

    /// A key, after the time that a finger needs: a question is deaf at first.
    pub fn press(&mut self, key: &str) {
        self.rest(FINGER);
        self.send(key);
    }

    /// Lets time pass in which nothing is expected.
    pub fn rest(&self, time: Duration) {
        let open = |seen: &mut Seen| !seen.closed;
        let waited = self.seen.1.wait_timeout_while(self.seen(), time, open);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
        set_size(self.master.as_ref().expect("the terminal is there"), self.size);
    }

    /// The terminal goes away: its window is closed, or ssh is cut.
    pub fn close(&mut self) {
        self.hold = None;
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        self.master = None;
    }

    // ---- how it ends -----------------------------------------------------------------------

    /// Waits for the end of the process that was started.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        if self.ended.is_none() {
            let child = &mut self.child;
            let status = until("the program in the terminal ends", || {
                child.try_wait().expect("our child can be waited for")
            });
            self.ended = Some(status);
        }
        self.ended.expect("just set")
    }

    #[track_caller]
    pub fn ends_with(&mut self, code: i32) {
        let status = self.ended();
        assert_eq!(status.code(), Some(code), "{status}; the screen is\n{}", self.screen());
    }

    /// The terminal is as it was before: screen, cursor, paste, mouse, echo and line modes.
    #[track_caller]
    pub fn is_restored(&self) {
        self.until("the main screen", |_text| {
            (!self.parsed().screen().alternate_screen()).then_some(())
        });
        let parsed = self.parsed();
        let screen = parsed.screen();
        assert!(!screen.hide_cursor(), "the cursor is hidden");
        assert!(!screen.bracketed_paste(), "bracketed paste is on");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        let master = self.master.as_ref().expect("the terminal is there");
        let now = rustix::termios::tcgetattr(master).expect("a terminal has modes");
        let modes = |modes: &Termios| {
            (modes.input_modes, modes.output_modes, modes.local_modes, modes.control_modes)
        };
        assert_eq!(modes(&now), modes(&self.before), "echo and line modes");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only a failed test leaves it running.
        if self.ended.is_none() && matches!(self.child.try_wait(), Ok(None)) {
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
        self.close();
    }
}

fn set_size(terminal: impl AsFd, (columns, rows): (u16, u16)) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).expect("a terminal has a size");
}

/// The words of a row, without its glyph.
fn row_words(line: &str) -> Vec<String> {
    let glyph = |word: &&str| word.chars().count() > 1 || word.chars().all(char::is_alphanumeric);
    line.split_whitespace().filter(glyph).map(str::to_owned).collect()
}

/// Takes what the terminal is sent, until it is let go or the other end is closed.
fn read(mut from: File, kept: &UnixStream, sink: &(Mutex<Seen>, Condvar)) {
    let mut block = [0; 16 << 10];
    loop {
        let mut watched = [PollFd::new(&from, PollFlags::IN), PollFd::new(kept, PollFlags::IN)];
        rustix::event::poll(&mut watched, None).expect("two descriptors");
        if !watched[1].revents().is_empty() {
            return;
        }
        let read = from.read(&mut block);
        let mut seen = sink.0.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(count @ 1..) => seen.bytes.extend_from_slice(&block[..count]),
            Ok(_) | Err(_) => seen.closed = true,
        }
        sink.1.notify_all();
        if seen.closed {
            return;
        }
    }
}
