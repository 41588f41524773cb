//! Who gets in, and who does not.

use std::{fs, os::unix::fs::PermissionsExt as _};

use s7supervisor::{
    client::{Client, ClientError, CommandOptions, Endpoint},
    control::{self, Access, Options},
    model::Via,
    wire::Verb,
};

use crate::{
    engine::Engine,
    served::{Served, serve},
};

const HOST: &str = "Host: localhost";

fn bearer(served: &Served, file: &str) -> String {
    format!("Authorization: Bearer {}", served.token(file))
}

#[tokio::test]
async fn tcp_needs_a_token() {
    let mut served = serve();
    for headers in [
        &[HOST][..],
        &[HOST, "Authorization: Bearer 0123456789abcdef0123456789abcdef"],
        &[HOST, "Authorization: Bearer "],
        &[HOST, "Authorization: Basic cm9vdDpyb290"],
    ] {
        let heard = served.ask_tcp("POST", "/v1/stop", headers).await;
        assert_eq!((heard.status(), heard.code()), (401, "unauthorized".into()), "{headers:?}");
        assert_eq!(heard.header("www-authenticate"), Some("Bearer realm=\"s7supervisor\""));
        let unknown = served.ask_tcp("GET", "/no/such/path", headers).await;
        assert_eq!(unknown.status(), 401, "not even which paths there are");
    }
    assert!(served.engine.untouched(), "nothing reached the engine");

    let token = bearer(&served, "control.token");
    assert_eq!(served.ask_tcp("POST", "/v1/stop", &[HOST, &token]).await.status(), 202);
    let origin = served.engine.command().await.origin;
    let Via::Tcp { peer, token } = &origin.via else { panic!("{origin:?}") };
    assert_eq!(token, "control");
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");
}

#[tokio::test]
async fn the_read_only_token_reads_only() {
    let mut served = serve();
    let token = bearer(&served, "control-read.token");
    assert_eq!(served.ask_tcp("GET", "/v1/status", &[HOST, &token]).await.status(), 200);
    for path in ["/v1/stop", "/v1/components/is/restart", "/v1/reload?dry_run=true"] {
        let heard = served.ask_tcp("POST", path, &[HOST, &token]).await;
        assert_eq!((heard.status(), heard.code()), (403, "read_only".into()), "{path}");
    }
    assert!(served.engine.untouched(), "nothing reached the engine");
}

#[tokio::test]
async fn web_pages_and_foreign_hosts_stay_out_whatever_their_token() {
    let mut served = serve();
    let token = bearer(&served, "control.token");
    for path in ["/v1/status", "/healthz"] {
        for host in ["Host: evil.example", "Host: localhost.evil.example:9910", "X-No-Host: 1"] {
            let heard = served.ask_tcp("GET", path, &[host, &token]).await;
            assert_eq!((heard.status(), heard.code()), (421, "misdirected_host".into()), "{host}");
        }
        for origin in ["Origin: http://evil.example", "Origin: null", "Origin: http://localhost"] {
            let heard = served.ask_tcp("GET", path, &[HOST, origin, &token]).await;
            assert_eq!((heard.status(), heard.code()), (403, "origin_refused".into()), "{origin}");
        }
    }
    let absolute = served.ask_tcp("POST", "http://evil.example/v1/stop", &[HOST, &token]).await;
    assert_eq!(absolute.status(), 421);
    assert!(served.engine.untouched(), "nothing reached the engine");
    let port = format!("Host: 127.0.0.1:{}", served.port());
    assert_eq!(served.ask_tcp("GET", "/v1/status", &[&port, &token]).await.status(), 200);
}

#[tokio::test]
async fn probes_need_no_token() {
    let served = serve();
    for path in ["/healthz", "/readyz", "/livez"] {
        assert_eq!(served.ask_tcp("GET", path, &[HOST]).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn the_files_are_for_the_owner_alone() {
    let served = serve();
    for name in [control::SOCKET_NAME, "control.token", "control-read.token"] {
        let metadata = fs::metadata(served.socket.with_file_name(name)).expect("made");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let folder = fs::metadata(served.socket.parent().expect("a folder")).expect("made");
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_second_server_is_told_who_holds_the_socket_and_the_port() {
    let served = serve();
    let (_engine, handle) = Engine::start();
    let temp = served.socket.parent().expect("a folder").to_owned();
    let socket = Options {
        socket: Some(served.socket.clone()),
        token_folder: temp.clone(),
        ..Options::default()
    };
    let error = control::serve(&socket, handle.clone()).expect_err("it is taken").to_string();
    let us = std::process::id();
    let expected =
        format!("cannot bind the control socket {}: in use by pid {us}", served.socket.display());
    assert_eq!(error, expected);

    let port = Options { tcp_port: Some(served.port()), token_folder: temp, ..Options::default() };
    let error = control::serve(&port, handle).expect_err("it is taken").to_string();
    let expected =
        format!("cannot bind the control port 127.0.0.1:{}: in use by pid {us}", served.port());
    assert_eq!(error, expected);
    served.client().status().await.expect("the first one is undisturbed");
}

#[tokio::test]
async fn a_caller_in_the_process_may_be_held_to_reading() {
    let (mut engine, handle) = Engine::start();
    let router = control::router(handle, Access::in_process().read_only());
    let client = Client::new(Endpoint::InProcess(router), "console");
    client.status().await.expect("reading is allowed");
    let stop = client.command(Verb::Stop, &[], CommandOptions::default()).await;
    let error = stop.expect_err("this changes something");
    assert!(matches!(error, ClientError::NotPermitted { .. }), "{error:?}");
    assert!(engine.untouched(), "nothing reached the engine");
}
