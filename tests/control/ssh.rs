//! `ssh://` without a login: in the place of ssh stands a script, in the place of the other
//! machine this one.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use s7supervisor::{
    client::{Client, ClientError, Endpoint, SshOptions},
    wire::Update,
};

use crate::served::{BOUND, Served, serve};

/// A client whose ssh is this script. It is run with what ssh is run with, and with `SOCKET`.
fn client(served: &Served, script: &str) -> Client {
    let path = served.folder.path().join("ssh");
    let text = format!("#!/bin/sh\nSOCKET={}\n{script}\n", served.socket.display());
    fs::write(&path, text).expect("our folder");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our file");
    let program = vec![path.to_str().expect("text").to_owned()];
    let endpoint: Endpoint = "ssh://anna@img-3".parse().expect("well-formed");
    let endpoint = endpoint.with_ssh(SshOptions { program, ..SshOptions::default() });
    Client::new(endpoint, "test").over_ssh("anna@laptop")
}

/// What stands for `dial-stdio` there: the binary under test itself.
fn dial(served: &Served) -> String {
    // `<temp>` names the folder of the socket.
    let conf = served.folder.path().join("conf");
    fs::create_dir_all(&conf).expect("our folder");
    fs::write(
        conf.join("SupervisorRegistry.xml"),
        "<supervisor><config><temp>temp</temp></config><servers/></supervisor>",
    )
    .expect("our folder");
    format!(
        "exec {} -i {} dial-stdio",
        env!("CARGO_BIN_EXE_s7supervisor"),
        served.folder.path().display()
    )
}

/// Waits until no process runs this program any more.
async fn gone(program: &Path) {
    let runs = || {
        let needle = program.as_os_str().as_encoded_bytes();
        let processes = fs::read_dir("/proc").expect("Linux").flatten();
        let command =
            |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).unwrap_or_default();
        processes.map(command).any(|command| memchr::memmem::find(&command, needle).is_some())
    };
    let all_gone = async {
        while runs() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(BOUND, all_gone).await.expect("the process ends with its connection");
}

#[tokio::test]
async fn calls_and_streams_go_through_dial_stdio() {
    let mut served = serve();
    let client = client(&served, &dial(&served));
    assert_eq!(client.status().await.expect("answered").components.len(), 3);
    client.shutdown(true).await.expect("answered");
    let crate::engine::Seen::Shutdown { origin, .. } = served.engine.seen().await else { panic!() };
    assert!(origin.contains("(test) over ssh from anna@laptop"), "{origin}");
    let mut updates = client.updates(None).await.expect("a stream");
    assert!(matches!(updates.next().await.expect("first").update, Update::Snapshot(_)));
    served.engine.happens("ps", "it runs");
    assert!(matches!(updates.next().await.expect("next").update, Update::Event { .. }));
    // The end of the client's side ends the whole chain.
    drop(updates);
    gone(served.folder.path()).await;
    // And so does the end of the Supervisor's.
    let mut updates = client.updates(None).await.expect("a stream");
    updates.next().await.expect("first");
    served.server.shutdown().await;
    updates.next().await.expect_err("it is gone");
    drop(updates);
    gone(served.folder.path()).await;
    let error = client.status().await.expect_err("nobody listens");
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
    assert!(error.to_string().contains("ssh://anna@img-3: unix:"), "{error}");
}

#[tokio::test]
async fn what_ssh_says_is_the_reason() {
    let served = serve();
    for (script, wanted) in [
        ("echo 'anna@img-3: Permission denied (publickey).' >&2; exit 255", "Permission denied"),
        ("echo 'Host key verification failed.' >&2; exit 255", "compare it"),
        ("echo 'sh: s7supervisor: not found' >&2; exit 127", "S7_REMOTE_PROGRAM"),
        ("echo 'Connection closed by img-3' >&2; exit 255", "Connection closed by img-3"),
        // Said although its standard output ends long before.
        ("exec >&-; sleep 0.3; echo 'too late?' >&2; exit 255", "too late?"),
        ("exit 0", "the connection broke"),
    ] {
        let client = client(&served, script);
        let error = client.status().await.expect_err(script).to_string();
        assert!(error.contains(wanted), "{script}: {error}");
        let error = client.updates(None).await.expect_err(script).to_string();
        assert!(error.contains(wanted), "{script}: {error}");
    }
}

#[tokio::test]
async fn a_flood_on_standard_error_holds_nothing_up_and_is_not_kept() {
    let served = serve();
    let script = "head -c 5000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo 'the end' >&2; exit 1";
    let error = client(&served, script).status().await.expect_err("no answer").to_string();
    assert!(error.len() < 6000 && error.contains("the end"), "{}", error.len());
}

#[tokio::test]
async fn an_ssh_that_hangs_ends_with_its_connection() {
    let served = serve();
    // It reads nothing, so the end of its input does not end it.
    let script = format!("exec sleep 1000.{}", std::process::id());
    let client = client(&served, &script);
    let asked = tokio::time::timeout(Duration::from_millis(200), client.status()).await;
    assert!(asked.is_err(), "it hangs: {asked:?}");
    gone(Path::new(&format!("1000.{}", std::process::id()))).await;
}

#[tokio::test]
async fn a_stream_that_breaks_says_what_ssh_says() {
    let served = serve();
    let head = "HTTP/1.1 200 OK\\r\\nserver: s7supervisor/0.1.0\\r\\ntransfer-encoding: chunked\\r\\n\
                content-type: text/event-stream\\r\\n\\r\\n";
    let script =
        format!("printf '{head}'; echo 'Timeout, server img-3 not responding.' >&2; exit 255");
    let mut updates = client(&served, &script).updates(None).await.expect("a stream");
    let error = updates.next().await.expect_err("broken").to_string();
    assert!(error.contains("img-3 not responding"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_with_what_to_do() {
    let served = serve();
    let program = vec!["/nonexistent/ssh".to_owned()];
    let endpoint: Endpoint = "ssh://img-3".parse().expect("well-formed");
    let endpoint = endpoint.with_ssh(SshOptions { program, ..SshOptions::default() });
    let error = Client::new(endpoint, "test").status().await.expect_err("no ssh").to_string();
    assert!(error.contains("S7_SSH"), "{error}");
    drop(served);
}
