//! The API over a stand-in engine, on a real socket and a real port, and raw HTTP to talk to it.

use std::{fs, path::PathBuf, time::Duration};

use s7supervisor::{
    client::{Client, Endpoint},
    control::{self, Options, Server},
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

use crate::engine::Engine;

/// Nothing in these tests takes longer than this unless it is broken.
pub const BOUND: Duration = Duration::from_secs(20);

pub struct Served {
    pub engine: Engine,
    pub server: Server,
    pub folder: tempfile::TempDir,
    pub socket: PathBuf,
}

pub fn serve() -> Served {
    serve_in("temp")
}

/// Serves in a folder of this name.
pub fn serve_in(name: &str) -> Served {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let temp = folder.path().join(name);
    control::prepare_folder(&temp, None).expect("a folder of our own");
    let socket = temp.join(control::SOCKET_NAME);
    let (engine, handle) = Engine::start();
    let options = Options {
        socket: Some(socket.clone()),
        tcp_port: Some(0),
        token_folder: temp,
        ..Options::default()
    };
    let server = control::serve(&options, handle).expect("nothing stands in the way");
    Served { engine, server, folder, socket }
}

impl Served {
    pub fn port(&self) -> u16 {
        self.server.tcp_address().expect("TCP was asked for").port()
    }

    pub fn token(&self, file: &str) -> String {
        let path = self.socket.with_file_name(file);
        fs::read_to_string(path).expect("made by the server").trim().to_owned()
    }

    pub async fn unix(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.expect("the socket listens")
    }

    pub async fn tcp(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port())).await.expect("the port listens")
    }

    /// One request over the Unix socket, written out by hand.
    pub async fn ask(&self, method: &str, path: &str) -> Heard {
        self.ask_with(method, path, &[]).await
    }

    pub async fn ask_with(&self, method: &str, path: &str, headers: &[&str]) -> Heard {
        let mut all = vec!["Host: localhost"];
        all.extend(headers);
        talk(self.unix().await, &head(method, path, &all)).await
    }

    /// One request over TCP with exactly these headers.
    pub async fn ask_tcp(&self, method: &str, path: &str, headers: &[&str]) -> Heard {
        talk(self.tcp().await, &head(method, path, headers)).await
    }

    pub fn client(&self) -> Client {
        Client::new(Endpoint::Unix(self.socket.clone()), "test")
    }

    pub fn tcp_client(&self, token: Option<String>) -> Client {
        let host = "127.0.0.1".to_owned();
        Client::new(Endpoint::Tcp { host, port: self.port(), token }, "test")
    }
}

pub fn head(method: &str, path: &str, headers: &[&str]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text
}

/// Sends, and hears until the other end closes.
pub async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Heard {
    // A server that refuses early may close before it has taken everything.
    let _ = stream.write_all(request.as_bytes()).await;
    hear(stream).await
}

pub async fn hear(mut stream: impl AsyncRead + Unpin) -> Heard {
    let mut heard = Vec::new();
    let end = tokio::time::timeout(BOUND, stream.read_to_end(&mut heard)).await;
    let _ = end.expect("the server closes the connection");
    Heard(String::from_utf8(heard).expect("text"))
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub struct Heard(pub String);

impl Heard {
    pub fn status(&self) -> u16 {
        let status = self.0.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {:?}", self.0));
        status.parse().expect("a status line")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let (head, _body) = self.0.split_once("\r\n\r\n").expect("a whole head");
        head.lines().find_map(|line| {
            let (given, value) = line.split_once(": ")?;
            given.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        let (_head, body) = self.0.split_once("\r\n\r\n").expect("a whole head");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {:?}", self.0))
    }

    /// The code of a problem, which must be a whole one.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status(), "{problem}");
        assert_ne!(problem["detail"], "", "{problem}");
        problem["code"].as_str().expect("a code").to_owned()
    }
}
