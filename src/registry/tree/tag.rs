//! The inside of a start tag: its name and attributes.

use crate::registry::diagnostics::{Problem, Problems};
use crate::registry::source::Span;

use super::{
    Attribute, Value,
    builder::in_registry,
    characters::{is_name, is_space},
    references,
};

/// More than any element needs; finding doubled ones costs their square.
const MAX_ATTRIBUTES: usize = 64;

/// How long the name is that `content` begins with: up to white space, `/`, `>` or the end.
pub(super) fn name_length(content: &str) -> usize {
    let end =
        |byte: &u8| is_space(*byte) || matches!(byte, b'/' | b'>' | b'=' | b'<' | b'"' | b'\'');
    content.bytes().position(|byte| end(&byte)).unwrap_or(content.len())
}

/// The attributes in `content` from `from` on; `span` is the place of `content`.
///
/// Stops at the first thing that is no attribute: what follows it cannot be told.
pub(super) fn attributes<'s>(
    content: &'s str,
    from: usize,
    span: Span,
    problems: &mut Problems,
) -> Vec<Attribute<'s>> {
    let mut inside = Scan { content, at: from, span };
    let mut found: Vec<Attribute<'s>> = Vec::new();
    loop {
        let spaces = inside.skip_spaces();
        if inside.rest().is_empty() {
            return found;
        }
        if found.len() >= MAX_ATTRIBUTES {
            let message = format!("an element has more than {MAX_ATTRIBUTES} attributes");
            problems.push(Problem::error(message).at(in_registry(inside.here(1)), "one too many"));
            return found;
        }
        match inside.attribute(spaces > 0) {
            Ok((name, name_span, raw, value_span)) => {
                let text = references::attribute_value(raw, value_span, problems);
                let exact = matches!(text, std::borrow::Cow::Borrowed(_));
                if let Some(first) = found.iter().find(|earlier| earlier.name == name) {
                    let problem = Problem::error(format!("the attribute {name} stands twice"))
                        .at(in_registry(name_span), "the second one")
                        .and(in_registry(first.name_span), "the first one");
                    problems.push(problem);
                    continue;
                }
                let value = Value { text, span: value_span, exact };
                found.push(Attribute { name, name_span, value });
            }
            Err(problem) => {
                problems.push(*problem);
                return found;
            }
        }
    }
}

/// An attribute as it stands: name, its place, value, its place.
type Raw<'s> = (&'s str, Span, &'s str, Span);

struct Scan<'s> {
    content: &'s str,
    at: usize,
    span: Span,
}

impl<'s> Scan<'s> {
    fn rest(&self) -> &'s str {
        &self.content[self.at..]
    }

    fn skip_spaces(&mut self) -> usize {
        let spaces = self.rest().bytes().take_while(|&byte| is_space(byte)).count();
        self.at += spaces;
        spaces
    }

    fn here(&self, length: usize) -> Span {
        self.span.within(self.at, length)
    }

    fn attribute(&mut self, spaced: bool) -> Result<Raw<'s>, Box<Problem>> {
        let error = |span, message: String, label: &str| {
            Err(Box::new(Problem::error(message).at(in_registry(span), label)))
        };
        let next = self.rest().chars().next().map_or(0, char::len_utf8);
        if self.rest().starts_with('<') {
            let message = "a tag begins before the one before it has ended".to_owned();
            return error(self.here(1), message, "expected > before this");
        }
        let length = name_length(self.rest());
        if length == 0 {
            let message = "this is no attribute".to_owned();
            return error(self.here(next), message, "expected name=\"value\", /> or >");
        }
        let name = &self.rest()[..length];
        let name_span = self.here(length);
        if !spaced {
            let message = format!("there is no space before the attribute {name}");
            return error(name_span, message, "expected a space before this");
        }
        if !is_name(name) {
            let message = format!("\"{name}\" cannot be the name of an attribute");
            return error(
                name_span,
                message,
                "expected a letter or _, then letters, digits, . - _",
            );
        }
        self.at += length;
        self.skip_spaces();
        if !self.rest().starts_with('=') {
            let message = format!("the attribute {name} has no value");
            return error(name_span, message, "expected =\"…\" after it");
        }
        self.at += 1;
        self.skip_spaces();
        let Some(quote) = self.rest().chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            let message = format!("the value of {name} is not in quotes");
            return error(self.here(name_length(self.rest()).max(1)), message, "expected \"…\"");
        };
        self.at += 1;
        let rest = self.rest();
        let end = rest.find(quote).unwrap_or(rest.len());
        if let Some(tag) = rest[..end].find('<') {
            self.at += tag;
            let message = format!("the value of {name} holds a <");
            return Err(Box::new(
                Problem::error(message)
                    .at(in_registry(self.here(1)), "written &lt; if it is meant")
                    .and(in_registry(name_span), "or the quote that ends this value is missing"),
            ));
        }
        if end == rest.len() {
            let message = format!("the value of {name} does not end");
            return error(name_span, message, "the quote that ends it is missing");
        }
        let value_span = self.here(end);
        self.at += end + 1;
        Ok((name, name_span, &rest[..end], value_span))
    }
}
