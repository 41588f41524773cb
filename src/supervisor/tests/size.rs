//! A thousand components cost a thousand times one, not a million times.

use std::fmt::Write as _;

use super::world::{Seconds, Sim};
use crate::wire::{
    ComponentState::{Running, Stopped},
    OperationState,
};

/// Boots and shuts down; the inputs, and the gates and hopes that were looked at.
fn work_of(line: &str) -> (u64, u64) {
    let mut sim = Sim::new(line);
    sim.checked = false;
    sim.boot().advance(60.secs()).expect_all(Running);
    sim.expect_operation(sim.operation(), OperationState::Done);
    sim.shut_down(false).advance(600.secs()).expect_all(Stopped);
    assert_eq!(sim.all_gone, Some(vec![]));
    sim.supervisor.assert_consistent();
    (sim.inputs, sim.supervisor.work.get())
}

fn line(count: usize, word: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut line, index| {
        write!(line, "c{index}{} ", word(index)).expect("a string takes it");
        line
    })
}

#[test]
fn the_work_grows_with_the_number_of_components() {
    type Shape = fn(usize) -> String;
    let shapes: [(&str, Shape); 4] = [
        ("side by side", |_| ":1".into()),
        ("ten priorities", |index| format!(":{}", index % 10)),
        ("a priority each", |index| format!(":{index}")),
        ("a chain", |index| if index == 0 { ":1".into() } else { format!(":1<c{}", index - 1) }),
    ];
    for (name, shape) in shapes {
        let (inputs, work) = work_of(&line(1000, shape));
        assert!(inputs <= 2 * 1000 + 10, "{name}: {inputs} inputs");
        assert!(work <= 20 * 1000, "{name}: {work} looks");
    }
}
