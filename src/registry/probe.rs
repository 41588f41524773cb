//! `<ready>` and `<health>`.

use std::time::Duration;

use super::{
    Check, HeaderMatch, Probe,
    decode::{Decoder, Expected, Given, integer, seconds, status_codes},
    diagnostics::{Place, Problem, Text as Of},
    tree::Element,
};

const CHECKS: [&str; 5] = ["tcp", "http", "exec", "log", "notify"];

/// Which of the two elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ready,
    Health,
}

/// For `log` and `notify` the time-out is for the whole wait, and programs take a while.
const WHOLE_WAIT: Duration = Duration::from_mins(1);

pub(super) fn decode(
    element: &Element<'_>,
    kind: Kind,
    of: Of,
    decoder: &mut Decoder<'_>,
) -> Option<Probe> {
    let check = the_check(element, of, decoder);
    let mut attribute = |name| decoder.attribute(element, name, of);
    let [interval, timeout, failures, successes, start_period, jitter] =
        ["interval", "timeout", "failures", "successes", "startPeriod", "jitter"]
            .map(&mut attribute);
    let interval = decoder.read(interval, seconds(0.1..=86_400.0));
    let timeout = decoder.read(timeout, seconds(0.01..=86_400.0));
    let failures = decoder.read(failures, integer(1..=100_000));
    let successes = decoder.read(successes, integer(1..=100_000));
    let start_period = decoder.read(start_period, seconds(0.0..=86_400.0));
    let jitter = decoder.read(jitter, share);
    let check = check?;
    let (usual_interval, usual_failures) = match kind {
        Kind::Ready => (1, 30),
        Kind::Health => (10, 3),
    };
    let usual_timeout = match check {
        Check::Log { .. } | Check::Notify => WHOLE_WAIT,
        Check::Tcp { .. } | Check::Http { .. } | Check::Exec { .. } => Duration::from_secs(2),
    };
    Some(Probe {
        check,
        interval: interval.unwrap_or(Duration::from_secs(usual_interval)),
        timeout: timeout.unwrap_or(usual_timeout),
        failures: failures.unwrap_or(usual_failures),
        successes: successes.unwrap_or(1),
        start_period: start_period.unwrap_or_default(),
        jitter: jitter.unwrap_or(Probe::JITTER),
    })
}

fn the_check(element: &Element<'_>, of: Of, decoder: &mut Decoder<'_>) -> Option<Check> {
    let place = |element: &Element<'_>| Place { text: of, span: element.name_span };
    let mut checks = element.children.iter().filter(|child| CHECKS.contains(&child.name));
    let Some(first) = checks.next() else {
        decoder.problems.push(
            Problem::error(format!("<{}> has no check", element.name))
                .at(place(element), "expected one of <tcp>, <http>, <exec>, <log>, <notify> in it"),
        );
        return None;
    };
    // Two of the same name are told by the vocabulary.
    if let Some(second) = checks.find(|check| check.name != first.name) {
        decoder.problems.push(
            Problem::error(format!("<{}> has more than one check", element.name))
                .at(place(second), "the second one")
                .and(place(first), "the first one")
                .help("to check several things use <exec> with a script"),
        );
    }
    match first.name {
        "tcp" => tcp(first, of, decoder),
        "http" => http(first, of, decoder),
        "exec" => decoder.command(first, of).map(|command| Check::Exec { command }),
        "log" => log(first, of, decoder),
        _ => Some(Check::Notify),
    }
}

fn tcp(element: &Element<'_>, of: Of, decoder: &mut Decoder<'_>) -> Option<Check> {
    let host = decoder.attribute(element, "host", of);
    let host = if host.is_some() { decoder.words(host) } else { Some("127.0.0.1".to_owned()) };
    let port = decoder.attribute(element, "port", of);
    let port = decoder.read(port, integer(1..=u16::MAX));
    Some(Check::Tcp { host: host?, port: port? })
}

fn http(element: &Element<'_>, of: Of, decoder: &mut Decoder<'_>) -> Option<Check> {
    let url = decoder.attribute(element, "url", of);
    let url = decoder.read(url, http_url);
    let status = decoder.attribute(element, "status", of);
    let given = status.is_some();
    let status = decoder.read(status, status_codes);
    let status = if given { status? } else { vec![200..=299] };
    let header = decoder.attribute(element, "header", of);
    let asked_for_header = header.is_some();
    let header = header.and_then(|given| header_match(&given, decoder));
    let body = decoder.attribute(element, "match", of);
    let asked_for_body = body.is_some();
    let body = body.and_then(|given| pattern(&given, given.text.clone(), decoder));
    if (asked_for_header && header.is_none()) || (asked_for_body && body.is_none()) {
        return None;
    }
    Some(Check::Http { url: url?, status, header, body })
}

/// `http://HOST[:PORT][/PATH]`, and nothing that a request line cannot carry.
fn http_url(text: &str) -> Result<String, Expected> {
    let expected = || Expected::label("expected http://HOST:PORT/PATH");
    if text.starts_with("https://") {
        let mut expected = expected();
        expected.help = Some("https is not supported: check the plain port on this machine".into());
        return Err(expected);
    }
    let rest = text.strip_prefix("http://").ok_or_else(expected)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let plain =
        text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte));
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6.split_once(']').ok_or_else(expected)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_wrong| expected())?;
            (host, port)
        }
        None => match authority.find(':') {
            Some(colon) => authority.split_at(colon),
            None => (authority, ""),
        },
    };
    let port_is_right = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| integer(1..=u16::MAX)(port).is_ok());
    if plain && !host.is_empty() && !authority.contains('@') && port_is_right {
        Ok(text.to_owned())
    } else {
        Err(expected())
    }
}

fn log(element: &Element<'_>, of: Of, decoder: &mut Decoder<'_>) -> Option<Check> {
    let given = decoder.attribute(element, "match", of)?;
    let text = given.text.clone();
    pattern(&given, text, decoder).map(|pattern| Check::Log { pattern })
}

/// `Name: regular expression`.
fn header_match(given: &Given, decoder: &mut Decoder<'_>) -> Option<HeaderMatch> {
    let is_token = |name: &str| {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !name.is_empty() && name.bytes().all(token)
    };
    let Some((name, value)) = given.text.split_once(':').filter(|(name, _)| is_token(name)) else {
        decoder.refuse(given, Expected::label("expected NAME: REGULAR EXPRESSION"));
        return None;
    };
    let (name, value) = (name.to_owned(), value.trim().to_owned());
    pattern(given, value, decoder).map(|pattern| HeaderMatch { name, pattern })
}

/// A regular expression that stands in an attribute, or is a part of what stands there.
fn pattern(given: &Given, pattern: String, decoder: &mut Decoder<'_>) -> Option<String> {
    if pattern.is_empty() {
        decoder.refuse(given, Expected::label("expected a regular expression"));
        return None;
    }
    if !decoder.patterns.contains(&pattern) {
        if let Err(error) = regex::bytes::Regex::new(&pattern) {
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default();
            let why = why.strip_prefix("error: ").unwrap_or(why);
            decoder.refuse(given, Expected::label(format!("not a regular expression: {why}")));
            return None;
        }
        decoder.patterns.insert(pattern.clone());
    }
    Some(pattern)
}

fn share(text: &str) -> Result<f64, Expected> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| Expected::label("expected a share from 0 to 1, such as 0.1"))
}
