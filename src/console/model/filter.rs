//! The filter language of the table.
//!
//! Words, all of which have to hold: `text` (fuzzy, on name and description), `!text` (does not
//! contain), `state:failed` (also `health:`, `host:`, `name:`, `pid:`), `cpu>50`, `mem>=1G`,
//! `restarts>0`, `up<10m`, and `re:EXPRESSION` up to the end.

use regex::{Regex, RegexBuilder};

use super::{Row, RowKey};
use crate::{model::Moment, wire::ComponentStatus};

#[derive(Debug, Clone, Default)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
enum Term {
    Fuzzy(String),
    Not(String),
    Word { field: Word, text: String, negated: bool },
    Number { field: Number, order: Order, limit: f64 },
    Expression(Regex),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    State,
    Health,
    Host,
    Name,
    Pid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Cpu,
    Memory,
    Restarts,
    Uptime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    #[error("\"{0}\" is no expression: {1}")]
    Expression(String, String),
    #[error("cannot filter by \"{0}\": expected state, health, host, name or pid")]
    Field(String),
    #[error(
        "cannot compare \"{0}\": expected cpu, mem, restarts or up, then < <= = >= >, then a number (50, 1G, 10m)"
    )]
    Comparison(String),
}

impl Filter {
    pub fn parse(text: &str) -> Result<Self, InvalidFilter> {
        let mut terms = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(expression) = rest.strip_prefix("re:") {
                terms.push(Term::Expression(expression_of(expression)?));
                break;
            }
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            rest = after.trim_start();
            terms.push(term(word)?);
        }
        Ok(Self { text: text.trim().to_owned(), terms })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub fn holds(&self, key: &RowKey, row: &Row, host: &str, now: Moment) -> bool {
        self.terms.iter().all(|term| term.holds(key, row, host, now))
    }
}

fn expression_of(text: &str) -> Result<Regex, InvalidFilter> {
    let smart = !text.chars().any(char::is_uppercase);
    RegexBuilder::new(text)
        .case_insensitive(smart)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| InvalidFilter::Expression(text.to_owned(), last_line(&error)))
}

/// The one line of a regex error that says what is wrong.
pub(super) fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn term(word: &str) -> Result<Term, InvalidFilter> {
    let (negated, bare) = match word.strip_prefix('!') {
        Some(bare) => (true, bare),
        None => (false, word),
    };
    if let Some((field, text)) = bare.split_once(':') {
        let field = match field {
            "state" => Word::State,
            "health" => Word::Health,
            "host" => Word::Host,
            "name" => Word::Name,
            "pid" => Word::Pid,
            other => return Err(InvalidFilter::Field(other.to_owned())),
        };
        return Ok(Term::Word { field, text: text.to_lowercase(), negated });
    }
    if !negated && let Some(at) = bare.find(['<', '>', '=']) {
        return comparison(bare, at).ok_or_else(|| InvalidFilter::Comparison(bare.to_owned()));
    }
    let text = bare.to_lowercase();
    Ok(if negated { Term::Not(text) } else { Term::Fuzzy(text) })
}

fn comparison(text: &str, at: usize) -> Option<Term> {
    let (field, rest) = text.split_at(at);
    let field = match field {
        "cpu" => Number::Cpu,
        "mem" | "memory" => Number::Memory,
        "restarts" | "rst" => Number::Restarts,
        "up" | "uptime" => Number::Uptime,
        _ => return None,
    };
    let signs = [
        ("<=", Order::AtMost),
        (">=", Order::AtLeast),
        ("<", Order::Less),
        (">", Order::More),
        ("=", Order::Equal),
    ];
    let (sign, order) = signs.into_iter().find(|(sign, _)| rest.starts_with(sign))?;
    Some(Term::Number { field, order, limit: amount(&rest[sign.len()..], field)? })
}

fn amount(text: &str, field: Number) -> Option<f64> {
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic() || last == '%');
    let unit = match (field, &text[digits.len()..]) {
        (_, "") | (Number::Cpu, "%") | (Number::Memory, "B" | "b") | (Number::Uptime, "s") => 1.0,
        (Number::Memory, "K" | "k") => 1024.0,
        (Number::Memory, "M" | "m") => 1_048_576.0,
        (Number::Memory, "G" | "g") => 1_073_741_824.0,
        (Number::Uptime, "m") => 60.0,
        (Number::Uptime, "h") => 3600.0,
        (Number::Uptime, "d") => 86_400.0,
        _ => return None,
    };
    let amount: f64 = digits.parse().ok()?;
    amount.is_finite().then_some(amount * unit)
}

/// The words for how a component is: its state, and what the table shows in its place.
fn states(status: &ComponentStatus) -> impl Iterator<Item = &'static str> {
    let held = status.hold.is_some().then_some("held");
    let disabled = (!status.enabled).then_some("disabled");
    [Some(status.state.as_str()), held, disabled].into_iter().flatten()
}

impl Term {
    fn holds(&self, key: &RowKey, row: &Row, host: &str, now: Moment) -> bool {
        let status = &row.status;
        match self {
            Self::Fuzzy(text) => {
                score(text, &key.id).is_some()
                    || status.description.to_lowercase().contains(text.as_str())
                    || status.state.as_str() == text
            }
            Self::Not(text) => {
                let name = key.id.to_lowercase();
                !(name.contains(text.as_str())
                    || status.description.to_lowercase().contains(text.as_str())
                    || status.state.as_str() == text)
            }
            Self::Word { field, text, negated } => {
                let holds = match field {
                    Word::State => states(status).any(|state| state.starts_with(text.as_str())),
                    Word::Health => status.health.as_str().starts_with(text.as_str()),
                    Word::Host => host.to_lowercase().contains(text.as_str()),
                    Word::Name => key.id.to_lowercase().contains(text.as_str()),
                    Word::Pid => status.pid.is_some_and(|pid| pid.to_string() == *text),
                };
                holds != *negated
            }
            Self::Number { field, order, limit } => {
                let value = match field {
                    Number::Cpu => status.cpu_percent,
                    #[expect(clippy::cast_precision_loss, reason = "compared with a rounded wish")]
                    Number::Memory => status.memory_bytes.map(|bytes| bytes as f64),
                    Number::Restarts => Some(f64::from(status.restarts)),
                    Number::Uptime => row.uptime(now),
                };
                value.is_some_and(|value| order.holds(value, *limit))
            }
            Self::Expression(expression) => {
                expression.is_match(&key.id) || expression.is_match(&status.description)
            }
        }
    }
}

impl Order {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::AtMost => value <= limit,
            Self::Equal => (value - limit).abs() < 0.05,
            Self::AtLeast => value >= limit,
            Self::More => value > limit,
        }
    }
}

/// How well `wanted` (in small letters) is found in `text`, as a subsequence; lower is better,
/// none where it is not. A start of a word and letters in a row count.
pub fn score(wanted: &str, text: &str) -> Option<u32> {
    let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let wanted: Vec<char> = wanted.chars().collect();
    if let Some(at) = text.windows(wanted.len().max(1)).position(|part| part == wanted) {
        return Some(u32::try_from(at).unwrap_or(u32::MAX).min(50));
    }
    let mut cost = 100;
    let mut at = 0;
    for character in wanted {
        let found = text[at..].iter().position(|other| *other == character)?;
        cost += u32::try_from(found).unwrap_or(50).min(50);
        at += found + 1;
    }
    Some(cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::tests::status;

    fn holds(filter: &str) -> bool {
        let mut status = status("image-server", crate::wire::ComponentState::Running);
        status.cpu_percent = Some(65.0);
        status.memory_bytes = Some(857 << 20);
        status.restarts = 2;
        status.pid = Some(4711);
        status.uptime_s = Some(300.0);
        let now = Moment::from_boot(std::time::Duration::from_secs(1000));
        let row = Row::new(status, now);
        let filter = Filter::parse(filter).expect(filter);
        filter.holds(&RowKey::new(0, "image-server"), &row, "img-prod-3", now)
    }

    #[test]
    fn every_word_has_to_hold() {
        for yes in [
            "",
            "image",
            "IMG",
            "imsrv",
            "!mailer",
            "state:run",
            "!state:failed",
            "cpu>50",
            "cpu<=65",
            "mem>800M",
            "mem<1G",
            "restarts=2",
            "up<10m",
            "up>=5m",
            "pid:4711",
            "host:prod",
            "name:server",
            "re:^image-",
            "image cpu>50",
            "running",
            "re:server$|client",
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            "mailer",
            "!image",
            "state:failed",
            "!state:run",
            "cpu>65",
            "mem>1G",
            "restarts>2",
            "up>10m",
            "pid:471",
            "host:dev",
            "re:^server",
            "image cpu<50",
            "health:ok",
        ] {
            assert!(!holds(no), "{no}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_said() {
        for (text, why) in [
            ("size:3", "cannot filter by \"size\""),
            ("cpu>much", "cannot compare"),
            ("mem>1X", "cannot compare"),
            ("re:(", "unclosed group"),
        ] {
            let error = Filter::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
