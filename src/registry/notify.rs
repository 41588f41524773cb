//! `<notify>`: whom to tell about what.

use std::time::Duration;

use super::{
    MailTarget, MailTls, Notify, NotifyTarget, address,
    decode::{Decoder, Expected, Given, integer, seconds, word},
    diagnostics::{Place, Problem, Text as Of},
    tree::Element,
};

const EVENTS: [&str; 4] = ["failed", "unhealthy", "recovered", "restarts"];
/// What is told of where `event` does not say.
const USUAL_EVENTS: [&str; 3] = ["failed", "unhealthy", "recovered"];
const USUAL_INTERVAL: Duration = Duration::from_mins(10);

/// More than this many restarts within this time are told, where nothing else is said.
const USUAL_RESTARTS: u32 = 5;
const USUAL_WITHIN: Duration = Duration::from_mins(10);

/// Of SMTP, between servers.
const SMTP_PORT: u16 = 25;

pub(super) fn decode(element: &Element<'_>, decoder: &mut Decoder<'_>) -> Notify {
    let mut attribute = |name| decoder.attribute(element, name, Of::Registry);
    let [event, interval, restarts, within] =
        ["event", "interval", "restarts", "within"].map(&mut attribute);
    let events = decoder.read(event, events);
    let interval = decoder.read(interval, seconds(0.0..=86_400.0));
    let restarts = decoder.read(restarts, integer(1..=100_000_u32));
    let within = decoder.read(within, seconds(1.0..=86_400.0));
    let targets: Vec<NotifyTarget> = element
        .children
        .iter()
        .filter_map(|child| match child.name {
            "webhook" => webhook(child, decoder),
            "mail" => mail(child, decoder),
            _ => None,
        })
        .collect();
    if element.child("webhook").is_none() && element.child("mail").is_none() {
        let place = Place { text: Of::Registry, span: element.name_span };
        decoder.problems.push(
            Problem::warning("<notify> tells nobody")
                .at(place, "expected <webhook url=\"…\"/> or <mail …/> in it"),
        );
    }
    Notify {
        events: events.unwrap_or_else(|| USUAL_EVENTS.map(str::to_owned).to_vec()),
        interval: interval.unwrap_or(USUAL_INTERVAL),
        restarts: restarts.unwrap_or(USUAL_RESTARTS),
        within: within.unwrap_or(USUAL_WITHIN),
        targets,
    }
}

fn events(text: &str) -> Result<Vec<String>, Expected> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if !words.is_empty() && words.iter().all(|word| EVENTS.contains(&word.as_str())) {
        return Ok(words);
    }
    Err(Expected::label(format!("expected some of {}", EVENTS.join(", "))))
}

fn webhook(element: &Element<'_>, decoder: &mut Decoder<'_>) -> Option<NotifyTarget> {
    let url = decoder.attribute(element, "url", Of::Registry);
    let url = decoder.read(url, |text| {
        if address::is_web(text, &["http://", "https://"]) {
            return Ok(text.to_owned());
        }
        Err(Expected::label("expected http://HOST/… or https://HOST/…"))
    })?;
    Some(NotifyTarget::Webhook { url })
}

fn mail(element: &Element<'_>, decoder: &mut Decoder<'_>) -> Option<NotifyTarget> {
    let mut attribute = |name| decoder.attribute(element, name, Of::Registry);
    let [host, port, from, to, tls, user, password_file] =
        ["host", "port", "from", "to", "tls", "user", "passwordFile"].map(&mut attribute);
    let port_given = port.is_some();
    let host = decoder.words(host);
    let port = decoder.read(port, integer(1..=u16::MAX));
    let from = sender(from, decoder);
    let to = receivers(to, decoder);
    let tls = decoder.read(
        tls,
        word(&[
            ("auto", MailTls::Auto),
            ("starttls", MailTls::Starttls),
            ("implicit", MailTls::Implicit),
            ("never", MailTls::Never),
        ]),
    );
    alone(element, user.as_ref(), password_file.as_ref(), decoder);
    let user = decoder.words(user);
    let password_file = decoder.path(password_file);
    let port = if port_given { port? } else { SMTP_PORT };
    let tls = tls.unwrap_or_default();
    let (host, from, to) = (host?, from?, to?);
    Some(NotifyTarget::Mail(MailTarget { host, port, from, to, tls, user, password_file }))
}

/// Neither is of use without the other.
fn alone(
    element: &Element<'_>,
    user: Option<&Given>,
    password_file: Option<&Given>,
    decoder: &mut Decoder<'_>,
) {
    let (there, missing) = match (user, password_file) {
        (Some(user), None) => (user, "passwordFile"),
        (None, Some(file)) => (file, "user"),
        _ => return,
    };
    decoder.problems.push(
        Problem::error(format!("<{}> has no attribute {missing}", element.name))
            .at(there.place, format!("needs {missing}=\"…\" beside it")),
    );
}

fn sender(given: Option<Given>, decoder: &mut Decoder<'_>) -> Option<String> {
    decoder.read(given, |text| {
        if address::is_mail(text) {
            return Ok(text.to_owned());
        }
        Err(Expected::label("expected NAME@HOST"))
    })
}

fn receivers(given: Option<Given>, decoder: &mut Decoder<'_>) -> Option<Vec<String>> {
    decoder.read(given, |text| {
        let all: Vec<String> = text.split(',').map(|one| one.trim().to_owned()).collect();
        if all.iter().all(|one| address::is_mail(one)) {
            return Ok(all);
        }
        Err(Expected::label("expected NAME@HOST, or several separated by commas"))
    })
}
