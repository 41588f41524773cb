//! What the console costs with a thousand components in a terminal of 200x60, every number new in
//! every frame: processor time of this thread, so that what else the machine does is not counted.
//!
//! `cargo bench --bench console`

#![expect(clippy::print_stdout, reason = "a bench reports to its reader")]

#[path = "fixtures/console.rs"]
mod fixture;

use std::time::Duration;

use fixture::{COMPONENTS, Screen};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: u32 = 1000;

fn main() {
    let mut screen = Screen::new();
    let mut costs = Costs::default();
    screen.keys("P");
    for second in 0..ROUNDS {
        screen.wait(Duration::from_secs(1));
        let sample = screen.sample(second);
        costs.updates.push(cost(|| screen.news(sample)));
        costs.draw(&mut screen);
    }
    costs.report("table, every number new, sorted by CPU");
    let mut costs = Costs::default();
    screen.keys("g");
    for _ in 1..COMPONENTS {
        screen.wait(Duration::from_millis(20));
        costs.updates.push(cost(|| screen.keys("j")));
        costs.draw(&mut screen);
    }
    costs.report("table, the cursor moves");
    screen.keys("l");
    let mut costs = Costs::default();
    for round in 0..ROUNDS {
        screen.wait(Duration::from_millis(250));
        let lines = screen.lines(u64::from(round) * 100);
        costs.updates.push(cost(|| screen.news(lines)));
        costs.draw(&mut screen);
    }
    costs.report("log, 100 new lines a frame");
}

#[derive(Default)]
struct Costs {
    updates: Vec<Duration>,
    frames: Vec<Duration>,
    bytes: Vec<usize>,
}

impl Costs {
    fn draw(&mut self, screen: &mut Screen) {
        let mut bytes = 0;
        self.frames.push(cost(|| bytes = screen.frame()));
        self.bytes.push(bytes);
    }

    fn report(mut self, what: &str) {
        println!("{what}");
        for (name, times) in [("update", &mut self.updates), ("frame", &mut self.frames)] {
            times.sort();
            let at = |percent: usize| times[times.len() * percent / 100].as_micros();
            println!("  {name:8} {:6} us median, {:6} us p99", at(50), at(99));
        }
        self.bytes.sort_unstable();
        let (median, most) = (self.bytes[self.bytes.len() / 2], self.bytes.last().copied());
        println!("  bytes    {median:6} median, {:6} at most", most.unwrap_or_default());
    }
}

/// Processor time of this thread for it.
fn cost(work: impl FnOnce()) -> Duration {
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let begin = used();
    work();
    used().saturating_sub(begin)
}
