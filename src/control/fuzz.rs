//! For any bytes: what comes in by a connection, through the server, the routes and all.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Runtime,
    sync::watch,
};

use super::{access::Access, routes, serve};
use crate::runtime::{Handle, Message};

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
    );
}

/// Nobody changes anything who did not say POST; every answer is one, and its problem is JSON.
pub(crate) fn connection(bytes: &[u8]) {
    let (answer, asked) = RUNTIME.with_borrow_mut(|runtime| runtime.block_on(converse(bytes)));
    let posted = memchr::memmem::find(bytes, b"POST").is_some();
    assert!(posted || !asked, "something was changed without POST");
    let mut rest = answer.as_slice();
    while let Some(at) = memchr::memmem::find(rest, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..at]);
        let status: u16 = head
            .strip_prefix("HTTP/1.")
            .and_then(|head| head.get(2..5)?.parse().ok())
            .unwrap_or_else(|| panic!("no answer: {head:?}"));
        assert!((200..600).contains(&status), "{head}");
        let header = |name: &str| {
            head.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| *n == name))
        };
        let Some(length) = header("content-length") else { return };
        let length: usize = length.1.parse().expect("a number");
        let body = rest.get(at + 4..at + 4 + length);
        if status >= 400
            && let Some(body) = body.filter(|body| !body.is_empty())
        {
            let problem: serde_json::Value = serde_json::from_slice(body).expect("JSON");
            assert_eq!(problem["status"], status, "{problem:#}");
        }
        // The answer to HEAD has no body; what follows it is not read.
        let Some(after) = rest.get(at + 4 + length..) else { return };
        rest = after;
    }
}

/// The answers, and whether anybody asked the engine to change something.
async fn converse(bytes: &[u8]) -> (Vec<u8>, bool) {
    let (handle, mut messages) = Handle::channel();
    let updates = handle.updates().clone();
    let changed = Arc::new(AtomicBool::new(false));
    let engine = {
        let changed = Arc::clone(&changed);
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let reads = matches!(
                    message,
                    Message::Status { .. }
                        | Message::Component { .. }
                        | Message::Explain { .. }
                        | Message::Metrics { .. }
                        | Message::History { .. }
                        | Message::Details { .. }
                        | Message::Operation { .. }
                        | Message::OperationEnd { .. }
                        | Message::Readiness { .. }
                        | Message::Logs { .. }
                        | Message::Watch { .. }
                        | Message::Snapshot { .. }
                        | Message::Events { .. }
                );
                changed.fetch_or(!reads, Ordering::Relaxed);
                // Not answered: the caller is told that the engine ended.
            }
        })
    };
    let router = routes::finish(routes::routes(handle));
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (_stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve::converse(theirs, Access::in_process(), router, stopped, None));
    let (mut hear, mut say) = tokio::io::split(ours);
    let mut answer = Vec::new();
    // A server that refuses early closes while we still speak.
    let _closed = say.write_all(bytes).await;
    let _closed = say.shutdown().await;
    // Answers that would go on and on end with the engine.
    updates.close();
    let _closed = hear.read_to_end(&mut answer).await;
    server.await.expect("no panic");
    engine.abort();
    (answer, changed.load(Ordering::Relaxed))
}
