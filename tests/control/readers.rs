//! The client's streams: over every kind of endpoint, and what it makes of streams that stall,
//! break anywhere, or come from something else.

use std::time::Duration;

use s7supervisor::{
    client::{Client, ClientError, Endpoint, EventQuery, LogQuery, SILENCE},
    control::Access,
    wire::{EventKind, EventRecord, ProblemCode, Update},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::mpsc,
    time::Instant,
};

use crate::served::{BOUND, Served, serve};

fn every_way(served: &Served) -> [Client; 3] {
    [
        served.client(),
        served.tcp_client(Some(served.token("control-read.token"))),
        Client::new(Endpoint::InProcess(served.server.router(Access::in_process())), "test"),
    ]
}

fn event(text: &str) -> Update {
    Update::Event {
        event: EventRecord {
            seq: 1,
            at: "2026-11-27T12:00:00.000Z".to_owned(),
            component: Some("ps".to_owned()),
            run: None,
            kind: EventKind::Running,
            text: text.to_owned(),
            origin: None,
        },
    }
}

#[tokio::test]
async fn updates_come_over_every_endpoint_and_go_on_where_they_broke() {
    let served = serve();
    for client in every_way(&served) {
        let at = client.target().to_owned();
        let mut updates = client.updates(None).await.expect(&at);
        let first = updates.next().await.expect(&at);
        assert!(matches!(first.update, Update::Snapshot(_)), "{at}: {first:?}");
        for text in ["one", "two"] {
            served.engine.updates.publish(event(text));
        }
        let one = updates.next().await.expect(&at);
        assert_eq!((one.seq, &one.update), (first.seq + 1, &event("one")), "{at}");
        drop(updates);
        let mut updates = client.updates(Some(one.seq)).await.expect(&at);
        assert_eq!(updates.next().await.expect(&at).update, event("two"), "{at}");
    }
}

#[tokio::test]
async fn a_dropped_stream_gives_its_connection_back() {
    let served = serve();
    // More than there are places: each is free again once its stream is gone.
    for _ in 0..200 {
        let mut updates = served.client().updates(None).await.expect("a place");
        updates.next().await.expect("a snapshot");
    }
}

#[tokio::test]
async fn the_end_of_the_supervisor_ends_its_streams() {
    let served = serve();
    let mut updates = served.client().updates(None).await.expect("served");
    updates.next().await.expect("a snapshot");
    served.server.shutdown().await;
    let error = updates.next().await.expect_err("it is gone");
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_stream_that_is_refused_says_why() {
    let served = serve();
    let error = served.tcp_client(None).updates(None).await.expect_err("no token");
    assert!(matches!(error, ClientError::NotPermitted { .. }), "{error:?}");
    let query = EventQuery { since: Some("never".to_owned()), ..EventQuery::default() };
    let error = served.client().events(&query).await.expect_err("no time");
    assert_eq!(error.problem().map(|problem| problem.code), Some(ProblemCode::BadRequest));
}

/// Answers each connection with what the test sends through the channel, byte for byte.
struct Stranger {
    _folder: tempfile::TempDir,
    client: Client,
    connections: mpsc::UnboundedReceiver<UnixStream>,
}

impl Stranger {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("stranger.sock");
        let listener = UnixListener::bind(&path).expect("a free name");
        let (sender, connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _address)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.is_ok_and(|count| count == 0) {
                        break;
                    }
                }
                let _test_over = sender.send(stream);
            }
        });
        Self { _folder: folder, client: Client::new(Endpoint::Unix(path), "test"), connections }
    }

    async fn connection(&mut self) -> UnixStream {
        self.connections.recv().await.expect("the listener lives")
    }

    /// A connection that answered with these bytes, and then closed if so wished.
    async fn answers(&mut self, bytes: &[u8], close: bool) -> Option<UnixStream> {
        let mut stream = self.connection().await;
        stream.write_all(bytes).await.expect("the client listens");
        (!close).then_some(stream)
    }
}

fn head(content_type: &str, version: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nserver: s7supervisor/{version}\r\ncontent-type: {content_type}\r\n\
         transfer-encoding: chunked\r\n\r\n"
    )
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Three samples, in chunks that end within lines.
fn stream_of_samples() -> String {
    let sample = |seq| {
        format!(
            "event: sample\nid: {seq}\ndata: {{\"seq\":{seq},\"type\":\"sample\",\"at\":\"\",\
             \"cpu_percent\":0,\"memory_bytes\":0,\"components\":[]}}\n\n"
        )
    };
    let text = format!("{}: alive\n\n{}{}", sample(1), sample(2), sample(3));
    let (first, rest) = text.split_at(37);
    let (second, third) = rest.split_at(100);
    let version = env!("CARGO_PKG_VERSION");
    head("text/event-stream", version) + &chunk(first) + &chunk(second) + &chunk(third)
}

#[tokio::test]
async fn a_stream_that_is_cut_at_any_byte_ends_in_an_error_and_never_in_half_a_message() {
    let whole = stream_of_samples();
    let mut stranger = Stranger::new();
    let client = stranger.client.clone();
    let mut most = 0;
    for end in 0..=whole.len() {
        let bytes = &whole.as_bytes()[..end];
        let read = async {
            let mut updates = client.updates(None).await?;
            let mut seen = 0;
            loop {
                match updates.next().await {
                    Ok(message) => {
                        seen += 1;
                        assert_eq!(message.seq, seen);
                    }
                    Err(error) => {
                        most = most.max(seen);
                        // It stays so, whoever asks again.
                        assert_eq!(updates.next().await.expect_err("broken"), error);
                        return Err::<(), _>(error);
                    }
                }
            }
        };
        let both = async { tokio::join!(read, stranger.answers(bytes, true)).0 };
        let ended = tokio::time::timeout(BOUND, both).await.expect("it ends");
        let error = ended.expect_err("it is not complete");
        assert!(matches!(error, ClientError::Unreachable { .. }), "{end}: {error:?}");
    }
    assert_eq!(most, 3, "all that came whole was read");
}

#[tokio::test]
async fn lines_of_json_end_where_the_answer_ends_and_not_before() {
    let line = |seq: u64| {
        format!(
            "{{\"id\":\"ps\",\"seq\":{seq},\"at\":\"\",\"kind\":\"line\",\"stream\":\"out\",\
             \"run\":1,\"text\":\"x\"}}"
        )
    };
    // The last line has no end of its own.
    let text = format!("{}\n\n{}\n{}", line(1), line(2), line(3));
    let (first, second) = text.split_at(50);
    let body = head("application/x-ndjson", "0.1.0") + &chunk(first) + &chunk(second);
    let mut stranger = Stranger::new();
    let client = stranger.client.clone();
    for complete in [true, false] {
        let end = if complete { "0\r\n\r\n" } else { "" };
        let read = async {
            let mut logs = client.logs(&LogQuery::default()).await?;
            let mut seen = Vec::new();
            while let Some(batch) = logs.next().await? {
                seen.extend(batch.into_iter().map(|line| line.record.seq));
            }
            Ok::<_, ClientError>(seen)
        };
        let bytes = body.clone() + end;
        let (read, _) = tokio::join!(read, stranger.answers(bytes.as_bytes(), true));
        match read {
            Ok(seen) => assert!(complete && seen == [1, 2, 3], "{seen:?}"),
            Err(error) => assert!(!complete, "{error:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silence_on_a_socket_is_noticed_and_signs_of_life_are_heard() {
    let mut stranger = Stranger::new();
    let client = stranger.client.clone();
    let text = head("text/event-stream", "0.1.0") + &chunk(": alive\n\n");
    let (updates, held) =
        tokio::join!(client.updates(None), stranger.answers(text.as_bytes(), false));
    let (mut updates, mut held) = (updates.expect("an answer"), held.expect("kept open"));
    let begin = Instant::now();
    let reading = tokio::spawn(async move { updates.next().await });
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        held.write_all(chunk(": alive\n\n").as_bytes()).await.expect("the client listens");
    }
    let error = reading.await.expect("no panic").expect_err("it fell silent");
    assert!(matches!(error, ClientError::TimedOut { after: SILENCE, .. }), "{error:?}");
    assert_eq!(begin.elapsed().as_secs(), 120 + 40);
}

#[tokio::test]
async fn an_answer_of_another_kind_is_no_stream() {
    let mut stranger = Stranger::new();
    let client = stranger.client.clone();
    for (answer, why) in [
        (head("application/json", "0.1.0") + &chunk("{}"), "sent application/json for a stream"),
        (
            head("text/event-stream", "9.9.9") + &chunk("event: gap\ndata: {\"missed\":true}\n\n"),
            "the Supervisor is version 9.9.9",
        ),
    ] {
        let read = async { client.updates(None).await?.next().await };
        let (read, _held) = tokio::join!(read, stranger.answers(answer.as_bytes(), false));
        let error = read.expect_err("not understood");
        assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
}
