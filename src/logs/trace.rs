//! The Supervisor's own trace log: events of `tracing`, formatted where they happen, written by
//! the log thread.
//!
//! ```text
//! 2026-11-22T14:03:07.123+01:00 WARN  process: killed what was left of the tree component=is pids=3
//! ```
//!
//! An event costs its thread the formatting and a copy into a queue of limited size; when the
//! queue is full the event is dropped, counted, and the count is written as soon as there is
//! room. Standard error gets it too where that is wished for, but never waits: a terminal that is
//! stopped loses lines, it does not stop the Supervisor.
//!
//! Until [`Trace::attach`] names the file, events wait in the queue (and go to standard error),
//! so that the log begins with the beginning. Spans are not used in this program; an event
//! carries all of its fields itself. `docs/logging.md` says what is told at which level.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

use super::{
    clock::{Calendar, Clock},
    handle::Logs,
    os::{self, Waker},
};
use crate::registry::TraceLevel;

/// Bytes that wait for the log thread at most.
const QUEUE: usize = 1 << 20;

/// Bytes of one event on its way to standard error at most: what a pipe that is ready takes
/// without waiting.
const STDERR_LINE: usize = 4096;

/// Events on their way to the log thread. Full: dropped and counted.
#[derive(Debug, Default)]
pub(super) struct Queue {
    text: Mutex<Vec<u8>>,
    dropped: AtomicU64,
    waker: OnceLock<Arc<Waker>>,
}

/// Another receiver of events.
pub type Beside = Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync>;

/// The trace log as the program sees it; cheap to clone.
#[derive(Clone)]
pub struct Trace {
    state: Arc<State>,
}

struct State {
    level: AtomicU8,
    stderr: AtomicBool,
    /// Events that standard error did not take.
    stderr_dropped: AtomicU64,
    /// On their way there: what happens together is written together.
    shown: Mutex<Vec<u8>>,
    /// More is about to come.
    is_gathering: AtomicBool,
    queue: Arc<Queue>,
    logs: OnceLock<Logs>,
    calendar: Mutex<Calendar>,
}

impl Trace {
    /// A trace log that nothing writes to yet; `stderr`: events go to standard error too.
    pub fn new(level: TraceLevel, stderr: bool) -> Self {
        let state = State {
            level: AtomicU8::new(level.0),
            stderr: AtomicBool::new(stderr),
            stderr_dropped: AtomicU64::new(0),
            shown: Mutex::default(),
            is_gathering: AtomicBool::new(false),
            queue: Arc::default(),
            logs: OnceLock::new(),
            calendar: Mutex::new(Calendar::new(Clock::system())),
        };
        Self { state: Arc::new(state) }
    }

    /// Makes it the receiver of all events of the program, and has panics written to it before
    /// anything else happens. Once, at the very start.
    ///
    /// `beside`: gets every event that this one tells.
    pub fn install(
        &self,
        beside: Option<Beside>,
    ) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
        match beside {
            Some(beside) => tracing::subscriber::set_global_default(
                tracing_subscriber::registry().with(beside).with(self.clone()),
            )?,
            None => tracing::subscriber::set_global_default(self.subscriber())?,
        }
        let trace = self.clone();
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            trace.panicked(info);
            previous(info);
        }));
        Ok(())
    }

    /// For `tracing::subscriber::with_default`, where the whole program is too much.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::registry().with(self.clone())
    }

    /// From now on the log thread writes events to daily files of the base path `log`. Called
    /// again, it changes the path and the retention.
    pub fn attach(&self, logs: &Logs, log: &Path, keep_days: u32) {
        let waker = self.state.queue.waker.get_or_init(|| logs.waker());
        // A second Logs in one process (tests) would wake the first one's thread.
        debug_assert!(Arc::ptr_eq(waker, &logs.waker()), "a trace log has one log thread");
        self.state.logs.get_or_init(|| logs.clone());
        logs.configure_trace(log, keep_days, Arc::clone(&self.state.queue));
    }

    pub fn set_level(&self, level: TraceLevel) {
        if self.state.level.swap(level.0, Ordering::AcqRel) != level.0 {
            tracing::callsite::rebuild_interest_cache();
        }
    }

    /// Whether events go to standard error too.
    pub fn set_stderr(&self, on: bool) {
        self.state.stderr.store(on, Ordering::Release);
    }

    /// A crowd of events is about to come: until [`release`](Self::release) they are written to
    /// standard error in pieces.
    pub fn gather(&self) {
        self.state.is_gathering.store(true, Ordering::Release);
    }

    pub fn release(&self) {
        if self.state.is_gathering.swap(false, Ordering::AcqRel) {
            self.state.show(&mut lock(&self.state.shown));
        }
    }

    fn panicked(&self, info: &std::panic::PanicHookInfo<'_>) {
        let payload = info.payload();
        let words = payload.downcast_ref::<&str>().copied();
        let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = info.location().map(ToString::to_string);
        let thread = std::thread::current();
        tracing::error!(
            target: "panic",
            thread = thread.name(),
            place,
            "panicked: {}",
            words.unwrap_or("without words")
        );
        self.release();
        // The log thread cannot wait for itself; it writes the event when it goes on.
        if thread.name() != Some(super::handle::THREAD_NAME)
            && let Some(logs) = self.state.logs.get()
        {
            logs.sync(Duration::from_millis(500));
        }
    }

    /// The most detailed level of an event with this target that is told.
    fn level_for(&self, target: &str) -> LevelFilter {
        let level = self.state.level.load(Ordering::Acquire);
        let ours = target == "panic" || target.split("::").next() == Some(env!("CARGO_CRATE_NAME"));
        // Libraries speak one to two levels later than we do.
        match (level, ours) {
            (0 | 1, _) | (2, false) => LevelFilter::WARN,
            (2, true) | (3, false) => LevelFilter::INFO,
            (3, true) | (_, false) => LevelFilter::DEBUG,
            (_, true) => LevelFilter::TRACE,
        }
    }
}

impl<S: Subscriber> Layer<S> for Trace {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Cached by tracing until the level changes: an event that is not told costs a load.
        if metadata.is_event() && *metadata.level() <= self.level_for(metadata.target()) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level_for(metadata.target())
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Vec::with_capacity(256);
        let now = Timestamp::now();
        lock(&self.state.calendar).stamp(now, &mut line);
        let mut text = String::new();
        write_event(event, &mut text);
        line.extend_from_slice(text.as_bytes());
        line.push(b'\n');
        if self.state.stderr.load(Ordering::Acquire) {
            self.state.to_stderr(&line);
        }
        self.state.queue.push(&line);
    }
}

impl State {
    fn to_stderr(&self, line: &[u8]) {
        let mut shown = lock(&self.shown);
        let end = if line.len() > STDERR_LINE { &b"...\n"[..] } else { b"" };
        let line = &line[..line.len().min(STDERR_LINE - end.len())];
        if shown.len() + line.len() + end.len() > STDERR_LINE {
            self.show(&mut shown);
        }
        shown.extend_from_slice(line);
        shown.extend_from_slice(end);
        if !self.is_gathering.load(Ordering::Acquire) {
            self.show(&mut shown);
        }
    }

    /// Writes to standard error if that does not wait.
    fn show(&self, shown: &mut Vec<u8>) {
        if shown.is_empty() {
            return;
        }
        let mut stderr = std::io::stderr().lock();
        if os::ready_for_writing(&stderr) {
            let dropped = self.stderr_dropped.swap(0, Ordering::AcqRel);
            if dropped > 0 {
                // Nobody is left to be told when standard error fails.
                let _ = writeln!(stderr, "({dropped} events are not shown here)");
            }
            let _ = stderr.write_all(shown);
        } else {
            let events = shown.split_inclusive(|&byte| byte == b'\n').count();
            self.stderr_dropped.fetch_add(events as u64, Ordering::AcqRel);
        }
        shown.clear();
    }
}

impl Queue {
    fn push(&self, line: &[u8]) {
        let mut text = lock(&self.text);
        if text.len() + line.len() > QUEUE {
            self.dropped.fetch_add(1, Ordering::AcqRel);
            return;
        }
        text.extend_from_slice(line);
        drop(text);
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    /// The lines that wait, and the number of those that were dropped after them.
    pub fn take(&self) -> (Vec<u8>, u64) {
        let mut text = lock(&self.text);
        (std::mem::take(&mut *text), self.dropped.swap(0, Ordering::AcqRel))
    }
}

/// ` WARN  room: message field=value "field=with space"`.
fn write_event(event: &Event<'_>, text: &mut String) {
    let metadata = event.metadata();
    let level = match *metadata.level() {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN ",
        Level::INFO => "INFO ",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    };
    // Writing to a String cannot fail.
    let _ = write!(text, " {level} {}:", room(metadata.target()));
    let mut fields = Fields { message: String::new(), others: String::new() };
    event.record(&mut fields);
    text.push_str(&fields.message);
    text.push_str(&fields.others);
}

/// The room of this program, or the library, that a target is in.
fn room(target: &str) -> &str {
    let mut parts = target.split("::");
    let first = parts.next().unwrap_or_default();
    if first == env!("CARGO_CRATE_NAME") { parts.next().unwrap_or("main") } else { first }
}

struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push(' ');
            escape(value, false, &mut self.message);
            return;
        }
        let others = &mut self.others;
        let _ = write!(others, " {}=", field.name());
        let bare = !value.is_empty() && !value.contains([' ', '"', '=']);
        if bare {
            escape(value, false, others);
        } else {
            others.push('"');
            escape(value, true, others);
            others.push('"');
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }
}

/// One event is one line, and no text of a component can drive the reader's terminal: control
/// characters and those that turn the direction of text are written as `\u{1b}`.
fn escape(text: &str, quoted: bool, out: &mut String) {
    for char in text.chars() {
        let turns = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if char.is_control() || turns || (quoted && matches!(char, '"' | '\\')) {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
