//! What is known of one component, as lines: on the details screen and at the side.

use std::fmt::Write as _;

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::Skin;
use crate::console::{
    format,
    model::{Model, Row, RowKey},
    sanitize,
};

/// One fact: its name in a column, its value wrapped beside it.
pub fn fact(name: &str, value: &str, style: Style, skin: Skin, width: usize) -> Vec<Line<'static>> {
    const NAMES: usize = 13;
    let room = width.saturating_sub(NAMES + 2).max(8);
    let mut lines = Vec::new();
    for (index, part) in wrap(&sanitize::plain(value), room).into_iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        lines.push(Line::from(vec![
            Span::styled(format!(" {} ", format::pad(name, NAMES - 1)), skin.dim()),
            Span::styled(part, style),
        ]));
    }
    lines
}

pub fn lines(
    model: &Model,
    key: &RowKey,
    row: &Row,
    skin: Skin,
    width: usize,
) -> Vec<Line<'static>> {
    let status = &row.status;
    let at = model.seen_at(key.host);
    let plain = Style::new();
    let mut out = Vec::new();
    let mut add = |name: &str, value: String, style: Style| {
        if !value.is_empty() {
            out.extend(fact(name, &value, style, skin, width));
        }
    };
    let (glyph, style) = skin.state(row, !model.seen().is_live(key));
    add("state", format!("{glyph} {}", status.state), style);
    add("description", status.description.clone(), plain);
    let explanation = row.explanation.as_deref();
    if let Some(explanation) = explanation {
        add("in short", explanation.summary.clone(), plain);
        add("wished", explanation.intent.clone(), plain);
        add("blocked by", explanation.blocker.clone().unwrap_or_default(), skin.warn());
    }
    if let Some(hold) = &status.hold {
        let zone = &model.settings.zone;
        let until = hold.until.as_deref().map_or_else(
            || "until it is released".to_owned(),
            |until| format!("until {}", format::local(until, zone, "%Y-%m-%d %H:%M:%S")),
        );
        let why = hold.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        add("held", format!("by {} {until}{why}", hold.by), skin.warn());
    }
    add("reason", status.reason.clone().unwrap_or_default(), skin.warn());
    add("waits for", status.waiting_for.clone().unwrap_or_default(), plain);
    if let Some(next) = row.next_attempt {
        let left = next.since(at).as_secs();
        add("next attempt", format!("in {left} s, attempt {}", status.attempt), plain);
    }
    let (health, style) = skin.health(status.health);
    let detail = status.health_detail.as_deref().map_or(String::new(), |text| format!(": {text}"));
    add("health", format!("{health}{detail}"), style);
    if let Some(pid) = status.pid {
        let mut more = match status.processes {
            0 | 1 => String::new(),
            many => format!(", {many} processes"),
        };
        let tree = row.details.as_deref().map_or(&[][..], |details| &details.processes);
        let threads: u32 = tree.iter().map(|process| process.threads).sum();
        if threads > 1 {
            let _never_fails = write!(more, ", {threads} threads");
        }
        add("pid", format!("{pid}{more}"), plain);
    }
    if let Some(uptime) = row.uptime(at) {
        add("uptime", format::uptime(uptime), plain);
    }
    if let Some(percent) = status.cpu_percent {
        add("cpu", format!("{}% of a core", format::cpu(percent)), plain);
    }
    if let Some(bytes) = status.memory_bytes {
        add("memory", format::bytes(bytes), plain);
    }
    let allowed = explanation.and_then(|explanation| {
        let most = explanation.max_restarts?;
        Some(format!(", at most {most} within {} s", explanation.window_s))
    });
    let asked = match status.restarts_asked {
        0 => String::new(),
        asked => format!(", and {asked} asked for"),
    };
    add("restarts", format!("{}{}{asked}", status.restarts, allowed.unwrap_or_default()), plain);
    if let Some(exit) = &status.last_exit {
        let ended = format::local(&exit.at, &model.settings.zone, "%Y-%m-%d %H:%M:%S");
        let asked = if exit.expected { ", asked for" } else { "" };
        add("last exit", format!("{} at {ended}{asked}", format::exit(exit)), plain);
    }
    if let Some(details) = row.details.as_deref() {
        add("command", details.command.join(" "), plain);
        add("folder", details.working_directory.clone(), plain);
        add("runs as", details.user.clone().unwrap_or_default(), plain);
        add("ready when", details.ready_check.clone().unwrap_or_default(), plain);
        add("healthy when", details.health_check.clone().unwrap_or_default(), plain);
        add("restarted", details.restart_policy.clone(), plain);
        add("stopped by", details.stop_policy.clone(), plain);
        add("limits", details.limits.join(", "), plain);
        add("order", format!("priority {}", details.start_priority), plain);
        add("log file", details.log_file.clone(), plain);
    }
    if let Some(explanation) = explanation {
        for advice in &explanation.advice {
            add("do", advice.clone(), skin.info());
        }
        if let Some(dossier) = explanation.dossiers.first() {
            add("dossier", format!("{} ({})", dossier.path, dossier.what), plain);
        }
        for exit in &explanation.exits {
            let lasted = format::uptime(exit.lasted_s);
            let text = format!("{} after {lasted}: {}", format::exit(&exit.exit), exit.cause);
            add(&format!("run {}", exit.run), text, plain);
        }
    }
    out
}

/// Words in lines of at most `width` columns; a longer word is broken.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("starts with one");
        if last.is_empty() && word.width() <= width {
            last.push_str(word);
        } else if last.width() + 1 + word.width() <= width {
            last.push(' ');
            last.push_str(word);
        } else if word.width() <= width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                lines.push(String::new());
            }
            for character in word.chars() {
                let last = lines.last_mut().expect("starts with one");
                if last.width() + character.width().unwrap_or(0) > width {
                    lines.push(character.to_string());
                } else {
                    last.push(character);
                }
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_whole_where_they_can_be() {
        assert_eq!(wrap("exit 1 five times", 8), ["exit 1", "five", "times"]);
        assert_eq!(wrap("/opt/very/long", 6), ["/opt/v", "ery/lo", "ng"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
