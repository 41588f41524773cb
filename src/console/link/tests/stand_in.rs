//! A Supervisor that answers as the test says, reached inside the process: everything runs in
//! virtual time.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, Response, header},
};
use hyper::body::Frame;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::{
    client::{Client, Endpoint},
    console::{
        feed::{self, Ask, Feed, Incoming, Link, News},
        link::attach,
    },
    wire::{
        Access, ContainmentLevel, Problem, ProblemCode, Sample, Snapshot, Status, SupervisorStatus,
        Update, UpdateMessage,
    },
};

pub const OURS: &str = concat!("s7supervisor/", env!("CARGO_PKG_VERSION"));

/// A console without a screen, attached to stand-ins.
pub struct Console {
    pub feed: Feed,
    pub attached: tokio::task::JoinHandle<()>,
}

/// One stand-in: every request waits for what the test makes of it.
pub struct Host {
    requests: mpsc::UnboundedReceiver<Asked>,
}

pub struct Asked {
    pub method: String,
    /// With its query.
    pub path: String,
    headers: axum::http::HeaderMap,
    reply: oneshot::Sender<Response<Body>>,
}

/// The other end of a stream that was answered with.
pub struct Stream(mpsc::UnboundedSender<io::Result<Bytes>>);

struct Chunks(mpsc::UnboundedReceiver<io::Result<Bytes>>);

/// A console on so many hosts.
pub fn attached<const N: usize>() -> (Console, [Host; N]) {
    let (hosts, clients): (Vec<Host>, Vec<Client>) = (0..N).map(|_| host()).unzip();
    let names = (0..N).map(|index| format!("host-{index}")).collect();
    let (feed, remote, requests) = feed::channel(names).expect("a socket pair");
    let attached = tokio::spawn(attach(remote, requests, clients));
    let hosts = hosts.try_into().unwrap_or_else(|_| unreachable!("as many as were made"));
    (Console { feed, attached }, hosts)
}

fn host() -> (Host, Client) {
    let (sender, requests) = mpsc::unbounded_channel();
    let router = Router::new().fallback(move |request: Request<Body>| {
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            method: request.method().to_string(),
            path: request.uri().to_string(),
            headers: request.headers().clone(),
            reply,
        };
        let _test_over = sender.send(asked);
        async {
            match answer.await {
                Ok(response) => response,
                // Not answered: like a host that hangs.
                Err(_dropped) => std::future::pending().await,
            }
        }
    });
    (Host { requests }, Client::new(Endpoint::InProcess(router), "console"))
}

impl Console {
    pub fn ask(&self, host: u16, ask: Ask) {
        self.feed.ask(feed::Request { host, ask });
    }

    /// What is told next.
    pub async fn next(&mut self) -> Incoming {
        let told = async {
            loop {
                if let Some(incoming) = self.feed.try_next() {
                    return incoming;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_mins(5), told).await.expect("something is told")
    }

    pub async fn link(&mut self) -> Link {
        match self.next().await.news {
            News::Link(link) => link,
            other => panic!("no news of the link: {other:?}"),
        }
    }

    pub async fn update(&mut self) -> UpdateMessage {
        match self.next().await.news {
            News::Update(update) => update,
            other => panic!("no update: {other:?}"),
        }
    }

    /// Whether nothing is told within this time.
    pub async fn quiet(&mut self, time: Duration) -> bool {
        sleep(time).await;
        self.feed.try_next().is_none()
    }
}

impl Host {
    pub async fn asked(&mut self) -> Asked {
        let asked = timeout(Duration::from_mins(5), self.requests.recv()).await;
        asked.expect("something is asked").expect("the console is there")
    }

    /// Whether nothing is asked within this time.
    pub async fn quiet(&mut self, time: Duration) -> bool {
        timeout(time, self.requests.recv()).await.is_err()
    }

    /// Takes the request for updates and begins with a snapshot of this number.
    pub async fn live(&mut self, console: &mut Console, seq: u64) -> Stream {
        let stream = self.asked().await.stream_updates();
        stream.update(seq, snapshot());
        assert_eq!(console.link().await, Link::Connecting);
        assert_eq!(console.link().await, Link::Live);
        assert_eq!(console.update().await.seq, seq);
        stream
    }
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub fn answer(self, response: Response<Body>) {
        let _gone = self.reply.send(response);
    }

    pub fn json(self, status: u16, body: &impl serde::Serialize) {
        let body = serde_json::to_vec(body).expect("plain data");
        self.answer(head(status, "application/json", OURS, Body::from(body)));
    }

    pub fn problem(self, code: ProblemCode, detail: &str) {
        self.json(code.status(), &Problem::new(code, detail));
    }

    pub fn stream_updates(self) -> Stream {
        self.stream("text/event-stream", OURS)
    }

    pub fn stream(self, content_type: &str, server: &str) -> Stream {
        let (sender, chunks) = mpsc::unbounded_channel();
        self.answer(head(200, content_type, server, Body::new(Chunks(chunks))));
        Stream(sender)
    }
}

pub fn head(status: u16, content_type: &str, server: &str, body: Body) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::SERVER, server)
        .body(body)
        .expect("a response")
}

impl Stream {
    pub fn send(&self, text: &str) {
        let _gone = self.0.send(Ok(Bytes::copy_from_slice(text.as_bytes())));
    }

    pub fn update(&self, seq: u64, update: Update) {
        let message = UpdateMessage { seq, update };
        let json = serde_json::to_string(&message).expect("plain data");
        self.send(&format!("event: {}\nid: {seq}\ndata: {json}\n\n", message.update.name()));
    }

    pub fn sample(&self, seq: u64) {
        self.update(seq, Update::Sample(Sample::default()));
    }

    pub fn break_off(self) {
        let _gone = self.0.send(Err(io::ErrorKind::ConnectionReset.into()));
    }

    /// Whether the console still listens.
    pub fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

pub fn snapshot() -> Update {
    let supervisor = SupervisorStatus {
        pid: 812,
        guardian_pid: None,
        guardian: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: 1.0,
        registry: "/s7/conf/SupervisorRegistry.xml".to_owned(),
        generation: 1,
        upgrades: 0,
        cpu_percent: 0.0,
        memory_bytes: 1,
        containment: ContainmentLevel::Cgroup,
        shutting_down: false,
    };
    Update::Snapshot(Box::new(Snapshot {
        host: "img-1".to_owned(),
        access: Access::Full,
        status: Status { supervisor, components: Vec::new() },
        dependencies: <_>::default(),
        events: Vec::new(),
    }))
}
