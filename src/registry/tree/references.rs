//! `&amp;`, `&#9;` and their like, and line ends.

use std::borrow::Cow;

use crate::registry::diagnostics::{Problem, Problems, nearest};
use crate::registry::source::Span;

use super::{builder::in_registry, characters::is_character};

/// The character that `&name;` stands for, given what is between `&` and `;`.
pub(super) fn resolve(name: &str, span: Span, problems: &mut Problems) -> Option<char> {
    let predefined = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    };
    if predefined.is_some() {
        return predefined;
    }
    let place = in_registry(span);
    let Some(number) = name.strip_prefix('#') else {
        let known = ["amp", "lt", "gt", "quot", "apos"];
        let problem = Problem::error(format!("the entity &{name}; is not defined"))
            .at(place, "not defined")
            .meant(
                nearest(name, known).map(|near| format!("&{near};")).as_deref(),
                "only &amp; &lt; &gt; &quot; &apos; and numbers such as &#9; can be used; a plain & is written &amp;",
            );
        problems.push(problem);
        return None;
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // from_str_radix would take a sign.
    let all_digits = digits.chars().all(|digit| digit.is_digit(radix));
    let code = if all_digits { u32::from_str_radix(digits, radix).ok() } else { None };
    let character = code.and_then(char::from_u32).filter(|&c| is_character(c));
    if character.is_none() {
        let problem = Problem::error(format!("&{name}; is not a character that XML allows"))
            .at(place, "no such character")
            .help("expected a number such as &#9; or &#x9;");
        problems.push(problem);
    }
    character
}

/// The characters of an attribute's value: references replaced, white space made blanks.
pub(super) fn attribute_value<'s>(
    raw: &'s str,
    span: Span,
    problems: &mut Problems,
) -> Cow<'s, str> {
    if memchr::memchr3(b'&', b'\n', b'\t', raw.as_bytes()).is_none() && !raw.contains('\r') {
        return Cow::Borrowed(raw);
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(next) = rest.chars().next() {
        match next {
            '&' => {
                let at = span.within(raw.len() - rest.len(), 1);
                rest = reference(rest, at, &mut value, problems);
                continue;
            }
            '\r' => {
                value.push(' ');
                rest = rest.strip_prefix("\r\n").unwrap_or(&rest[1..]);
                continue;
            }
            '\n' | '\t' => value.push(' '),
            other => value.push(other),
        }
        rest = &rest[next.len_utf8()..];
    }
    Cow::Owned(value)
}

/// Takes one reference from the start of `rest`, which begins with `&`.
fn reference<'s>(rest: &'s str, at: Span, value: &mut String, problems: &mut Problems) -> &'s str {
    let after = &rest[1..];
    let name_end =
        after.find(|c: char| !(c.is_alphanumeric() || matches!(c, '#' | '_' | '-' | '.' | ':')));
    let name = &after[..name_end.unwrap_or(after.len())];
    let Some(next) = after[name.len()..].strip_prefix(';').filter(|_| !name.is_empty()) else {
        problems.push(bare_ampersand(at));
        value.push('&');
        return after;
    };
    let span = Span { start: at.start, ..at.within(0, name.len() + 2) };
    value.extend(resolve(name, span, problems));
    next
}

/// A `&` that begins no reference.
pub(super) fn bare_ampersand(at: Span) -> Problem {
    Problem::error("an & that is meant as a character must be written &amp;")
        .at(in_registry(at), "begins no reference such as &lt;")
}

/// Line ends as XML wants them: `\n` alone.
pub(super) fn line_ends(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\r', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
}
