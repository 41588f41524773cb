//! What the engines said, by host and component.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::{Range, Series};
use crate::{
    console::feed::HostIndex,
    model::Moment,
    wire::{
        Access, ComponentDetails, ComponentState, ComponentStatus, EventKind, EventRecord,
        Explanation, Health, History, Severity, SupervisorStatus, Verb,
    },
};

/// Events that are kept; the engine keeps more.
const EVENTS: usize = 2000;

/// A component of a host. The host is part of the key: two machines may both have an `is`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    pub host: HostIndex,
    pub id: Arc<str>,
}

#[derive(Debug, Clone)]
pub struct Facts {
    pub hosts: Vec<Host>,
    pub rows: BTreeMap<RowKey, Row>,
    /// Host by host, in the order of each registry.
    pub order: Vec<RowKey>,
    /// The latest last; with what this console told.
    pub events: VecDeque<(Option<HostIndex>, EventRecord)>,
    /// Wall time of the newest numbers.
    pub as_of: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub struct Host {
    /// The machine's own name once it is known, before that what the operator typed.
    pub name: String,
    pub link: LinkState,
    pub supervisor: Option<SupervisorStatus>,
    pub access: Option<Access>,
    /// When the last update came.
    pub heard: Option<Moment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    Connecting { since: Moment },
    Live,
    Lost { why: String, since: Moment, retry_at: Moment },
    VersionMismatch { ours: String, theirs: String, since: Moment },
    Refused { why: String, since: Moment },
}

#[derive(Debug, Clone)]
pub struct Row {
    pub status: ComponentStatus,
    /// When the process started, from its uptime: seconds on this machine's clock, negative where
    /// the host is up for longer than this machine.
    pub started: Option<f64>,
    pub next_attempt: Option<Moment>,
    pub depends_on: Vec<String>,
    /// Something was asked for, and the engine has not shown it yet.
    pub pending: Option<Pending>,
    pub cpu: Series,
    pub memory: Series,
    pub explanation: Option<Box<Explanation>>,
    pub details: Option<Box<ComponentDetails>>,
    pub histories: BTreeMap<Range, History>,
    /// What these were when the connection was lost last.
    pub histories_before: BTreeMap<Range, History>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    pub verb: Verb,
    pub since: Moment,
}

impl RowKey {
    pub fn new(host: HostIndex, id: &str) -> Self {
        Self { host, id: id.into() }
    }
}

impl Facts {
    pub fn new(hosts: Vec<String>, now: Moment) -> Self {
        let hosts = hosts.into_iter().map(|name| Host {
            name,
            link: LinkState::Connecting { since: now },
            supervisor: None,
            access: None,
            heard: None,
        });
        Self {
            hosts: hosts.collect(),
            rows: BTreeMap::new(),
            order: Vec::new(),
            events: VecDeque::new(),
            as_of: None,
        }
    }

    pub fn host(&self, index: HostIndex) -> Option<&Host> {
        self.hosts.get(usize::from(index))
    }

    /// Whether what is known of this row can be acted on.
    pub fn is_live(&self, key: &RowKey) -> bool {
        self.host(key.host).is_some_and(|host| host.link == LinkState::Live)
    }

    /// Something of this console's own among the events.
    pub fn note(&mut self, severity: Severity, text: &str, at: Timestamp) {
        let kind = match severity {
            Severity::Info => EventKind::Other,
            Severity::Warning | Severity::Error => EventKind::Command,
        };
        let record = EventRecord {
            seq: 0,
            at: at.to_string(),
            component: None,
            run: None,
            kind,
            text: text.to_owned(),
            origin: Some("this console".to_owned()),
        };
        self.event(None, record);
    }

    pub fn event(&mut self, host: Option<HostIndex>, record: EventRecord) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((host, record));
    }

    /// Ids of `host` that depend on `id`, directly or through others, in the table's order.
    pub fn dependents<'a>(&'a self, key: &'a RowKey) -> Vec<&'a str> {
        let mut found = vec![&*key.id];
        let mut at = 0;
        while let Some(needed) = found.get(at).copied() {
            at += 1;
            let more = self.order.iter().filter(|other| other.host == key.host);
            let more = more.filter(|other| {
                self.rows
                    .get(*other)
                    .is_some_and(|row| row.depends_on.iter().any(|on| on == needed))
            });
            for other in more {
                if !found.contains(&&*other.id) {
                    found.push(&other.id);
                }
            }
        }
        found.remove(0);
        found
    }
}

impl Host {
    /// Since when its facts are old; none while they are fresh.
    pub fn stale_since(&self) -> Option<Moment> {
        match &self.link {
            LinkState::Live => None,
            LinkState::Connecting { since } => self.heard.map(|_| *since),
            LinkState::Lost { since, .. }
            | LinkState::VersionMismatch { since, .. }
            | LinkState::Refused { since, .. } => Some(*since),
        }
    }
}

impl Row {
    pub fn new(status: ComponentStatus, now: Moment) -> Self {
        let mut row = Self {
            status,
            started: None,
            next_attempt: None,
            depends_on: Vec::new(),
            pending: None,
            cpu: Series::default(),
            memory: Series::default(),
            explanation: None,
            details: None,
            histories: BTreeMap::new(),
            histories_before: BTreeMap::new(),
        };
        row.derive_times(now);
        row
    }

    /// Takes over what the engine says now. What was asked for is no longer pending when it
    /// shows: in the state, or in the run.
    pub fn take(&mut self, status: ComponentStatus, now: Moment) {
        let moved = status.state != self.status.state || status.run != self.status.run;
        if moved {
            self.pending = None;
        }
        self.status = status;
        self.derive_times(now);
    }

    fn derive_times(&mut self, now: Moment) {
        let ago = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let since_boot = now.since_boot().as_secs_f64();
        self.started = self.status.uptime_s.map(|uptime| since_boot - uptime);
        self.next_attempt = self.status.next_attempt_s.map(|left| now.after(ago(left)));
    }

    /// Seconds that its process lives.
    pub fn uptime(&self, now: Moment) -> Option<f64> {
        self.started.map(|started| (now.since_boot().as_secs_f64() - started).max(0.0))
    }

    /// It does not do what is wished, or not well: shown by "problems only", sorted first.
    pub fn is_trouble(&self) -> bool {
        let state = match self.status.state {
            ComponentState::Failed | ComponentState::Backoff | ComponentState::Unkillable => true,
            ComponentState::Waiting => self.status.attempt > 1,
            ComponentState::Stopped
            | ComponentState::Starting
            | ComponentState::Running
            | ComponentState::Stopping
            | ComponentState::Exited => false,
        };
        state || self.status.health == Health::Failing
    }

    /// Worst first.
    pub fn rank(&self) -> u8 {
        match self.status.state {
            ComponentState::Unkillable => 0,
            ComponentState::Failed => 1,
            ComponentState::Backoff => 2,
            _ if self.status.health == Health::Failing => 3,
            ComponentState::Waiting => 4,
            ComponentState::Starting | ComponentState::Stopping => 5,
            ComponentState::Running => 6,
            ComponentState::Exited => 7,
            ComponentState::Stopped => 8,
        }
    }

    pub fn has_process(&self) -> bool {
        self.status.pid.is_some()
    }
}
