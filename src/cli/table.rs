//! `status` as a table, with the reasons of what is not well below it.

use std::fmt::Write as _;

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::{
    ui::{Tone, clean, paint},
    verbs::hold,
    words,
};
use crate::wire::{
    ComponentState, ComponentStatus, GuardianForm, GuardianStatus, Health, Status, SupervisorStatus,
};

/// One cell: text and what it means.
type Cell = (String, Tone);

/// Columns that hold numbers stand to the right.
const HOST: (&str, bool) = ("HOST", false);
const HEADINGS: [(&str, bool); 9] = [
    ("ID", false),
    ("STATE", false),
    ("HEALTH", false),
    ("PID", true),
    ("UPTIME", true),
    ("CPU", true),
    ("MEM", true),
    ("RESTARTS", true),
    ("LAST EXIT", false),
];

/// The whole answer of `status`.
pub fn status(status: &Status, now: Timestamp, colour: bool) -> String {
    let mut text = supervisor(&status.supervisor, colour);
    text.push('\n');
    if status.components.is_empty() {
        text.push_str("The registry has no components.\n");
        return text;
    }
    let rows: Vec<_> = status.components.iter().map(|component| row(component, now)).collect();
    text.push_str(&table(&HEADINGS, &rows, colour));
    let remarks = status.components.iter().filter_map(|component| remark(component, now));
    remarks_below(&mut text, remarks.map(|(id, remark)| (id.to_owned(), remark)), colour);
    text
}

/// Those of several hosts that answered, in one table: a line for each Supervisor, then the
/// components with their hosts.
pub fn statuses(hosts: &[(&str, &Status)], now: Timestamp, colour: bool) -> String {
    let mut text = String::new();
    let width = hosts.iter().map(|(host, _)| host.width()).max().unwrap_or(0);
    for (host, status) in hosts {
        let blanks = " ".repeat(width - host.width());
        let host = paint(Tone::Strong, host, colour);
        let _ = writeln!(text, "{host}{blanks}  {}", headline(&status.supervisor));
        if let Some(note) = farewell(&status.supervisor) {
            let _ = writeln!(text, "{host}{blanks}  {}", paint(Tone::Busy, note, colour));
        }
    }
    let all = || {
        let of = |(host, status): &(&str, &'_ Status)| {
            let host = (*host).to_owned();
            status.components.clone().into_iter().map(move |component| (host.clone(), component))
        };
        hosts.iter().flat_map(of)
    };
    let rows: Vec<_> = all()
        .map(|(host, component)| {
            let mut cells = vec![(host, Tone::Plain)];
            cells.extend(row(&component, now));
            cells
        })
        .collect();
    if rows.is_empty() {
        return text;
    }
    text.push('\n');
    let headings: Vec<_> = std::iter::once(HOST).chain(HEADINGS).collect();
    text.push_str(&table(&headings, &rows, colour));
    let remarks = all().filter_map(|(host, component)| {
        let (id, remark) = remark(&component, now)?;
        Some((format!("{host} {id}"), remark))
    });
    remarks_below(&mut text, remarks, colour);
    text
}

fn remarks_below(text: &mut String, remarks: impl Iterator<Item = (String, String)>, colour: bool) {
    for (index, (who, remark)) in remarks.enumerate() {
        if index == 0 {
            text.push('\n');
        }
        let _ = writeln!(text, "{}: {remark}", paint(Tone::Strong, &who, colour));
    }
}

/// The Supervisor itself in one line, and one more where it is on its way out.
fn supervisor(supervisor: &SupervisorStatus, colour: bool) -> String {
    let registry = clean(&supervisor.registry);
    let registry = paint(Tone::Dim, &registry, colour);
    let guardian = guardian(supervisor);
    let mut text = format!("{}\n{guardian}\n{registry}\n", headline(supervisor));
    if let Some(note) = farewell(supervisor) {
        let _ = writeln!(text, "{}", paint(Tone::Busy, note, colour));
    }
    text
}

fn headline(supervisor: &SupervisorStatus) -> String {
    format!(
        "Supervisor {}: pid {}, up {}, CPU {}, memory {}",
        clean(&supervisor.version),
        supervisor.pid,
        words::span(supervisor.uptime_s),
        words::percent(supervisor.cpu_percent),
        words::bytes(supervisor.memory_bytes),
    )
}

/// Who starts the engine again should it die.
fn guardian(supervisor: &SupervisorStatus) -> String {
    match (&supervisor.guardian, supervisor.guardian_pid) {
        (Some(GuardianStatus { pid, form, uptime_s }), _) => {
            let form = match form {
                GuardianForm::Parent => "",
                GuardianForm::Beside => ", beside it",
            };
            format!("Guardian: pid {pid}{form}, up {}", words::span(*uptime_s))
        }
        // An older Supervisor says no more.
        (None, Some(pid)) => format!("Guardian: pid {pid}"),
        (None, None) => "Guardian: none".to_owned(),
    }
}

fn farewell(supervisor: &SupervisorStatus) -> Option<&'static str> {
    let note = "It is shutting down: every component is being stopped.";
    supervisor.shutting_down.then_some(note)
}

fn row(component: &ComponentStatus, now: Timestamp) -> Vec<Cell> {
    let plain = |text: Option<String>| match text {
        Some(text) => (text, Tone::Plain),
        None => ("-".to_owned(), Tone::Dim),
    };
    let last = component.last_exit.as_ref();
    let bad = last.is_some_and(|last| !last.expected && last.code != Some(0));
    let last = last.map(|last| format!("{} {}", words::ending(last), words::ago(&last.at, now)));
    let health = match component.health {
        Health::None => ("-".to_owned(), Tone::Dim),
        health => (health.to_string(), words::health_tone(health)),
    };
    vec![
        (clean(&component.id).into_owned(), Tone::Strong),
        (component.state.to_string(), words::state_tone(component.state)),
        health,
        plain(component.pid.map(|pid| pid.to_string())),
        plain(component.uptime_s.map(words::span)),
        plain(component.cpu_percent.map(words::percent)),
        plain(component.memory_bytes.map(words::bytes)),
        (
            component.restarts_in_words(),
            if component.restarts > 0 { Tone::Busy } else { Tone::Plain },
        ),
        match plain(last) {
            (text, Tone::Plain) if bad => (text, Tone::Busy),
            cell => cell,
        },
    ]
}

fn table(headings: &[(&str, bool)], rows: &[Vec<Cell>], colour: bool) -> String {
    let width_of = |column: usize| {
        let cells = rows.iter().map(|row| row[column].0.width());
        cells.chain([headings[column].0.width()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width_of).collect();
    let first = headings.iter().map(|(heading, _)| ((*heading).to_owned(), Tone::Dim)).collect();
    let mut text = String::new();
    for row in std::iter::once(&first).chain(rows) {
        let mut line = String::new();
        // Blanks are kept back until something follows them: no line ends in blanks.
        let mut blanks = 0;
        for (column, (cell, tone)) in row.iter().enumerate() {
            let spare = widths[column] - cell.width();
            let (before, after) = if headings[column].1 { (spare, 0) } else { (0, spare) };
            line.extend(std::iter::repeat_n(' ', blanks + before));
            line.push_str(&paint(*tone, cell, colour));
            blanks = after + 2;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// What an operator must know beyond the row: why it is not running, or not well.
pub fn remark(component: &ComponentStatus, now: Timestamp) -> Option<(&str, String)> {
    let reason = component.reason.as_deref();
    let mut parts: Vec<String> = Vec::new();
    match component.state {
        ComponentState::Failed | ComponentState::Unkillable | ComponentState::Exited => {
            parts.extend(reason.map(|reason| clean(reason).into_owned()));
        }
        ComponentState::Backoff => {
            parts.extend(reason.map(|reason| clean(reason).into_owned()));
            if let Some(next) = component.next_attempt_s {
                parts.push(format!("attempt {} in {}", component.attempt, words::span(next)));
            }
        }
        ComponentState::Stopped | ComponentState::Waiting => {
            let waiting = component.waiting_for.as_deref();
            parts.extend(waiting.map(|what| format!("waits for {}", clean(what))));
            parts.extend(reason.map(|reason| clean(reason).into_owned()));
        }
        ComponentState::Starting | ComponentState::Stopping => {
            let waiting = component.waiting_for.as_deref();
            parts.extend(waiting.map(|what| format!("waits for {}", clean(what))));
        }
        ComponentState::Running => {}
    }
    if component.health == Health::Failing {
        let detail = component.health_detail.as_deref().unwrap_or("the check fails");
        parts.push(format!("unhealthy: {}", clean(detail)));
    }
    if component.state == ComponentState::Failed && parts.is_empty() {
        parts.push("gave up".to_owned());
    }
    // First, since it is why nobody does anything about the rest.
    if let Some(hold) = &component.hold {
        parts.insert(0, hold::in_words(hold, now));
    }
    let speaks = !parts.is_empty();
    speaks.then(|| (component.id.as_str(), parts.join("; ")))
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
