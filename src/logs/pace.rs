//! When busy pipes are read again.
//!
//! A pipe that was found half full is read by the clock until it is silent again: the rest between
//! two reads is what its writer took to fill half of it, so that it finds room and is never waited
//! for. The poller does not look at it meanwhile, and so its writer has nobody to wake. Other pipes
//! wait for the poller; after what they bring there is a rest, too, so that a steady one costs a
//! wake-up for each [`TICK`] and not for each line.

use std::time::{Duration, Instant};

/// The longest rest: what is written is seen after so long at the latest.
pub(super) const TICK: Duration = Duration::from_millis(15);

/// The first rest after silence; each further one is twice as long, up to [`TICK`].
const FIRST_REST: Duration = Duration::from_micros(250);

/// A rest that would be shorter is not taken: the timer is no finer.
const SHORTEST_REST: Duration = Duration::from_micros(80);

/// A pipe that was silent for so long is left to the poller: its writer may just have been without a
/// processor.
const SILENCE: Duration = Duration::from_millis(4);

/// A pipe of which so small a part is full after the longest rest needs no clock.
const SELDOM: usize = 16;

/// What a look at a pipe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub bytes: usize,
    pub capacity: usize,
}

/// The busy pipes, by their keys, and the rest that is due.
#[derive(Debug, Default)]
pub(super) struct Pace {
    busy: Vec<Busy>,
    rest: Duration,
    /// What this turn asks for; `None`: there was nothing to read.
    next: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Busy {
    key: u64,
    read_at: Instant,
}

impl Pace {
    /// Nobody but the poller has to be asked for what there is to read.
    pub fn is_idle(&self) -> bool {
        self.busy.is_empty()
    }

    /// How many pipes are busy, and their keys, in an order that holds until one joins or leaves.
    pub fn len(&self) -> usize {
        self.busy.len()
    }

    pub fn key(&self, index: usize) -> Option<u64> {
        self.busy.get(index).map(|busy| busy.key)
    }

    /// There was silence before this turn: what comes now may be the beginning of much.
    pub fn silence(&mut self) {
        self.rest = Duration::ZERO;
    }

    /// A pipe that the poller named was read; whether it is busy from now on.
    pub fn polled(&mut self, key: u64, found: Found, now: Instant) -> bool {
        let is_busy = found.is_crowded();
        if is_busy {
            // It was filled since the rest before this turn, or more quickly.
            self.ask(found.rest_after(self.rest.max(SHORTEST_REST)));
            self.hold(key, now);
        } else {
            self.ask((self.rest * 2).clamp(FIRST_REST, TICK));
        }
        is_busy
    }

    /// A busy pipe was read; whether it still is busy.
    pub fn read(&mut self, index: usize, found: Found, now: Instant) -> bool {
        let Some(busy) = self.busy.get_mut(index) else { return false };
        let took = now.saturating_duration_since(std::mem::replace(&mut busy.read_at, now));
        let is_seldom = took >= TICK && found.bytes < found.capacity / SELDOM;
        let is_silent = took >= SILENCE && found.bytes == 0;
        if is_seldom || is_silent {
            self.leave(index);
            self.ask(if is_silent { Duration::ZERO } else { TICK });
            return false;
        }
        self.ask(found.rest_after(took));
        true
    }

    /// A pipe that the poller cannot look at: by the clock, whatever comes of it.
    pub fn hold(&mut self, key: u64, now: Instant) {
        if self.busy.iter().all(|busy| busy.key != key) {
            self.busy.push(Busy { key, read_at: now });
        }
        self.ask(TICK);
    }

    /// A pipe that is no more, or not busy any more.
    pub fn leave(&mut self, index: usize) {
        self.busy.swap_remove(index);
    }

    /// The rest after this turn.
    pub fn take_rest(&mut self) -> Duration {
        let rest = self.next.take();
        self.rest = rest.unwrap_or(self.rest);
        rest.unwrap_or_default()
    }

    fn ask(&mut self, rest: Duration) {
        self.next = Some(self.next.map_or(rest, |next| next.min(rest)));
    }
}

impl Found {
    /// So full that the writer may soon have to wait.
    pub fn is_crowded(self) -> bool {
        self.bytes >= self.capacity / 2
    }

    /// How long to rest where this came in `took`: until half of the pipe is full again, but not
    /// much longer than that was.
    fn rest_after(self, took: Duration) -> Duration {
        // Of one that is full it is not known since when: it may have been filled much sooner.
        let part = if self.bytes >= self.capacity / 8 * 7 { 4 } else { 2 };
        let nanos = took.as_nanos() * (self.capacity / part) as u128 / self.bytes.max(1) as u128;
        let until_half = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        if until_half < SHORTEST_REST && self.bytes > 0 {
            return Duration::ZERO;
        }
        until_half.min(took * 2).clamp(SHORTEST_REST, TICK)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::clock::monotonic, *};

    const CAPACITY: usize = 256 << 10;

    fn found(bytes: usize) -> Found {
        Found { bytes, capacity: CAPACITY }
    }

    /// How long a writer of so many bytes a second took for so many turns, once it was met; and
    /// how full the pipe was.
    fn met(bytes_a_micro: u32, turns: u32) -> (Duration, Duration, usize) {
        let (mut pace, mut now) = (Pace::default(), monotonic());
        assert!(pace.polled(7, found(CAPACITY), now));
        let (mut time, mut shortest, mut fullest) = (Duration::ZERO, TICK, 0);
        for turn in 0..turns + 20 {
            // A turn takes its time, as does a timer.
            let passed = pace.take_rest() + Duration::from_micros(20);
            now += passed;
            let bytes = passed.as_micros() * u128::from(bytes_a_micro);
            let bytes = usize::try_from(bytes).expect("it fits").min(CAPACITY);
            assert!(pace.read(0, found(bytes), now));
            if turn >= 20 {
                time += passed;
                shortest = shortest.min(passed);
                fullest = fullest.max(bytes);
            }
        }
        (time, shortest, fullest)
    }

    #[test]
    fn a_writer_of_any_rate_finds_room_and_costs_few_turns() {
        for rate in [10, 30, 100, 300, 1_000] {
            let (time, _, fullest) = met(rate, 100);
            assert!(fullest < CAPACITY * 3 / 4, "{rate} MB/s: {fullest}");
            // At its longest a rest is a tick; else a turn takes a third of the pipe at least.
            let taken = time.as_micros() * u128::from(rate) / 100;
            let is_tick = time >= TICK * 99;
            assert!(is_tick || taken > CAPACITY as u128 / 3, "{rate} MB/s: {taken} a turn");
        }
        // Faster than anybody reads: no rest at all.
        let (_, shortest, _) = met(20_000, 100);
        assert!(shortest < SHORTEST_REST, "{shortest:?}");
    }

    #[test]
    fn a_pipe_that_is_silent_or_slow_is_left_to_the_poller() {
        let (mut pace, mut now) = (Pace::default(), monotonic());
        assert!(pace.polled(7, found(CAPACITY / 2), now) && !pace.is_idle());
        // A writer that had no processor for a moment.
        let mut turns = 0;
        while pace.read(0, found(0), now) {
            now += pace.take_rest();
            turns += 1;
        }
        assert!(pace.is_idle() && (2..10).contains(&turns), "{turns}");
        assert_eq!(pace.take_rest(), Duration::ZERO);
        assert!(pace.polled(7, found(CAPACITY), now));
        assert!(!pace.read(0, found(1_000), now + TICK) && pace.is_idle());
        assert!(!pace.polled(8, found(1_000), now) && pace.is_idle());
    }

    #[test]
    fn a_rest_is_never_longer_than_a_tick_and_the_busiest_decides() {
        let (mut pace, mut now) = (Pace::default(), monotonic());
        for _ in 0..20 {
            now += TICK;
            pace.polled(1, found(100), now);
            pace.take_rest();
        }
        assert_eq!(pace.rest, TICK);
        assert!(pace.polled(2, found(CAPACITY), now));
        assert!(!pace.polled(1, found(100), now));
        let rest = pace.take_rest();
        assert!(rest < TICK / 2, "{rest:?}");
        pace.silence();
        pace.polled(1, found(100), now);
        assert_eq!(pace.take_rest(), FIRST_REST);
        assert_eq!(pace.take_rest(), Duration::ZERO, "nothing was read");
    }
}
