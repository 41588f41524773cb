//! How the log thread begins, and how it takes a component in: with what engines before it left.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Receiver},
};

use jiff::civil::Date;
use tokio::sync::watch;

use super::{
    super::{
        begun::Begun,
        clock::{Calendar, monotonic},
        handle::{Options, Shared},
        in_hand::{self, InHand, Leftover},
        intake::{Intake, Tools},
        janitor::Janitor,
        line::Stream,
        numbers::Numbers,
        os::{Pipe, Poller},
        pace::Pace,
        reading::{CHUNK, drain},
    },
    Command, Worker,
    intakes::{Intakes, key_of},
    trace_output,
};
use crate::{model::ComponentId, registry::Output};

/// Bytes of the trace log's last lines.
const TRACE_RING: usize = 64 << 10;

/// The buffer, and what engines before this one had in theirs.
struct Hands {
    buffer: InHand,
    leftovers: Vec<Leftover>,
    begun: Begun,
}

impl Hands {
    fn of(folder: Option<&Path>, now: u64) -> Self {
        let Some(folder) = folder else {
            let (leftovers, begun) = (Vec::new(), Begun::default());
            return Self { buffer: InHand::unshared(CHUNK), leftovers, begun };
        };
        let now = now.max(1 + in_hand::newest(folder));
        let begun = Begun::open(folder, now);
        let leftovers = Leftover::all(folder);
        // Another version may have read more at once.
        let room = leftovers.iter().map(|leftover| leftover.bytes.len()).max();
        let room = room.map_or(CHUNK, |room| room.max(CHUNK));
        let buffer = InHand::new(folder, now, room).unwrap_or_else(|error| {
            let folder = folder.display();
            tracing::warn!(%folder, %error, "a kill would take the output just read");
            InHand::unshared(room)
        });
        Self { buffer, leftovers, begun }
    }
}

impl Worker {
    pub fn new(
        options: Options,
        poller: Poller,
        inbox: Receiver<Command>,
        supervisor: Arc<Shared>,
        changes: Arc<watch::Sender<u64>>,
    ) -> Self {
        let Options {
            ring_bytes,
            rings_bytes,
            notices,
            numbers,
            open_lines,
            clock,
            store,
            upkeep_delay,
            in_hand,
            ..
        } = options;
        supervisor.ring().set_limit(ring_bytes.min(TRACE_RING));
        let now = clock.now().as_nanosecond().try_into().unwrap_or(0);
        let Hands { buffer, leftovers, begun } = Hands::of(in_hand.as_deref(), now);
        let store = buffer.noting(store);
        let mut tools = Tools::new(store, Calendar::new(clock.clone()));
        (tools.notes, tools.begun) = (buffer.notes(), begun);
        let (numbers, first_number) = Numbers::open(numbers, clock.now());
        Self {
            poller,
            inbox,
            intakes: Intakes { share: ring_bytes, ..Intakes::default() },
            supervisor: Intake::new(
                None,
                trace_output(PathBuf::new(), 1),
                supervisor,
                first_number,
            ),
            trace: None,
            early_watches: HashMap::new(),
            tools,
            sink: notices,
            changes,
            janitor: Janitor::default(),
            upkeep_at: None,
            upkeep_delay,
            buffer,
            leftovers,
            pace: Pace::default(),
            looks_at: None,
            ring_bytes,
            rings_bytes,
            numbers,
            day: Date::default(),
            first_number,
            left_number: 0,
            open_lines,
            ended: false,
        }
    }

    pub(super) fn open(
        &mut self,
        id: ComponentId,
        output: Arc<Output>,
        pipes: [Pipe; 2],
        shared: Arc<Shared>,
    ) {
        let known = self.intakes.by_id.get(&id).copied();
        let slot = known.unwrap_or_else(|| self.intakes.free_slot());
        let mut intake = if let Some(mut intake) = self.intakes.slots[slot].take() {
            // The last words in pipes that nobody can find any more.
            drain(&mut intake, &mut self.tools, &mut self.buffer);
            intake.configure(&mut self.tools, output, monotonic());
            intake
        } else {
            let begin = self.next_number();
            Box::new(Intake::new(Some(id.clone()), output, shared, begin))
        };
        intake.pipes = Some(pipes);
        intake.shared.ring().set_limit(self.intakes.share);
        if let Some((run, pattern)) = self.early_watches.remove(&id) {
            intake.watch(&mut self.tools, run, pattern, false);
        }
        let Self { leftovers, tools, buffer, .. } = self;
        take_over(&id, &mut intake, leftovers, tools, buffer);
        for line in self.open_lines.extract_if(.., |line| line.id() == id) {
            intake.take_up(line, monotonic());
        }
        self.intakes.slots[slot] = Some(intake);
        for stream in Stream::BOTH {
            self.watch_pipe(key_of(slot, stream), true);
        }
        self.intakes.unfinished.insert(slot);
        self.intakes.by_id.insert(id, slot);
        self.tools.upkeep = true;
        self.share_memory();
    }
}

/// Goes on with what engines before this one had of this component's output when they were killed:
/// begun lines first, then what was read after them.
fn take_over(
    id: &ComponentId,
    intake: &mut Intake,
    leftovers: &mut Vec<Leftover>,
    tools: &mut Tools,
    buffer: &mut InHand,
) {
    for stream in Stream::BOTH {
        intake.take_begun(tools, stream, monotonic());
    }
    for leftover in leftovers.extract_if(.., |leftover| leftover.id == *id) {
        let kept = tools.begun.kept(id, leftover.stream);
        // What is kept of a line is the last thing that is made of a chunk.
        if kept.is_none_or(|kept| kept.number < leftover.number) {
            buffer.take_over(&leftover);
            intake.take_leftover(tools, &leftover, monotonic());
            buffer.done();
        }
        leftover.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        fs, io,
        panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use jiff::{Timestamp, tz::TimeZone};

    use super::{
        super::super::{
            clock::Clock,
            intake::PATIENCE,
            store::{Disk, Sink, Store},
        },
        *,
    };
    use crate::registry::{Component, Timestamps};

    /// A disk that the engine is killed at when it has taken so many bytes.
    struct Deadly(AtomicUsize);

    struct DeadlyFile(Arc<Deadly>, Box<dyn Sink>);

    impl Store for Arc<Deadly> {
        fn open(&self, path: &Path) -> io::Result<(Box<dyn Sink>, u64)> {
            let (sink, size) = Disk.open(path)?;
            Ok((Box::new(DeadlyFile(Self::clone(self), sink)), size))
        }
    }

    impl Sink for DeadlyFile {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let left = self.0.0.load(Ordering::Relaxed);
            let count = self.1.write(&bytes[..bytes.len().min(left)])?;
            self.0.0.store(left - count, Ordering::Relaxed);
            if left <= count {
                // Without a word, as it is.
                resume_unwind(Box::new("killed"));
            }
            Ok(count)
        }
    }

    fn at() -> Timestamp {
        Timestamp::from_microsecond(1_795_000_000_123_456).expect("a time of this century")
    }

    /// A life of an engine that reads these chunks, of which `None` stands for a time in which
    /// nothing comes. `read` counts them. It is killed when the disk has taken so many bytes.
    fn live(
        folder: &Path,
        timestamps: Timestamps,
        chunks: &[Option<(Stream, &str)>],
        read: &Cell<usize>,
        life: u64,
        bytes: usize,
    ) -> bool {
        let id = ComponentId::new("a").expect("an id");
        let output = Component::new(id.clone(), "/bin/true").output;
        let log = folder.join("logs/a.log");
        let output = Output { log, timestamps, max_size: 150, ..Output::clone(&output) };
        let Hands { mut buffer, mut leftovers, begun } =
            Hands::of(Some(&folder.join("hand")), life);
        let store = buffer.noting(Arc::new(Arc::new(Deadly(AtomicUsize::new(bytes)))));
        let mut tools = Tools::new(store, Calendar::new(Clock::of(at, TimeZone::UTC)));
        (tools.notes, tools.begun) = (buffer.notes(), begun);
        let mut intake = Intake::new(Some(id.clone()), Arc::new(output), Shared::new(), life);
        let is_alive = catch_unwind(AssertUnwindSafe(|| {
            take_over(&id, &mut intake, &mut leftovers, &mut tools, &mut buffer);
            for chunk in &chunks[read.get()..] {
                let Some((stream, text)) = chunk else {
                    intake.give_out_overdue(&mut tools, monotonic() + PATIENCE);
                    read.set(read.get() + 1);
                    continue;
                };
                let text = text.as_bytes();
                read.set(read.get() + 1);
                buffer.begin(Some(&id), *stream, text.len()).copy_from_slice(text);
                buffer.taken(text.len(), at());
                intake.take(&mut tools, *stream, text, at(), monotonic());
                buffer.done();
            }
            intake.finish(&mut tools, monotonic());
        }))
        .is_ok();
        if !is_alive {
            // As a kill leaves them.
            std::mem::forget((tools, buffer));
        }
        is_alive
    }

    fn stored(folder: &Path) -> String {
        let files = fs::read_dir(folder.join("logs")).expect("readable").flatten();
        let mut files: Vec<_> =
            files.map(|file| file.path()).filter(|file| file.is_file()).collect();
        // The one without a number is the last.
        files.sort_by_key(|file| (file.file_name().map(|name| name.len() < 17), file.clone()));
        files.iter().map(|file| fs::read_to_string(file).expect("text")).collect()
    }

    #[test]
    fn wherever_an_engine_is_killed_each_line_is_stored_once() {
        let (out, err) = (Stream::Out, Stream::Err);
        let chunks = [
            Some((out, "one\ntwo\nbegun ")),
            Some((err, "an error\nanother ")),
            Some((out, "and ")),
            Some((out, "ended\nthree\nfour ")),
            None,
            Some((out, "five\n")),
            Some((err, "six\nseven\neight\nnine\nten\n")),
            Some((out, "last ")),
            Some((out, "words")),
        ];
        for timestamps in [Timestamps::Rfc3339, Timestamps::Json] {
            let folder = tempfile::tempdir().expect("a folder");
            assert!(live(folder.path(), timestamps, &chunks, &Cell::new(0), 1, usize::MAX));
            let wanted = stored(folder.path());
            assert_eq!(wanted.lines().count(), 14, "{wanted}");
            for killed_at in 1..=wanted.len() {
                let folder = tempfile::tempdir().expect("a folder");
                let read = Cell::new(0);
                assert!(!live(folder.path(), timestamps, &chunks, &read, 1, killed_at));
                // The next one dies at its first byte, too, where there is one.
                let (mut life, mut room) = (2, 1);
                while !live(folder.path(), timestamps, &chunks, &read, life, room) {
                    // The clock may stand still.
                    (life, room) = (2, usize::MAX);
                }
                assert_eq!(stored(folder.path()), wanted, "killed at {killed_at}");
            }
        }
    }
}
