//! A scripted host for tests: a plausible machine, and what can happen to it.

use std::{collections::BTreeMap, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    console::{
        feed::{Ask, Incoming, Link, News, Request},
        key::Key,
        keymap::Keymap,
        model::{Model, Now, Settings},
        update::{Effect, Message, update},
        views::{self, Skin, Stage},
    },
    model::Moment,
    wire::{
        Access, ComponentDetails, ComponentSample, ComponentState, ComponentStatus,
        ContainmentLevel, EnvironmentVariable, EventKind, EventRecord, Explanation, Health, Intent,
        LastExit, LogEntry, LogRecord, LogStream, ProcessInfo, Sample, Snapshot, Status,
        SupervisorStatus, Update, UpdateMessage,
    },
};

/// A console in virtual time, with scripted hosts behind it.
pub struct Sim {
    pub model: Model,
    pub stage: Stage,
    now: Now,
    seq: u64,
    /// Everything that was asked for, in its order.
    pub asked: Vec<Request>,
    /// Every other effect.
    pub effects: Vec<Effect>,
}

impl Sim {
    /// One host that is not connected yet.
    pub fn new(width: u16, height: u16) -> Self {
        Self::hosts(width, height, &["img-prod-3"])
    }

    pub fn hosts(width: u16, height: u16, hosts: &[&str]) -> Self {
        let now = Now {
            mono: Moment::from_boot(Duration::from_secs(1_000_000)),
            wall: "2026-11-23T14:23:01Z".parse().expect("a time"),
        };
        let settings = Settings {
            keymap: Keymap::default(),
            embedded: false,
            read_only: false,
            zone: TimeZone::UTC,
            ascii: false,
            registry: "/usr/local/scene7/ImageServing/conf/SupervisorRegistry.xml".to_owned(),
        };
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut model = Model::new(hosts, settings, now);
        model.size = (width, height);
        let stage = Stage { skin: Skin::DARK, supervisor_log: <_>::default() };
        Self { model, stage, now, seq: 0, asked: Vec::new(), effects: Vec::new() }
    }

    /// One host with the components of [`components`], live, with output and events.
    pub fn live(width: u16, height: u16) -> Self {
        let mut sim = Self::new(width, height);
        sim.snapshot(0, components());
        for second in 0..120 {
            sim.wait_ms(1000);
            sim.sample(0, second);
        }
        sim.logs(0, "is", 1, 6);
        sim.wait_ms(200);
        sim
    }

    pub fn message(&mut self, message: Message) {
        for effect in update(&mut self.model, message, self.now) {
            match effect {
                Effect::Ask(request) => self.asked.push(request),
                other => self.effects.push(other),
            }
        }
    }

    pub fn wait_ms(&mut self, millis: u64) {
        let by = Duration::from_millis(millis);
        self.now.mono = self.now.mono.after(by);
        self.now.wall += by;
        self.message(Message::Tick);
    }

    /// Keys as an operator writes them, each with the time a finger needs.
    pub fn keys(&mut self, keys: &str) {
        for key in keys.split(' ') {
            self.wait_ms(200);
            self.key(key);
        }
    }

    /// At once.
    pub fn key(&mut self, key: &str) {
        self.message(Message::Key(key.parse().expect(key)));
    }

    pub fn type_text(&mut self, text: &str) {
        for character in text.chars() {
            self.message(Message::Key(Key::char(character)));
        }
    }

    pub fn news(&mut self, host: u16, news: News) {
        self.message(Message::News(Incoming { host, news }));
    }

    pub fn update(&mut self, host: u16, update: Update) {
        self.seq += 1;
        let seq = self.seq;
        self.news(host, News::Update(UpdateMessage { seq, update }));
    }

    pub fn snapshot(&mut self, host: u16, components: Vec<ComponentStatus>) {
        let name = self.model.facts.hosts[usize::from(host)].name.clone();
        self.news(host, News::Link(Link::Live));
        let snapshot = snapshot(&name, components);
        self.update(host, Update::Snapshot(Box::new(snapshot)));
    }

    pub fn component(&mut self, change: impl FnOnce(&mut ComponentStatus), id: &str) {
        let key = crate::console::model::RowKey::new(0, id);
        let mut status = self.model.facts.rows[&key].status.clone();
        change(&mut status);
        self.update(0, Update::Component { component: Box::new(status) });
    }

    /// The sampler's numbers of that second: they move, but not at random.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a dozen rows"
    )]
    pub fn sample(&mut self, host: u16, second: u32) {
        let wave = |base: f64, step: u32| {
            let phase = f64::from((second * step) % 400) / 200.0 - 1.0;
            (base * (0.3 + phase.abs()) * 10.0).round() / 10.0
        };
        let components = self
            .model
            .facts
            .rows
            .values()
            .filter(|row| row.has_process())
            .enumerate()
            .map(|(at, row)| ComponentSample {
                id: row.status.id.clone(),
                run: row.status.run.unwrap_or(0),
                cpu_percent: Some(wave(11.0 * (1 + at % 5) as f64, 3 + at as u32)),
                memory_bytes: Some((200 + 131 * at as u64 + u64::from(second / 30)) << 20),
                processes: 1 + at as u32 % 3,
            })
            .collect();
        let at = self.now.wall.to_string();
        let sample = Sample { at, cpu_percent: 0.3, memory_bytes: 9 << 20, components };
        self.update(host, Update::Sample(sample));
    }

    /// So many lines of output, from this number on.
    pub fn logs(&mut self, host: u16, id: &str, from: u64, count: u64) {
        let start = self.now.wall;
        let records = (from..from + count)
            .map(|seq| {
                let at = start + Duration::from_millis(seq * 7);
                log_record(seq, &format!("{at:.3}"))
            })
            .collect();
        self.update(host, Update::Log { id: id.to_owned(), records });
    }

    /// Draws, and returns the frame with where the cursor is.
    pub fn frame(&self) -> (Buffer, Option<ratatui::layout::Position>) {
        let (width, height) = self.model.size;
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        let cursor = views::render(&self.model, &self.stage, &mut buffer);
        (buffer, cursor)
    }

    /// The screen as text, without the space at the ends of lines.
    pub fn screen(&self) -> String {
        let (buffer, _) = self.frame();
        text(&buffer)
    }

    pub fn shows(&self, text: &str) {
        let screen = self.screen();
        assert!(screen.contains(text), "\"{text}\" is not on the screen:\n{screen}");
    }

    pub fn shows_not(&self, text: &str) {
        let screen = self.screen();
        assert!(!screen.contains(text), "\"{text}\" is on the screen:\n{screen}");
    }

    /// The commands that were sent: verb, ids, run.
    pub fn commands(&self) -> Vec<(String, Vec<String>, Option<u64>)> {
        self.asked
            .iter()
            .filter_map(|request| match &request.ask {
                Ask::Command { verb, ids, if_run, .. } => {
                    Some((verb.to_string(), ids.clone(), *if_run))
                }
                _ => None,
            })
            .collect()
    }

    /// Number of the last command.
    pub fn last_number(&self) -> u64 {
        let numbers = self.asked.iter().filter_map(|request| match &request.ask {
            Ask::Command { number, .. } => Some(*number),
            _ => None,
        });
        numbers.max().expect("a command was sent")
    }
}

pub fn text(buffer: &Buffer) -> String {
    use unicode_width::UnicodeWidthStr;
    let mut out = String::new();
    for row in buffer.area.rows() {
        let mut line = String::new();
        let mut x = row.left();
        while x < row.right() {
            let symbol = buffer[(x, row.y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(symbol.width().max(1)).expect("narrow");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

pub fn snapshot(host: &str, components: Vec<ComponentStatus>) -> Snapshot {
    let depends = |on: &[&str]| on.iter().map(|id| (*id).to_owned()).collect();
    let mut dependencies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let has = |id: &str| components.iter().any(|status| status.id == id);
    if has("ps") {
        dependencies.insert("ps".to_owned(), depends(&["is", "svg"]));
        dependencies.insert("proxy".to_owned(), depends(&["ps"]));
    }
    let events = if has("mailer") { events() } else { Vec::new() };
    Snapshot {
        host: host.to_owned(),
        access: Access::Full,
        status: Status {
            supervisor: SupervisorStatus {
                pid: 812,
                guardian_pid: None,
                guardian: None,
                version: "0.1.0".to_owned(),
                uptime_s: 300_000.0,
                registry: "/usr/local/scene7/ImageServing/conf/SupervisorRegistry.xml".to_owned(),
                generation: 3,
                upgrades: 0,
                cpu_percent: 0.3,
                memory_bytes: 9 << 20,
                containment: ContainmentLevel::Cgroup,
                shutting_down: false,
            },
            components,
        },
        dependencies,
        events,
    }
}

fn events() -> Vec<EventRecord> {
    let event =
        |seq, minute: u32, component: Option<&str>, kind, text: &str, origin: Option<&str>| {
            EventRecord {
                seq,
                at: format!("2026-11-23T14:{minute:02}:12.120Z"),
                component: component.map(str::to_owned),
                run: None,
                kind,
                text: text.to_owned(),
                origin: origin.map(str::to_owned),
            }
        };
    vec![
        event(
            101,
            2,
            None,
            EventKind::Reload,
            "registry generation 3: 1 changed",
            Some("root (cli)"),
        ),
        event(102, 2, Some("ps"), EventKind::Stopping, "SIGTERM to pid 40002", Some("root (cli)")),
        event(103, 3, Some("ps"), EventKind::Starting, "pid 42151", None),
        event(104, 3, Some("ps"), EventKind::Running, "ready after 8.1 s", None),
        event(105, 11, Some("svg"), EventKind::Exited, "SIGSEGV after 2m11s", None),
        event(106, 11, Some("svg"), EventKind::Backoff, "attempt 4 in 12 s", None),
        event(107, 14, Some("mailer"), EventKind::Failed, "exit 1 five times within 10 s", None),
    ]
}

/// Twelve components in every state that matters.
pub fn components() -> Vec<ComponentStatus> {
    use ComponentState::{Backoff, Exited, Failed, Running, Starting, Stopped, Waiting};
    let with = |id: &str, state, change: &dyn Fn(&mut ComponentStatus)| {
        let mut status = status(id, state);
        change(&mut status);
        status
    };
    let running = |id: &str, pid: u32, uptime: f64, restarts: u32| {
        with(id, Running, &|status| {
            status.pid = Some(pid);
            status.uptime_s = Some(uptime);
            status.restarts = restarts;
            status.run = Some(u64::from(pid) - 24_000);
        })
    };
    let exit = |code: Option<i32>, signal: Option<i32>| {
        Some(LastExit {
            code,
            signal,
            at: "2026-11-23T14:11:12.120Z".to_owned(),
            core: false,
            oom: false,
            expected: false,
        })
    };
    let mut all = vec![
        running("is", 24_189, 298_800.0, 2),
        running("ps", 42_151, 34_200.0, 1),
        with("svg", Backoff, &|status| {
            status.restarts = 4;
            status.attempt = 4;
            status.next_attempt_s = Some(132.0);
            status.last_exit = exit(None, Some(11));
            status.reason = Some("SIGSEGV".to_owned());
        }),
        with("mailer", Failed, &|status| {
            status.restarts = 5;
            status.last_exit = exit(Some(1), None);
            status.reason = Some("exit 1 five times within 10 s".to_owned());
        }),
        running("proxy", 42_388, 34_100.0, 0),
        running("cache-warmer", 42_390, 1_754.0, 0),
        with("thumbnails", Starting, &|status| status.pid = Some(51_200)),
        with("indexer", Waiting, &|status| {
            status.waiting_for = Some("thumbnails (starting)".to_owned());
            status.run = None;
        }),
        with("nightly-report", Exited, &|status| {
            status.last_exit = exit(Some(0), None);
        }),
        with("debug-shell", Stopped, &|status| {
            status.enabled = false;
            status.intent = Intent::Stopped;
            status.run = None;
        }),
        running("metrics", 24_201, 298_790.0, 0),
        running("gateway", 24_230, 298_700.0, 0),
    ];
    all[0].health = Health::Ok;
    all[0].description = "Image Server".to_owned();
    all[1].health = Health::Ok;
    all[1].description = "Platform Server".to_owned();
    all[4].health = Health::Failing;
    all[4].health_detail = Some("http 503 from http://127.0.0.1:8088/health".to_owned());
    all
}

/// A component at rest.
pub fn status(id: &str, state: ComponentState) -> ComponentStatus {
    let lives = matches!(
        state,
        ComponentState::Running | ComponentState::Starting | ComponentState::Stopping
    );
    ComponentStatus {
        id: id.to_owned(),
        description: String::new(),
        state,
        health: Health::None,
        health_detail: None,
        pid: lives.then_some(4000),
        run: Some(1),
        uptime_s: lives.then_some(0.0),
        cpu_percent: lives.then_some(0.0),
        memory_bytes: lives.then_some(0),
        processes: u32::from(lives),
        restarts: 0,
        restarts_asked: 0,
        last_exit: None,
        intent: Intent::Running,
        waiting_for: None,
        next_attempt_s: None,
        attempt: 0,
        enabled: true,
        hold: None,
        reason: None,
    }
}

/// A log as a Java server writes it, with an error and the ends of runs now and then.
pub fn log_record(seq: u64, at: &str) -> LogRecord {
    let line = |stream, text: String| LogEntry::Line { stream, run: 189, text, cut: false };
    let entry = match seq % 23 {
        5 => line(LogStream::Err, "java.io.IOException: Broken pipe".to_owned()),
        6 => line(
            LogStream::Err,
            "\tat org.apache.catalina.Connector.write(Connector.java:214)".to_owned(),
        ),
        11 => line(LogStream::Out, format!("\u{1b}[33mWARN\u{1b}[0m cache 91% full id={seq:08x}")),
        17 => LogEntry::Exit {
            run: 188,
            text: "exit SIGSEGV · restart 4/10".to_owned(),
            expected: false,
        },
        18 => LogEntry::Start { run: 189, pid: 42_151 },
        21 => LogEntry::Dropped { lines: 312 },
        _ => line(
            LogStream::Out,
            format!(
                "INFO req id={:08x} path=/is/image status=200 dur={}ms",
                seq * 7919,
                12 + seq % 60
            ),
        ),
    };
    LogRecord { seq, at: at.to_owned(), entry }
}

pub fn record(seq: u64, at: &str, text: &str) -> LogRecord {
    let entry =
        LogEntry::Line { stream: LogStream::Out, run: 1, text: text.to_owned(), cut: false };
    LogRecord { seq, at: at.to_owned(), entry }
}

/// Line `second`, written in that second of 1970.
pub fn line_at(second: u64, text: &str) -> LogRecord {
    let at = Timestamp::from_second(i64::try_from(second).expect("small")).expect("in range");
    record(second, &at.to_string(), text)
}

pub fn details(id: &str) -> ComponentDetails {
    let variable = |name: &str, value: Option<&str>| EnvironmentVariable {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    let process = |pid, parent, command: &str, cpu, memory: u64| ProcessInfo {
        pid,
        parent,
        command: command.to_owned(),
        cpu_percent: Some(cpu),
        memory_bytes: Some(memory << 20),
        threads: 12,
        open_files: Some(40),
    };
    ComponentDetails {
        id: id.to_owned(),
        command: ["/usr/bin/java", "-Xmx512m", "-Dcom.sun.management.jmxremote.port=9999"]
            .map(str::to_owned)
            .to_vec(),
        working_directory: "/usr/local/scene7/ImageServing".to_owned(),
        environment: vec![
            variable("CATALINA_HOME", Some("/opt/tomcat")),
            variable("DB_PASSWORD", Some("told by mistake")),
            variable("KEYSTORE", None),
        ],
        depends_on: vec!["is".to_owned(), "svg".to_owned()],
        needed_by: vec!["proxy".to_owned()],
        start_priority: 2,
        restart_policy: "always, at most 10 within 600 s".to_owned(),
        stop_policy: "SIGTERM, killed after 60 s".to_owned(),
        ready_check: Some("http http://127.0.0.1:8080/ every 5 s".to_owned()),
        health_check: None,
        user: Some("scene7".to_owned()),
        environment_file: None,
        limits: Vec::new(),
        log_file: "logs/ps-2026-11-23.log".to_owned(),
        processes: vec![
            process(42_151, 1, "/usr/bin/java -Xmx512m Bootstrap start", 61.0, 900),
            process(42_160, 42_151, "convert worker", 4.1, 40),
            process(42_161, 42_160, "convert worker", 0.0, 38),
        ],
    }
}

pub fn explanation(status: &ComponentStatus) -> Explanation {
    Explanation {
        status: status.clone(),
        summary: "running for 9h30m, ready and healthy".to_owned(),
        intent: "running (asked by root (cli))".to_owned(),
        blocker: None,
        attempt: 0,
        max_restarts: Some(10),
        window_s: 600.0,
        next_attempt_s: None,
        exits: vec![],
        last_lines: vec![],
        advice: vec![],
        dossiers: vec![],
    }
}
