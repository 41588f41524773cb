//! Everything the console knows and shows: plain data, without terminal types.
//!
//! ```text
//!  Model ─┬─ facts       what the engines said (hosts, rows, events); nothing is guessed here
//!         ├─ frozen      a copy of the facts, while the operator keeps the screen still
//!         ├─ table       which rows, in which order, the cursor, the marks
//!         ├─ screens     where one is, the top last; a log screen carries its lines
//!         ├─ overlay     the one prompt, dialog, menu or field that takes the keys
//!         └─ toasts      what was told, for a while
//! ```
//!
//! [`update`](super::update) changes it, [`views`](super::views) read it.

mod charts;
mod confirm;
mod facts;
mod filter;
mod log_line;
mod log_pages;
mod log_view;
mod overlay;
mod table;

use std::collections::VecDeque;

use jiff::{Timestamp, tz::TimeZone};

use crate::{model::Moment, wire::Severity};

pub use charts::{Range, Series, keep_shown};
pub use confirm::{Confirm, Shape, Target};
pub use facts::{Facts, Host, LinkState, Pending, Row, RowKey};
pub use filter::score;
pub use filter::{Filter, InvalidFilter};
pub use log_line::{LineId, LineKind, LogLine};
pub use log_pages::{Paged, Paging};
pub use log_view::{LogView, Pattern};
pub use log_view::{PANE_BYTES, SCREEN_BYTES};
pub use overlay::{Field, Overlay, Palette, PaletteItem, Purpose, edit};
pub use table::{Column, Sort, Table};

use super::keymap::Keymap;

/// The two times: one that only moves on, and one to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub mono: Moment,
    pub wall: Timestamp,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the screen")]
pub struct Model {
    pub now: Now,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    pub settings: Settings,
    pub facts: Facts,
    pub frozen: Option<Frozen>,
    pub table: Table,
    /// Never empty; the first is the components' table.
    pub screens: Vec<Screen>,
    /// The log pane below the table.
    pub preview: Preview,
    pub focus: Pane,
    pub zoomed: bool,
    pub overlay: Option<Overlay>,
    pub toasts: VecDeque<Toast>,
    /// Filters, searches and palette entries, the latest last.
    pub palette_history: Vec<String>,
    pub first_run: bool,
    pub mouse: bool,
    /// Of whom the details were asked for last: which run, when.
    pub asked_details: Option<(RowKey, Option<u64>, Moment)>,
    /// Whose history of which range was asked for last, and when.
    pub asked_history: Option<(RowKey, Range, Moment)>,
    /// Numbers of commands, so that answers find their question.
    pub next_number: u64,
    /// Commands that wait for their answer.
    pub asked: Vec<Asked>,
    /// What was wished for last, per host, to wish again only for something else.
    pub log_wishes: Vec<Vec<super::feed::LogWish>>,
    /// The Supervisors' own logs are asked for.
    pub supervisor_log: bool,
    pub urgency: Urgency,
}

/// What does not change while the console runs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub keymap: Keymap,
    /// The engine lives in this process: quitting has to ask what becomes of it.
    pub embedded: bool,
    pub read_only: bool,
    pub zone: TimeZone,
    pub ascii: bool,
    /// Shown where the registry is empty.
    pub registry: String,
}

/// A copy of the facts that the screen shows until the operator goes on.
#[derive(Debug, Clone)]
pub struct Frozen {
    pub facts: Facts,
    pub since: Moment,
}

#[derive(Debug)]
pub enum Screen {
    Components,
    Details(Details),
    Logs(Box<LogView>),
    SupervisorLog { targets: bool },
    Events(Scroll),
    Help(Scroll),
}

#[derive(Debug, Clone)]
pub struct Details {
    pub key: RowKey,
    pub tab: Tab,
    pub range: Range,
    pub scroll: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Info,
    Charts,
    Events,
    Environment,
    Dependencies,
    Processes,
}

/// Lines from the top, or the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scroll {
    /// First line that is shown; `None`: the end is kept in view.
    pub top: Option<usize>,
}

#[derive(Debug, Default)]
pub struct Preview {
    pub view: Option<LogView>,
    /// The selection moved: the pane follows when it has stood still for a while.
    pub moved: Option<Moment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    Table,
    Log,
}

#[derive(Debug, Clone)]
pub struct Toast {
    pub text: String,
    pub severity: Severity,
    pub since: Moment,
}

#[derive(Debug, Clone)]
pub struct Asked {
    pub number: u64,
    /// `restart`, `hold`, as it is told.
    pub what: &'static str,
    pub keys: Vec<RowKey>,
}

/// How soon a change has to be on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nothing changed.
    Never,
    /// Measured numbers: with the next second.
    Numbers,
    /// Log lines: four times a second.
    Lines,
    /// Keys, states, answers.
    Now,
}

impl Model {
    pub fn new(hosts: Vec<String>, settings: Settings, now: Now) -> Self {
        let log_wishes = vec![Vec::new(); hosts.len()];
        Self {
            now,
            size: (80, 24),
            settings,
            facts: Facts::new(hosts, now.mono),
            frozen: None,
            table: Table::default(),
            screens: vec![Screen::Components],
            preview: Preview::default(),
            focus: Pane::Table,
            zoomed: false,
            overlay: None,
            toasts: VecDeque::new(),
            palette_history: Vec::new(),
            first_run: false,
            mouse: false,
            asked_details: None,
            asked_history: None,
            next_number: 1,
            asked: Vec::new(),
            log_wishes,
            supervisor_log: false,
            urgency: Urgency::Now,
        }
    }

    /// What the screen shows: the frozen facts, or the live ones.
    pub fn seen(&self) -> &Facts {
        self.frozen.as_ref().map_or(&self.facts, |frozen| &frozen.facts)
    }

    /// The moment that the shown facts of this host are of: now, or when the screen was frozen or
    /// the link was lost. Nothing seems to go on that is not known to go on.
    pub fn seen_at(&self, host: super::feed::HostIndex) -> Moment {
        let at = self.frozen.as_ref().map_or(self.now.mono, |frozen| frozen.since);
        let stale = self.seen().host(host).and_then(Host::stale_since);
        stale.map_or(at, |stale| at.min(stale))
    }

    /// # Panics
    /// Never: the components' table stays.
    pub fn screen(&self) -> &Screen {
        self.screens.last().expect("the components' table is always there")
    }

    /// # Panics
    /// Never: the components' table stays.
    pub fn screen_mut(&mut self) -> &mut Screen {
        self.screens.last_mut().expect("the components' table is always there")
    }

    /// More than one host: a host's name tells rows apart.
    pub fn many_hosts(&self) -> bool {
        self.facts.hosts.len() > 1
    }

    /// Nothing can be changed: by option, or because every host lets us only read.
    pub fn reads_only(&self) -> bool {
        let full = |host: &Host| host.access != Some(crate::wire::Access::ReadOnly);
        self.settings.read_only || !self.facts.hosts.iter().any(full)
    }

    /// The component that an action is about when none is marked.
    pub fn current(&self) -> Option<RowKey> {
        match self.screen() {
            Screen::Details(details) => Some(details.key.clone()),
            Screen::Logs(view) if view.keys.len() == 1 => view.keys.first().cloned(),
            Screen::Logs(_) => None,
            Screen::Components
            | Screen::SupervisorLog { .. }
            | Screen::Events(_)
            | Screen::Help(_) => self.table.cursor.clone(),
        }
    }

    /// The components that an action is about.
    pub fn targets(&self) -> Vec<RowKey> {
        match self.screen() {
            Screen::Details(details) => vec![details.key.clone()],
            Screen::Logs(view) => view.keys.clone(),
            _ if !self.table.marks.is_empty() => self.table.marks.iter().cloned().collect(),
            _ => self.table.cursor.iter().cloned().collect(),
        }
    }

    /// Tells the operator something in the footer; it is kept with the events.
    pub fn toast(&mut self, severity: Severity, text: impl Into<String>) {
        let text = text.into();
        self.facts.note(severity, &text, self.now.wall);
        if self.toasts.len() == 8 {
            self.toasts.pop_front();
        }
        self.toasts.push_back(Toast { text, severity, since: self.now.mono });
        self.wants(Urgency::Now);
    }

    pub fn wants(&mut self, urgency: Urgency) {
        self.urgency = self.urgency.max(urgency);
    }

    /// The wall time for a time on the monotonic clock, for display.
    pub fn age(&self, since: Moment) -> std::time::Duration {
        self.now.mono.since(since)
    }
}

impl Tab {
    pub const ALL: [Self; 6] = [
        Self::Info,
        Self::Charts,
        Self::Events,
        Self::Environment,
        Self::Dependencies,
        Self::Processes,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Info => "Info",
            Self::Charts => "Charts",
            Self::Events => "Events",
            Self::Environment => "Environment",
            Self::Dependencies => "Dependencies",
            Self::Processes => "Processes",
        }
    }

    #[must_use]
    pub fn step(self, by: isize) -> Self {
        let count = Self::ALL.len();
        let at = Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        Self::ALL[(at + count).wrapping_add_signed(by) % count]
    }
}

impl Details {
    pub fn new(key: RowKey) -> Self {
        Self { key, tab: Tab::Info, range: Range::TwoMinutes, scroll: 0 }
    }
}

impl Toast {
    /// Whether it is still to be shown. An error stays until a key is pressed.
    pub fn lives(&self, now: Moment) -> bool {
        let age = now.since(self.since).as_secs();
        match self.severity {
            Severity::Info => age < 4,
            Severity::Warning => age < 8,
            Severity::Error => true,
        }
    }
}
