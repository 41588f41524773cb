//! The log thread.
//!
//! It sleeps until a pipe has something, a message came, or a time that was set is over; [`Pace`]
//! says when busy pipes are read again.

mod begin;
mod command;
mod intakes;

use std::{
    collections::HashMap,
    os::fd::AsFd as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender},
    },
    time::{Duration, Instant},
};

use jiff::civil::Date;
use regex::bytes::Regex;
use tokio::sync::watch;

pub(super) use self::command::Command;
pub use self::command::Frozen;
use self::intakes::{Intakes, of_key};
use super::{
    clock::monotonic,
    handle::{NoticeSink, kept_name},
    in_hand::{InHand, Leftover},
    intake::{Intake, OpenLine, Tools},
    janitor::{Janitor, Keep},
    line::Stream,
    numbers::Numbers,
    os::{self, Poller, Ready},
    pace::{Found, Pace, TICK},
    reading::{drain, read_some},
    trace::Queue,
};
use crate::{
    guardian::DescriptorStore,
    model::{ComponentId, RunId},
    registry::{Output, Timestamps},
};

/// After it was woken for a message the thread looks for more by itself so much later, and nobody
/// wakes it meanwhile: messages come in crowds, and a wake-up costs more than most of them.
const BELL_REST: Duration = Duration::from_millis(5);

/// Until a notice that was given back is offered again.
const OFFER_AGAIN: Duration = Duration::from_millis(20);

/// The smallest share of memory for a component's last lines.
const RING_MIN: usize = 16 << 10;

/// A part of the trace log ends at this size.
const TRACE_MAX_SIZE: u64 = 100 << 20;

pub(super) struct Worker {
    poller: Poller,
    inbox: Receiver<Command>,
    intakes: Intakes,
    /// The trace log.
    supervisor: Intake,
    /// What is to be written to it, once its file is known.
    trace: Option<Arc<Queue>>,
    /// Asked for before the first start of the component: before there is any line.
    early_watches: HashMap<ComponentId, (RunId, Regex)>,
    tools: Tools,
    sink: NoticeSink,
    changes: Arc<watch::Sender<u64>>,
    janitor: Janitor,
    upkeep_at: Option<Instant>,
    upkeep_delay: Duration,
    buffer: InHand,
    /// What killed engines had read and not stored.
    leftovers: Vec<Leftover>,
    pace: Pace,
    /// When it looks for messages by itself.
    looks_at: Option<Instant>,
    ring_bytes: usize,
    rings_bytes: usize,
    numbers: Numbers,
    /// All files that are open are of this day.
    day: Date,
    /// Components begin with this number, or with the time.
    first_number: u64,
    /// The highest number of those that have left.
    left_number: u64,
    /// Lines that an engine before us had begun.
    open_lines: Vec<OpenLine>,
    ended: bool,
}

impl Worker {
    /// Works until it is told to end.
    pub fn run(mut self) {
        // A mistake in here must not stop the reading of every component's output.
        while catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {
            tracing::error!("the log thread panicked; it goes on");
            self.poller.pause(TICK);
        }
        self.janitor.stop();
    }

    fn serve(&mut self) {
        let mut ready = Ready::default();
        while !self.ended {
            let timeout = if self.pace.is_idle() { self.timeout() } else { Duration::ZERO };
            let begin = monotonic();
            if let Err(error) = self.poller.wait(Some(timeout), &mut ready) {
                tracing::error!(%error, "cannot wait for output");
                self.poller.pause(TICK);
            }
            if monotonic().saturating_duration_since(begin) >= TICK {
                self.pace.silence();
            }
            self.look_for_messages(ready.woken);
            self.read(&ready.pipes);
            self.keep_time();
            self.announce();
            let rest = self.pace.take_rest();
            if !rest.is_zero() && !self.ended {
                self.poller.pause(rest);
            }
        }
    }

    /// Messages first: what was written after a call is treated as the call says.
    fn look_for_messages(&mut self, woken: bool) {
        let now = monotonic();
        if woken {
            self.looks_at = Some(now + BELL_REST);
        }
        let Some(at) = self.looks_at else { return };
        let any = self.obey() | self.take_trace();
        if now >= at {
            self.looks_at = any.then(|| now + BELL_REST);
            if !any {
                self.poller.listen();
                // What came before that was known.
                self.obey();
                self.take_trace();
            }
        }
    }

    /// How long nothing is to be done but to wait.
    fn timeout(&mut self) -> Duration {
        let now = monotonic();
        let offer = (!self.tools.notices.is_empty()).then(|| now + OFFER_AGAIN);
        let unfinished = self.intakes.unfinished.iter();
        let unfinished = unfinished.filter_map(|&slot| self.intakes.deadline(slot)).min();
        let wall = self.tools.calendar.now();
        // A moment late rather than early: at midnight sharp the date has just changed.
        let midnight = self.tools.calendar.until_tomorrow(wall) + Duration::from_millis(5);
        let set = [offer, unfinished, self.upkeep_at, self.looks_at].into_iter().flatten().min();
        let until_set = set.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
        until_set.min(midnight)
    }

    /// Reads from the busy pipes, and from each of these.
    fn read(&mut self, polled: &[u64]) {
        // From behind: one that leaves gives its place to one that was read.
        for index in (0..self.pace.len()).rev() {
            let Some(key) = self.pace.key(index) else { continue };
            match self.read_pipe(key) {
                Some(found) if self.pace.read(index, found, monotonic()) => {}
                Some(_) => self.watch_pipe(key, true),
                None => self.pace.leave(index),
            }
        }
        for &key in polled {
            if let Some(found) = self.read_pipe(key)
                && self.pace.polled(key, found, monotonic())
            {
                self.watch_pipe(key, false);
            }
        }
    }

    fn read_pipe(&mut self, key: u64) -> Option<Found> {
        let (slot, stream) = of_key(key);
        let intake = self.intakes.slots.get_mut(slot)?.as_deref_mut()?;
        let found = read_some(intake, stream, &mut self.tools, &mut self.buffer)?;
        if intake.deadline().is_some() {
            self.intakes.unfinished.insert(slot);
        }
        Some(found)
    }

    /// Has the poller look at a pipe, or not. Where it cannot, the pipe is busy for ever.
    fn watch_pipe(&mut self, key: u64, is_wanted: bool) {
        let (slot, stream) = of_key(key);
        let Some(intake) = self.intakes.slots.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let Some(pipes) = &mut intake.pipes else { return };
        let pipe = &mut pipes[stream.index()];
        let result = if is_wanted { self.poller.add(pipe, key) } else { self.poller.remove(pipe) };
        if let Err(error) = result {
            let component = intake.id.as_deref();
            tracing::debug!(component, %error, "cannot wait for output: it is looked for by the clock");
            self.pace.hold(key, monotonic());
        }
    }

    /// Whether there was anything.
    fn obey(&mut self) -> bool {
        let mut any = false;
        while let Ok(command) = self.inbox.try_recv() {
            any = true;
            self.perform(command);
        }
        any
    }

    fn perform(&mut self, command: Command) {
        let now = monotonic();
        match command {
            Command::Open { id, output, pipes, shared } => self.open(id, output, pipes, shared),
            Command::Configure { id, output } => {
                if let Some(intake) = self.intakes.get(&id) {
                    intake.configure(&mut self.tools, output, now);
                }
            }
            Command::Close { id, remove } => self.close(&id, &remove),
            Command::Retire { id, remove } => {
                if let Some(intake) = self.intakes.get(&id) {
                    drain(intake, &mut self.tools, &mut self.buffer);
                    intake.pipes = None;
                }
                for path in &remove {
                    os::remove_pipe(path);
                }
            }
            Command::Started { id, run, pid } => {
                let at = self.tools.calendar.now();
                if let Some(intake) = self.intakes.get(&id) {
                    intake.started(at, run, pid);
                }
            }
            Command::Exited { id, run, exit, expected } => {
                if let Some(intake) = self.intakes.get(&id) {
                    drain(intake, &mut self.tools, &mut self.buffer);
                    intake.exited(&mut self.tools, run, exit, expected, now);
                }
            }
            Command::Watch { id, run, pattern, from_now } => {
                if let Some(intake) = self.intakes.get(&id) {
                    intake.watch(&mut self.tools, run, pattern, from_now);
                } else {
                    self.early_watches.insert(id, (run, pattern));
                }
            }
            Command::Unwatch { id } => {
                self.early_watches.remove(&id);
                if let Some(intake) = self.intakes.get(&id) {
                    intake.unwatch();
                }
            }
            Command::Settle { id, done } => {
                if let Some(intake) = self.intakes.get(&id) {
                    intake.daily().settle();
                }
                let _ = done.try_send(());
            }
            Command::Trace { log, keep_days, queue } => {
                let output = trace_output(log, keep_days);
                self.supervisor.configure(&mut self.tools, output, now);
                self.trace = Some(queue);
                self.take_trace();
            }
            Command::KeepPipes { stores } => self.keep_pipes(&stores),
            Command::Reopen => {
                for intake in self.intakes.iter_mut().chain([&mut self.supervisor]) {
                    intake.daily().close();
                }
            }
            Command::Sync { done } => {
                self.drain_all();
                self.take_trace();
                // What came of it is told before the answer.
                self.offer_notices();
                // Nobody waits any more: then nobody needs to know.
                let _ = done.try_send(());
            }
            Command::Freeze { frozen, thaw, pipes } => self.freeze(&frozen, &thaw, &*pipes, now),
            Command::Shutdown => self.shut_down(now),
        }
    }

    fn keep_pipes(&self, store: &dyn DescriptorStore) {
        for intake in self.intakes.iter() {
            let Some((id, pipes)) = intake.id.as_ref().zip(intake.pipes.as_ref()) else { continue };
            for (stream, pipe) in Stream::BOTH.into_iter().zip(pipes) {
                store.keep(&kept_name(id, stream), pipe.as_fd());
            }
        }
    }

    fn freeze(
        &mut self,
        frozen: &SyncSender<Frozen>,
        thaw: &Receiver<()>,
        pipes: &dyn DescriptorStore,
        now: Instant,
    ) {
        self.drain_all();
        let mut all = Frozen::default();
        for intake in self.intakes.slots.iter_mut().flatten() {
            all.lines.extend(intake.hand_over(&mut self.tools, now));
        }
        let lines = all.lines.clone();
        self.take_trace();
        for intake in self.intakes.iter_mut().chain([&mut self.supervisor]) {
            intake.daily().close();
        }
        let highest = self.highest_number();
        self.numbers.end(highest);
        self.offer_notices();
        self.announce();
        self.keep_pipes(pipes);
        if frozen.try_send(all).is_ok() {
            // Told, or the other side is gone: both mean that we go on.
            let _either = thaw.recv();
        }
        self.numbers.resume();
        for line in lines {
            if let Some(intake) = self.intakes.get(&line.id()) {
                intake.take_up(line, monotonic());
            }
        }
    }

    fn close(&mut self, id: &ComponentId, remove: &[PathBuf]) {
        let Some(slot) = self.intakes.by_id.remove(id) else { return };
        if let Some(mut intake) = self.intakes.slots[slot].take() {
            drain(&mut intake, &mut self.tools, &mut self.buffer);
            intake.finish(&mut self.tools, monotonic());
            self.left_number = self.left_number.max(intake.daily().position() + 1);
        }
        for path in remove {
            os::remove_pipe(path);
        }
        self.share_memory();
    }

    /// Gives each ring its share, in powers of two, so that it seldom changes.
    fn share_memory(&mut self) {
        let even = self.rings_bytes / self.intakes.by_id.len().max(1);
        let share = 1 << even.max(1).ilog2();
        let share = usize::min(share, self.ring_bytes).max(RING_MIN.min(self.ring_bytes));
        if share != self.intakes.share {
            self.intakes.share = share;
            for intake in self.intakes.iter() {
                intake.shared.ring().set_limit(share);
            }
        }
    }

    fn drain_all(&mut self) {
        for (slot, intake) in self.intakes.slots.iter_mut().enumerate() {
            let Some(intake) = intake else { continue };
            drain(intake, &mut self.tools, &mut self.buffer);
            self.intakes.unfinished.insert(slot);
        }
    }

    fn shut_down(&mut self, now: Instant) {
        self.drain_all();
        for intake in self.intakes.iter_mut() {
            intake.finish(&mut self.tools, now);
        }
        self.take_trace();
        for intake in self.intakes.iter_mut() {
            intake.daily().close();
        }
        let highest = self.highest_number();
        self.numbers.end(highest);
        self.offer_notices();
        self.announce();
        self.ended = true;
    }

    /// Where a component begins that is taken in now: behind everything that it may have had
    /// before it left.
    fn next_number(&mut self) -> u64 {
        let now = u64::try_from(self.tools.calendar.now().as_microsecond()).unwrap_or_default();
        let next = now.max(self.first_number).max(self.left_number);
        self.numbers.reach(next);
        next
    }

    fn highest_number(&mut self) -> u64 {
        let positions = self.intakes.iter_mut().map(|intake| intake.daily().position());
        positions.max().unwrap_or(0).max(self.left_number).max(self.first_number)
    }

    /// Whether there was anything.
    fn take_trace(&mut self) -> bool {
        let Some(queue) = &self.trace else { return false };
        let (text, lost) = queue.take();
        let any = !text.is_empty() || lost > 0;
        if any {
            self.supervisor.take_trace(&mut self.tools, &text, lost, monotonic());
        }
        any
    }

    /// Does what is due by time.
    fn keep_time(&mut self) {
        let now = monotonic();
        let Intakes { slots, unfinished, .. } = &mut self.intakes;
        unfinished.retain(|&slot| {
            let Some(intake) = &mut slots[slot] else { return false };
            if intake.deadline().is_some_and(|deadline| now >= deadline) {
                // The newline may be there by now: then this thread is late, not the component.
                for stream in Stream::BOTH {
                    read_some(intake, stream, &mut self.tools, &mut self.buffer);
                }
                intake.give_out_overdue(&mut self.tools, now);
            }
            intake.deadline().is_some()
        });
        self.offer_notices();
        self.look_after_files(now);
    }

    fn offer_notices(&mut self) {
        while let Some(notice) = self.tools.notices.pop_front() {
            if let Err(notice) = (self.sink)(notice) {
                self.tools.notices.push_front(notice);
                break;
            }
        }
    }

    /// Completes yesterday's files, and has old ones compressed and deleted.
    fn look_after_files(&mut self, now: Instant) {
        let wall = self.tools.calendar.now();
        let today = self.tools.calendar.today(wall);
        if today != self.day {
            let mut all = true;
            for intake in self.intakes.iter_mut().chain([&mut self.supervisor]) {
                self.tools.upkeep |= intake.daily().close_old(today);
                all &= !intake.daily().is_of_another_day(today);
            }
            if all {
                self.day = today;
            }
        }
        if std::mem::take(&mut self.tools.upkeep) && self.upkeep_at.is_none() {
            self.upkeep_at = Some(now + self.upkeep_delay);
        }
        if self.upkeep_at.is_none_or(|at| now < at) {
            return;
        }
        if self.janitor.is_busy() {
            self.upkeep_at = Some(now + self.upkeep_delay);
            return;
        }
        self.upkeep_at = None;
        let highest = self.highest_number();
        self.numbers.reach(highest);
        let trace = self.trace.is_some().then_some(&mut self.supervisor);
        let keeps = self.intakes.iter_mut().chain(trace).map(|intake| Keep {
            names: intake.daily().names().clone(),
            days: intake.output.keep_days,
            files: intake.output.keep_files,
            bytes: intake.output.keep_size,
            compress: intake.output.compress,
        });
        self.janitor.start(keeps.collect(), today);
    }

    /// Tells readers that there may be something new.
    fn announce(&self) {
        if self.changes.receiver_count() > 0 {
            self.changes.send_modify(|generation| *generation += 1);
        }
    }
}

/// The trace log is stored as components are; its lines have their stamp already.
fn trace_output(log: PathBuf, keep_days: u32) -> Arc<Output> {
    Arc::new(Output {
        log,
        timestamps: Timestamps::Rfc3339,
        max_size: TRACE_MAX_SIZE,
        keep_days,
        keep_files: None,
        keep_size: None,
        forward: None,
        compress: false,
    })
}
