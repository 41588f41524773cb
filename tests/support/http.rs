//! HTTP/1.1 as bytes over a socket: a check that is independent of the client under test.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

/// Longer than any `wait` a test asks for; a socket that stays silent fails the test.
const SILENCE: Duration = Duration::from_mins(1);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The header lines as they came, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Asserts an RFC 9457 problem object with this status and code.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
    }
}

/// One request over the control socket.
pub fn unix(socket: &Path, method: &str, path: &str, headers: &[&str]) -> io::Result<Answer> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SILENCE))?;
    exchange(stream, &request(method, path, "localhost", headers, ""))
}

/// One request over TCP to 127.0.0.1; `headers` are whole lines.
pub fn tcp(port: u16, method: &str, path: &str, headers: &[&str]) -> io::Result<Answer> {
    let host = format!("127.0.0.1:{port}");
    raw(port, &request(method, path, &host, headers, ""))
}

/// Sends these very bytes over TCP and reads the answer.
pub fn raw(port: u16, bytes: &str) -> io::Result<Answer> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(SILENCE))?;
    exchange(stream, bytes)
}

/// The text of a request that asks for the connection to be closed after it.
pub fn request(method: &str, path: &str, host: &str, headers: &[&str], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for line in headers {
        text.push_str(line);
        text.push_str("\r\n");
    }
    if method == "POST" {
        text.push_str("Content-Length: ");
        text.push_str(&body.len().to_string());
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    text
}

fn exchange(mut stream: impl Read + Write, bytes: &str) -> io::Result<Answer> {
    // A server that refuses early closes while we still write: its answer counts.
    let sent = stream.write_all(bytes.as_bytes());
    let mut text = Vec::new();
    let received = stream.read_to_end(&mut text);
    if let Some(answer) = parse(&text) {
        return Ok(answer);
    }
    sent?;
    received?;
    let text = String::from_utf8_lossy(&text);
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed without an answer: {text:?}")))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let chunked =
        headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { joined(body)? } else { body.to_owned() };
    Some(Answer { status, headers, body })
}

/// The chunks of a body as one text.
fn joined(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size + 2..)?;
    }
}

/// An answer that goes on and on, read line by line.
#[derive(Debug)]
pub struct Stream(BufReader<UnixStream>);

impl Stream {
    /// Asks over the control socket.
    pub fn open(socket: &Path, path: &str, headers: &[&str]) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.write_all(request("GET", path, "localhost", headers, "").as_bytes())?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The next line that begins so, without its beginning; none at the end of the stream. Sizes
    /// of chunks stand on lines of their own and are passed over.
    #[track_caller]
    pub fn next(&mut self, beginning: &str) -> Option<String> {
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line);
            if read.unwrap_or_else(|error| panic!("nothing came that begins {beginning}: {error}"))
                == 0
            {
                return None;
            }
            if let Some(rest) = line.strip_prefix(beginning) {
                return Some(rest.trim_end().to_owned());
            }
        }
    }

    /// The JSON of the next server-sent event.
    #[track_caller]
    pub fn message(&mut self) -> Option<Value> {
        let text = self.next("data: ")?;
        Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }
}
