//! What the console costs with a thousand components in a terminal of 200x60, every number new in
//! every frame: processor time of this thread, so that what else the machine does is not counted.
//!
//! `cargo bench --bench console`

#![expect(clippy::print_stdout, reason = "a bench reports to its reader")]

use std::{hint::black_box, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use ratatui::{buffer::Buffer, layout::Rect};
use rustix::time::{ClockId, clock_gettime};
use s7supervisor::{
    console::{
        feed::{Incoming, Link, News},
        keymap::Keymap,
        model::{Model, Now, Settings},
        terminal::paint::Painter,
        update::{Message, update},
        views::{self, Skin, Stage},
    },
    model::Moment,
    wire::{ComponentSample, ComponentStatus, Sample, Snapshot, Update, UpdateMessage},
};
use serde_json::json;

const COMPONENTS: u32 = 1000;
const ROUNDS: u32 = 1000;
const SIZE: (u16, u16) = (200, 60);

fn main() {
    let mut bench = Bench::new();
    let mut costs = Costs::default();
    bench.keys("P");
    for second in 0..ROUNDS {
        bench.now.mono = bench.now.mono.after(Duration::from_secs(1));
        let sample = bench.sample(second);
        costs.updates.push(cost(|| bench.news(sample)));
        costs.draw(&mut bench);
    }
    costs.report("table, every number new, sorted by CPU");
    let mut costs = Costs::default();
    bench.keys("g");
    for _ in 1..COMPONENTS {
        bench.now.mono = bench.now.mono.after(Duration::from_millis(20));
        costs.updates.push(cost(|| bench.keys("j")));
        costs.draw(&mut bench);
    }
    costs.report("table, the cursor moves");
    bench.keys("l");
    let mut costs = Costs::default();
    for round in 0..ROUNDS {
        bench.now.mono = bench.now.mono.after(Duration::from_millis(250));
        let lines = bench.lines(u64::from(round) * 100);
        costs.updates.push(cost(|| bench.news(lines)));
        costs.draw(&mut bench);
    }
    costs.report("log, 100 new lines a frame");
}

/// A console without a terminal.
struct Bench {
    model: Model,
    stage: Stage,
    painter: Painter,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        let wall: Timestamp = "2026-11-23T14:23:01Z".parse().expect("a time");
        let now = Now { mono: Moment::from_boot(Duration::from_secs(1_000_000)), wall };
        let settings = Settings {
            keymap: Keymap::default(),
            embedded: false,
            read_only: false,
            zone: TimeZone::UTC,
            ascii: false,
            registry: String::new(),
        };
        let mut model = Model::new(vec!["img-prod-3".to_owned()], settings, now);
        model.size = SIZE;
        let stage = Stage { skin: Skin::DARK, supervisor_log: <_>::default() };
        let mut bench = Self { model, stage, painter: Painter::new(false), now };
        bench.news(News::Link(Link::Live));
        let components: Vec<ComponentStatus> = (0..COMPONENTS).map(status).collect();
        let snapshot: Snapshot = serde_json::from_value(json!({
            "host": "img-prod-3",
            "access": "full",
            "status": {
                "supervisor": {
                    "pid": 812, "version": "0.1.0", "uptime_s": 1.0, "registry": "/r.xml",
                    "generation": 1, "cpu_percent": 0.1, "memory_bytes": 9_000_000,
                    "containment": "cgroup", "shutting_down": false,
                },
                "components": components,
            },
        }))
        .expect("a snapshot");
        bench.news(told(Update::Snapshot(Box::new(snapshot))));
        bench
    }

    fn news(&mut self, news: News) {
        let message = Message::News(Incoming { host: 0, news });
        black_box(update(&mut self.model, message, self.now));
    }

    fn keys(&mut self, key: &str) {
        let message = Message::Key(key.parse().expect("a key"));
        black_box(update(&mut self.model, message, self.now));
    }

    /// Every number is another one than before.
    fn sample(&self, second: u32) -> News {
        let components = (0..COMPONENTS).map(|n| ComponentSample {
            id: name(n),
            run: 1,
            cpu_percent: Some(f64::from((second * 37 + n * 11) % 997) / 10.0),
            memory_bytes: Some(u64::from((second * 13 + n * 7) % 4096) << 20),
            processes: 1,
        });
        told(Update::Sample(Sample {
            at: self.now.wall.to_string(),
            cpu_percent: 0.1,
            memory_bytes: 9 << 20,
            components: components.collect(),
        }))
    }

    fn lines(&self, from: u64) -> News {
        let id = self.model.table.cursor.as_ref().map(|key| key.id.to_string());
        let records = (from..from + 100).map(|seq| {
            serde_json::from_value(json!({
                "seq": seq + 1, "at": self.now.wall.to_string(), "kind": "line", "stream": "out",
                "run": 1, "text": format!("INFO req id={seq:08x} path=/is/image status=200 dur=13ms"),
            }))
        });
        let records = records.collect::<Result<_, _>>().expect("records");
        told(Update::Log { id: id.unwrap_or_default(), records })
    }

    /// From the model to the bytes of a frame.
    fn frame(&mut self) -> usize {
        let mut buffer = Buffer::empty(Rect::new(0, 0, SIZE.0, SIZE.1));
        let cursor = views::render(&self.model, &self.stage, &mut buffer);
        self.painter.frame(buffer, cursor).len()
    }
}

fn told(update: Update) -> News {
    News::Update(UpdateMessage { seq: 0, update })
}

fn name(number: u32) -> String {
    format!("worker-{number:04}")
}

fn status(number: u32) -> ComponentStatus {
    serde_json::from_value(json!({
        "id": name(number), "description": "", "state": "running", "health": "ok",
        "pid": 10_000 + number, "run": 1, "uptime_s": 90.0, "cpu_percent": 0.0,
        "memory_bytes": 0, "processes": 1, "restarts": 0, "intent": "running", "attempt": 0,
        "enabled": true,
    }))
    .expect("a status")
}

#[derive(Default)]
struct Costs {
    updates: Vec<Duration>,
    frames: Vec<Duration>,
    bytes: Vec<usize>,
}

impl Costs {
    fn draw(&mut self, bench: &mut Bench) {
        let mut bytes = 0;
        self.frames.push(cost(|| bytes = bench.frame()));
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
