//! One datagram of the protocol, parsed: pure and total.

use std::time::Duration;

/// What one datagram said. Later assignments of a datagram win.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub ready: bool,
    pub reloading: bool,
    pub stopping: bool,
    pub status: Option<String>,
    pub watchdog: Option<Watchdog>,
    /// `WATCHDOG_USEC=`: a new interval for the watchdog.
    pub watchdog_interval: Option<Duration>,
    pub extend_timeout: Option<Duration>,
    pub main_pid: Option<u32>,
    pub errno: Option<i32>,
    /// Assignments whose value makes no sense, by name.
    pub malformed: Vec<&'static str>,
}

/// `WATCHDOG=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watchdog {
    /// `1`: alive.
    Alive,
    /// `trigger`: act as if it had fallen silent.
    Trigger,
}

/// Reads a datagram. Unknown names are ignored, as the protocol demands; so is what asks for
/// things that are not offered here (`FDSTORE`, `NOTIFYACCESS`).
pub fn parse(datagram: &[u8]) -> Message {
    let mut message = Message::default();
    for line in datagram.split(|byte| *byte == b'\n') {
        let Some(equals) = memchr::memchr(b'=', line) else { continue };
        message.assign(&line[..equals], &line[equals + 1..]);
    }
    message
}

impl Message {
    fn assign(&mut self, name: &[u8], value: &[u8]) {
        let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        let mut malformed = None;
        match name {
            b"READY" => self.ready |= value == b"1",
            b"RELOADING" => self.reloading |= value == b"1",
            b"STOPPING" => self.stopping |= value == b"1",
            b"STATUS" => self.status = Some(super::super::text::one_line(value)),
            b"WATCHDOG" => match value {
                b"1" => self.watchdog = Some(Watchdog::Alive),
                b"trigger" => self.watchdog = Some(Watchdog::Trigger),
                _ => malformed = Some("WATCHDOG"),
            },
            b"WATCHDOG_USEC" => match number() {
                Some(micros) => self.watchdog_interval = Some(Duration::from_micros(micros)),
                None => malformed = Some("WATCHDOG_USEC"),
            },
            b"EXTEND_TIMEOUT_USEC" => match number() {
                Some(micros) => self.extend_timeout = Some(Duration::from_micros(micros)),
                None => malformed = Some("EXTEND_TIMEOUT_USEC"),
            },
            b"MAINPID" => match number().and_then(|pid| u32::try_from(pid).ok()) {
                Some(pid) if pid > 0 => self.main_pid = Some(pid),
                _ => malformed = Some("MAINPID"),
            },
            b"ERRNO" => match number().and_then(|errno| i32::try_from(errno).ok()) {
                Some(errno) => self.errno = Some(errno),
                None => malformed = Some("ERRNO"),
            },
            _ => {}
        }
        self.malformed.extend(malformed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_datagram_can_say_several_things() {
        let message = parse(b"READY=1\nSTATUS=serving 3 clients\nMAINPID=42\nERRNO=2\n");
        let expected = Message {
            ready: true,
            status: Some("serving 3 clients".to_owned()),
            main_pid: Some(42),
            errno: Some(2),
            ..Message::default()
        };
        assert_eq!(message, expected);
    }

    #[test]
    fn times_are_microseconds() {
        let message = parse(b"WATCHDOG_USEC=1500000\nEXTEND_TIMEOUT_USEC=250\nWATCHDOG=1");
        assert_eq!(message.watchdog_interval, Some(Duration::from_millis(1500)));
        assert_eq!(message.extend_timeout, Some(Duration::from_micros(250)));
        assert_eq!(message.watchdog, Some(Watchdog::Alive));
    }

    #[test]
    fn what_is_unknown_or_not_an_assignment_is_ignored() {
        let nothing = b"FDSTORE=1\nFDNAME=x\nBARRIER=1\nREADY\n=\nready=1\n READY=1\nREADY=2\n\n";
        assert_eq!(parse(nothing), Message::default());
        assert_eq!(parse(b""), Message::default());
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named() {
        let message = parse(b"WATCHDOG_USEC=soon\nMAINPID=0\nMAINPID=99999999999\nWATCHDOG=2");
        assert_eq!(message.malformed, ["WATCHDOG_USEC", "MAINPID", "MAINPID", "WATCHDOG"]);
        assert_eq!(message.main_pid, None);
    }

    #[test]
    fn a_status_is_made_harmless() {
        assert_eq!(parse(b"STATUS=a\x1b]0;t\x07b\xff").status.as_deref(), Some("a ]0;t b\u{fffd}"));
    }

    proptest! {
        #[test]
        fn no_datagram_breaks_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let message = parse(&bytes);
            prop_assert!(message.status.is_none_or(|status| status.chars().count() <= 256));
        }

        #[test]
        fn nor_does_one_that_looks_right(
            lines in proptest::collection::vec("(READY|STATUS|WATCHDOG|WATCHDOG_USEC|MAINPID|ERRNO|EXTEND_TIMEOUT_USEC)=.{0,30}", 0..20)
        ) {
            let _ = parse(lines.join("\n").as_bytes());
        }
    }
}
