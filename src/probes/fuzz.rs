//! For any bytes: what a component says at its notification socket.

use super::{
    notify::{Message, Watchdog, parse},
    text::LONGEST,
};

/// What was understood can be said again and is understood the same; nothing that is shown drives a
/// terminal or is long.
pub(crate) fn datagram(bytes: &[u8]) {
    let message = parse(bytes);
    if let Some(status) = &message.status {
        assert!(!status.contains(char::is_control), "{status:?}");
        assert!(status.chars().count() <= LONGEST);
    }
    let known = ["WATCHDOG", "WATCHDOG_USEC", "EXTEND_TIMEOUT_USEC", "MAINPID", "ERRNO"];
    assert!(message.malformed.iter().all(|name| known.contains(name)));
    let again = parse(said(&message).as_bytes());
    assert_eq!(again, Message { malformed: Vec::new(), ..message });
}

fn said(message: &Message) -> String {
    let mut lines: Vec<String> = Vec::new();
    let flags = [
        (message.ready, "READY"),
        (message.reloading, "RELOADING"),
        (message.stopping, "STOPPING"),
    ];
    lines.extend(flags.iter().filter(|(set, _)| *set).map(|(_, name)| format!("{name}=1")));
    lines.extend(message.status.iter().map(|status| format!("STATUS={status}")));
    lines.extend(message.watchdog.iter().map(|watchdog| match watchdog {
        Watchdog::Alive => "WATCHDOG=1".to_owned(),
        Watchdog::Trigger => "WATCHDOG=trigger".to_owned(),
    }));
    let micros = |name, duration: std::time::Duration| format!("{name}={}", duration.as_micros());
    lines.extend(message.watchdog_interval.map(|every| micros("WATCHDOG_USEC", every)));
    lines.extend(message.extend_timeout.map(|more| micros("EXTEND_TIMEOUT_USEC", more)));
    lines.extend(message.main_pid.map(|pid| format!("MAINPID={pid}")));
    lines.extend(message.errno.map(|errno| format!("ERRNO={errno}")));
    lines.join("\n")
}
