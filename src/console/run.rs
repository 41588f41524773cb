//! The loop: sleeps until something happens, lets [`update`] decide, draws what changed.

use std::{
    fs::File,
    io::{self, Write as _},
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use jiff::Timestamp;
use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    ending::{Outcome, Told},
    feed::Feed,
    keymap::Keymap,
    model::{Model, Now, Overlay, Settings, Urgency},
    options::ConsoleOptions,
    terminal::{
        capture,
        hook::PanicHook,
        input::Input,
        paint::Painter,
        signals::{Signal, Signals},
        tty::Tty,
    },
    update::{Effect, Leave, Message, update},
    views::{self, Skin, Stage},
};
use crate::{model::Moment, wire::Severity};

#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error("cannot take over the terminal: {0} - `--plain` needs none")]
    NoTerminal(#[source] io::Error),
    #[error("cannot use the terminal: {0}")]
    Terminal(#[source] io::Error),
    /// The terminal has been given back, and the engine is not concerned.
    #[error("the console made a mistake and ended: {0}")]
    Panicked(String),
}

/// Runs the console on this thread until it is left.
///
/// Blocks: give it a thread of its own. The terminal is given back however it ends, also by a
/// panic. An attached console ends by `SIGTERM`, `SIGINT` and `SIGHUP` itself; where the engine is in
/// this process they mean more than the end of a screen, so whoever handles them there ends the
/// console with the [`Ender`](super::Ender) of its feed.
pub fn run(feed: Feed, mut options: ConsoleOptions) -> Result<Outcome, ConsoleError> {
    let tty = Tty::enter(options.stderr.take()).map_err(ConsoleError::NoTerminal)?;
    guarded(tty, |tty| {
        let signals = Signals::register(!options.embedded).map_err(ConsoleError::Terminal)?;
        Console::new(feed, options, tty, signals)?.run()
    })
}

/// Gives the terminal back however `body` ends.
pub(super) fn guarded(
    tty: Tty,
    body: impl FnOnce(Tty) -> Result<Outcome, ConsoleError>,
) -> Result<Outcome, ConsoleError> {
    let restore = tty.restore();
    let hook = PanicHook::install(&restore);
    let ran = panic::catch_unwind(AssertUnwindSafe(|| body(tty)));
    restore.now();
    drop(hook);
    ran.unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(ConsoleError::Panicked(text.unwrap_or_else(|| "a panic".to_owned())))
    })
}

struct Console {
    feed: Feed,
    tty: Tty,
    signals: Signals,
    model: Model,
    stage: Stage,
    painter: Painter,
    keyboard: Input,
    /// When the last frame was drawn.
    drawn: Moment,
    ticked: Moment,
    lost_size: bool,
}

/// Between frames for numbers, and for log lines.
const NUMBERS: Duration = Duration::from_secs(1);
const LINES: Duration = Duration::from_millis(250);
/// Between two looks at what only time changes. Longer than the second in which samples come.
const TICK: Duration = Duration::from_millis(1100);
/// News that are taken before the next look at the keys.
const NEWS_AT_ONCE: usize = 256;
/// A frame that is wanted at once follows others no closer than this.
const CLOSEST: Duration = Duration::from_millis(15);

impl Console {
    fn new(
        feed: Feed,
        options: ConsoleOptions,
        tty: Tty,
        signals: Signals,
    ) -> Result<Self, ConsoleError> {
        let (keymap, complaints) = match &options.keys {
            Some(text) => Keymap::with_file(text),
            None => (Keymap::default(), Vec::new()),
        };
        let settings = Settings {
            keymap,
            embedded: options.embedded,
            read_only: options.read_only,
            zone: jiff::tz::TimeZone::system(),
            ascii: options.ascii,
            registry: options.registry,
        };
        if !options.embedded {
            capture::bound();
        }
        let now = now();
        let mut model = Model::new(feed.hosts.clone(), settings, now);
        model.first_run = options.first_run;
        model.size = tty.size().map_err(ConsoleError::Terminal)?;
        for complaint in complaints {
            model.toast(Severity::Warning, complaint);
        }
        let skin = Skin { theme: options.theme, ascii: options.ascii };
        let stage = Stage { skin, supervisor_log: views::SupervisorLogPosition::default() };
        Ok(Self {
            feed,
            tty,
            signals,
            model,
            stage,
            painter: Painter::new(options.ascii),
            keyboard: Input::default(),
            drawn: Moment::default(),
            ticked: now.mono,
            lost_size: false,
        })
    }

    fn run(mut self) -> Result<Outcome, ConsoleError> {
        loop {
            let step = self.step();
            match step {
                Ok(None) => {}
                Ok(Some(outcome)) => return Ok(outcome),
                // A terminal that is gone answers so, whichever way it is noticed first.
                Err(error) if is_gone(&error) => {
                    self.tty.restore().lost();
                    return Ok(Outcome::TerminalLost);
                }
                Err(error) => return Err(ConsoleError::Terminal(error)),
            }
        }
    }

    /// One turn: draw, sleep, take what came.
    fn step(&mut self) -> io::Result<Option<Outcome>> {
        self.draw()?;
        let woken = {
            let timeout = self.timeout();
            self.tty.wait(self.feed.wake().descriptor(), self.signals.descriptor(), timeout)?
        };
        // Before anything is read: a terminal that is gone is readable for ever.
        if woken.lost {
            self.tty.restore().lost();
            return Ok(Some(Outcome::TerminalLost));
        }
        match self.feed.told_to_end() {
            None => {}
            Some(Told::End(outcome)) => return Ok(Some(outcome)),
            #[cfg(debug_assertions)]
            Some(Told::Panic) => panic!("the console was told to panic"),
        }
        if !self.tty.is_ready() {
            self.tty.flush()?;
        }
        let mut messages = Vec::new();
        if woken.signal
            && let Some(outcome) = self.signal(&mut messages)?
        {
            return Ok(Some(outcome));
        }
        if woken.input {
            messages.extend(self.input()?);
        }
        messages.extend(self.keyboard.tick(now().mono));
        let since = now().mono.since(self.ticked);
        // With news that come once a second the tick comes along: one wake-up instead of two.
        if since >= TICK || (woken.news && since >= TICK / 2) {
            self.ticked = now().mono;
            messages.push(Message::Tick);
        } else if self.rested() {
            // The selection has stood still: the panes follow it.
            messages.push(Message::Tick);
        }
        for message in messages {
            if let Some(outcome) = self.update(message)? {
                return Ok(Some(outcome));
            }
        }
        self.feed.wake().hear();
        for _ in 0..NEWS_AT_ONCE {
            let Some(incoming) = self.feed.try_next() else { return Ok(None) };
            if let Some(outcome) = self.update(Message::News(incoming))? {
                return Ok(Some(outcome));
            }
        }
        // More is waiting: keys first, then on.
        self.feed.wake().ring();
        Ok(None)
    }

    fn rested(&self) -> bool {
        let moved = self.model.preview.moved;
        moved.is_some_and(|moved| now().mono.since(moved) >= Duration::from_millis(150))
    }

    /// One read, of what is there: it cannot block, because `poll` has just said so.
    fn input(&mut self) -> io::Result<Vec<Message>> {
        let mut bytes = [0; 4096];
        let count = self.tty.read(&mut bytes)?;
        let overlay = &self.model.overlay;
        self.keyboard.typing = matches!(overlay, Some(Overlay::Field(_) | Overlay::Palette(_)));
        Ok(self.keyboard.take(&bytes[..count], now().mono))
    }

    fn signal(&mut self, messages: &mut Vec<Message>) -> io::Result<Option<Outcome>> {
        for signal in self.signals.pending() {
            match signal {
                Signal::Size => self.lost_size = true,
                Signal::Continue => {
                    self.tty.again()?;
                    self.painter.forget();
                    self.lost_size = true;
                }
                Signal::End => return Ok(Some(Outcome::Quit)),
                Signal::HangUp => {
                    // The terminal may be there all the same (`kill -HUP`): it is given back.
                    return Ok(Some(Outcome::TerminalLost));
                }
            }
        }
        if std::mem::take(&mut self.lost_size) {
            let (width, height) = self.tty.size()?;
            messages.push(Message::Resize { width, height });
        }
        Ok(None)
    }

    fn update(&mut self, message: Message) -> io::Result<Option<Outcome>> {
        for effect in update(&mut self.model, message, now()) {
            match effect {
                Effect::Ask(request) => self.feed.ask(request),
                Effect::Copy(text) => self.tty.send(copy(&text).as_bytes())?,
                Effect::Save { file, text } => {
                    let saved = save(&file, &text);
                    let done = Message::Done {
                        what: match &saved {
                            Ok(()) => format!("saved to {file}"),
                            Err(_) => format!("cannot save to {file}"),
                        },
                        error: saved.err().map(|error| error.to_string()),
                    };
                    update(&mut self.model, done, now());
                }
                Effect::Mouse(on) => self.tty.mouse(on)?,
                Effect::Redraw => self.painter.forget(),
                Effect::Keep { host, records } => {
                    let zone = &self.model.settings.zone;
                    for record in &records {
                        capture::keep(host.as_deref(), record, zone);
                    }
                }
                Effect::SupervisorLog(by) => self.stage.supervisor_log.go(by),
                Effect::Leave(leave) => {
                    return Ok(Some(match leave {
                        Leave::Quit => Outcome::Quit,
                        Leave::Detach => Outcome::Detach,
                        Leave::StopAll => Outcome::StopAll,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// When the frame that is wanted may be drawn.
    fn due(&self) -> Option<Moment> {
        let pause = match self.model.urgency {
            Urgency::Never => return None,
            Urgency::Numbers => NUMBERS.saturating_sub(LINES),
            Urgency::Lines => LINES,
            Urgency::Now => CLOSEST,
        };
        Some(self.drawn.after(pause))
    }

    fn timeout(&self) -> Duration {
        let now = now().mono;
        let mut next = self.ticked.after(TICK);
        let rest = self.model.preview.moved.map(|moved| moved.after(Duration::from_millis(150)));
        // While the terminal takes nothing, no frame is waited for: it wakes us itself.
        let due = self.due().filter(|_| self.tty.is_ready());
        for deadline in [due, rest, self.keyboard.deadline()].into_iter().flatten() {
            next = next.min(deadline);
        }
        // A fraction of a millisecond more, so that the deadline has passed for certain.
        next.since(now).saturating_add(Duration::from_micros(200))
    }

    fn draw(&mut self) -> io::Result<()> {
        let now = now().mono;
        if !self.tty.is_ready() || self.due().is_none_or(|due| due > now) {
            return Ok(());
        }
        self.model.urgency = Urgency::Never;
        self.drawn = now;
        tui_logger::move_events();
        let (width, height) = self.model.size;
        let mut frame = Buffer::empty(Rect::new(0, 0, width, height));
        let cursor = views::render(&self.model, &self.stage, &mut frame);
        let bytes = self.painter.frame(frame, cursor);
        if bytes.is_empty() { Ok(()) } else { self.tty.send(bytes) }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// The sequence that hands a text to the terminal's clipboard (OSC 52).
fn copy(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::from("\u{1b}]52;c;");
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            out.push(if place <= chunk.len() { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
    out.push('\u{7}');
    out
}

/// Never over a file that is there: a mistyped name must not cost one.
fn save(file: &str, text: &str) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(file)?;
    file.write_all(text.as_bytes())
}

fn now() -> Now {
    let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let since_boot = Duration::try_from(since_boot).unwrap_or_default();
    Now { mono: Moment::from_boot(since_boot), wall: Timestamp::now() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_text_is_coded_as_the_terminal_expects() {
        assert_eq!(copy("Man"), "\u{1b}]52;c;TWFu\u{7}");
        assert_eq!(copy("Ma"), "\u{1b}]52;c;TWE=\u{7}");
        assert_eq!(copy("M"), "\u{1b}]52;c;TQ==\u{7}");
        assert_eq!(copy("restart ps"), "\u{1b}]52;c;cmVzdGFydCBwcw==\u{7}");
    }

    #[test]
    fn saving_never_writes_over_a_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ps.log");
        let name = path.to_str().expect("plain");
        save(name, "first").expect("new");
        assert_eq!(
            save(name, "second").expect_err("it is there").kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), "first");
    }
}
