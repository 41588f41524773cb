//! One component inside the log thread: its pipes, and the way of each chunk from there.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use regex::bytes::Regex;
use serde::{Deserialize, Serialize};

use super::{
    assemble::Assembler,
    begun::{Begun, Kept},
    clock::Calendar,
    daily::{Chunk, Daily, Outage, When, Written},
    forward::Forwarder,
    handle::{AtomicCounters, Notice, Shared},
    in_hand::{Leftover, Notes},
    index::Entry,
    line::{End, Mark, Piece, Source, Stream},
    merge::Merge,
    os::Pipe,
    ring::Ring,
    stamped::{COMPONENT_REMARK, Stamped, TRACE_REMARK, Worth},
    store::Store,
};
use crate::{
    model::{ComponentId, Exit, RunId},
    registry::{Output, Timestamps},
};

/// An unfinished line is given out after this time.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// What every intake uses, one at a time.
pub(super) struct Tools {
    pub store: Arc<dyn Store>,
    pub calendar: Calendar,
    /// For the engine, in order.
    pub notices: VecDeque<Notice>,
    /// Files were completed or a log was taken in: retention is due.
    pub upkeep: bool,
    /// Beside what is in hand.
    pub notes: Notes,
    /// Lines of stamped files that are begun, for whoever follows a kill.
    pub begun: Begun,
    batch: Stamped,
}

/// A line whose newline has not come, on its way to the next engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenLine {
    id: ComponentId,
    /// 0: standard output.
    stream: usize,
    text: Vec<u8>,
    /// A piece of it was given out before.
    cut: bool,
}

impl OpenLine {
    pub(super) fn id(&self) -> ComponentId {
        self.id.clone()
    }
}

pub(super) struct Intake {
    /// `None`: the Supervisor's own trace log.
    pub id: Option<ComponentId>,
    pub pipes: Option<[Pipe; 2]>,
    pub shared: Arc<Shared>,
    pub output: Arc<Output>,
    daily: Daily,
    merge: Merge,
    assembler: Assembler,
    /// When the stream's unfinished line was begun, while it is not given out.
    open_since: [Option<Instant>; 2],
    /// The first line after the end of the run before.
    run_begin: u64,
    watch: Option<Box<(RunId, Regex)>>,
    /// Of the present outage.
    lost: Worth,
    /// To the log daemon that the settings name.
    forwarder: Option<Box<Forwarder>>,
    run: Option<RunId>,
}

/// Where lines go that are whole: into memory, and to whoever waits for one.
struct Outlet<'a> {
    ring: MutexGuard<'a, Ring>,
    watch: &'a mut Option<Box<(RunId, Regex)>>,
    id: Option<&'a ComponentId>,
    notices: &'a mut VecDeque<Notice>,
    at: Timestamp,
    forwarder: Option<&'a mut Forwarder>,
    run: Option<RunId>,
    counters: &'a AtomicCounters,
}

impl Tools {
    pub fn new(store: Arc<dyn Store>, calendar: Calendar) -> Self {
        let notices = VecDeque::new();
        let (notes, begun, batch) = (Notes::default(), Begun::default(), Stamped::default());
        Self { store, calendar, notices, upkeep: false, notes, begun, batch }
    }
}

impl Intake {
    /// Takes in a log whose next byte stands at `begin`.
    pub fn new(
        id: Option<ComponentId>,
        output: Arc<Output>,
        shared: Arc<Shared>,
        begin: u64,
    ) -> Self {
        let daily = Daily::new(&output.log, output.max_size, begin);
        let daily = if id.is_some() { daily } else { daily.without_index() };
        shared.ring().begin_at(begin);
        let run_begin = shared.ring().next();
        Self {
            id,
            pipes: None,
            shared,
            output,
            daily,
            merge: Merge::default(),
            assembler: Assembler::default(),
            open_since: [None; 2],
            run_begin,
            watch: None,
            lost: Worth::default(),
            forwarder: None,
            run: None,
        }
        .forwarding()
    }

    /// With a way to the log daemon that the settings name.
    fn forwarding(mut self) -> Self {
        self.set_forwarder();
        self
    }

    fn set_forwarder(&mut self) {
        let wanted = self.output.forward;
        if self.forwarder.as_deref().map(Forwarder::kind) != wanted {
            let id = self.id.as_ref();
            self.forwarder = wanted.zip(id).map(|(kind, id)| Box::new(Forwarder::new(kind, id)));
        }
    }

    pub fn daily(&mut self) -> &mut Daily {
        &mut self.daily
    }

    /// Takes new settings; what was begun is finished under the old ones.
    pub fn configure(&mut self, tools: &mut Tools, output: Arc<Output>, now: Instant) {
        if (&output.log, output.timestamps) != (&self.output.log, self.output.timestamps) {
            self.finish(tools, now);
            self.daily.close();
            self.daily = self.daily.moved(&output.log, output.max_size);
        }
        self.daily.set_max_size(output.max_size);
        self.output = output;
        self.set_forwarder();
        tools.upkeep = true;
    }

    /// Whether this stream should stay in its pipe for now; see [`Merge`].
    pub fn must_wait(&self, stream: Stream) -> bool {
        self.output.timestamps == Timestamps::None && self.merge.must_wait(stream)
    }

    /// Takes what was read from a stream.
    pub fn take(
        &mut self,
        tools: &mut Tools,
        stream: Stream,
        chunk: &[u8],
        at: Timestamp,
        now: Instant,
    ) {
        let newlines = if self.output.timestamps == Timestamps::None {
            if self.merge.passes(stream) {
                let newlines = self.write(tools, stream, chunk, now);
                self.merge.wrote(stream, chunk);
                newlines
            } else {
                self.write_merged(tools, now, |merge, write| merge.push(stream, chunk, write));
                memchr::memchr_iter(b'\n', chunk).count() as u64
            }
        } else {
            self.stamp(tools, stream, chunk, at, now, 0)
        };
        self.count(chunk.len(), newlines);
    }

    fn count(&self, bytes: usize, newlines: u64) {
        let counters = &self.shared.counters;
        counters.bytes.fetch_add(bytes as u64, Ordering::Release);
        counters.lines.fetch_add(newlines, Ordering::Release);
    }

    /// Stores what an engine before us had read and not stored.
    pub fn take_leftover(&mut self, tools: &mut Tools, leftover: &Leftover, now: Instant) {
        let Leftover { bytes, stored, stream, at, is_given, .. } = leftover;
        let at = at.unwrap_or_else(|| tools.calendar.now());
        if self.output.timestamps == Timestamps::None {
            let rest = &bytes[(*stored).min(bytes.len())..];
            if !rest.is_empty() {
                self.take(tools, *stream, rest, at, now);
            }
        } else if *is_given {
            self.give_out_stamped(tools, *stream, at, now, *stored);
        } else {
            let newlines = self.stamp(tools, *stream, bytes, at, now, *stored);
            self.count(bytes.len(), newlines);
        }
    }

    /// Writes what comes of one step of the merge.
    fn write_merged(
        &mut self,
        tools: &mut Tools,
        now: Instant,
        step: impl FnOnce(&mut Merge, &mut dyn FnMut(Stream, &[u8])),
    ) {
        let mut merge = std::mem::take(&mut self.merge);
        step(&mut merge, &mut |stream, bytes| {
            self.write(tools, stream, bytes, now);
        });
        self.merge = merge;
    }

    /// Writes bytes as they are, and makes lines of them; the newlines in them.
    fn write(&mut self, tools: &mut Tools, stream: Stream, bytes: &[u8], now: Instant) -> u64 {
        let at = tools.calendar.now();
        let today = tools.calendar.today(at);
        let begin = self.daily.position();
        // First to the file: what is read must not be in our hands alone.
        let chunk = Chunk { bytes, stream: Some(stream), preface: 0 };
        let written = self.daily.write(&*tools.store, chunk, When { at, today, now });
        let (assembler, mut outlet) = self.outlet(&mut tools.notices, at);
        let whole = assembler.whole_lines(stream, bytes);
        let mut push = |outlet: &mut Outlet<'_>, part: Range<usize>| {
            let begin = begin + part.start as u64;
            let give = |stream, piece: Piece<'_>, end| outlet.give(stream, piece, end);
            assembler.push(stream, &bytes[part], begin, give)
        };
        let mut newlines = push(&mut outlet, 0..whole.start);
        newlines += outlet.give_lines(stream, &bytes[whole.clone()], begin + whole.start as u64);
        newlines += push(&mut outlet, whole.end..bytes.len());
        drop(outlet);
        self.note_open(stream, newlines, now);
        self.note_open(stream.other(), newlines, now);
        let range = written.stored.clone();
        let lost = [&bytes[..range.start], &bytes[range.end..]];
        self.account(tools, written, range.len() as u64, lost.map(Worth::of), at);
        newlines
    }

    /// Makes lines of what was read, and writes them with their stamps.
    /// The first `stored` bytes of what comes of it are in the file already.
    fn stamp(
        &mut self,
        tools: &mut Tools,
        stream: Stream,
        chunk: &[u8],
        at: Timestamp,
        now: Instant,
        stored: usize,
    ) -> u64 {
        let stamps = self.output.timestamps;
        let begin = self.daily.position();
        let Tools { calendar, notices, batch, .. } = tools;
        let (assembler, mut outlet) = self.outlet(notices, at);
        let newlines = assembler.push_apart(stream, chunk, |piece| {
            batch.add(calendar, stamps, at, stream, piece);
            outlet.give(stream, piece, begin + batch.text.len() as u64);
        });
        drop(outlet);
        self.note_open(stream, newlines, now);
        tools.batch.leave_out(stored);
        self.store_batch(tools, now);
        self.keep_begun(tools, stream);
        newlines
    }

    /// Has whoever follows a kill know what of a line is begun.
    fn keep_begun(&self, tools: &mut Tools, stream: Stream) {
        if let Some(id) = &self.id {
            let number = tools.notes.number();
            tools.begun.keep(id, stream, number, self.assembler.open(stream));
        }
    }

    /// Keeps since when the line of this stream is open that was touched just now.
    fn note_open(&mut self, stream: Stream, newlines: u64, now: Instant) {
        let open = self.assembler.is_open(stream);
        let since = &mut self.open_since[stream.index()];
        *since = match *since {
            Some(since) if open && newlines == 0 => Some(since),
            _ => open.then_some(now),
        };
    }

    fn outlet<'a>(
        &'a mut self,
        notices: &'a mut VecDeque<Notice>,
        at: Timestamp,
    ) -> (&'a mut Assembler, Outlet<'a>) {
        let Self { id, assembler, shared, watch, forwarder, run, .. } = self;
        let outlet = Outlet {
            ring: shared.ring(),
            watch,
            id: id.as_ref(),
            notices,
            at,
            forwarder: forwarder.as_deref_mut(),
            run: *run,
            counters: &shared.counters,
        };
        (assembler, outlet)
    }

    /// When an unfinished line is to be given out.
    pub fn deadline(&self) -> Option<Instant> {
        self.open_since.iter().flatten().min().map(|since| *since + PATIENCE)
    }

    /// Gives out the lines that have been unfinished for too long.
    pub fn give_out_overdue(&mut self, tools: &mut Tools, now: Instant) {
        for stream in Stream::BOTH {
            if self.open_since[stream.index()].is_some_and(|since| now >= since + PATIENCE) {
                self.give_out(tools, stream, now);
                self.write_merged(tools, now, |merge, write| merge.give_up(stream, write));
            }
        }
    }

    /// Gives out everything that is unfinished.
    pub fn finish(&mut self, tools: &mut Tools, now: Instant) {
        self.write_merged(tools, now, Merge::finish);
        for stream in Stream::BOTH {
            self.give_out(tools, stream, now);
        }
        self.assembler.finish(self.daily.position(), |_, _, _| {});
    }

    /// Brings everything to the files but lines that are begun, where the file has whole lines
    /// only: those are handed out.
    pub fn hand_over(&mut self, tools: &mut Tools, now: Instant) -> Vec<OpenLine> {
        if self.output.timestamps == Timestamps::None {
            self.finish(tools, now);
            return Vec::new();
        }
        self.store_batch(tools, now);
        let Some(id) = self.id.clone() else { return Vec::new() };
        let open = Stream::BOTH.into_iter().filter_map(|stream| {
            let (text, cut) = self.assembler.lines(stream).take_open()?;
            self.open_since[stream.index()] = None;
            Some(OpenLine { id: id.clone(), stream: stream.index(), text, cut })
        });
        open.collect()
    }

    /// Goes on with a line that was handed out.
    pub fn take_up(&mut self, line: OpenLine, now: Instant) {
        let stream = Stream::BOTH[line.stream.min(1)];
        if self.output.timestamps != Timestamps::None && !self.assembler.is_open(stream) {
            self.assembler.lines(stream).put_open(line.text, line.cut);
            self.open_since[stream.index()] = Some(now);
        }
    }

    /// Goes on with a line that an engine before us had begun when it was killed.
    pub fn take_begun(&mut self, tools: &mut Tools, stream: Stream, now: Instant) {
        let kept = self.id.as_ref().and_then(|id| tools.begun.kept(id, stream));
        let Some(Kept { text, cut, .. }) = kept.cloned().filter(|kept| !kept.text.is_empty())
        else {
            return;
        };
        if self.output.timestamps == Timestamps::None {
            // It is not stamped any more: there it stands as it is.
            self.write(tools, stream, &text, now);
            self.keep_begun(tools, stream);
        } else {
            self.assembler.lines(stream).put_open(text, cut);
            self.open_since[stream.index()] = Some(now);
        }
    }

    pub fn started(&mut self, at: Timestamp, run: RunId, pid: u32) {
        let text = format!("run {run} started, pid {pid}");
        self.run = Some(run);
        let end = self.daily.remark(at, Some(Entry::Start { run: run.0, pid }));
        self.shared.ring().remark(at, end, Some(run), Mark::Started { pid }, &text);
    }

    /// The run has ended, and its pipes were read.
    pub fn exited(
        &mut self,
        tools: &mut Tools,
        run: RunId,
        exit: Exit,
        expected: bool,
        now: Instant,
    ) {
        self.finish(tools, now);
        if self.watch.as_deref().is_some_and(|(watched, _)| *watched <= run) {
            self.watch = None;
        }
        let asked = if expected { ", as asked" } else { "" };
        let text = format!("run {run} ended: {exit}{asked}");
        let at = tools.calendar.now();
        let entry = Entry::Exit { run: run.0, expected, text: exit.to_string() };
        let end = self.daily.remark(at, Some(entry));
        let mut ring = self.shared.ring();
        ring.remark(at, end, Some(run), Mark::Ended { expected }, &text);
        self.run_begin = ring.next();
    }

    /// Waits for a line; those that this run wrote already count, unless it is to come `from_now`.
    pub fn watch(&mut self, tools: &mut Tools, run: RunId, pattern: Regex, from_now: bool) {
        let snapshot = self.shared.ring().snapshot();
        self.watch = Some(Box::new((run, pattern)));
        if from_now {
            return;
        }
        let lines = snapshot.since(self.run_begin, usize::MAX).lines;
        let output = lines.iter().filter(|line| line.source != Source::Supervisor);
        for line in output {
            tools.notices.extend(matched(&mut self.watch, self.id.as_ref(), &line.text));
        }
    }

    pub fn unwatch(&mut self) {
        self.watch = None;
    }

    /// Takes whole lines that have their stamp already: the trace log.
    pub fn take_trace(&mut self, tools: &mut Tools, text: &[u8], lost: u64, now: Instant) {
        let at = tools.calendar.now();
        let begin = self.daily.position();
        let (assembler, mut outlet) = self.outlet(&mut tools.notices, at);
        let lines = assembler.push_apart(Stream::Out, text, |piece| {
            outlet.give(Stream::Out, piece, begin + piece.upto as u64);
        });
        drop(outlet);
        tools.batch.add_as_is(text);
        if lost > 0 {
            // They were dropped when the queue was full of what has just been taken.
            let remark = format!("{lost} events were dropped: too many at once");
            let stamps = self.output.timestamps;
            tools.batch.remark(&mut tools.calendar, stamps, at, TRACE_REMARK, &remark);
            let end = begin + tools.batch.text.len() as u64;
            self.shared.ring().remark(at, end, None, Mark::Note, &remark);
        }
        let counters = &self.shared.counters;
        counters.bytes.fetch_add(text.len() as u64, Ordering::Release);
        counters.lines.fetch_add(lines, Ordering::Release);
        self.store_batch(tools, now);
    }

    fn give_out(&mut self, tools: &mut Tools, stream: Stream, now: Instant) {
        let at = tools.calendar.now();
        if self.output.timestamps == Timestamps::None {
            self.flush(tools, stream, at);
        } else if self.assembler.is_open(stream) {
            if let Some(id) = &self.id {
                tools.notes.give(id, stream, at);
            }
            self.give_out_stamped(tools, stream, at, now, 0);
            tools.notes.done();
        }
    }

    /// The first `stored` bytes of what comes of it are in the file already.
    fn give_out_stamped(
        &mut self,
        tools: &mut Tools,
        stream: Stream,
        at: Timestamp,
        now: Instant,
        stored: usize,
    ) {
        self.flush(tools, stream, at);
        tools.batch.leave_out(stored);
        self.store_batch(tools, now);
        self.keep_begun(tools, stream);
    }

    fn flush(&mut self, tools: &mut Tools, stream: Stream, at: Timestamp) {
        let stamps = self.output.timestamps;
        let begin = self.daily.position();
        let Tools { calendar, notices, batch, .. } = tools;
        let (assembler, mut outlet) = self.outlet(notices, at);
        assembler.flush(stream, begin, &mut |stream, piece, mut end| {
            if stamps != Timestamps::None {
                batch.add(calendar, stamps, at, stream, piece);
                end = begin + batch.text.len() as u64;
            }
            outlet.give(stream, piece, end);
        });
        drop(outlet);
        self.open_since[stream.index()] = None;
    }

    /// Stores the lines that were stamped.
    fn store_batch(&mut self, tools: &mut Tools, now: Instant) {
        if tools.batch.text.is_empty() {
            return;
        }
        let at = tools.calendar.now();
        let mut batch = std::mem::take(&mut tools.batch);
        let mut preface = 0;
        if let Some(outage) = self.daily.outage_to_end(now) {
            let mut remark = Stamped::default();
            let stamps = self.output.timestamps;
            let source = if self.id.is_some() { COMPONENT_REMARK } else { TRACE_REMARK };
            let text = resumed_text(outage, self.lost);
            remark.remark(&mut tools.calendar, stamps, at, source, &text);
            preface = remark.text.len();
            remark.append(&batch);
            batch = remark;
        }
        let today = tools.calendar.today(at);
        let chunk = Chunk { bytes: &batch.text, stream: None, preface };
        let written = self.daily.write(&*tools.store, chunk, When { at, today, now });
        let range = written.stored.clone();
        let (before, until) = (batch.worth(range.start), batch.worth(range.end));
        let all = batch.worth(batch.text.len());
        let stored = (until - before).bytes;
        self.account(tools, written, stored, [before, all - until], at);
        batch.clear();
        tools.batch = batch;
    }

    /// Counts what was lost before, stored, and lost after that; tells of an outage that ended
    /// or began: once, in the ring, the trace log and a notice.
    fn account(
        &mut self,
        tools: &mut Tools,
        written: Written,
        stored_bytes: u64,
        [before, after]: [Worth; 2],
        at: Timestamp,
    ) {
        let counters = &self.shared.counters;
        let add = |counter: &AtomicU64, count| counter.fetch_add(count, Ordering::Release);
        // A newline that was counted as lost and is written after all to end a torn line.
        let mended = u64::from(written.mended && self.output.timestamps == Timestamps::None);
        let lost_bytes = before.bytes + after.bytes;
        add(&counters.stored_bytes, stored_bytes + mended);
        if lost_bytes + mended > 0 {
            add(&counters.lost_bytes, lost_bytes.wrapping_sub(mended));
            add(&counters.lost_lines, (before.lines + after.lines).wrapping_sub(mended));
        }
        self.lost.bytes = (self.lost.bytes + before.bytes).saturating_sub(mended);
        self.lost.lines = (self.lost.lines + before.lines).saturating_sub(mended);
        tools.upkeep |= written.changed_file;
        if written.resumed.is_none() && written.failed.is_none() {
            self.lost = self.lost + after;
            return;
        }
        let path = self.daily.path(tools.calendar.today(at));
        self.shared.losing.store(written.failed.is_some(), Ordering::Release);
        if let Some(outage) = written.resumed {
            let Worth { bytes: lost_bytes, lines: lost_lines } = std::mem::take(&mut self.lost);
            let text = resumed_text(&outage, Worth { bytes: lost_bytes, lines: lost_lines });
            let (id, path) = (self.id.clone(), path.clone());
            self.note(at, &text);
            let component = id.as_deref().unwrap_or("Supervisor");
            tracing::warn!(component, file = %path.display(), "output is stored again: {text}");
            tools.notices.push_back(Notice::Resumed { id, path, lost_bytes, lost_lines });
        }
        if let Some(error) = written.failed {
            let id = self.id.clone();
            let file = path.display().to_string();
            let text = format!("cannot store output in {file}: {error}; it is counted as lost");
            self.note(at, &text);
            let component = id.as_deref().unwrap_or("Supervisor");
            tracing::error!(component, file, error, "cannot store output: it is counted as lost");
            tools.notices.push_back(Notice::Lost { id, path, error });
        }
        self.lost = self.lost + after;
    }

    /// A remark about the storing, in the ring.
    fn note(&mut self, at: Timestamp, text: &str) {
        let end = self.daily.remark(at, None);
        self.shared.ring().remark(at, end, None, Mark::Note, text);
    }
}

impl Outlet<'_> {
    /// Gives out whole lines of usual length, which begin at `position`; how many they are.
    fn give_lines(&mut self, stream: Stream, lines: &[u8], mut position: u64) -> u64 {
        if self.watch.is_none() && self.forwarder.is_none() {
            return self.ring.push_lines(self.at, position, stream, lines);
        }
        let mut count = 0;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            position += line.len() as u64;
            let (text, end) = (line.strip_suffix(b"\n").unwrap_or(line), End::Newline);
            let piece = Piece { text, end, after_cut: false, upto: line.len() };
            self.give(stream, piece, position);
            count += 1;
        }
        count
    }

    /// Gives out a line that ends at `position`; what is behind a cut is in the file alone.
    fn give(&mut self, stream: Stream, piece: Piece<'_>, position: u64) {
        if !piece.after_cut {
            self.ring.push(self.at, position, stream, piece.text, piece.end);
            if let Some(forwarder) = &mut self.forwarder
                && !forwarder.send(self.at, self.run, stream, piece.text, piece.end)
            {
                self.counters.not_forwarded.fetch_add(1, Ordering::Relaxed);
            }
            self.notices.extend(matched(self.watch, self.id, piece.text));
        }
    }
}

fn resumed_text(outage: &Outage, lost: Worth) -> String {
    let Worth { bytes, lines } = lost;
    format!("{bytes} bytes in {lines} lines were not stored: {}", outage.error)
}

/// The notice for a line that was waited for; ends the watch.
fn matched(
    watch: &mut Option<Box<(RunId, Regex)>>,
    id: Option<&ComponentId>,
    text: &[u8],
) -> Option<Notice> {
    let (run, pattern) = watch.as_deref()?;
    if !pattern.is_match(text) {
        return None;
    }
    let notice = Notice::Matched { id: id?.clone(), run: *run, line: text.to_vec() };
    *watch = None;
    Some(notice)
}
