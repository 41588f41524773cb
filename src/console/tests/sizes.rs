//! No size of the terminal is a reason to panic, on any screen, in any dialog. All that are from
//! 1x1 to 210x64 on each of them is a matter of minutes and ignored; what runs always has each
//! size at which something differs.

use super::demo::Sim;
use crate::console::update::Message;

/// The ways to every screen and dialog, as keys from the table.
const PLACES: [&str; 26] = [
    "Esc",
    "Tab j",
    "z",
    "Tab z",
    "j Enter",
    "Enter Tab",
    "Enter Tab Tab",
    "Enter Tab Tab Tab",
    "Enter BackTab BackTab",
    "Enter BackTab",
    "l",
    "l w t k",
    "* l t l l",
    "l C",
    "l / a",
    "l T",
    "L",
    "L t",
    "e",
    "?",
    ": r e s",
    "o",
    "j r",
    "K",
    "Space Space x",
    "R 1 2",
];

fn at(keys: &str) -> Sim {
    let mut sim = Sim::live(80, 24);
    sim.keys(keys);
    sim.logs(0, "is", 1, 60);
    sim
}

/// Widths and heights where the layout changes.
fn is_edge(width: u16, height: u16) -> bool {
    matches!(width, 1..=4 | 29..=31 | 59..=61 | 139..=141 | 210)
        && matches!(height, 1..=3 | 5..=7 | 12 | 15..=17 | 35..=37 | 64)
}

/// Sizes on some screen, and on each screen those where the layout changes.
fn on_every_screen(places: impl Fn(usize) -> bool) {
    for (index, place) in PLACES.into_iter().enumerate().filter(|(index, _)| places(*index)) {
        let mut sim = at(place);
        for (count, (width, height)) in sizes().enumerate() {
            if count % PLACES.len() == index || is_edge(width, height) {
                sim.message(Message::Resize { width, height });
                let _ = sim.frame();
            }
        }
    }
}

#[test]
fn every_size_on_one_half_of_the_screens() {
    on_every_screen(|index| index % 2 == 0);
}

#[test]
fn every_size_on_the_other_half() {
    on_every_screen(|index| index % 2 == 1);
}

#[test]
#[ignore = "350,000 frames: cargo test --release --lib console -- --ignored"]
fn every_size_on_each_screen() {
    for place in PLACES {
        let mut sim = at(place);
        for (width, height) in all_sizes() {
            sim.message(Message::Resize { width, height });
            let _ = sim.frame();
        }
    }
}

/// Every size up to where the layout changes for the last time; beyond, where all is only larger,
/// some of them.
fn sizes() -> impl Iterator<Item = (u16, u16)> {
    all_sizes().filter(|(width, height)| {
        (*width <= 145 || width % 5 == 0) && (*height <= 40 || height % 8 == 0)
    })
}

fn all_sizes() -> impl Iterator<Item = (u16, u16)> {
    (1..=210).flat_map(|width| (1..=64).map(move |height| (width, height)))
}

/// Moving around while the size changes as a dragged window does.
#[test]
fn resizing_while_working() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut sim = Sim::live(80, 24);
    let keys = [
        "j", "k", "G", "g", "PgDn", "PgUp", "ctrl-d", "Tab", "z", "Enter", "Esc", "l", "w", "t",
        "/", "x", "y", "n", "r", "K", "*", "o", "!", "?", ":", "e", "L", "Z", "q", "u", "v",
        "Space", "+", "-", "F", "0", "1", "C", "h", "E",
    ];
    for round in 0..600_u64 {
        let (width, height) = (random.u16(1..=210), random.u16(1..=64));
        sim.message(Message::Resize { width, height });
        sim.keys(keys[random.usize(..keys.len())]);
        if round % 16 == 0 {
            sim.logs(0, ["is", "ps", "svg"][random.usize(..3)], round, 20);
            sim.sample(0, u32::try_from(round).expect("small"));
        }
        let _ = sim.frame();
    }
}

#[test]
fn dialogs_for_leaving_and_empty_screens() {
    let mut leaving = Sim::live(80, 24);
    leaving.model.settings.embedded = true;
    leaving.keys("q");
    let mut empty = Sim::new(80, 24);
    empty.model.first_run = true;
    empty.snapshot(0, Vec::new());
    let mut unconnected = Sim::new(80, 24);
    unconnected.keys("Enter l x");
    for sim in [&mut leaving, &mut empty, &mut unconnected] {
        for (width, height) in sizes().step_by(11) {
            sim.message(Message::Resize { width, height });
            let _ = sim.frame();
        }
    }
}
