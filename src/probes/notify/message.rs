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
