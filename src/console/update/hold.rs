//! Holding components, and releasing them.

use super::{Effect, command};
use crate::console::{
    feed::{Ask, Request},
    model::{Asked, Field, Model, Overlay, Purpose, RowKey},
};

/// Asks how long, and why.
pub(super) fn ask(model: &mut Model) {
    let about = model.targets();
    if command::may_ask(model, "hold", &about) {
        let field = Field { about, ..Field::new(Purpose::Hold, "") };
        model.overlay = Some(Overlay::Field(field));
    }
}

/// `2h new disk`, `14:30 new disk`, `new disk`: without a time until it is released.
pub(super) fn hold(model: &mut Model, about: &[RowKey], text: &str, effects: &mut Vec<Effect>) {
    // Something may have happened while it was typed.
    if !command::may_ask(model, "hold", about) {
        return;
    }
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let until = time(first);
    let reason = if until.is_some() { rest } else { text }.trim();
    let reason = (!reason.is_empty()).then(|| reason.to_owned());
    for key in about {
        let (until, reason, id) = (until.clone(), reason.clone(), key.id.to_string());
        send(model, "hold", key, |number| Ask::Hold { number, id, until, reason }, effects);
    }
}

pub(super) fn release(model: &mut Model, effects: &mut Vec<Effect>) {
    let about = model.targets();
    if !command::may_ask(model, "release", &about) {
        return;
    }
    for key in &about {
        let id = key.id.to_string();
        send(model, "release", key, |number| Ask::Release { number, id }, effects);
    }
}

fn send(
    model: &mut Model,
    what: &'static str,
    key: &RowKey,
    ask: impl FnOnce(u64) -> Ask,
    effects: &mut Vec<Effect>,
) {
    let number = model.next_number;
    model.next_number += 1;
    model.asked.push(Asked { number, what, keys: vec![key.clone()] });
    effects.push(Effect::Ask(Request { host: key.host, ask: ask(number) }));
}

/// A time to come as the engine reads it; whether it can be is the engine's to say.
fn time(word: &str) -> Option<String> {
    let bare = word.strip_prefix('+').unwrap_or(word);
    let digits = bare.trim_end_matches(['s', 'm', 'h', 'd', 'w']);
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if number(digits) && bare.len() == digits.len() + 1 {
        return Some(format!("+{bare}"));
    }
    let clock =
        bare.split_once(':').is_some_and(|(hours, minutes)| number(hours) && number(minutes));
    let moment = bare.contains('T') && bare.parse::<jiff::Timestamp>().is_ok();
    (clock || moment).then(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_from_a_reason() {
        for (word, wanted) in [
            ("2h", Some("+2h")),
            ("+30m", Some("+30m")),
            ("14:30", Some("14:30")),
            ("2026-11-24T08:00:00Z", Some("2026-11-24T08:00:00Z")),
            ("disk", None),
            ("2", None),
            ("h", None),
            ("TODO", None),
            ("", None),
        ] {
            assert_eq!(time(word).as_deref(), wanted, "{word}");
        }
    }
}
