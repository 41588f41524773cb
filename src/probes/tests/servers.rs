//! `tcp` and `http` against real servers on the loopback.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::*;
use crate::registry::HeaderMatch;

/// A server that treats each connection in a thread of its own; it ends with the test.
fn server(treat: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let treat = treat.clone();
            thread::spawn(move || treat(stream));
        }
    });
    address
}

/// Reads a request's head, as text.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("a request is ASCII")
}

/// A server that answers every request with these bytes.
fn answering(answer: &'static str) -> SocketAddr {
    server(move |mut stream| {
        let _ = head(&mut stream);
        let _ = stream.write_all(answer.as_bytes());
    })
}

/// Waits until the other side closes.
fn linger(mut stream: &TcpStream) {
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

fn http(address: SocketAddr, status: &[std::ops::RangeInclusive<u16>]) -> Check {
    let url = format!("http://{address}/ready?key=secret");
    Check::Http { url, status: status.to_vec(), header: None, body: None }
}

/// What a single check finds, without the address; it may take half a second.
async fn found(address: SocketAddr, check: Check) -> (bool, String) {
    let mut lab = Lab::new();
    let mut is = component("is");
    let timeout = Duration::from_millis(500);
    let interval = Duration::from_millis(1);
    is.ready = Some(Probe { timeout, interval, failures: 1, ..probe(check) }.into());
    lab.start(RUN, &is);
    let (ok, detail) = match lab.next().await.1 {
        Finding::Passed { detail } => (true, detail),
        Finding::Failed { detail } => (false, detail),
        other => panic!("no verdict: {other:?}"),
    };
    let detail = detail.replace(&address.to_string(), "HERE");
    let detail = detail.split(" (1 failure").next().unwrap_or_default().to_owned();
    (ok, detail)
}

fn good(detail: &str) -> (bool, String) {
    (true, detail.to_owned())
}

fn bad(detail: &str) -> (bool, String) {
    (false, format!("not ready: {detail}"))
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

#[tokio::test]
async fn tcp_connects() {
    let address = server(|_closed| {});
    let check = |host: &str| Check::Tcp { host: host.to_owned(), port: address.port() };
    let expected = good("tcp HERE accepts connections");
    assert_eq!(found(address, check("127.0.0.1")).await, expected);
    let (ok, detail) = found(address, check("localhost")).await;
    assert!(ok && detail.starts_with("tcp localhost:"), "{detail}");
}

#[tokio::test]
async fn tcp_is_refused() {
    let address = nobody();
    let check = Check::Tcp { host: "127.0.0.1".to_owned(), port: address.port() };
    assert_eq!(found(address, check).await, bad("tcp HERE failed: connection refused"));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_named() {
    let check = Check::Tcp { host: "no.such.host.invalid".to_owned(), port: 80 };
    let (ok, detail) = found(nobody(), check).await;
    let expected = "not ready: tcp no.such.host.invalid:80 ";
    assert!(!ok && detail.starts_with(expected), "{detail}");
}

#[tokio::test]
async fn http_answers_as_expected() {
    let address = answering("HTTP/1.1 204 No Content\r\n\r\n");
    let expected = good("GET http://HERE/ready answered 204");
    assert_eq!(found(address, http(address, &[200..=200, 204..=204])).await, expected);
    assert_eq!(found(address, http(address, &[])).await, expected);
}

#[tokio::test]
async fn http_answers_with_another_status() {
    let address = answering("HTTP/1.1 503 Later\r\nContent-Length: 3\r\n\r\nno!");
    let expected = bad("GET http://HERE/ready answered 503");
    assert_eq!(found(address, http(address, &[200..=299])).await, expected);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let address = answering("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n");
    let found_here = found(address, http(address, &[200..=299])).await;
    assert_eq!(found_here, bad("GET http://HERE/ready answered 302"));
    let expected = good("GET http://HERE/ready answered 302");
    assert_eq!(found(address, http(address, &[200..=399])).await, expected);
}

#[tokio::test]
async fn the_request_is_complete_and_the_connection_is_closed() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let address = server(move |mut stream| {
        let request = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        linger(&stream); // ends only when the other side closes
        let _ = sender.send(request);
    });
    assert!(found(address, http(address, &[])).await.0);
    let request = receiver.recv_timeout(Duration::from_secs(10)).expect("the connection is closed");
    assert!(request.starts_with("GET /ready?key=secret HTTP/1.1\r\n"), "{request}");
    let lower = request.to_ascii_lowercase();
    assert!(lower.contains(&format!("\r\nhost: {address}\r\n")), "{request}");
    assert!(lower.contains("\r\nconnection: close\r\n"), "{request}");
}

#[tokio::test]
async fn a_server_that_hangs_gives_no_answer() {
    let address = server(|stream| linger(&stream));
    let expected = bad("GET http://HERE/ready no answer within 0.5 s");
    assert_eq!(found(address, http(address, &[])).await, expected);
}

#[tokio::test]
async fn headers_that_never_end_are_no_answer() {
    let address = server(|mut stream| {
        let _ = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        let drip = |mut stream: TcpStream| {
            while stream.write_all(b"X: y\r\n").is_ok() {
                thread::park_timeout(Duration::from_millis(50));
            }
        };
        drip(stream);
    });
    let expected = bad("GET http://HERE/ready no answer within 0.5 s");
    assert_eq!(found(address, http(address, &[])).await, expected);
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_no_answer() {
    let address = server(|mut stream| {
        let _ = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        linger(&stream);
    });
    let expected = bad("GET http://HERE/ready no answer within 0.5 s");
    assert_eq!(found(address, http(address, &[])).await, expected);
}

#[tokio::test]
async fn a_body_without_end_is_cut_off_and_not_held_against_the_server() {
    let address = server(|mut stream| {
        let _ = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 8_192]).is_ok() {}
    });
    let expected = good("GET http://HERE/ready answered 200");
    assert_eq!(found(address, http(address, &[])).await, expected);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let address = server(|mut stream| {
        let _ = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while stream.write_all(&[b'x'; 8_192]).is_ok() {}
    });
    let expected = bad("GET http://HERE/ready answered with a head that is too large");
    assert_eq!(found(address, http(address, &[])).await, expected);
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    let address = answering("220 mail.example.com ESMTP\r\n\r\n");
    let expected = bad("GET http://HERE/ready answered with something that is not HTTP");
    assert_eq!(found(address, http(address, &[])).await, expected);
}

#[tokio::test]
async fn a_connection_that_is_closed_at_once_is_no_answer() {
    let address = server(|mut stream| {
        let _ = head(&mut stream);
    });
    let expected = bad("GET http://HERE/ready closed the connection without a whole answer");
    assert_eq!(found(address, http(address, &[])).await, expected);
}

#[tokio::test]
async fn a_header_and_a_body_can_be_asked_for() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nX-State: warming\r\nX-State: ready\r\n\
                          Content-Length: 20\r\n\r\nserving 3 of 3 parts";
    let here = answering(ANSWER);
    let asked = |header: Option<(&str, &str)>, body: Option<&str>| {
        let Check::Http { url, .. } = http(here, &[]) else { unreachable!("it is one") };
        let header = header.map(|(name, pattern)| HeaderMatch {
            name: name.to_owned(),
            pattern: pattern.to_owned(),
        });
        Check::Http { url, status: Vec::new(), header, body: body.map(str::to_owned) }
    };
    let answered = "GET http://HERE/ready answered 200";
    for (header, body, missing) in [
        (Some(("x-state", "^ready$")), Some("of 3 parts$"), None),
        (Some(("X-State", "^cold$")), None, Some("its header X-State does not match \"^cold$\"")),
        (Some(("X-Other", ".")), Some("serving"), Some("without the header X-Other")),
        (None, Some("of 4"), Some("its body does not match \"of 4\"")),
    ] {
        let found = found(here, asked(header, body)).await;
        match missing {
            None => assert_eq!(found, good(answered)),
            Some(missing) => assert_eq!(found, bad(&format!("{answered}, but {missing}"))),
        }
    }
}
