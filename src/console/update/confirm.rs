//! Keys of a question.

use super::{Effect, command};
use crate::{
    console::{
        action::{Action, Context},
        key::{Code, Key},
        model::{Confirm, Model, Shape},
    },
    wire::{Severity, Verb},
};

/// Answers the question with a key; the question comes back where it stays open.
pub(super) fn key(
    model: &mut Model,
    mut question: Confirm,
    key: Key,
    effects: &mut Vec<Effect>,
) -> Option<Confirm> {
    // Pressed before it could be read: meant for something else, or a repeated key.
    if question.is_deaf(model.now.mono) {
        return Some(question);
    }
    let decided = match &mut question.shape {
        Shape::Footer => {
            let again = model.settings.keymap.action(Context::Everywhere, key)
                == Some(action(question.verb));
            Some(again || key.typed() == Some('y'))
        }
        Shape::List { yes } => match key.code {
            Code::Left | Code::Right | Code::Tab | Code::BackTab => {
                *yes = !*yes;
                None
            }
            Code::Char('h' | 'l') if key.typed().is_some() => {
                *yes = !*yes;
                None
            }
            Code::Enter => Some(*yes),
            Code::Char('y') if key.typed().is_some() => Some(true),
            // A key held too long must not decide; only what means no, means no.
            Code::Esc | Code::Char('n' | 'q') => Some(false),
            _ => None,
        },
        Shape::Count { typed } => match key.code {
            Code::Enter => Some(*typed == question.targets.len().to_string()),
            Code::Esc => Some(false),
            Code::Backspace => {
                typed.pop();
                None
            }
            Code::Char(digit) if digit.is_ascii_digit() && typed.len() < 6 => {
                typed.push(digit);
                None
            }
            _ => None,
        },
    };
    match decided {
        None => Some(question),
        Some(true) => {
            carry_out(model, &question, effects);
            None
        }
        Some(false) => {
            model.toast(Severity::Info, format!("{}: cancelled, nothing was done", question.verb));
            None
        }
    }
}

fn carry_out(model: &mut Model, question: &Confirm, effects: &mut Vec<Effect>) {
    // Looked at once more: news may have come with the same key.
    if cancel_if_overtaken(model, question) {
        return;
    }
    let targets = question.targets.iter().map(|target| (target.key.clone(), target.run)).collect();
    command::send(model, question.verb, targets, effects);
}

/// Says why where the question is about a run that is over.
pub(super) fn cancel_if_overtaken(model: &mut Model, question: &Confirm) -> bool {
    let Some(target) = question.overtaken(&model.facts) else { return false };
    let text = format!(
        "{} {}: cancelled, its run has changed since it was asked - look, and ask again",
        question.verb, target.key.id
    );
    model.toast(Severity::Warning, text);
    true
}

/// The action whose key says yes once more: `r r` restarts.
fn action(verb: Verb) -> Action {
    match verb {
        Verb::Start => Action::Start,
        Verb::Stop => Action::Stop,
        Verb::Restart | Verb::Reload | Verb::Shutdown => Action::Restart,
        Verb::Kill => Action::Kill,
    }
}
