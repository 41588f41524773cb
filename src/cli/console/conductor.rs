//! Beside the engine: the console's client, the signals that a terminal sends, the front; and what
//! follows when the screen is left.
//!
//! Everything that can end the screen comes together here, so that exactly one place decides what
//! becomes of the engine: [`after`].

use std::{
    fs::File,
    io::{self, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use rustix::process::Signal as Number;
use tokio::{
    io::AsyncReadExt as _,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
};

use super::{OnHangup, front, stopping::stop_all};
use crate::{
    cli::ui::Ui,
    client::{Client, Endpoint},
    console::{self, ConsoleError, ConsoleOptions, Ender, Outcome, link},
    process,
    wire::Operation,
};

/// The in-process API: with every right, and with those that the screen is to have.
#[derive(Debug)]
pub struct Doors {
    pub full: Router,
    pub screen: Router,
}

/// What the conductor works with.
pub struct Conductor {
    pub ui: Ui,
    pub options: ConsoleOptions,
    pub on_hangup: OnHangup,
    /// Shown as the host's name.
    pub host: String,
    /// How to come back after leaving the screen: `s7supervisor console attaches to it`.
    pub comeback: String,
    pub trace_log: PathBuf,
    /// Where standard error goes without a terminal.
    pub output: PathBuf,
    /// The engine's API, when it is served.
    pub doors: oneshot::Receiver<Doors>,
    /// The engine has ended.
    pub ended: oneshot::Receiver<()>,
    /// Tells the engine that `SIGHUP` is its own from now on.
    pub give_hangup: oneshot::Sender<()>,
    pub front: Arc<UnixStream>,
    /// Stops capturing the Supervisor's log for the screen.
    pub uncapture: Box<dyn FnOnce() + Send>,
}

/// How it came out.
#[derive(Debug)]
pub enum Report {
    /// The engine goes on without a console, or went on and has ended since.
    Detached,
    /// Everything was stopped from here.
    Stopped(Option<Operation>),
    /// The engine ended while the console was open, at somebody else's wish.
    EngineEnded,
}

/// Signals of this process while it has the terminal. `SIGTERM` and `SIGINT` are heard by the engine,
/// too, which stops at the first and kills at the second.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    #[cfg(debug_assertions)]
    test: Signal,
}

impl Signals {
    /// Within a runtime. Before the engine starts: from here on none of them ends us unawares.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            #[cfg(debug_assertions)]
            test: signal(SignalKind::user_defined2())?,
        })
    }
}

/// What the outside wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// This process was asked to end.
    End,
    /// The front was, which may have been the same wish: a whole group is often asked at once.
    EndFront,
    Hangup,
    /// The front is gone: the shell has the terminal.
    FrontGone,
    EngineEnded,
    #[cfg(debug_assertions)]
    Test,
}

/// How often this process and its front were asked to end. Asked both at once, that is one wish; the
/// engine hears only what this process was asked, and must not miss what the front alone was.
#[derive(Debug, Default)]
struct Wishes {
    own: u32,
    front: u32,
}

impl Wishes {
    fn lacks_one(&self) -> bool {
        self.front > self.own
    }
}

/// A signal to a whole group reaches us and the front at about the same time: this long ours may
/// be under way when the front's word is here.
const SAME_WISH: Duration = Duration::from_millis(200);

/// Whatever comes from outside, in one queue.
struct Outside {
    signals: Signals,
    front: Option<tokio::net::UnixStream>,
    ended: Option<oneshot::Receiver<()>>,
    wishes: Wishes,
}

impl Outside {
    /// The next word. Cancel-safe.
    async fn next(&mut self) -> Word {
        let mut byte = [0];
        let ended = async {
            match &mut self.ended {
                Some(ended) => drop(ended.await),
                None => std::future::pending().await,
            }
        };
        let front = async {
            match &mut self.front {
                Some(front) => front.read(&mut byte).await.unwrap_or(0),
                None => std::future::pending().await,
            }
        };
        #[cfg(debug_assertions)]
        let test = self.signals.test.recv();
        #[cfg(not(debug_assertions))]
        let test = std::future::pending::<Option<()>>();
        tokio::select! {
            () = ended => {
                self.ended = None;
                Word::EngineEnded
            }
            _came = self.signals.terminate.recv() => self.wished(),
            _came = self.signals.interrupt.recv() => self.wished(),
            _came = self.signals.hangup.recv() => Word::Hangup,
            read = front => match (read, byte[0]) {
                (1, front::END) => {
                    self.wishes.front += 1;
                    Word::EndFront
                }
                (1, front::HANGUP) => Word::Hangup,
                _ => {
                    self.front = None;
                    Word::FrontGone
                }
            },
            _came = test => {
                #[cfg(debug_assertions)]
                return Word::Test;
                #[cfg(not(debug_assertions))]
                unreachable!("it is pending");
            }
        }
    }

    fn wished(&mut self) -> Word {
        self.wishes.own += 1;
        Word::End
    }

    /// Takes what comes until `work` is done, and sees to it that the engine hears of wishes that
    /// reached the front alone.
    async fn beside<T>(
        &mut self,
        work: impl Future<Output = T>,
        mut heard: impl FnMut(Word),
    ) -> Result<T, Word> {
        tokio::pin!(work);
        let mut patience = std::pin::pin!(None::<tokio::time::Sleep>);
        loop {
            let wait = async {
                match patience.as_mut().as_pin_mut() {
                    Some(sleep) => sleep.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                done = &mut work => return Ok(done),
                () = wait => {
                    patience.set(None);
                    if self.wishes.lacks_one() {
                        // It comes back as our own, here and to the engine.
                        let own = rustix::process::getpid();
                        let _cannot_fail = rustix::process::kill_process(own, Number::TERM);
                    }
                }
                came = self.next() => {
                    if came == Word::EndFront {
                        patience.set(Some(tokio::time::sleep(SAME_WISH)));
                    }
                    heard(came);
                    if came == Word::EngineEnded {
                        return Err(came);
                    }
                }
            }
        }
    }
}

impl Conductor {
    /// From the start of the engine to the end of the screen, or of the engine.
    pub async fn conduct(self, signals: Signals) -> Report {
        let Self { ui, mut options, on_hangup, host, doors, ended, .. } = self;
        let front = self.front.try_clone().and_then(|front| {
            front.set_nonblocking(true)?;
            tokio::net::UnixStream::from_std(front)
        });
        let mut outside =
            Outside { signals, front: front.ok(), ended: Some(ended), wishes: Wishes::default() };
        // A wish from before the engine listens is kept, for nobody else would.
        let mut early = None;
        let doors = outside
            .beside(doors, |word| {
                early = early.or(outcome_of(word));
            })
            .await;
        // Without doors there is no engine: it did not start, and says why itself.
        let Ok(Ok(doors)) = doors else { return Report::EngineEnded };
        let full = Client::new(Endpoint::InProcess(doors.full), "console");
        let left = if let Some(outcome) = early {
            Ok(outcome)
        } else {
            options.stderr = sink(&self.output).ok();
            let client = Client::new(Endpoint::InProcess(doors.screen), "console");
            screen(&mut outside, options, host, client).await
        };
        (self.uncapture)();
        match after(left, on_hangup) {
            After::Over => Report::EngineEnded,
            After::StopAll => {
                let stopped = outside.beside(stop_all(&ui, &full), |_word| {}).await;
                Report::Stopped(stopped.ok().flatten())
            }
            After::GoOn(why) => {
                let pid = std::process::id();
                let comeback = &self.comeback;
                let code = match &why {
                    Why::Wish => {
                        ui.line(format_args!("The Supervisor goes on as pid {pid}; {comeback}."));
                        0
                    }
                    Why::NoTerminal => 0,
                    Why::Mistake(text) => {
                        ui.error(format_args!(
                            "{text}\nThe Supervisor is not concerned and goes on as pid {pid}; \
                             {comeback}. What happened is written in {}.",
                            self.trace_log.display()
                        ));
                        1
                    }
                };
                tracing::info!(why = ?why, "the console has ended; the Supervisor goes on without");
                if let Err(error) = process::leave_terminal(Some(&self.output)) {
                    tracing::warn!(%error, "cannot let go of the terminal altogether");
                }
                let _engine_gone = self.give_hangup.send(());
                let _front_gone = (&*self.front).write_all(&[code]);
                Report::Detached
            }
        }
    }
}

/// Where standard error goes while the screen is up; empty, so that old words are not taken for new.
fn sink(output: &Path) -> io::Result<File> {
    File::create(output)?;
    File::options().append(true).open(output)
}

/// The screen, from its first frame to its last.
async fn screen(
    outside: &mut Outside,
    options: ConsoleOptions,
    host: String,
    client: Client,
) -> Result<Outcome, ConsoleError> {
    let (feed, remote, requests) =
        console::feed::channel(vec![host]).map_err(ConsoleError::NoTerminal)?;
    let ender = feed.ender();
    let link = tokio::spawn(link::attach(remote, requests, vec![client]));
    let (tell, mut left) = mpsc::channel(1);
    let spawned = std::thread::Builder::new().name("console".to_owned()).spawn(move || {
        let _nobody_waits = tell.blocking_send(console::run(feed, options));
    });
    let thread = spawned.map_err(ConsoleError::NoTerminal)?;
    let outcome = match outside.beside(left.recv(), |word| heard(&ender, word)).await {
        Ok(outcome) => outcome,
        Err(_engine_ended) => left.recv().await,
    };
    // It has said its last word, and the terminal is given back.
    let _never_panics = thread.join();
    // What was asked for at last is still passed on.
    let _never_panics = link.await;
    outcome.unwrap_or_else(|| Err(ConsoleError::Panicked("it ended without a word".to_owned())))
}

fn heard(ender: &Ender, word: Word) {
    #[cfg(debug_assertions)]
    if word == Word::Test {
        tests_wish(ender);
    }
    if let Some(outcome) = outcome_of(word) {
        ender.end(outcome);
    }
}

fn outcome_of(word: Word) -> Option<Outcome> {
    Some(match word {
        Word::End | Word::EndFront => Outcome::StopAll,
        Word::Hangup => Outcome::TerminalLost,
        Word::FrontGone => Outcome::Detach,
        Word::EngineEnded => Outcome::EngineEnded,
        #[cfg(debug_assertions)]
        Word::Test => return None,
    })
}

/// A panic at a test's wish; debug builds alone have it.
#[cfg(debug_assertions)]
fn tests_wish(ender: &Ender) {
    match std::env::var("S7_TEST_PANIC").as_deref() {
        Ok("console") => ender.panic(),
        Ok("worker") => {
            let panics = || panic!("a worker was told to panic");
            let _a_thread = std::thread::Builder::new().name("worker".to_owned()).spawn(panics);
            tokio::spawn(async { panic!("a task was told to panic") });
        }
        _ => {}
    }
}

/// What becomes of the engine.
#[derive(Debug, PartialEq, Eq)]
enum After {
    GoOn(Why),
    StopAll,
    Over,
}

#[derive(Debug, PartialEq, Eq)]
enum Why {
    Wish,
    NoTerminal,
    Mistake(String),
}

/// The console is not the engine: whatever goes wrong with it, the engine goes on.
fn after(left: Result<Outcome, ConsoleError>, on_hangup: OnHangup) -> After {
    match left {
        Ok(Outcome::Quit | Outcome::Detach) => After::GoOn(Why::Wish),
        Ok(Outcome::StopAll) => After::StopAll,
        Ok(Outcome::EngineEnded) => After::Over,
        Ok(Outcome::TerminalLost) => match on_hangup {
            OnHangup::Keep => After::GoOn(Why::NoTerminal),
            OnHangup::Stop => After::StopAll,
        },
        Err(error) => After::GoOn(Why::Mistake(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_wish_stops_the_engine() {
        let keep = |left| after(left, OnHangup::Keep);
        assert_eq!(keep(Ok(Outcome::StopAll)), After::StopAll);
        assert_eq!(keep(Ok(Outcome::TerminalLost)), After::GoOn(Why::NoTerminal));
        assert_eq!(after(Ok(Outcome::TerminalLost), OnHangup::Stop), After::StopAll);
        let panicked = || Err(ConsoleError::Panicked("why".to_owned()));
        for on_hangup in [OnHangup::Keep, OnHangup::Stop] {
            assert!(matches!(after(panicked(), on_hangup), After::GoOn(Why::Mistake(_))));
        }
    }

    #[test]
    fn a_wish_to_both_is_one_wish() {
        let lacks = |own, front| Wishes { own, front }.lacks_one();
        assert!(!lacks(1, 1) && !lacks(1, 0) && !lacks(2, 1));
        assert!(lacks(0, 1) && lacks(1, 2));
    }
}
