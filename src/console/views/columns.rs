//! The columns of the table: what each shows, and which there is room for.

use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::{Skin, chart};
use crate::{
    console::{
        format,
        model::{Facts, Row, RowKey},
        sanitize,
    },
    model::Moment,
    wire::{ComponentState, Health, Hold},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Name,
    Host,
    State,
    Health,
    Pid,
    Uptime,
    Cpu,
    Memory,
    Restarts,
    LastExit,
    Sparkline,
    Note,
}

use Column as C;

const ORDER: [Column; 12] = [
    C::Name,
    C::Host,
    C::State,
    C::Health,
    C::Pid,
    C::Uptime,
    C::Cpu,
    C::Memory,
    C::Restarts,
    C::LastExit,
    C::Sparkline,
    C::Note,
];

/// The first to go is the first here; name and state stay whatever happens.
const DROPS: [Column; 10] = [
    C::Note,
    C::Sparkline,
    C::LastExit,
    C::Health,
    C::Pid,
    C::Restarts,
    C::Uptime,
    C::Memory,
    C::Host,
    C::Cpu,
];

const RESTARTS_WIDTH: usize = 3;

/// Mark, glyph, and a space or the H of a hold.
pub const GUTTER: usize = 3;

/// Columns that fit, with their widths.
pub fn fit(width: usize, facts: &Facts) -> Vec<(Column, usize)> {
    let longest = facts.order.iter().map(|key| key.id.width()).max().unwrap_or(0);
    let host = facts.hosts.iter().map(|host| host.name.width()).max().unwrap_or(0).clamp(4, 16);
    let name_least = longest.clamp(4, 16);
    let wide_state = facts.rows.values().any(|row| row.status.state == ComponentState::Unkillable);
    let least = |column: Column| match column {
        C::Name => name_least,
        C::Host => host,
        C::State if wide_state => 10,
        C::State => 8,
        C::Health | C::Pid => 7,
        C::Uptime => 6,
        C::Cpu | C::Memory => 5,
        C::Restarts => RESTARTS_WIDTH,
        C::LastExit => 11,
        C::Sparkline => 12,
        C::Note => 20,
    };
    let mut columns: Vec<(Column, usize)> = ORDER
        .into_iter()
        .filter(|column| *column != C::Host || facts.hosts.len() > 1)
        .map(|column| (column, least(column)))
        .collect();
    let total = |columns: &[(Column, usize)]| {
        GUTTER + columns.iter().map(|(_, width)| width + 1).sum::<usize>() - 1
    };
    for drop in DROPS {
        if total(&columns) <= width {
            break;
        }
        columns.retain(|(column, _)| *column != drop);
    }
    // What is left over: to the names as far as they need it, then to the note.
    let mut left = width.saturating_sub(total(&columns));
    let missing = total(&columns).saturating_sub(width);
    for (column, width) in &mut columns {
        match column {
            C::Name => {
                // A little air, so that the table does not move when a name is added.
                let more = longest.clamp(16, 32).saturating_sub(*width).min(left);
                *width = (*width + more).saturating_sub(missing).max(1);
                left -= more;
            }
            C::Note => *width += left,
            _ => {}
        }
    }
    columns
}

impl Column {
    pub fn title(self) -> &'static str {
        match self {
            C::Name => "NAME",
            C::Host => "HOST",
            C::State => "STATE",
            C::Health => "HEALTH",
            C::Pid => "PID",
            C::Uptime => "UPTIME",
            C::Cpu => "CPU%",
            C::Memory => "MEM",
            C::Restarts => "RST",
            C::LastExit => "LAST EXIT",
            C::Sparkline => "CPU 1 MIN",
            C::Note => "NOTE",
        }
    }

    pub fn is_number(self) -> bool {
        matches!(self, C::Pid | C::Uptime | C::Cpu | C::Memory | C::Restarts)
    }
}

/// What a column says of a row, and how.
pub fn cell(
    column: Column,
    key: &RowKey,
    row: &Row,
    facts: &Facts,
    skin: Skin,
    now: Moment,
) -> (String, Style) {
    let status = &row.status;
    let plain = Style::new();
    let or_dash = |text: Option<String>, style: Style| match text {
        Some(text) => (text, style),
        None => ("-".to_owned(), skin.dim()),
    };
    match column {
        C::Name => (sanitize::plain(&key.id), plain),
        C::Host => {
            let host = facts.host(key.host);
            (host.map_or_else(String::new, |host| sanitize::plain(&host.name)), plain)
        }
        C::State => {
            let style = skin.state(row, !facts.is_live(key)).1;
            if row.pending.is_some() {
                // Asked for, not seen yet.
                return (format!("{}{}", status.state, skin.ellipsis()), style);
            }
            let word = if !status.enabled && status.state == ComponentState::Stopped {
                "disabled"
            } else {
                status.state.as_str()
            };
            (word.to_owned(), style)
        }
        C::Health => {
            let (text, style) = skin.health(status.health);
            (text.to_owned(), style)
        }
        C::Pid => or_dash(status.pid.map(|pid| pid.to_string()), plain),
        C::Uptime => or_dash(row.uptime(now).map(format::uptime), plain),
        C::Cpu => {
            let hot = status.cpu_percent.is_some_and(|percent| percent >= 90.0);
            let style = if hot { skin.warn() } else { plain };
            or_dash(status.cpu_percent.map(format::cpu), style)
        }
        C::Memory => or_dash(status.memory_bytes.map(format::bytes), plain),
        C::Restarts => {
            let style = if status.restarts > 0 { skin.warn() } else { plain };
            let words = status.restarts_in_words();
            // Too wide for the column, all of them are one number; the details tell them apart.
            let fits = words.len() <= RESTARTS_WIDTH;
            let all = status.restarts.saturating_add(status.restarts_asked);
            (if fits { words } else { all.to_string() }, style)
        }
        C::LastExit => {
            let bad = status
                .last_exit
                .as_ref()
                .is_some_and(|exit| !exit.expected && exit.code != Some(0));
            let style = if bad { skin.warn() } else { skin.dim() };
            or_dash(status.last_exit.as_ref().map(format::exit), style)
        }
        C::Sparkline => (chart::sparkline(&row.cpu.finished(), 25.0, 12, skin), skin.dim()),
        C::Note => (note(row, now), skin.dim()),
    }
}

fn held_for(hold: &Hold) -> String {
    let reason = hold.reason.as_deref().map(sanitize::plain);
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// What an operator wants to know of this row now, in words; often nothing.
pub fn note(row: &Row, now: Moment) -> String {
    let status = &row.status;
    if let Some(hold) = &status.hold {
        return format!("held by {}{}", hold.by, held_for(hold));
    }
    if let Some(next) = row.next_attempt {
        let left = next.since(now).as_secs();
        return format!("attempt {} in {left} s", status.attempt);
    }
    if let Some(waiting) = &status.waiting_for {
        return format!("waits for {waiting}");
    }
    let reason = status.reason.as_deref().filter(|_| row.is_trouble());
    // What a check says that is content is no news.
    let failing = status.health == Health::Failing;
    let detail = reason.or(status.health_detail.as_deref().filter(|_| failing));
    detail.map(sanitize::plain).unwrap_or_default()
}
