//! Lines on to syslog or the journal as well, where one is there.
//!
//! One datagram a line, sent without waiting: a log daemon that is slow, full or gone costs
//! nobody anything. What it does not take is counted, and told once until it takes some again;
//! files have every line in any case.

use std::{
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};

use super::line::{End, Stream};
use crate::{
    model::{ComponentId, RunId},
    registry::Forward,
};

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";

/// Daemons take about so much in a datagram.
const SYSLOG_MAX: usize = 8 << 10;

/// Facility "daemon", and how urgent a line of each stream is.
const DAEMON: u8 = 3;
const INFO: u8 = 6;
const WARNING: u8 = 4;

#[derive(Debug)]
pub(super) struct Forwarder {
    kind: Forward,
    path: PathBuf,
    /// Not connected: the daemon may be restarted.
    socket: Option<UnixDatagram>,
    name: String,
    message: Vec<u8>,
    /// Lines that were not taken since it was told.
    refused: u64,
}

impl Forwarder {
    pub fn new(kind: Forward, id: &ComponentId) -> Self {
        let path = match kind {
            Forward::Journald => JOURNAL,
            Forward::Syslog => SYSLOG,
        };
        Self::to(kind, id, Path::new(path))
    }

    fn to(kind: Forward, id: &ComponentId, path: &Path) -> Self {
        let name = id.to_string();
        Self { kind, path: path.to_owned(), socket: None, name, message: Vec::new(), refused: 0 }
    }

    pub fn kind(&self) -> Forward {
        self.kind
    }

    /// Passes a line on; whether it was taken.
    pub fn send(
        &mut self,
        at: Timestamp,
        run: Option<RunId>,
        stream: Stream,
        text: &[u8],
        end: End,
    ) -> bool {
        self.message.clear();
        match self.kind {
            Forward::Journald => self.journal_entry(run, stream, text, end),
            Forward::Syslog => self.syslog_message(at, stream, text),
        }
        let sent = self.try_send();
        self.account(sent)
    }

    fn try_send(&mut self) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                none.insert(socket)
            }
        };
        socket.send_to(&self.message, &self.path).map(|_| ())
    }

    fn account(&mut self, sent: io::Result<()>) -> bool {
        let (component, to) = (self.name.as_str(), self.path.display());
        match sent {
            Ok(()) => {
                if self.refused > 0 {
                    let lines = self.refused;
                    tracing::warn!(component, %to, lines, "lines were not passed on; it goes on now");
                    self.refused = 0;
                }
                true
            }
            Err(error) => {
                if self.refused == 0 {
                    tracing::warn!(
                        component, %to, %error,
                        "a line is not passed on, as are others until this is told again; \
                         the files have them"
                    );
                }
                self.refused += 1;
                false
            }
        }
    }

    /// The native protocol of the journal: fields, one a line. A line of output has no newline.
    fn journal_entry(&mut self, run: Option<RunId>, stream: Stream, text: &[u8], end: End) {
        let message = &mut self.message;
        let mut field = |name: &str, value: &[u8]| {
            message.extend_from_slice(name.as_bytes());
            message.push(b'=');
            message.extend_from_slice(value);
            message.push(b'\n');
        };
        field("MESSAGE", text);
        field("PRIORITY", &[b'0' + severity(stream)]);
        field("SYSLOG_FACILITY", &[b'0' + DAEMON]);
        field("SYSLOG_IDENTIFIER", self.name.as_bytes());
        field("S7_COMPONENT", self.name.as_bytes());
        field("S7_STREAM", stream.name().as_bytes());
        if let Some(run) = run {
            field("S7_RUN", run.to_string().as_bytes());
        }
        if end == End::Cut {
            field("S7_CUT", b"1");
        }
    }

    /// RFC 3164, which every syslog daemon reads on its local socket.
    fn syslog_message(&mut self, at: Timestamp, stream: Stream, text: &[u8]) {
        let local = at.to_zoned_datetime(TimeZone::system());
        let priority = DAEMON * 8 + severity(stream);
        let head = format!("<{priority}>{} {}: ", local.strftime("%b %e %H:%M:%S"), self.name);
        self.message.extend_from_slice(head.as_bytes());
        let room = SYSLOG_MAX - self.message.len();
        self.message.extend_from_slice(&text[..text.len().min(room)]);
    }
}

fn severity(stream: Stream) -> u8 {
    match stream {
        Stream::Out => INFO,
        Stream::Err => WARNING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ComponentId {
        ComponentId::new("is").expect("an id")
    }

    fn send(forwarder: &mut Forwarder, stream: Stream, text: &str) -> bool {
        let at = "2026-11-22T13:03:07Z".parse().expect("a time");
        forwarder.send(at, Some(RunId(7)), stream, text.as_bytes(), End::Newline)
    }

    fn received(daemon: &UnixDatagram) -> String {
        let mut buffer = vec![0; 64 << 10];
        let count = daemon.recv(&mut buffer).expect("a datagram");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn each_daemon_gets_lines_in_its_form() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let daemon = UnixDatagram::bind(&path).expect("a socket");
        let mut journal = Forwarder::to(Forward::Journald, &id(), &path);
        assert!(send(&mut journal, Stream::Err, "cannot = open"));
        assert_eq!(
            received(&daemon),
            "MESSAGE=cannot = open\nPRIORITY=4\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=is\n\
             S7_COMPONENT=is\nS7_STREAM=err\nS7_RUN=7\n"
        );
        let mut syslog = Forwarder::to(Forward::Syslog, &id(), &path);
        assert!(send(&mut syslog, Stream::Out, "GET /"));
        let message = received(&daemon);
        assert!(message.starts_with("<30>Nov 2") && message.ends_with(" is: GET /"), "{message}");
        assert!(send(&mut syslog, Stream::Out, &"x".repeat(100_000)));
        assert_eq!(received(&daemon).len(), SYSLOG_MAX);
    }

    #[test]
    fn a_daemon_that_takes_nothing_holds_nobody_up_and_is_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut forwarder = Forwarder::to(Forward::Journald, &id(), &path);
        assert!(!send(&mut forwarder, Stream::Out, "nobody is there"));
        let daemon = UnixDatagram::bind(&path).expect("a socket");
        // It reads nothing: its queue is full soon.
        let taken = (0..100_000).take_while(|_| send(&mut forwarder, Stream::Out, "x")).count();
        assert!((1..100_000).contains(&taken), "{taken}");
        received(&daemon);
        assert!(send(&mut forwarder, Stream::Out, "there is room again"));
        assert_eq!(forwarder.refused, 0);
    }
}
