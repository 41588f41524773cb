//! An operation as an operator follows it: a block of lines that is redrawn on a terminal, plain
//! lines otherwise, and its result at the end.

use std::{
    collections::HashMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use unicode_width::UnicodeWidthStr;

use super::{
    ui::{self, Tone, Ui, clean, paint},
    words,
};
use crate::wire::{ComponentState, Operation, Outcome, Progress, Verb};

/// What has been shown of one operation.
#[derive(Debug, Default)]
pub struct Board {
    /// Lines of the block that stand on the terminal now.
    drawn: usize,
    told: HashMap<String, (Outcome, ComponentState)>,
    /// When something was last told, for the reminder.
    last: Option<Instant>,
}

impl Board {
    /// Without a terminal, silence longer than this is broken by what is still waited for.
    const REMINDER: Duration = Duration::from_secs(10);

    /// Shows how far the operation has come.
    pub fn show(&mut self, ui: &Ui, operation: &Operation, now: Instant) {
        if !ui.tells_progress() {
            return;
        }
        if ui.err.terminal {
            let (width, height) = ui.terminal_size();
            let lines = block(operation, width, height, ui.err.colour);
            let mut text = self.rewind();
            for line in &lines {
                let _ = writeln!(text, "\x1b[2K{line}");
            }
            text.push_str("\x1b[J");
            self.drawn = lines.len();
            ui::aside(&text);
            return;
        }
        let mut lines = self.changes(operation);
        let last = *self.last.get_or_insert(now);
        if !lines.is_empty() {
            self.last = Some(now);
        } else if now.duration_since(last) >= Self::REMINDER {
            self.last = Some(now);
            lines.extend(pending(operation).map(|progress| format!("waiting: {}", line(progress))));
        }
        for line in lines {
            ui.note(line);
        }
    }

    /// Takes the block off the terminal: the result stands in its place.
    pub fn clear(&mut self) {
        if self.drawn > 0 {
            let rewind = self.rewind();
            ui::aside(&format!("{rewind}\x1b[J"));
            self.drawn = 0;
        }
    }

    fn rewind(&self) -> String {
        if self.drawn == 0 { String::new() } else { format!("\r\x1b[{}A", self.drawn) }
    }

    /// A line for each component whose state changed since it was last told.
    fn changes(&mut self, operation: &Operation) -> Vec<String> {
        let mut lines = Vec::new();
        for progress in &operation.components {
            let now = (progress.outcome, progress.state);
            if self.told.get(&progress.id) != Some(&now) {
                self.told.insert(progress.id.clone(), now);
                lines.push(line(progress));
            }
        }
        lines
    }
}

fn pending(operation: &Operation) -> impl Iterator<Item = &Progress> {
    operation.components.iter().filter(|progress| progress.outcome == Outcome::Pending)
}

/// The block for a terminal. Where there are more components than lines, those that are still
/// waited for come first: they are what the operator looks for.
fn block(operation: &Operation, width: usize, height: usize, colour: bool) -> Vec<String> {
    let all = &operation.components;
    let room = height.saturating_sub(3).max(1);
    let mut shown: Vec<&Progress> = all.iter().collect();
    if shown.len() > room {
        shown.sort_by_key(|progress| match progress.outcome {
            Outcome::Failed => 0,
            Outcome::Pending => 1,
            Outcome::Superseded | Outcome::Held | Outcome::Done => 2,
        });
        shown.truncate(room);
    }
    let ids = shown.iter().map(|progress| progress.id.width()).max().unwrap_or(0);
    let mut lines: Vec<String> =
        shown.iter().map(|progress| aligned(progress, ids, width, colour)).collect();
    let ended = all.len() - pending(operation).count();
    if all.len() > 1 {
        let total = format!("{ended} of {} after {}", all.len(), words::span(operation.age_s));
        lines.push(paint(Tone::Dim, &total, colour).into_owned());
    }
    lines
}

/// One line of the block, cut to the width: a line that wraps could not be redrawn.
fn aligned(progress: &Progress, ids: usize, width: usize, colour: bool) -> String {
    let id = clean(&progress.id);
    let blanks = " ".repeat(ids.saturating_sub(id.width()));
    let (rest, tone) = remark(progress);
    let state = format!("{:<10}", progress.state);
    let plain = format!("{id}{blanks}  {state}");
    if plain.width() >= width {
        return cut(&plain, width).to_owned();
    }
    let rest = cut(&rest, width - plain.width() - 1);
    if rest.is_empty() {
        return format!("{id}{blanks}  {}", paint(tone, state.trim_end(), colour));
    }
    format!("{id}{blanks}  {} {rest}", paint(tone, &state, colour))
}

fn cut(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used > width {
            return &text[..at];
        }
    }
    text
}

/// `ps: running, pid 4711`
fn line(progress: &Progress) -> String {
    let (remark, _) = remark(progress);
    let separator = if remark.is_empty() { "" } else { ", " };
    format!("{}: {}{separator}{remark}", clean(&progress.id), progress.state)
}

/// What there is to say beside the state.
fn remark(progress: &Progress) -> (String, Tone) {
    let mut parts = Vec::new();
    parts.extend(progress.pid.map(|pid| format!("pid {pid}")));
    match progress.outcome {
        Outcome::Superseded => parts.push("another command took its place".to_owned()),
        Outcome::Held => parts.push("left alone".to_owned()),
        Outcome::Pending | Outcome::Done | Outcome::Failed => {}
    }
    parts.extend(progress.detail.as_deref().map(|detail| clean(detail).into_owned()));
    let text = parts.join(", ");
    let tone = match progress.outcome {
        Outcome::Pending | Outcome::Held => Tone::Busy,
        Outcome::Done => words::state_tone(progress.state),
        Outcome::Failed | Outcome::Superseded => Tone::Bad,
    };
    (text, tone)
}

/// The result for standard output: a line per component.
pub fn result(operation: &Operation, colour: bool) -> String {
    let ids = operation.components.iter().map(|progress| progress.id.width()).max().unwrap_or(0);
    let mut text = String::new();
    for progress in &operation.components {
        text.push_str(&aligned(progress, ids, usize::MAX, colour));
        text.push('\n');
    }
    text
}

/// What did not end as asked, in words; `None` where all did.
pub fn failure(operation: &Operation) -> Option<String> {
    let missed: Vec<&Progress> =
        operation.components.iter().filter(|progress| is_missed(progress.outcome)).collect();
    if missed.is_empty() {
        return None;
    }
    let verb = match operation.verb {
        Verb::Start => "start",
        Verb::Stop | Verb::Shutdown => "stop",
        Verb::Restart | Verb::Reload => "restart",
        Verb::Kill => "end",
    };
    let all = operation.components.len();
    let mut text = match (missed.as_slice(), all) {
        ([only], _) => format!("{} did not {verb}", clean(&only.id)),
        _ => format!("{} of {all} components did not {verb}", missed.len()),
    };
    if let [only] = missed.as_slice() {
        let _ = write!(text, ": {}", why(only));
    } else {
        for progress in &missed {
            let _ = write!(text, "\n  {}: {}", clean(&progress.id), why(progress));
        }
    }
    if let Some(first) = missed.iter().find(|progress| progress.outcome == Outcome::Failed) {
        let _ = write!(text, "\nmore: s7supervisor explain {}", clean(&first.id));
    }
    Some(text)
}

/// Who is held was left alone on purpose: the operation did what it could.
fn is_missed(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Done | Outcome::Held => false,
        Outcome::Pending | Outcome::Failed | Outcome::Superseded => true,
    }
}

fn why(progress: &Progress) -> String {
    let detail = progress.detail.as_deref().map(clean);
    match (progress.outcome, detail) {
        (Outcome::Superseded, None) => "another command took its place".to_owned(),
        (_, Some(detail)) => detail.into_owned(),
        (_, None) => format!("it is {}", progress.state),
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
