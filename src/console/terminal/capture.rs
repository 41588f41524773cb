//! The Supervisor's own log for its screen: a tracing layer in front of tui-logger.
//!
//! tui-logger's own initialisation starts a timer of 10 ms, and it bounds records, not bytes. So
//! the layer hands over records itself, cut and made harmless, and the console's loop moves them.

use std::{
    fmt::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::tz::TimeZone;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use crate::{
    console::{format, sanitize},
    wire::{TraceLevel, TraceRecord},
};

/// Records that are kept.
const RECORDS: usize = 2000;

/// Install it with the other layers, in the process that holds the engine.
#[derive(Debug)]
pub struct Capture(Arc<AtomicBool>);

/// Ends the capturing, when nobody is to see it any more.
#[derive(Debug)]
pub struct Capturing(Arc<AtomicBool>);

impl Capturing {
    pub fn stop(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Makes ready to capture; call it once, before the layer is installed.
pub fn capture() -> (Capture, Capturing) {
    let on = Arc::new(AtomicBool::new(true));
    bound();
    (Capture(Arc::clone(&on)), Capturing(on))
}

/// Sets how much is kept. What there was is gone.
pub fn bound() {
    tui_logger::set_default_level(log::LevelFilter::Info);
    tui_logger::set_hot_buffer_depth(RECORDS);
    tui_logger::set_buffer_depth(RECORDS);
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if !self.0.load(Ordering::Acquire) {
            return;
        }
        let metadata = event.metadata();
        let mut text = Text(String::new());
        event.record(&mut text);
        let level = match *metadata.level() {
            Level::ERROR => log::Level::Error,
            Level::WARN => log::Level::Warn,
            Level::INFO => log::Level::Info,
            Level::DEBUG => log::Level::Debug,
            Level::TRACE => log::Level::Trace,
        };
        let at = jiff::ZonedDateTime::now().strftime(CLOCK).to_string();
        // Named as in the trace log: the room, not the module.
        let mut parts = metadata.target().split("::");
        let first = parts.next().unwrap_or_default();
        let ours = first == env!("CARGO_CRATE_NAME");
        let target = if ours { parts.next().unwrap_or("main") } else { first };
        hand_over(level, target, &at, &text.0.replace('\n', " "));
    }
}

/// Keeps an event of a Supervisor in another process; `host` where there are several.
pub fn keep(host: Option<&str>, record: &TraceRecord, zone: &TimeZone) {
    let level = match record.level {
        TraceLevel::Error => log::Level::Error,
        TraceLevel::Warn => log::Level::Warn,
        TraceLevel::Info => log::Level::Info,
        TraceLevel::Debug => log::Level::Debug,
        TraceLevel::Trace => log::Level::Trace,
    };
    let at = format::local(&record.at, zone, CLOCK);
    match host {
        Some(host) => hand_over(level, &format!("{host}/{}", record.target), &at, &record.text),
        None => hand_over(level, &record.target, &at, &record.text),
    }
}

const CLOCK: &str = "%H:%M:%S%.3f";

/// The line stands in the text whole: tui-logger would stamp it with the time of its arrival.
fn hand_over(level: log::Level, target: &str, at: &str, text: &str) {
    let text = sanitize::plain(text);
    let target = sanitize::plain(target);
    let mut record = log::Record::builder();
    record.level(level).target(&target);
    tui_logger::Drain::new()
        .log(&record.args(format_args!("{at} {level:<5} {target}: {text}")).build());
}

/// The message, then the other fields as `name=value`; no longer than a line is shown.
struct Text(String);

impl fmt::Write for Text {
    /// Takes what there is room for: a value of megabytes is never built up.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = (2 * sanitize::MAX_LINE_BYTES).saturating_sub(self.0.len());
        let end = (0..=text.len().min(room)).rev().find(|end| text.is_char_boundary(*end));
        self.0.push_str(&text[..end.unwrap_or(0)]);
        // Nothing more is wanted from a value that has filled it.
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { " " };
        let _full = match field.name() {
            "message" => write!(self, "{separator}{value:?}"),
            name => write!(self, "{separator}{name}={value:?}"),
        };
    }
}
