//! `<config>`: the Supervisor's own settings.

use std::time::Duration;

use super::{
    Config, Leftovers, Notify, NotifyTarget, TraceLevel,
    decode::{Decoder, Expected, Given, integer, seconds, word},
    diagnostics::{Place, Problem, Text as Of},
    tree::Element,
};

const EVENTS: [&str; 4] = ["failed", "unhealthy", "recovered", "restarts"];
/// What `<notify>` tells of where it does not say.
const USUAL_EVENTS: [&str; 3] = ["failed", "unhealthy", "recovered"];

pub(super) fn decode(element: Option<&Element<'_>>, decoder: &mut Decoder<'_>) -> Config {
    let mut config = Config {
        tcp_port: None,
        log: decoder.install_folder.join("logs/Supervisor.log"),
        temp: decoder.install_folder.join("temp"),
        trace_level: TraceLevel(2),
        trace_stats_interval: None,
        keep_days: 14,
        control_group: None,
        starts_per_minute: None,
        leftovers: Leftovers::default(),
        notify: Vec::new(),
    };
    let Some(element) = element else { return config };
    let mut child = |name| decoder.child(element, name, Of::Registry);
    let given = [
        "tcpport",
        "log",
        "temp",
        "tracelevel",
        "tracestatsinterval",
        "keepDays",
        "controlGroup",
        "startsPerMinute",
        "leftovers",
    ]
    .map(&mut child);
    let [port, log, temp, level, statistics, keep_days, group, per_minute, leftovers] = given;

    config.tcp_port = decoder.read(port, integer(0..=u16::MAX)).filter(|&port| port != 0);
    config.log = decoder.path(log).unwrap_or(config.log);
    config.temp = decoder.path(temp).unwrap_or(config.temp);
    let level = decoder.read(level, integer(1..=4_u8)).map(TraceLevel);
    config.trace_level = level.unwrap_or(config.trace_level);
    config.trace_stats_interval = decoder.read(statistics, seconds(5.0..=86_400.0));
    config.keep_days = decoder.read(keep_days, integer(1..=3_650)).unwrap_or(config.keep_days);
    config.control_group = decoder.words(group);
    let per_minute = decoder.read(per_minute, integer(0..=1_000_000_u32));
    config.starts_per_minute = per_minute.filter(|&most| most != 0);
    let leftover_words = word(&[
        ("adopt", Leftovers::Adopt),
        ("stop", Leftovers::Stop),
        ("refuse", Leftovers::Refuse),
    ]);
    config.leftovers = decoder.read(leftovers, leftover_words).unwrap_or_default();
    config.notify =
        element.children_named("notify").map(|notify| decode_notify(notify, decoder)).collect();
    config
}

fn decode_notify(element: &Element<'_>, decoder: &mut Decoder<'_>) -> Notify {
    let event = decoder.attribute(element, "event", Of::Registry);
    let events = decoder.read(event, events);
    let interval = decoder.attribute(element, "interval", Of::Registry);
    let interval = decoder.read(interval, seconds(0.0..=86_400.0));
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
        interval: interval.unwrap_or(Duration::from_mins(10)),
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
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        match rest {
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(text.to_owned()),
            _ => Err(Expected::label("expected http://HOST/… or https://HOST/…")),
        }
    })?;
    Some(NotifyTarget::Webhook { url })
}

fn mail(element: &Element<'_>, decoder: &mut Decoder<'_>) -> Option<NotifyTarget> {
    let mut attribute = |name| decoder.attribute(element, name, Of::Registry);
    let [host, port, from, to] = ["host", "port", "from", "to"].map(&mut attribute);
    let port_given = port.is_some();
    let host = decoder.words(host);
    let port = decoder.read(port, integer(1..=u16::MAX));
    let from = address(from, decoder);
    let to = address(to, decoder);
    let port = if port_given { port? } else { 25 };
    Some(NotifyTarget::Mail { host: host?, port, from: from?, to: to? })
}

fn address(given: Option<Given>, decoder: &mut Decoder<'_>) -> Option<String> {
    decoder.read(given, |text| {
        let whole = text.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace)
        });
        if whole { Ok(text.to_owned()) } else { Err(Expected::label("expected NAME@HOST")) }
    })
}
