//! What it costs: bytes to the terminal, counted; and rows that are made, bounded.

use super::demo::{Sim, components};
use crate::{
    console::terminal::paint::Painter,
    wire::{ComponentState, Health},
};

struct Screen {
    sim: Sim,
    painter: Painter,
    terminal: vt100::Parser,
}

impl Screen {
    /// A console whose first frame is out.
    fn new(sim: Sim) -> Self {
        let (width, height) = sim.model.size;
        let size = |size| std::num::NonZero::new(size).expect("not zero");
        let terminal = vt100::Parser::new(size(height), size(width), 0);
        let mut screen = Self { sim, painter: Painter::new(false), terminal };
        screen.draw();
        screen
    }

    /// Bytes of a frame; and the terminal shows what was drawn.
    fn draw(&mut self) -> usize {
        let (frame, cursor) = self.sim.frame();
        let wanted = super::demo::text(&frame);
        let bytes = self.painter.frame(frame, cursor);
        self.terminal.process(bytes);
        let count = bytes.len();
        let shown: Vec<String> = self
            .terminal
            .screen()
            .contents()
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        assert_eq!(shown.join("\n").trim_end(), wanted.trim_end());
        count
    }
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let mut screen = Screen::new(Sim::live(80, 24));
    assert_eq!(screen.draw(), 0);
    // Time alone, with only old rows: nothing that is shown has changed.
    let mut old = components();
    old.retain(|status| status.pid.is_some());
    for status in &mut old {
        status.uptime_s = Some(90_000.0);
    }
    let mut sim = Sim::new(80, 24);
    sim.snapshot(0, old);
    sim.wait_ms(1000);
    let mut screen = Screen::new(sim);
    for _ in 0..20 {
        screen.sim.wait_ms(1000);
        assert_eq!(screen.draw(), 0);
    }
}

#[test]
fn three_rows_of_new_numbers_are_a_few_bytes() {
    let mut screen = Screen::new(Sim::live(80, 24));
    let calm = |status: &mut crate::wire::ComponentStatus| status.uptime_s = Some(40_000.0);
    for id in ["cache-warmer", "thumbnails"] {
        screen.sim.component(calm, id);
    }
    screen.draw();
    screen.sim.wait_ms(1000);
    for (id, cpu, memory) in [("is", 71.4, 901), ("ps", 18.9, 877), ("gateway", 3.2, 349)] {
        let change = |status: &mut crate::wire::ComponentStatus| {
            status.cpu_percent = Some(cpu);
            status.memory_bytes = Some(memory << 20);
            status.uptime_s = status.uptime_s.map(|uptime| uptime + 1.0);
        };
        screen.sim.component(change, id);
    }
    let bytes = screen.draw();
    assert!(bytes > 0);
    assert!(bytes <= 200, "{bytes} bytes");
}

#[test]
fn a_minute_of_a_working_machine() {
    let mut screen = Screen::new(Sim::live(80, 24));
    let mut bytes = 0;
    for second in 120..180 {
        screen.sim.wait_ms(1000);
        screen.sim.sample(0, second);
        bytes += screen.draw();
    }
    // Every one of the eight rows with a process moves every second, and two are young.
    assert!(bytes / 60 <= 250, "{} bytes a second", bytes / 60);
}

#[test]
fn a_whole_frame_is_bounded() {
    for (width, height) in [(80, 24), (160, 45), (210, 64)] {
        for keys in ["Esc", "l w t", "Enter Tab", "?", "K"] {
            let mut sim = Sim::live(width, height);
            sim.keys(keys);
            sim.logs(0, "is", 1, 200);
            let (frame, cursor) = sim.frame();
            let bytes = Painter::new(false).frame(frame, cursor).len();
            assert!(bytes <= 20 << 10, "{bytes} bytes at {width}x{height} after {keys}");
        }
    }
}

/// A thousand components: the rows that are not on the screen are not made.
#[test]
fn a_thousand_components_draw_like_forty() {
    let many = |count: usize| {
        let mut all = Vec::new();
        for number in 0..count {
            let mut status = super::status(&format!("worker-{number:04}"), ComponentState::Running);
            status.health = Health::Ok;
            status.pid = Some(u32::try_from(10_000 + number).expect("small"));
            status.uptime_s = Some(90_000.0);
            all.push(status);
        }
        let mut sim = Sim::new(200, 60);
        sim.snapshot(0, all);
        sim.wait_ms(4000);
        sim
    };
    let mut screen = Screen::new(many(1000));
    screen.sim.keys("G");
    screen.draw();
    screen.sim.shows("worker-0999");
    screen.sim.shows_not("worker-0500");
    screen.sim.keys("/ 0 5 0 0 Enter");
    screen.sim.shows("worker-0500");
    screen.draw();
}
