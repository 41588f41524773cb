//! Takes samples in and distributes them over the tiers.

use std::{
    collections::{HashMap, VecDeque},
    io,
    path::Path,
    time::Duration,
};

use super::{
    Amounts, Figure,
    tier::{Shape, Tier},
};
use crate::{
    model::{ComponentId, Moment, RunId},
    wire::ComponentState,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

pub(super) const SECONDS: Shape =
    Shape { row: 1_000, segment: MINUTE, kept: 3 * MINUTE, name: "1s" };
pub(super) const TENS: Shape = Shape { row: 10_000, segment: 15 * MINUTE, kept: HOUR, name: "10s" };
pub(super) const MINUTES: Shape =
    Shape { row: 60_000, segment: 4 * HOUR, kept: 24 * HOUR, name: "60s" };

/// Changes of state between two samples that are kept; beyond it the oldest go, and the next row
/// tells what is true then.
const MOST_CHANGES: usize = 4_096;

/// One component at the moment of a sample.
#[derive(Debug, Clone)]
pub struct Reading {
    pub id: ComponentId,
    pub state: ComponentState,
    pub usage: Option<Usage>,
}

/// What its live tree used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub run: RunId,
    pub cpu_time: Duration,
    /// Since the start of the run, or since whenever; used for the first sample of a run.
    pub cpu_percent: f64,
    pub memory_bytes: u64,
    pub processes: u32,
}

/// The history of all components.
#[derive(Debug)]
pub struct Recorder {
    slots: HashMap<ComponentId, usize>,
    tracks: Vec<Option<Track>>,
    free: Vec<usize>,
    /// The sample before, by both clocks.
    pub(super) last: Option<(Moment, i64)>,
    pub(super) seconds: Tier,
    pub(super) tens: Gathering,
    pub(super) minutes: Gathering,
    /// Since the last row of minutes.
    pub(super) changes: VecDeque<Change>,
}

/// A change of state between two samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Milliseconds since 1970.
    pub at: i64,
    pub id: ComponentId,
    pub state: ComponentState,
}

/// One component between two samples.
#[derive(Debug)]
struct Track {
    id: ComponentId,
    /// The run that was measured last, and its CPU time then.
    cpu: Option<(RunId, Duration)>,
    now: Figure,
    /// So far in the row of ten seconds, and of the minute.
    ten: Option<Figure>,
    minute: Option<Figure>,
}

/// A tier whose rows gather several samples.
#[derive(Debug)]
pub(super) struct Gathering {
    pub tier: Tier,
    /// When the row that is gathered began: by both clocks.
    since: Option<(Moment, i64)>,
}

impl Recorder {
    /// Keeps its files in this folder, which need not be there.
    pub fn new(folder: &Path) -> Self {
        let gathering = |shape| Gathering { tier: Tier::in_files(shape, folder), since: None };
        Self {
            slots: HashMap::new(),
            tracks: Vec::new(),
            free: Vec::new(),
            last: None,
            seconds: Tier::in_memory(SECONDS),
            tens: gathering(TENS),
            minutes: gathering(MINUTES),
            changes: VecDeque::new(),
        }
    }

    /// All components at one moment, and what changed before it; `at` is the same moment in
    /// milliseconds since 1970. Tiers that are finer than the time since the last call get no row
    /// of it. A sample that is not newer than the last one tells nothing new.
    pub fn record(
        &mut self,
        now: Moment,
        at: i64,
        readings: Vec<Reading>,
        changes: impl IntoIterator<Item = Change>,
    ) -> io::Result<()> {
        self.changes.extend(changes);
        let surplus = self.changes.len().saturating_sub(MOST_CHANGES);
        self.changes.drain(..surplus);
        if readings.is_empty() || self.last.is_some_and(|(last, _)| now <= last) {
            return Ok(());
        }
        let elapsed = self.last.map(|(last, _)| now.since(last));
        let mut seen = vec![false; self.tracks.len()];
        for reading in readings {
            let slot = self.take_in(reading, elapsed);
            if let Some(seen) = seen.get_mut(slot) {
                *seen = true;
            }
        }
        self.last = Some((now, at));
        // Those that were not there before are not in the list.
        let gone =
            seen.iter().enumerate().filter(|&(slot, seen)| !seen && self.tracks[slot].is_some());
        let gone: Vec<usize> = gone.map(|(slot, _)| slot).collect();
        for &slot in &gone {
            if let Some(track) = &mut self.tracks[slot] {
                let nothing = Figure { state: None, usage: None };
                (track.now, track.ten, track.minute) = (nothing, Some(nothing), Some(nothing));
            }
        }
        let written = self.write(now, at, elapsed);
        for slot in gone {
            if let Some(track) = self.tracks[slot].take() {
                self.slots.remove(&track.id);
                self.seconds.forget(slot);
                self.tens.tier.forget(slot);
                self.minutes.tier.forget(slot);
                self.free.push(slot);
            }
        }
        written
    }

    /// What has been gathered is written although its row is not full: the Supervisor ends.
    pub fn close(&mut self, now: Moment, at: i64) -> io::Result<()> {
        let written = self.write_minute(now, at);
        self.seconds.rest();
        self.tens.tier.rest();
        self.minutes.tier.rest();
        written
    }

    fn take_in(&mut self, reading: Reading, elapsed: Option<Duration>) -> usize {
        let Reading { id, state, usage } = reading;
        let slot = self.slots.get(&id).copied().unwrap_or_else(|| self.new_slot(id));
        let Some(track) = &mut self.tracks[slot] else { return slot };
        let before = std::mem::replace(&mut track.cpu, usage.map(|it| (it.run, it.cpu_time)));
        let usage = usage.map(|usage| {
            let percent = match (before, elapsed) {
                (Some((run, cpu_time)), Some(elapsed))
                    if run == usage.run && !elapsed.is_zero() =>
                {
                    let used = usage.cpu_time.saturating_sub(cpu_time);
                    100.0 * used.as_secs_f64() / elapsed.as_secs_f64()
                }
                _ => usage.cpu_percent,
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the cast saturates"
            )]
            let cpu = (percent * 10.0).round() as u32;
            Amounts { cpu, memory: usage.memory_bytes >> 10, processes: usage.processes }
        });
        let figure = Figure { state: Some(state), usage };
        track.now = figure;
        for sum in [&mut track.ten, &mut track.minute] {
            *sum = Some(sum.map_or(figure, |before| before.and_then(figure)));
        }
        slot
    }

    fn new_slot(&mut self, id: ComponentId) -> usize {
        let slot = self.free.pop().unwrap_or(self.tracks.len());
        if slot == self.tracks.len() {
            self.tracks.push(None);
        }
        let now = Figure { state: None, usage: None };
        let track = Track { id: id.clone(), cpu: None, now, ten: None, minute: None };
        self.tracks[slot] = Some(track);
        self.slots.insert(id, slot);
        slot
    }

    fn write(&mut self, now: Moment, at: i64, elapsed: Option<Duration>) -> io::Result<()> {
        let within = |shape: Shape| {
            let most = Duration::from_millis(u64::from(shape.row) * 5 / 2);
            elapsed.is_some_and(|elapsed| elapsed <= most)
        };
        let mut written = Ok(());
        if within(SECONDS) {
            let span = milliseconds(elapsed.unwrap_or_default());
            let figures = figures(&self.tracks, |track| Some(track.now));
            written = self.seconds.write_row(at, span, figures);
        } else if !self.seconds.is_resting() && !within(TENS) {
            self.seconds.rest();
        }
        if within(TENS) {
            let begin = begin_before(now, at, elapsed);
            if let Some(span) = self.tens.is_full(now, begin, TENS) {
                let figures = figures(&self.tracks, |track| track.ten);
                written = written.and(self.tens.tier.write_row(at, span, figures));
                self.restart_tens(Some((now, at)));
            }
        } else {
            // A longer silence: what was gathered before it is in the minute's row.
            self.tens.tier.rest();
            self.restart_tens(Some((now, at)));
        }
        let begin = begin_before(now, at, elapsed);
        if self.minutes.is_full(now, begin, MINUTES).is_some() || elapsed.is_none() {
            written = written.and(self.write_minute(now, at));
        }
        written
    }

    fn write_minute(&mut self, now: Moment, at: i64) -> io::Result<()> {
        let mut written = Ok(());
        for Change { at, id, state } in std::mem::take(&mut self.changes) {
            let Some(&slot) = self.slots.get(&id) else { continue };
            written = written.and(self.minutes.tier.write_change(at, slot, &id, state));
            // The last change leads to what is true now.
            if let Some(track) = &mut self.tracks[slot] {
                for figure in [Some(&mut track.now), track.minute.as_mut()].into_iter().flatten() {
                    figure.state = figure.state.and(Some(state));
                }
            }
        }
        let span =
            self.minutes.since.map_or(MINUTES.row, |(since, _)| milliseconds(now.since(since)));
        let figures = figures(&self.tracks, |track| {
            let unmeasured = Figure { state: track.now.state, usage: None };
            Some(track.minute.unwrap_or(unmeasured))
        });
        written = written.and(self.minutes.tier.write_row(at, span, figures));
        self.minutes.since = Some((now, at));
        for track in self.tracks.iter_mut().flatten() {
            track.minute = None;
        }
        written
    }

    fn restart_tens(&mut self, since: Option<(Moment, i64)>) {
        self.tens.since = since;
        for track in self.tracks.iter_mut().flatten() {
            track.ten = None;
        }
    }

    /// What has been gathered of a component and is in no row of minutes yet: from when, and what.
    pub(super) fn unwritten(&self, id: &str) -> Option<(i64, Figure)> {
        let track = self.tracks.get(*self.slots.get(id)?)?.as_ref()?;
        Some((self.minutes.since?.1, track.minute?))
    }
}

impl Gathering {
    /// The length of the row that is to be written now, if it is time.
    fn is_full(&mut self, now: Moment, begin: (Moment, i64), shape: Shape) -> Option<u32> {
        let (since, _) = *self.since.get_or_insert(begin);
        let gathered = milliseconds(now.since(since));
        // Ticks come a little late or early.
        (gathered + 500 >= shape.row).then_some(gathered)
    }
}

/// The moment of the call before, by both clocks.
fn begin_before(now: Moment, at: i64, elapsed: Option<Duration>) -> (Moment, i64) {
    let elapsed = elapsed.unwrap_or_default();
    let begin = Moment::from_boot(now.since_boot().saturating_sub(elapsed));
    (begin, at - i64::from(milliseconds(elapsed)))
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn figures<'a>(
    tracks: &'a [Option<Track>],
    figure: impl Fn(&Track) -> Option<Figure> + 'a,
) -> impl Iterator<Item = (usize, &'a ComponentId, Figure)> {
    tracks.iter().enumerate().filter_map(move |(slot, track)| {
        let track = track.as_ref()?;
        Some((slot, &track.id, figure(track)?))
    })
}
