//! Receivers of notifications: a web server and a mail server, each as honest as it has to be,
//! and answering as the test says.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::Value;
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::until;

/// How a web receiver meets one request; when all are used up, with 200.
#[derive(Debug, Clone, Copy)]
pub enum Reply {
    Status(u16),
    /// Not at all, until the receiver goes away.
    Silence,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Posted {
    /// The request line and the headers, as they came.
    pub head: String,
    pub json: Value,
}

/// Something that listens on a port of its own until it goes away.
struct Listening {
    port: u16,
    ends: Arc<AtomicBool>,
}

impl Listening {
    /// Calls `serve` for each connection, one thread each.
    fn new(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let ends = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&ends);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, serve) = (stream.expect("a connection"), serve.clone());
                thread::spawn(move || serve(stream));
            }
        });
        Self { port, ends }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _wakes_it = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// A webhook.
pub struct Web {
    listening: Listening,
    scheme: &'static str,
    posted: Arc<Mutex<Vec<Posted>>>,
    /// Connections that are kept silent live here.
    _silent: Arc<Mutex<Vec<TcpStream>>>,
}

impl Web {
    pub fn new(replies: &[Reply]) -> Self {
        Self::with(replies, None)
    }

    /// Over TLS, with the certificate of `tests/support/tls`.
    pub fn secure() -> Self {
        Self::with(&[], Some(tls()))
    }

    fn with(replies: &[Reply], tls: Option<Arc<ServerConfig>>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let replies = Arc::new(Mutex::new(replies.iter().copied().collect::<VecDeque<_>>()));
        let posted = Arc::new(Mutex::new(Vec::new()));
        let silent = Arc::new(Mutex::new(Vec::new()));
        let (came, kept) = (Arc::clone(&posted), Arc::clone(&silent));
        let listening = Listening::new(move |stream| {
            let raw = stream.try_clone().expect("a descriptor");
            let answer = || {
                let reply = replies.lock().expect("no test panics here").pop_front();
                match reply.unwrap_or(Reply::Status(200)) {
                    Reply::Status(status) => Some(format!(
                        "HTTP/1.1 {status} Said\r\ncontent-length: 9\r\nconnection: close\r\n\r\nas asked\n"
                    )),
                    Reply::Silence => {
                        kept.lock().expect("no test panics here").push(raw);
                        None
                    }
                }
            };
            let request = match &tls {
                None => exchange(stream, answer),
                Some(config) => {
                    let session = ServerConnection::new(Arc::clone(config)).expect("our own");
                    exchange(StreamOwned::new(session, stream), answer)
                }
            };
            if let Some(request) = request {
                came.lock().expect("no test panics here").push(request);
            }
        });
        Self { listening, scheme, posted, _silent: silent }
    }

    pub fn port(&self) -> u16 {
        self.listening.port
    }

    /// With a path that nobody but the receiver is to see.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/hook/s3cret?to=ops", self.scheme, self.port())
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().expect("no test panics here").clone()
    }

    /// Waits for the request of this number.
    #[track_caller]
    pub fn request(&self, number: usize) -> Posted {
        let what = format!("request {number} comes");
        super::within(super::PATIENCE * 2, &what, || self.posted().get(number - 1).cloned())
    }
}

/// Reads one request, and says what `answer` gives; none where nothing came.
fn exchange<S: Read + Write>(
    mut stream: S,
    answer: impl FnOnce() -> Option<String>,
) -> Option<Posted> {
    let mut read = Vec::new();
    let mut buffer = [0; 4_096];
    let whole = loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            let length: usize = length.expect("a POST says how long it is");
            if body.len() >= length {
                break (head.to_owned(), body.to_owned());
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    };
    let json = serde_json::from_str(&whole.1).expect("the body is JSON");
    if let Some(answer) = answer() {
        let _gone = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
    }
    Some(Posted { head: whole.0, json })
}

fn tls() -> Arc<ServerConfig> {
    let folder = format!("{}/tests/support/tls", env!("CARGO_MANIFEST_DIR"));
    let certificate = CertificateDer::from_pem_file(format!("{folder}/cert.pem")).expect("ours");
    let key = PrivateKeyDer::from_pem_file(format!("{folder}/key.pem")).expect("ours");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("there are some")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    Arc::new(config)
}

/// A letter that came.
#[derive(Debug, Clone, Default)]
pub struct Letter {
    pub from: String,
    pub to: Vec<String>,
    /// Headers and text, with lines that end in LF.
    pub text: String,
}

/// A mail server that keeps to RFC 5321 and keeps what it gets.
pub struct Mail {
    listening: Listening,
    letters: Arc<Mutex<Vec<Letter>>>,
}

impl Mail {
    pub fn new() -> Self {
        let letters = Arc::new(Mutex::new(Vec::new()));
        let came = Arc::clone(&letters);
        let listening = Listening::new(move |stream| {
            // A client may go away whenever it likes.
            let _gone = converse(&stream, &came);
        });
        Self { listening, letters }
    }

    pub fn port(&self) -> u16 {
        self.listening.port
    }

    #[track_caller]
    pub fn letter(&self) -> Letter {
        until("a letter comes", || self.letters.lock().expect("no test panics here").pop())
    }
}

fn converse(stream: &TcpStream, letters: &Mutex<Vec<Letter>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    stream.write_all(b"220 mail.test ESMTP\r\n")?;
    let mut letter = Letter::default();
    let mut greeted = false;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let complete = line.ends_with("\r\n");
        let line = line.trim_end();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let path = || {
            let (_, rest) = line.split_once('<')?;
            Some(rest.split_once('>')?.0.to_owned())
        };
        let reply = match verb.as_str() {
            _ if !complete => "500 a line ends with CR LF",
            "EHLO" if line.len() > 5 => {
                greeted = true;
                "250-mail.test\r\n250 8BITMIME"
            }
            "MAIL" if greeted && letter.from.is_empty() => match path() {
                Some(from) => {
                    letter.from = from;
                    "250 fine"
                }
                None => "501 whose?",
            },
            "RCPT" if !letter.from.is_empty() => match path() {
                Some(to) => {
                    letter.to.push(to);
                    "250 fine"
                }
                None => "501 to whom?",
            },
            "DATA" if !letter.to.is_empty() => {
                stream.write_all(b"354 go on\r\n")?;
                letter.text = data(&mut lines)?;
                letters.lock().expect("no test panics here").push(std::mem::take(&mut letter));
                "250 taken"
            }
            "RSET" | "NOOP" => "250 fine",
            "QUIT" => {
                stream.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            "EHLO" | "MAIL" | "RCPT" | "DATA" => "503 not now",
            _ => "502 not known here",
        };
        stream.write_all(reply.as_bytes())?;
        stream.write_all(b"\r\n")?;
    }
}

/// Up to the lone dot; a dot that stands first was doubled on its way.
fn data(lines: &mut impl std::io::BufRead) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.strip_suffix("\r\n").expect("a line ends with CR LF");
        if line == "." {
            return Ok(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(line));
        text.push('\n');
    }
}
