//! From pipes to files: every component's output is read at once, stored in daily files, and
//! its last lines are kept in memory.
//!
//! ```text
//!  component ──stdout──► FIFO ─┐                   ┌─► merge ──► daily file   (byte for byte)
//!            ──stderr──► FIFO ─┼─► log thread ─────┤
//!  engine ───trace lines─queue─┘   (one epoll)     ├─► lines ──► ring ──► readers
//!                                                  └─► lines ──► watch ──► notice (readiness)
//! ```
//!
//! This room owns the FIFOs, the log thread, the files with their rotation and retention, the
//! rings, and the Supervisor's own trace log ([`trace`]). It knows no policy: it does not start
//! components, nor decide what a matching line means.
//!
//! What it promises:
//! * **Nobody waits for it.** Pipes are drained whatever the disk does; callers leave a message
//!   or read memory.
//! * **Nothing is lost silently.** What cannot be stored is counted in bytes and lines and told
//!   once, and storing resumes by itself.
//! * **The pipe outlives us.** Components hold their FIFOs read-write: no `SIGPIPE`, and what
//!   they write while no Supervisor runs waits for the next one. What is read is in memory that
//!   outlives us until it is stored (`in_hand`, `begun`), so a `kill -9` takes none of it.
//! * **Idle costs nothing.** The thread sleeps until a pipe, a message, or midnight wakes it; a
//!   silent component owns no buffers and no open file.
//!
//! `docs/logging.md` tells operators what goes where.

mod assemble;
mod begun;
mod clock;
mod daily;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod gzip;
mod handle;
mod in_hand;
mod index;
mod intake;
mod janitor;
mod line;
mod merge;
mod name;
mod numbers;
mod os;
mod pace;
pub mod read;
mod reading;
mod ring;
mod stamped;
mod store;
pub mod trace;
mod worker;

#[cfg(test)]
mod tests;

pub use handle::{
    Counters, LogThread, Logs, Notice, NoticeSink, Options, Streams, Thaw, kept_name,
};
pub use intake::OpenLine;
pub use line::{End, LINE_MAX, Line, Mark, Source, Stream};
pub use os::{Owner, WriteEnd};
pub use ring::Batch;
pub use worker::Frozen;

/// The file that a base path stands for today: `logs/is-2026-11-22.log` for `logs/is.log`.
pub fn file_of_today(base: &std::path::Path) -> std::path::PathBuf {
    name::Names::new(base)
        .current(jiff::Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::system()).date())
}

/// Files and bytes of this base path that were complete before `since` and are not compressed.
pub fn uncompressed(base: &std::path::Path, since: std::time::SystemTime) -> (usize, u64) {
    let names = name::Names::new(base);
    let today = file_of_today(base);
    let Ok(entries) = std::fs::read_dir(&names.folder) else { return (0, 0) };
    let sizes = entries.flatten().filter_map(|entry| {
        let part = names.parse(entry.file_name().to_str()?)?;
        let metadata = entry.metadata().ok()?;
        let is_waiting = part.form == name::Form::Plain
            && entry.path() != today
            && metadata.modified().is_ok_and(|at| at < since);
        is_waiting.then_some(metadata.len())
    });
    sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size))
}
