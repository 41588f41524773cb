//! The first line: where one is, how all is, what is special now.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use unicode_width::UnicodeWidthStr;

use super::{Skin, put};
use crate::{
    console::{
        format,
        model::{Host, LinkState, Model, Row, Screen},
    },
    wire::{ComponentState, Health},
};

/// A piece of the line; those of a higher rank go first when there is no room.
struct Piece {
    rank: u8,
    text: String,
    style: Style,
}

impl Piece {
    /// Columns before it: the counts of the states belong together.
    fn gap(&self) -> usize {
        if self.rank == 0 || self.rank == 5 { 1 } else { 2 }
    }
}

pub fn render(model: &Model, skin: Skin, area: Rect, buf: &mut Buffer) {
    let mut pieces = vec![Piece { rank: 0, text: place(model, skin), style: skin.strong() }];
    badges(model, skin, &mut pieces);
    totals(model, skin, &mut pieces);
    let facts = model.seen();
    // Without seconds: on a machine at rest they would be all that moves, every second, for hours.
    let clock = facts.as_of.map(|at| format::local_time(at, &model.settings.zone, "%H:%M"));
    let clock = clock.unwrap_or_default();
    let room = usize::from(area.width).saturating_sub(1);
    let needed = |pieces: &[Piece], clock: &str| {
        let text: usize = pieces.iter().map(|piece| piece.text.width() + piece.gap()).sum();
        text + if clock.is_empty() { 0 } else { clock.width() + 2 }
    };
    let mut with_clock = true;
    while needed(&pieces, if with_clock { &clock } else { "" }) > room {
        let last = pieces.iter().enumerate().max_by_key(|(_, piece)| piece.rank);
        match last {
            Some((at, piece)) if piece.rank > 5 || (piece.rank > 0 && !with_clock) => {
                pieces.remove(at);
            }
            _ if with_clock => with_clock = false,
            _ => break,
        }
    }
    let mut x = area.x;
    for piece in &pieces {
        x += u16::try_from(piece.gap()).unwrap_or(1);
        x = put(buf, area, x, &piece.text, piece.style);
    }
    if with_clock {
        let width = u16::try_from(clock.width()).unwrap_or(0);
        put(buf, area, area.right().saturating_sub(width + 1), &clock, Style::new());
    }
}

/// `s7supervisor  img-prod-3`, or deeper: `s7supervisor › ps › logs`.
fn place(model: &Model, skin: Skin) -> String {
    let here = match model.screen() {
        Screen::Components => {
            let who = match model.facts.hosts.as_slice() {
                [one] => one.name.clone(),
                many => format!("{} hosts", many.len()),
            };
            // In a narrow terminal what fails is more than what this is.
            return if model.size.0 < 60 { who } else { format!("s7supervisor  {who}") };
        }
        Screen::Details(details) => format!("{} {} details", details.key.id, skin.crumb()),
        Screen::Logs(view) => match view.keys.as_slice() {
            [one] => format!("{} {} logs", one.id, skin.crumb()),
            many => format!("{} components {} logs", many.len(), skin.crumb()),
        },
        Screen::SupervisorLog { .. } => "supervisor log".to_owned(),
        Screen::Events(_) => "events".to_owned(),
        Screen::Help(_) => "help".to_owned(),
    };
    let path = here.replace(&format!(" {} details", skin.crumb()), "");
    format!("s7supervisor {} {path}", skin.crumb())
}

fn badges(model: &Model, skin: Skin, pieces: &mut Vec<Piece>) {
    let mut badge = |rank, text: String, style| pieces.push(Piece { rank, text, style });
    if let Some(frozen) = &model.frozen {
        let age = format::uptime(model.age(frozen.since).as_secs_f64());
        badge(1, format!("FROZEN {age}"), skin.warn());
    }
    let hosts = &model.facts.hosts;
    let stale: Vec<&Host> = hosts.iter().filter(|host| host.link != LinkState::Live).collect();
    match stale.as_slice() {
        [] => {}
        [one] if hosts.len() == 1 => {
            let word = if one.stale_since().is_some() { "STALE" } else { "connecting" };
            badge(1, word.to_owned(), skin.warn());
        }
        [one] => {
            let word = if one.stale_since().is_some() { "STALE" } else { "connecting" };
            badge(1, format!("{} {word}", one.name), skin.warn());
        }
        some => badge(1, format!("{} hosts not connected", some.len()), skin.warn()),
    }
    if hosts.iter().any(|host| host.supervisor.as_ref().is_some_and(|engine| engine.shutting_down))
    {
        badge(1, "SHUTTING DOWN".to_owned(), skin.warn());
    }
    if model.reads_only() {
        badge(2, "READ-ONLY".to_owned(), skin.warn());
    }
    if !matches!(model.screen(), Screen::Components) {
        return;
    }
    if model.table.problems {
        badge(3, "problems only".to_owned(), skin.info());
    }
    if !model.table.filter.is_empty() {
        badge(3, format!("/{}", model.table.filter.text()), skin.info());
    }
    if !model.table.marks.is_empty() {
        badge(3, format!("{} marked", model.table.marks.len()), skin.info());
    }
}

fn totals(model: &Model, skin: Skin, pieces: &mut Vec<Piece>) {
    let facts = model.seen();
    if facts.rows.is_empty() {
        return;
    }
    let count = |state| facts.rows.values().filter(|row| row.status.state == state).count();
    let up = count(ComponentState::Running);
    let total = facts.rows.len();
    let calm = if up == total { skin.ok() } else { Style::new() };
    pieces.push(Piece { rank: 4, text: format!("{up}/{total} up"), style: calm });
    for (state, style) in [
        (ComponentState::Unkillable, skin.error()),
        (ComponentState::Failed, skin.error()),
        (ComponentState::Backoff, skin.warn()),
    ] {
        let count = count(state);
        if count > 0 {
            pieces.push(Piece { rank: 5, text: format!("{count} {state}"), style });
        }
    }
    let failing = |row: &&Row| {
        row.status.state == ComponentState::Running && row.status.health == Health::Failing
    };
    let failing = facts.rows.values().filter(failing).count();
    let held = facts.rows.values().filter(|row| row.status.hold.is_some()).count();
    for (count, word) in [(failing, "unhealthy"), (held, "held")] {
        if count > 0 {
            let text = format!("{count} {word}");
            pieces.push(Piece { rank: 5, text, style: skin.warn() });
        }
    }
    // Before anything is measured there is no figure, and none is made up.
    let cpus = facts.rows.values().filter_map(|row| row.status.cpu_percent);
    if let Some(cpu) = cpus.reduce(|sum, one| sum + one) {
        let text = format!("cpu {}%", format::cpu(cpu));
        pieces.push(Piece { rank: 7, text, style: Style::new() });
    }
    let memories = facts.rows.values().filter_map(|row| row.status.memory_bytes);
    if let Some(memory) = memories.reduce(|sum, one| sum + one) {
        let text = format!("mem {}", format::bytes(memory));
        pieces.push(Piece { rank: 6, text, style: Style::new() });
    }
}
