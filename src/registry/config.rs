//! `<config>`: the Supervisor's own settings.

use super::{
    Config, Leftovers, TraceLevel,
    decode::{Decoder, integer, seconds, word},
    diagnostics::Text as Of,
    notify,
    tree::Element,
};

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
        element.children_named("notify").map(|one| notify::decode(one, decoder)).collect();
    config
}
