//! What `doctor` found, for a person: groups, a line for each check, and below what is not well
//! why it matters and what to do next.

use std::fmt::Write as _;

use textwrap::Options;
use unicode_width::UnicodeWidthStr as _;

use super::{
    ui::{Tone, clean, paint},
    words,
};
use crate::doctor::{Finding, Group, Verdict};

/// Where the width is nobody's: a file, a pipe.
pub const PLAIN_WIDTH: usize = 100;
/// Longer lines are hard to read, shorter ones hold no path.
const WIDTHS: std::ops::RangeInclusive<usize> = 50..=120;

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub width: usize,
    pub colour: bool,
    /// No character that a plain terminal lacks.
    pub ascii: bool,
    /// Only what is not ok.
    pub quiet: bool,
}

pub fn render(findings: &[Finding], look: &Look) -> String {
    let shown: Vec<&Finding> =
        findings.iter().filter(|finding| !look.quiet || finding.verdict != Verdict::Ok).collect();
    let names = shown.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for group in Group::ALL {
        let of_group: Vec<_> = shown.iter().filter(|finding| finding.group == group).collect();
        if of_group.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{}", paint(Tone::Strong, group.title(), look.colour));
        for finding in of_group {
            entry(&mut text, finding, names, look);
        }
        text.push('\n');
    }
    summary(&mut text, findings, look);
    text
}

fn entry(text: &mut String, finding: &Finding, names: usize, look: &Look) {
    let verdict = finding.verdict;
    let label = format!("{:<7}", verdict.as_str());
    let label = paint(tone(verdict), &label, look.colour);
    let name = format!("{:<names$}", finding.check.replace('_', " "));
    let seen = match &finding.component {
        Some(component) => format!("{component}: {}", finding.seen),
        None => finding.seen.clone(),
    };
    let indent = 2 + 7 + 2 + names + 2;
    let mut lines = wrapped(&seen, indent, look).into_iter();
    let first = lines.next().unwrap_or_default();
    let _ = writeln!(text, "  {label}  {}  {first}", paint(Tone::Dim, &name, look.colour));
    let blanks = " ".repeat(indent);
    for line in lines {
        let _ = writeln!(text, "{blanks}{line}");
    }
    if verdict == Verdict::Ok {
        return;
    }
    for line in finding.why.iter().flat_map(|why| wrapped(why, indent, look)) {
        let _ = writeln!(text, "{blanks}{}", paint(Tone::Dim, &line, look.colour));
    }
    if let Some(advice) = &finding.advice {
        let arrow = if look.ascii { "-> " } else { "→ " };
        let lines = wrapped(advice, indent + arrow.width(), look);
        for (number, line) in lines.iter().enumerate() {
            let before = if number == 0 { arrow.to_owned() } else { " ".repeat(arrow.width()) };
            let _ = writeln!(text, "{blanks}{before}{line}");
        }
    }
}

/// The text in lines that fit behind so many columns. A path or command is never broken: it could
/// not be pasted any more.
fn wrapped(text: &str, indent: usize, look: &Look) -> Vec<String> {
    let text = clean(text);
    let text = if look.ascii { in_ascii(&text) } else { text.into_owned() };
    let width = look.width.clamp(*WIDTHS.start(), *WIDTHS.end()).saturating_sub(indent).max(20);
    let options = Options::new(width)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit);
    textwrap::wrap(&text, options).into_iter().map(Into::into).collect()
}

fn in_ascii(text: &str) -> String {
    let plain = |c: char| if c.is_ascii() { c } else { '?' };
    text.replace('…', "...").chars().map(plain).collect()
}

fn summary(text: &mut String, findings: &[Finding], look: &Look) {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    let mut parts = Vec::new();
    for (verdict, noun) in
        [(Verdict::Problem, "problem"), (Verdict::Warning, "warning"), (Verdict::Note, "note")]
    {
        if count(verdict) > 0 {
            parts.push(words::count(count(verdict), noun));
        }
    }
    parts.push(format!("{} ok", count(Verdict::Ok)));
    let line = parts.join(", ");
    let _ = writeln!(text, "{}", paint(tone(worst), &line, look.colour));
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Ok => Tone::Good,
        Verdict::Note => Tone::Strong,
        Verdict::Warning => Tone::Busy,
        Verdict::Problem => Tone::Bad,
    }
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
