//! What a frame costs: measured in the thread's own processor time, so that what else the machine
//! does is not counted.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::demo::Sim;
use crate::{console::terminal::paint::Painter, wire::ComponentState};

/// 200x60 with a thousand components, every number new in every frame.
#[test]
#[ignore = "a measurement: cargo test --release --lib console::tests::frames -- --ignored --nocapture"]
#[expect(clippy::print_stdout, reason = "it measures, and says what")]
fn a_frame_with_a_thousand_components() {
    let mut sim = Sim::new(200, 60);
    let row = |n| super::status(&format!("worker-{n:04}"), ComponentState::Running);
    sim.snapshot(0, (0..1000).map(row).collect());
    sim.keys("P");
    let mut painter = Painter::new(false);
    let mut updates = Vec::new();
    let mut frames = Vec::new();
    for second in 0..400 {
        let start = used();
        sim.wait_ms(1000);
        sim.sample(0, second);
        updates.push(used().saturating_sub(start));
        let start = used();
        let (frame, cursor) = sim.frame();
        painter.frame(frame, cursor);
        frames.push(used().saturating_sub(start));
    }
    for (what, times) in [("update", &mut updates), ("frame", &mut frames)] {
        times.sort();
        println!("{what}: median {:?}, p99 {:?}", times[200], times[396]);
    }
    assert!(frames[396].as_micros() <= 2000, "{:?}", frames[396]);
}

/// Processor time of this thread so far.
fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("it only grows")
}
