//! The client over every kind of endpoint, and what it makes of trouble.

use std::time::Duration;

use s7supervisor::{
    client::{Answer, Client, ClientError, CommandOptions, Endpoint},
    control::Access,
    runtime::Targets,
    wire::{Acceptance, OperationState, ProblemCode, Verb},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    time::Instant,
};

use crate::{
    engine::{RUN, Seen},
    served::{Served, serve, serve_in},
};

fn every_way(served: &Served) -> [Client; 3] {
    [
        served.client(),
        served.tcp_client(Some(served.token("control.token"))),
        Client::new(Endpoint::InProcess(served.server.router(Access::in_process())), "test"),
    ]
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

#[tokio::test]
async fn every_call_works_over_every_endpoint() {
    let mut served = serve();
    for client in every_way(&served) {
        let at = client.target().to_owned();
        assert_eq!(client.status().await.expect(&at).components.len(), 3);
        assert_eq!(client.component("ps").await.expect(&at).id, "ps");
        assert_eq!(client.explain("svg").await.expect(&at).status.id, "svg");
        assert!(client.readiness().await.expect(&at).ready);
        assert_eq!(client.raw("/v1/status").await.expect(&at).status, 200);

        let run = CommandOptions { if_run: Some(RUN), wait: None };
        let answer = client.command(Verb::Kill, &ids(&["is"]), run).await.expect(&at);
        let id = answer.operation_id().expect("applied");
        let seen = served.engine.command().await;
        assert_eq!(seen.if_run.map(|run| run.0), Some(RUN));
        assert_eq!(seen.origin.client.as_deref(), Some("test"));
        assert_eq!(client.operation(id).await.expect(&at).state, OperationState::Pending);
        served.engine.finish(id);
        let ended = client.wait(id, Duration::from_mins(1)).await.expect(&at);
        assert_eq!(ended.state, OperationState::Done);
        served.engine.seen().await;

        let several = ids(&["svg", "is"]);
        client.command(Verb::Stop, &several, CommandOptions::default()).await.expect(&at);
        assert_eq!(served.engine.command().await.targets, Targets::Ids(several));
        let redundant = client.command(Verb::Start, &ids(&["ps"]), CommandOptions::default()).await;
        assert_eq!(
            redundant.expect(&at),
            Answer::Accepted(Acceptance::Redundant { operation: None })
        );
        served.engine.command().await;

        assert_eq!(client.reload(true).await.expect(&at).operation, None);
        assert!(matches!(served.engine.seen().await, Seen::Reload { dry_run: true }));
        client.shutdown(true).await.expect(&at);
        assert!(matches!(served.engine.seen().await, Seen::Shutdown { restart: true, .. }));
        client.shutdown(false).await.expect(&at);
        assert!(matches!(served.engine.seen().await, Seen::Shutdown { restart: false, .. }));
        assert_eq!(client.foreign_version(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_over_the_client_ends_with_the_operation_or_its_time() {
    let mut served = serve();
    for client in every_way(&served) {
        // The client's own limit for answers does not cut a wait short.
        let hasty = client.with_timeout(Duration::from_secs(1));
        let wait = CommandOptions { if_run: None, wait: Some(Duration::from_mins(1)) };
        let begin = Instant::now();
        let answer = hasty.command(Verb::Restart, &ids(&["is"]), wait).await.expect("an answer");
        let Answer::Operation(operation) = answer else { panic!("{answer:?}") };
        assert_eq!((operation.state, begin.elapsed().as_secs()), (OperationState::Pending, 60));
        served.engine.command().await;
        served.engine.seen().await;

        served.engine.finish(operation.id + 1);
        let answer = hasty.command(Verb::Restart, &ids(&["is"]), wait).await.expect("an answer");
        let Answer::Operation(operation) = answer else { panic!("{answer:?}") };
        assert_eq!((operation.state, begin.elapsed().as_secs()), (OperationState::Done, 60));
        served.engine.command().await;
        served.engine.seen().await;
    }
}

#[tokio::test]
async fn not_ready_is_an_answer() {
    let served = serve();
    served.engine.ready(false);
    for client in every_way(&served) {
        let readiness = client.readiness().await.expect("an answer");
        assert_eq!(readiness.not_ready, ["ps"]);
    }
}

#[tokio::test]
async fn a_problem_comes_through_with_the_nearest_name() {
    let served = serve();
    // Not only a typing error: nothing that is written as an id can leave its place in the path.
    for id in ["iss", "is/stop", "..", "a b?wait=1#%", "é"] {
        let error = served.client().component(id).await.expect_err("unknown");
        let problem = error.problem().unwrap_or_else(|| panic!("{id}: {error:?}"));
        assert_eq!(problem.code, ProblemCode::UnknownComponent, "{id}");
        assert_eq!(problem.nearest.as_deref(), Some("is"));
        assert_eq!(error.to_string(), format!("there is no \"{id}\""));
    }
}

#[tokio::test]
async fn a_path_longer_than_the_kernel_takes_works_at_both_ends() {
    let served = serve_in(&"long/".repeat(40));
    assert!(served.socket.as_os_str().len() > 200);
    served.client().status().await.expect("reached");
    let socket = served.socket.clone();
    served.server.shutdown().await;
    assert!(!socket.exists(), "removed as well");
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_not_allowed() {
    let served = serve();
    for token in [None, Some("wrong-0123456789abcdef".to_owned())] {
        let error = served.tcp_client(token).status().await.expect_err("no right token");
        assert!(matches!(error, ClientError::NotPermitted { .. }), "{error:?}");
        assert!(error.to_string().contains("control.token"), "{error}");
    }
    let reader = served.tcp_client(Some(served.token("control-read.token")));
    reader.status().await.expect("reading is allowed");
    let error = reader.shutdown(false).await.expect_err("changing is not");
    assert!(matches!(error, ClientError::NotPermitted { .. }), "{error:?}");

    let (unix, tcp) = (served.client(), served.tcp_client(None));
    served.server.shutdown().await;
    for client in [unix, tcp] {
        let error = client.status().await.expect_err("nobody listens");
        assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
    }
    let stale = served.folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).expect("a socket that dies"));
    let client = Client::new(Endpoint::Unix(stale), "test");
    let error = client.status().await.expect_err("nobody listens");
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
}

/// Listens once, answers with this text whatever is asked, and closes.
fn stranger(answer: &'static str) -> (tempfile::TempDir, Client) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("stranger.sock");
    let listener = UnixListener::bind(&path).expect("a free name");
    tokio::spawn(async move {
        let (mut stream, _address) = listener.accept().await?;
        read_head(&mut stream).await?;
        stream.write_all(answer.as_bytes()).await
    });
    (folder, Client::new(Endpoint::Unix(path), "test"))
}

async fn read_head(stream: &mut UnixStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_buf(&mut head).await?;
    }
    Ok(())
}

#[tokio::test]
async fn another_version_and_another_program_are_named() {
    let (_folder, client) =
        stranger("HTTP/1.1 200 OK\r\nserver: s7supervisor/9.9.9\r\ncontent-length: 2\r\n\r\n{}");
    let error = client.status().await.expect_err("not our words").to_string();
    assert!(error.contains("version 9.9.9, this client 0.1.0"), "{error}");
    assert_eq!(client.foreign_version().as_deref(), Some("9.9.9"));

    let (_folder, client) =
        stranger("HTTP/1.1 200 OK\r\nserver: nginx/1.22\r\ncontent-length: 2\r\n\r\n{}");
    let error = client.status().await.expect_err("not ours");
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
    assert!(error.to_string().contains("nginx/1.22 answers there"), "{error}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_answer() {
    for answer in
        ["", "HTTP/1.1 200 OK\r\nserver: s7supervisor/0.1.0\r\ncontent-length: 9\r\n\r\n{}"]
    {
        let (_folder, client) = stranger(answer);
        let error = client.status().await.expect_err("it broke");
        assert!(matches!(error, ClientError::Unreachable { .. }), "{answer:?}: {error:?}");
    }
}
