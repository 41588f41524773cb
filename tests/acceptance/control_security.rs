//! The doors of the engine: who is let in, and what knocking can do.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    time::Duration,
};

use crate::support::{Place, Registry, Server, Supervisor, free_port, http, now, since, until};

/// A Supervisor that listens on TCP as well.
struct Gate {
    port: u16,
    full: String,
    read: String,
}

fn place(port: u16) -> Place {
    Place::new(&Registry::of([Server::sleep("ps")]).config(&format!("<tcpport>{port}</tcpport>")))
}

fn open(place: &Place, port: u16) -> (Gate, Supervisor<'_>) {
    let supervisor = place.start();
    place.await_state("ps", "running");
    let token = |name: &str| format!("Authorization: Bearer {}", place.read(name).trim());
    let gate =
        Gate { port, full: token("temp/control.token"), read: token("temp/control-read.token") };
    until("it listens on TCP", || TcpStream::connect(("127.0.0.1", port)).ok());
    (gate, supervisor)
}

impl Gate {
    #[track_caller]
    fn ask(&self, method: &str, path: &str, headers: &[&str]) -> http::Answer {
        http::tcp(self.port, method, path, headers).expect("an answer")
    }
}

/// Nothing that was tried has touched the engine or the component.
#[track_caller]
fn assert_unharmed(place: &Place, pid: u32) {
    let asked = now();
    assert_eq!(place.pid("ps"), pid);
    assert!(since(asked) < Duration::from_secs(2), "the engine was held up: {:?}", since(asked));
}

#[test]
fn only_a_token_opens_tcp() {
    let port = free_port();
    let place = place(port);
    let (gate, _supervisor) = open(&place, port);
    let pid = place.pid("ps");

    gate.ask("GET", "/v1/status", &[]).assert_problem(401, "unauthorized");
    gate.ask("POST", "/v1/components/ps/stop", &[]).assert_problem(401, "unauthorized");
    gate.ask("POST", "/v1/shutdown", &[]).assert_problem(401, "unauthorized");
    let prefix = &gate.full[..gate.full.len() - 1];
    for wrong in [
        "Authorization: Bearer wrong",
        "Authorization: Bearer ",
        "Authorization: Basic cm9vdDpyb290",
        prefix,
        &format!("{}x", gate.full),
    ] {
        gate.ask("GET", "/v1/status", &[wrong]).assert_problem(401, "unauthorized");
    }
    // Paths that do not exist tell strangers nothing.
    gate.ask("GET", "/v1/components/ps", &[]).assert_problem(401, "unauthorized");
    assert_unharmed(&place, pid);

    let status = gate.ask("GET", "/v1/status", &[&gate.full]);
    assert_eq!(status.status, 200, "{status:?}");
    assert_eq!(status.json()["components"][0]["pid"], pid);
    for health in ["/healthz", "/readyz"] {
        assert_eq!(gate.ask("GET", health, &[]).status, 200, "{health} needs no token");
    }

    let read = gate.ask("GET", "/v1/status", &[&gate.read]);
    assert_eq!(read.status, 200, "{read:?}");
    for path in ["/v1/components/ps/restart", "/v1/stop", "/v1/reload", "/v1/shutdown"] {
        gate.ask("POST", path, &[&gate.read]).assert_problem(403, "read_only");
    }
    assert_unharmed(&place, pid);

    let restart = gate.ask("POST", "/v1/components/ps/restart?wait=30", &[&gate.full]);
    assert!(matches!(restart.status, 200 | 202), "{restart:?}");
    assert_ne!(place.pid("ps"), pid);
}

#[test]
fn web_pages_are_refused() {
    let port = free_port();
    let place = place(port);
    let (gate, _supervisor) = open(&place, port);
    let pid = place.pid("ps");

    for origin in
        ["Origin: http://evil.example", "Origin: null", &format!("Origin: http://127.0.0.1:{port}")]
    {
        gate.ask("POST", "/v1/components/ps/stop", &[&gate.full, origin])
            .assert_problem(403, "origin_refused");
        gate.ask("GET", "/v1/status", &[&gate.full, origin]).assert_problem(403, "origin_refused");
    }
    // DNS rebinding: the browser believes that we are evil.example.
    for host in [
        "evil.example",
        "localhost.evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1.evil.example",
    ] {
        let request = http::request("GET", "/v1/status", host, &[&gate.full], "");
        http::raw(port, &request).expect("an answer").assert_problem(421, "misdirected_host");
    }
    for host in ["localhost", "127.0.0.1", &format!("localhost:{port}"), &format!("[::1]:{port}")] {
        let request = http::request("GET", "/v1/status", host, &[&gate.full], "");
        assert_eq!(http::raw(port, &request).expect("an answer").status, 200, "{host}");
    }
    assert_unharmed(&place, pid);
}

#[test]
fn what_is_too_large_is_refused() {
    let port = free_port();
    let place = place(port);
    let (gate, _supervisor) = open(&place, port);
    let pid = place.pid("ps");

    let body = "x".repeat((64 << 10) + 1);
    let request = http::request("POST", "/v1/reload", "localhost", &[&gate.full], &body);
    http::raw(port, &request).expect("an answer").assert_problem(413, "too_large");
    // A length that is claimed, and never sent.
    let request = format!(
        "POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\nContent-Length: 99999999999\r\n\r\n",
        gate.full
    );
    http::raw(port, &request).expect("an answer").assert_problem(413, "too_large");

    // Headers: refused with an answer or by closing, never accepted.
    let long = format!("X-Long: {}", "y".repeat(20 << 10));
    match http::raw(
        port,
        &http::request("GET", "/v1/status", "localhost", &[&gate.full, &long], ""),
    ) {
        Ok(answer) => assert!(matches!(answer.status, 400 | 413 | 431), "{answer:?}"),
        Err(error) => assert!(
            matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            ),
            "{error}"
        ),
    }
    assert_unharmed(&place, pid);
}

#[test]
fn nonsense_is_refused() {
    let port = free_port();
    let place = place(port);
    let (gate, _supervisor) = open(&place, port);
    let pid = place.pid("ps");

    for bytes in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        if let Ok(answer) = http::raw(port, bytes) {
            assert!((400..=505).contains(&answer.status), "{bytes:?}: {answer:?}");
        }
    }
    gate.ask("DELETE", "/v1/status", &[&gate.full]).assert_problem(405, "method_not_allowed");
    gate.ask("GET", "/v1/components/ps/stop", &[&gate.full])
        .assert_problem(405, "method_not_allowed");
    gate.ask("GET", "/v1/components/..%2f..%2fetc", &[&gate.full])
        .assert_problem(404, "unknown_component");
    gate.ask("GET", "/../../etc/passwd", &[&gate.full]).assert_problem(404, "unknown_path");
    assert_unharmed(&place, pid);
}

#[test]
fn slow_and_stalled_clients_hold_nobody_up() {
    let port = free_port();
    let place = place(port);
    let (gate, supervisor) = open(&place, port);
    let pid = place.pid("ps");

    // More than the 64 that are let in, each with half a request.
    let mut stalled: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the kernel accepts");
            let _refused_at_once_is_fine =
                stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: local");
            stream.set_read_timeout(Some(Duration::from_mins(1))).expect("above 0");
            stream
        })
        .collect();
    // The owner's own way in is not theirs to block.
    assert_unharmed(&place, pid);
    place.cli("restart ps").assert_code(0);

    // The first one is cut off, and told so or not; it took the ten seconds that are allowed.
    let begin = now();
    let mut rest = Vec::new();
    let end = stalled[0].read_to_end(&mut rest);
    assert!(
        end.is_ok() || end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "{end:?}"
    );
    assert!(since(begin) < Duration::from_secs(20), "{:?}", since(begin));
    let rest = String::from_utf8_lossy(&rest);
    assert!(
        rest.is_empty() || rest.starts_with("HTTP/1.1 4") || rest.starts_with("HTTP/1.1 5"),
        "{rest}"
    );

    // Then there is room for an honest client, while the others hold on.
    until("an honest client is served", || {
        let answer = http::tcp(gate.port, "GET", "/v1/status", &[&gate.full]).ok()?;
        (answer.status == 200).then_some(())
    });
    // Clients that never read do not hold up the end.
    supervisor.stop();
    drop(stalled);
}

#[test]
fn the_files_are_the_owners_alone() {
    let port = free_port();
    let place = place(port);
    let (_gate, supervisor) = open(&place, port);
    let mode = |name: &str| {
        let data = fs::metadata(place.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        (data.permissions().mode() & 0o777, data.file_type().is_socket())
    };
    assert_eq!(mode("temp"), (0o700, false));
    assert_eq!(mode("temp/supervisor.sock"), (0o600, true));
    for name in ["temp/control.token", "temp/control-read.token"] {
        assert_eq!(mode(name), (0o600, false), "{name}");
        assert!(place.read(name).trim().len() >= 32, "{name} can be guessed");
    }
    assert_ne!(place.read("temp/control.token"), place.read("temp/control-read.token"));

    // Loopback alone.
    let listening = fs::read_to_string("/proc/net/tcp").expect("/proc is mounted");
    let hexadecimal = format!(":{port:04X}");
    let addresses: Vec<_> = listening
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(3) == Some(&"0A") && fields[1].ends_with(&hexadecimal))
        .map(|fields| fields[1].to_owned())
        .collect();
    assert_eq!(addresses, [format!("0100007F{hexadecimal}")]);
    supervisor.stop();
}
