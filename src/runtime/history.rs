//! Feeds the history of figures and states, and answers from it.
//!
//! While somebody watches, each of their samples is recorded; else one a minute is taken for it.
//! Files are written and read on the blocking pool.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{clock, driver::Driver, messages::Reply, samples::Sample};
use crate::{
    history::{Change, Query, Reading, Recorder, Usage},
    model::{ComponentId, Moment, RunId},
    supervisor::Transition,
    wire,
};

/// Between two samples while nobody watches.
const PAUSE: Duration = Duration::from_mins(1);

/// After the start, when most of it is over.
const FIRST: Duration = Duration::from_secs(10);

/// What is answered where no beginning is named.
const USUAL_RANGE: i64 = 60 * 60 * 1_000;

/// Changes of state that wait for the next sample; beyond it the oldest go.
const MOST_CHANGES: usize = 4_096;

pub(super) struct Chronicle {
    record: Record,
    changes: VecDeque<Change>,
    next: Moment,
}

/// The recorder, shared with the blocking pool.
#[derive(Clone)]
struct Record {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    recorder: Recorder,
    is_failing: bool,
}

/// Which part of the history is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct HistoryRange {
    /// An hour before its end, where none is given.
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub step: Option<Duration>,
}

impl Chronicle {
    /// Keeps its files beside the trace log of this base path, in a folder of their own.
    pub fn new(log: &Path) -> Self {
        let recorder = Recorder::new(&folder(log));
        let shared = Arc::new(Mutex::new(Shared { recorder, is_failing: false }));
        let record = Record { shared };
        Self { record, changes: VecDeque::new(), next: clock::now().after(FIRST) }
    }

    pub fn next_deadline(&self) -> Moment {
        self.next
    }

    pub fn changed(&mut self, transition: &Transition) {
        if self.changes.len() >= MOST_CHANGES {
            self.changes.pop_front();
        }
        let at = Timestamp::now().as_millisecond();
        self.changes.push_back(Change { at, id: transition.id.clone(), state: transition.to });
    }

    /// The hour up to now of a component; to be called where it may block.
    pub fn last_hour(&self) -> impl FnOnce(&str) -> wire::History + Send + 'static + use<> {
        let record = self.record.clone();
        move |id| {
            let to = clock::wall(clock::now()).as_millisecond();
            let query = Query::new(to - USUAL_RANGE, to, None);
            let points = record.lock().recorder.points(id, &query);
            answer(id.to_owned(), &query, points)
        }
    }

    /// Writes what has not been written. Blocks; for the end.
    pub fn close(mut self) {
        self.flush();
    }

    /// The same, for an end that may not come.
    pub fn flush(&mut self) {
        let now = clock::now();
        let at = clock::wall(now).as_millisecond();
        let changes = std::mem::take(&mut self.changes);
        let mut shared = self.record.lock();
        let taken_in = shared.recorder.record(now, at, Vec::new(), changes);
        if let Err(error) = taken_in.and(shared.recorder.close(now, at)) {
            tracing::warn!(%error, "the last of the history could not be stored");
        }
    }
}

/// `logs/Supervisor-history` for `logs/Supervisor.log`.
fn folder(log: &Path) -> PathBuf {
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    log.with_file_name(format!("{stem}-history"))
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn record(&mut self, sample: &Sample, readings: Vec<Reading>, changes: VecDeque<Change>) {
        let at = clock::wall(sample.at).as_millisecond();
        let recorded = self.recorder.record(sample.at, at, readings, changes);
        let was_failing = std::mem::replace(&mut self.is_failing, recorded.is_err());
        match recorded {
            Err(error) if !was_failing => {
                tracing::warn!(%error, "the history cannot be stored; tried again with each sample");
            }
            Ok(()) if was_failing => tracing::info!("the history is stored again"),
            _ => {}
        }
    }
}

impl Driver {
    /// Takes the sample of the minute, unless somebody's who watches does.
    pub fn keep_history(&mut self, now: Moment) {
        if self.history.next > now {
            return;
        }
        if self.publisher.is_sampling() {
            self.history.next = now.after(PAUSE);
            return;
        }
        let record = self.recording();
        let samples = self.samples.clone();
        let give_back = self.tidy.at_rest();
        self.with_sample(move |sample| {
            record(&sample);
            // The next one is far off: nothing is kept open for it.
            samples.close_files();
            give_back();
        });
    }

    /// Records a sample that was taken for whatever reason; to be called where it may block.
    pub fn recording(&mut self) -> impl FnOnce(&Sample) + Send + 'static + use<> {
        self.history.next = clock::now().after(PAUSE);
        // Once a minute at least, and there is no other timer.
        self.follow_clock();
        let states = self.supervisor.states();
        let components: Vec<(ComponentId, wire::ComponentState, Option<RunId>)> =
            states.map(|(id, state, run)| (id.clone(), state, run)).collect();
        let changes = std::mem::take(&mut self.history.changes);
        let record = self.history.record.clone();
        move |sample| {
            let readings = components.into_iter().map(|(id, state, run)| {
                let usage = run.and_then(|run| {
                    let usage = sample.trees.get(&run)?;
                    Some(Usage {
                        run,
                        cpu_time: usage.cpu_time,
                        cpu_percent: usage.cpu_percent,
                        memory_bytes: usage.memory_bytes,
                        processes: usage.processes,
                    })
                });
                Reading { id, state, usage }
            });
            record.lock().record(sample, readings.collect(), changes);
        }
    }

    /// Answers with everything up to now.
    pub fn reply_history(&mut self, id: String, range: HistoryRange, reply: Reply<wire::History>) {
        if self.supervisor.component(&id).is_none() {
            let _caller_left = reply.send(Err(self.unknown(&id)));
            return;
        }
        let record = self.recording();
        let shared = self.history.record.clone();
        self.with_sample(move |sample| {
            record(&sample);
            let now = clock::wall(clock::now()).as_millisecond();
            let to = range.to.map_or(now, |to| to.as_millisecond().min(now));
            let from = range.from.map_or(to - USUAL_RANGE, |from| from.as_millisecond().min(to));
            let step =
                range.step.map(|step| i64::try_from(step.as_millis()).unwrap_or(i64::MAX / 4));
            let query = Query::new(from, to, step);
            let points = shared.lock().recorder.points(&id, &query);
            let _caller_left = reply.send(Ok(answer(id, &query, points)));
        });
    }
}

fn answer(id: String, query: &Query, points: Vec<wire::HistoryPoint>) -> wire::History {
    let from = Timestamp::from_millisecond(query.from()).unwrap_or(Timestamp::UNIX_EPOCH);
    let step = u64::try_from(query.step()).unwrap_or_default();
    wire::History {
        id,
        from: format!("{from:.3}"),
        step_s: Duration::from_millis(step).as_secs_f64(),
        points,
    }
}
