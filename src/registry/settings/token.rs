//! Finds tokens in a text. Knows their shape, not their values.

use std::ops::Range;

/// A token, or something else that must not be copied as it stands.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'t> {
    Setting(&'t str),
    Variable {
        name: &'t str,
        operator: Operator,
        /// What stands after the operator, as a range of the text.
        word: Range<usize>,
    },
    /// An escaped `${`.
    Literal(&'static str),
    /// What begins like a token and is none; why.
    Malformed(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operator {
    None,
    /// `:-`
    Default,
    /// `:+`
    Alternative,
}

/// How well a name is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Known {
    Name,
    /// Other settings begin with the same capitals.
    Namespace,
    Not,
}

/// A quick look whether there can be a token at all.
pub(super) fn may_be_in(text: &str) -> bool {
    memchr::memchr2(b'$', b':', text.as_bytes()).is_some()
        && (text.contains("::") || text.contains("${"))
}

/// The next token at or after `from`, and its range in the text.
pub(super) fn next(
    text: &str,
    from: usize,
    known: impl Fn(&str) -> Known,
) -> Option<(Token<'_>, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(found) = memchr::memchr2(b'$', b':', &bytes[at..]) {
        let here = at + found;
        let token = match bytes[here] {
            b'$' if text[here..].starts_with("$${") => Some((Token::Literal("${"), here..here + 3)),
            b'$' if text[here..].starts_with("${") => Some(braced(text, here)),
            b':' if text[here..].starts_with("::") => setting(text, from, here, &known),
            _ => None,
        };
        if token.is_some() {
            return token;
        }
        at = here + 1;
    }
    None
}

/// `XX::name` whose colons stand at `colons`.
fn setting<'t>(
    text: &'t str,
    from: usize,
    colons: usize,
    known: &impl Fn(&str) -> Known,
) -> Option<(Token<'t>, Range<usize>)> {
    let capitals = text[from..colons].bytes().rev().take_while(u8::is_ascii_uppercase).count();
    let after = colons + 2;
    let length = text[after..].bytes().take_while(|&byte| is_name_byte(byte)).count();
    // A full stop at the end belongs to the sentence.
    let name = text[after..after + length].trim_end_matches('.');
    if capitals < 2 || name.is_empty() {
        return None;
    }
    let end = after + name.len();
    // In "-DXSV::log" the token is "SV::log": of the longest and the shorter reading the one
    // that is known counts.
    let readings = (2..=capitals.min(3)).rev().map(|length| colons - length..end);
    let judged: Vec<_> = readings.map(|range| (known(&text[range.clone()]), range)).collect();
    let best = judged
        .iter()
        .find(|(known, _)| *known == Known::Name)
        .or_else(|| judged.iter().find(|(known, _)| *known == Known::Namespace));
    let range = match best {
        Some((_, range)) => range.clone(),
        // More capitals than a token has, and of no known kind: "-MHTTP::Tiny".
        None if capitals > 3 => return None,
        None => colons - capitals..end,
    };
    Some((Token::Setting(&text[range.clone()]), range))
}

/// `${…}` that begins at `start`.
fn braced(text: &str, start: usize) -> (Token<'_>, Range<usize>) {
    let inside = start + 2;
    let mut depth = 1;
    let close = text[inside..].bytes().position(|byte| {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let Some(close) = close.map(|at| inside + at) else {
        return (Token::Malformed("the } is missing"), start..text.len());
    };
    let range = start..close + 1;
    let content = &text[inside..close];
    if is_setting_name(content) {
        return (Token::Setting(content), range);
    }
    let length =
        content.bytes().take_while(|&byte| byte.is_ascii_alphanumeric() || byte == b'_').count();
    let name = &content[..length];
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return (Token::Malformed("expected the name of a variable after ${"), range);
    }
    let (operator, skip) = match &content[length..] {
        "" => (Operator::None, 0),
        rest if rest.starts_with(":-") => (Operator::Default, 2),
        rest if rest.starts_with(":+") => (Operator::Alternative, 2),
        _ => return (Token::Malformed("expected }, :- or :+ after the name"), range),
    };
    (Token::Variable { name, operator, word: inside + length + skip..close }, range)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')
}

/// Two or three capitals, `::`, a name.
pub(super) fn is_setting_name(text: &str) -> bool {
    text.split_once("::").is_some_and(|(namespace, name)| {
        (2..=3).contains(&namespace.len())
            && namespace.bytes().all(|byte| byte.is_ascii_uppercase())
            && !name.is_empty()
            && !name.ends_with('.')
            && name.bytes().all(is_name_byte)
    })
}

/// The capitals before the colons.
pub(super) fn namespace(name: &str) -> &str {
    name.split("::").next().unwrap_or(name)
}

/// The environment variable that gives a setting.
pub(super) fn variable_of(setting: &str) -> String {
    setting.replacen("::", "__", 1)
}

/// The setting that an environment variable gives.
pub(super) fn setting_of(variable: &str) -> Option<String> {
    let setting = variable.replacen("__", "::", 1);
    is_setting_name(&setting).then_some(setting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Vec<&str> {
        let known = |name: &str| match name {
            "SV::log" => Known::Name,
            _ if namespace(name) == "SV" => Known::Namespace,
            _ => Known::Not,
        };
        let mut found = Vec::new();
        let mut from = 0;
        while let Some((token, range)) = next(text, from, known) {
            from = range.end;
            match token {
                Token::Setting(name) => found.push(name),
                other => panic!("{other:?} in {text}"),
            }
        }
        found
    }

    #[test]
    fn a_setting_is_found_inside_longer_text() {
        assert_eq!(settings("-XmxSV::PsHeapSize"), ["SV::PsHeapSize"]);
        assert_eq!(settings("-DXSV::log"), ["SV::log"]);
        assert_eq!(settings("SV::log:SV::temp/x"), ["SV::log", "SV::temp"]);
        assert_eq!(settings("see SV::log."), ["SV::log"]);
        assert_eq!(settings("ABC::d"), ["ABC::d"]);
        assert_eq!(settings("${SV::log}s"), ["SV::log"]);
    }

    #[test]
    fn other_colons_are_left_alone() {
        for text in
            ["std::string", "::1", "[::1]:80", "A::b", "-MHTTP::Tiny", "SV::", "SV:log", "a$b"]
        {
            assert_eq!(settings(text), [""; 0], "{text}");
        }
    }
}
