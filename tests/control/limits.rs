//! Clients that are too large, too slow, too many or too deaf harm only themselves.

use std::time::Duration;

use s7supervisor::{
    client::{ClientError, CommandOptions},
    wire::Verb,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::Instant,
};

use crate::{
    engine::Seen,
    served::{BOUND, head, hear, serve, talk},
};

#[tokio::test]
async fn a_large_body_is_refused_before_it_is_read() {
    let mut served = serve();
    let heard = served.ask_with("POST", "/v1/stop", &["Content-Length: 65537"]).await;
    assert_eq!((heard.status(), heard.code()), (413, "too_large".into()));
    let mut chunked = head("POST", "/v1/stop", &["Host: a", "Transfer-Encoding: chunked"]);
    for _ in 0..65 {
        chunked += &("400\r\n".to_owned() + &"x".repeat(1024) + "\r\n");
    }
    let heard = talk(served.unix().await, &chunked).await;
    assert_eq!((heard.status(), heard.code()), (413, "too_large".into()));
    assert!(served.engine.untouched(), "nothing reached the engine");

    let fits = head("POST", "/v1/stop", &["Host: a", "Content-Length: 65536"]);
    let heard = talk(served.unix().await, &(fits + &"x".repeat(65536))).await;
    assert_eq!(heard.status(), 202, "64 KiB are within the limit");
}

#[tokio::test]
async fn large_headers_are_refused() {
    let mut served = serve();
    let large = format!("X-Large: {}", "x".repeat(16 << 10));
    assert_eq!(served.ask_with("POST", "/v1/stop", &[&large]).await.status(), 431);
    let endless = "POST /v1/stop HTTP/1.1\r\nX-Large: ".to_owned() + &"x".repeat(64 << 10);
    assert_eq!(talk(served.unix().await, &endless).await.status(), 431);
    assert!(served.engine.untouched(), "nothing reached the engine");
    let fits = format!("X-Large: {}", "x".repeat(15 << 10));
    assert_eq!(served.ask_with("POST", "/v1/stop", &[&fits]).await.status(), 202);
}

/// How long the server lets this connection be, by a clock that runs ahead when all are idle.
async fn patience(mut stream: impl AsyncRead + AsyncWrite + Unpin, begin: &str) -> (u64, String) {
    stream.write_all(begin.as_bytes()).await.expect("the server reads");
    let start = Instant::now();
    let heard = hear(stream).await;
    (start.elapsed().as_secs(), heard.0)
}

#[tokio::test(start_paused = true)]
async fn slow_and_idle_connections_are_closed_after_ten_seconds() {
    let mut served = serve();
    let slow_headers = "POST /v1/stop HTTP/1.1\r\nHost: localhost\r\nX-Slow";
    assert_eq!(patience(served.unix().await, slow_headers).await, (10, String::new()));
    assert_eq!(patience(served.tcp().await, "").await, (10, String::new()));

    let slow_body = "POST /v1/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc";
    let (seconds, heard) = patience(served.unix().await, slow_body).await;
    assert_eq!(seconds, 10);
    assert!(heard.contains("the body did not arrive within 10 s"), "{heard}");
    assert!(served.engine.untouched(), "half a request does nothing");

    let kept_alive = "GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (seconds, heard) = patience(served.unix().await, kept_alive).await;
    assert_eq!(seconds, 10);
    assert!(heard.starts_with("HTTP/1.1 200 OK"), "{heard}");
}

/// A connection that has been served once and is kept, so that it surely has its place.
async fn seated<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> S {
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.expect("the server reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let read = stream.read_buf(&mut answer).await.expect("the server answers");
        assert_ne!(read, 0, "closed instead of served");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    stream
}

#[tokio::test]
async fn the_57th_connection_of_a_process_is_refused_at_once_and_the_others_go_on() {
    let served = serve();
    let mut guests = Vec::new();
    for _ in 0..56 {
        guests.push(seated(served.unix().await).await);
    }
    // It says nothing and is answered all the same.
    let refused = hear(served.unix().await).await;
    assert_eq!((refused.status(), refused.code()), (503, "too_many_connections".into()));
    let problem = served.client().status().await.expect_err("no place");
    assert!(matches!(&problem, ClientError::Problem(p) if p.status == 503), "{problem:?}");
    for guest in guests.split_off(24) {
        seated(guest).await;
    }
    // The last 32 have gone; the server sees it when it next looks.
    let free = async {
        while hear_status(&served).await != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, free).await.expect("a place that was left is free again");
}

async fn hear_status(served: &crate::served::Served) -> u16 {
    served.ask("GET", "/v1/status").await.status()
}

#[tokio::test]
async fn a_crowd_on_tcp_does_not_lock_the_operator_out() {
    let served = serve();
    let mut crowd = Vec::new();
    for _ in 0..48 {
        crowd.push(seated(served.tcp().await).await);
    }
    let refused = hear(served.tcp().await).await;
    assert_eq!((refused.status(), refused.code()), (503, "too_many_connections".into()));
    served.client().status().await.expect("the socket has places of its own");
    drop(crowd);
}

#[tokio::test]
async fn an_engine_that_stalls_stalls_nobody_else() {
    let served = serve();
    let stalled = served.engine.stall();
    let hasty = served.client().with_timeout(Duration::from_millis(50));
    let error = hasty.status().await.expect_err("nobody answers");
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error:?}");
    assert_eq!(served.ask("GET", "/v1/openapi.json").await.status(), 200);
    assert_eq!(served.ask_tcp("GET", "/v1/status", &["Host: localhost"]).await.status(), 401);

    let patient = served.client();
    let (answer, ()) = tokio::join!(patient.status(), async { drop(stalled) });
    answer.expect("answered as soon as the engine goes on");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_engine_is_told_from_a_dead_connection() {
    let served = serve();
    let _stalled = served.engine.stall();
    let probe = served.ask("GET", "/livez").await;
    assert_eq!((probe.status(), probe.code()), (500, "internal".into()));
    let detail = probe.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.contains("did not answer within 5 s"), "{detail}");
}

#[tokio::test]
async fn a_client_that_waits_or_does_not_read_holds_nobody_up() {
    let mut served = serve();
    // More than the buffers of a socket hold, asked for and never read.
    served.engine.describe("x".repeat(1 << 20));
    let mut deaf = served.unix().await;
    deaf.write_all(head("GET", "/v1/status", &["Host: a"]).as_bytes()).await.expect("sent");

    let waiting = served.client();
    let options = CommandOptions { wait: Some(Duration::from_mins(1)), ..Default::default() };
    let is = ["is".to_owned()];
    let waiting = tokio::spawn(async move { waiting.command(Verb::Restart, &is, options).await });
    served.engine.command().await;
    assert!(matches!(served.engine.seen().await, Seen::Waiting));

    let status = served.client().status().await.expect("served meanwhile");
    assert_eq!(status.components[0].description.len(), 1 << 20);
    assert!(!waiting.is_finished());
    served.engine.finish(1);
    waiting.await.expect("no panic").expect("the operation has ended");
    drop(deaf);
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_nothing() {
    let mut served = serve();
    let mut leaving = served.unix().await;
    let request = head("POST", "/v1/components/is/stop?wait=60", &["Host: a"]);
    leaving.write_all(request.as_bytes()).await.expect("sent");
    served.engine.command().await;
    drop(leaving);
    let operation = served.client().operation(1).await.expect("it is under way");
    assert_eq!(operation.id, 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_takes_a_second_at_most_and_leaves_no_socket() {
    let mut served = serve();
    let idle = seated(served.unix().await).await;
    let mut waiting = served.unix().await;
    let request = head("POST", "/v1/components/is/stop?wait=3600", &["Host: a"]);
    waiting.write_all(request.as_bytes()).await.expect("sent");
    served.engine.command().await;
    assert!(matches!(served.engine.seen().await, Seen::Waiting));

    let start = Instant::now();
    served.server.shutdown().await;
    assert!(start.elapsed() <= Duration::from_millis(1100), "{:?}", start.elapsed());
    assert!(!served.socket.exists());
    assert_eq!(hear(idle).await.0, "");
    assert_eq!(hear(waiting).await.0, "");
}
