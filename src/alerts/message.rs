//! What a receiver gets: as JSON, as a line, and as a text for people.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::{Notice, NoticeKind};

/// Commands to look at components; more of them would not be read.
const COMMANDS: usize = 5;

/// Grows when a receiver has to read something differently; new fields are no reason.
const SCHEMA: u32 = 1;

/// Who speaks.
#[derive(Debug, Clone)]
pub struct Sender {
    pub host: String,
    /// The registry's file.
    pub registry: String,
    pub version: &'static str,
    pub pid: u32,
}

/// One message. The names of its JSON are settled: receivers read them (`docs/notifications.md`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    pub schema: u32,
    /// The same for each try of one message: who has it already may forget the second.
    pub id: String,
    pub host: String,
    pub registry: String,
    pub supervisor: About,
    /// When it was made; RFC 3339, UTC.
    pub at: String,
    /// `ps failed (+2)`
    pub summary: String,
    /// Everything for people; also what chat services show of a message.
    pub text: String,
    pub notices: Vec<Notice>,
    /// Happenings that were too many to be listed.
    pub more: u64,
    /// Happenings of earlier messages that could not be delivered.
    pub lost: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    pub version: &'static str,
    pub pid: u32,
}

impl Message {
    pub fn new(sender: &Sender, at: &str, notices: Vec<Notice>, more: u64, lost: u64) -> Self {
        let notices: Vec<Notice> = notices.into_iter().map(in_one_line).collect();
        let summary = summary(&notices, more);
        let newest = notices.iter().map(|notice| notice.seq).max().unwrap_or_default();
        let mut message = Self {
            schema: SCHEMA,
            id: format!("{}/{}/{newest}", sender.host, sender.pid),
            host: sender.host.clone(),
            registry: sender.registry.clone(),
            supervisor: About { version: sender.version, pid: sender.pid },
            at: at.to_owned(),
            summary,
            text: String::new(),
            notices,
            more,
            lost,
        };
        message.text = message.in_words();
        message
    }

    /// One that says that messages arrive.
    pub fn test(sender: &Sender, at: &str) -> Self {
        let notice = Notice {
            component: None,
            kind: NoticeKind::Test,
            text: "somebody tries whether messages arrive: nothing has happened".to_owned(),
            at: at.to_owned(),
            seq: 0,
            state: None,
            count: 1,
            first_at: at.to_owned(),
        };
        let message = Self::new(sender, at, vec![notice], 0, 0);
        Self { id: format!("{}/test/{at}", sender.host), ..message }
    }

    /// `[s7supervisor img-prod-3] ps failed (+2)`
    pub fn subject(&self) -> String {
        format!("[s7supervisor {}] {}", self.host, self.summary)
    }

    pub(super) fn happenings(&self) -> u64 {
        self.notices.iter().map(|notice| u64::from(notice.count)).sum::<u64>() + self.more
    }

    fn in_words(&self) -> String {
        let mut text = format!("{}\n", self.subject());
        for notice in &self.notices {
            let what = what(notice);
            let times = match notice.count {
                1 => String::new(),
                count => format!(" ({count} times since {})", notice.first_at),
            };
            let _ = write!(text, "\n{}  {what}{times}\n    {}\n", notice.at, notice.text);
        }
        if self.more > 0 {
            let _ = writeln!(text, "\n{} more happened that are not listed here.", self.more);
        }
        if self.lost > 0 {
            let _ = writeln!(
                text,
                "\n{} earlier notices could not be delivered and are not repeated; the events have \
                 them.",
                self.lost
            );
        }
        self.add_commands(&mut text);
        let _ = write!(
            text,
            "\n-- \ns7supervisor {} (pid {}) on {}, {}\n",
            self.supervisor.version, self.supervisor.pid, self.host, self.registry
        );
        text
    }

    fn add_commands(&self, text: &mut String) {
        let registry = shlex::try_quote(&self.registry).unwrap_or(self.registry.as_str().into());
        let command = format!("s7supervisor -r {registry}");
        text.push_str("\nTo look:\n");
        for component in
            leading(&self.notices).iter().filter_map(|notice| notice.component.as_ref())
        {
            let _ = writeln!(text, "  {command} explain {component}");
        }
        let _ = writeln!(text, "  {command} status\n  {command} events --since -1h");
    }
}

/// The present word of each component, the worst first.
fn latest(notices: &[Notice]) -> Vec<&Notice> {
    let mut by_component: BTreeMap<Option<&str>, &Notice> = BTreeMap::new();
    for notice in notices {
        let latest = by_component.entry(notice.component.as_deref()).or_insert(notice);
        // Of one event, the worse.
        if (notice.seq, latest.kind.rank()) > (latest.seq, notice.kind.rank()) {
            *latest = notice;
        }
    }
    let mut latest: Vec<&Notice> = by_component.into_values().collect();
    latest.sort_by_key(|notice| (notice.kind.rank(), notice.seq));
    latest
}

fn leading(notices: &[Notice]) -> Vec<&Notice> {
    let mut leading = latest(notices);
    leading.retain(|notice| notice.component.is_some());
    leading.truncate(COMMANDS);
    leading
}

/// `ps failed (+2)`: the worst, and how many other components have something to say.
fn summary(notices: &[Notice], more: u64) -> String {
    let latest = latest(notices);
    let Some(first) = latest.first() else { return format!("{more} notices") };
    let others = latest.len() as u64 - 1 + more;
    match others {
        0 => what(first),
        others => format!("{} (+{others})", what(first)),
    }
}

fn what(notice: &Notice) -> String {
    match (&notice.component, notice.kind) {
        (Some(component), kind) => format!("{component} {}", kind.in_words()),
        (None, NoticeKind::Test) => "a test: messages arrive".to_owned(),
        (None, kind) => format!("the Supervisor {}", kind.in_words()),
    }
}

/// Texts hold what components wrote: nothing of it moves a terminal or makes a line of its own.
fn in_one_line(mut notice: Notice) -> Notice {
    if notice.text.contains(char::is_control) {
        notice.text = notice.text.replace(char::is_control, " ");
    }
    notice
}
