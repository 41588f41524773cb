//! Notifications by a real mail server: Debian's aiosmtpd, plain and with STARTTLS.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::support::{Place, Registry, Server, free_port, place::text, until};

const PYTHON: &str = "/usr/bin/python3";

/// Keeps what it gets in a Maildir, outside of any place: it is none of a Supervisor's processes.
struct MailServer {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl MailServer {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests stand outside of the engine: they start programs"
    )]
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log_path = folder.path().join("aiosmtpd.log");
        let port = free_port();
        let log = fs::File::create(&log_path).expect("our folder");
        let child = Command::new(PYTHON)
            .args(["-m", "aiosmtpd", "--nosetuid", "--listen", &format!("127.0.0.1:{port}")])
            .args(options)
            .args(["--class", "aiosmtpd.handlers.Mailbox", text(&folder.path().join("maildir"))])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("Debian's python3");
        let mut server = Self { child, port, folder };
        until("aiosmtpd listens", || {
            if let Some(status) = server.child.try_wait().expect("our child") {
                let said = fs::read_to_string(&log_path).unwrap_or_default();
                panic!("aiosmtpd ended ({status}); is python3-aiosmtpd installed? {said}");
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        server
    }

    fn new_letter(&self) -> Option<String> {
        let mut new = fs::read_dir(self.folder.path().join("maildir/new")).ok()?;
        let file = new.find_map(Result::ok)?;
        Some(fs::read_to_string(file.path()).expect("a letter can be read"))
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A Supervisor whose only component fails; what the mail server got of that.
fn told(place: &Place, server: &MailServer, more: &str) -> String {
    let mail = format!(
        "<notify interval=\"0\"><mail host=\"localhost\" port=\"{}\" from=\"s7@example.com\" \
         to=\"ops@example.com\" {more}/></notify>",
        server.port
    );
    let failing = Server::shell("ps", "exit 3").with("<restart policy=\"never\"/>");
    place.rewrite_registry(&Registry::of([failing]).config(&mail));
    let supervisor = place.start();
    let letter = until("a letter comes", || server.new_letter());
    supervisor.stop();
    letter
}

fn assert_is_whole(letter: &str) {
    let letter = letter.replace("\r\n", "\n");
    let (head, body) = letter.split_once("\n\n").expect("headers and a text");
    // Headers are folded, and long lines of the text are broken up on their way.
    let (head, body) = (head.replace("\n ", " "), body.replace("=\n", ""));
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux tells");
    let subject = format!("Subject: [s7supervisor {}] ps failed", host.trim());
    for line in ["X-MailFrom: s7@example.com", "X-RcptTo: ops@example.com", &subject] {
        assert!(head.lines().any(|one| one == line), "{line}: {letter}");
    }
    assert!(body.contains("explain ps\n"), "{letter}");
}

#[test]
fn a_mail_server_without_tls_gets_the_letter() {
    let place = Place::new(&Registry::of([]));
    let server = MailServer::start(&[]);
    assert_is_whole(&told(&place, &server, ""));
}

/// It refuses mail that comes in clear, so what arrives was encrypted.
#[test]
fn a_mail_server_that_insists_on_starttls_gets_it_from_who_trusts_it_and_from_who_does_not_ask() {
    let tls = |file: &str| format!("{}/tests/support/tls/{file}", env!("CARGO_MANIFEST_DIR"));
    let (certificate, key) = (tls("cert.pem"), tls("key.pem"));
    let options = ["--tlscert", &certificate, "--tlskey", &key];

    let place = Place::new(&Registry::of([]));
    let server = MailServer::start(&options);
    assert_is_whole(&told(&place, &server, ""));

    let mut place = Place::new(&Registry::of([]));
    place.set("SSL_CERT_FILE", &tls("ca.pem"));
    let server = MailServer::start(&options);
    assert_is_whole(&told(&place, &server, "tls=\"starttls\""));
}

#[test]
fn a_certificate_that_nobody_trusts_is_refused_where_that_is_asked_for() {
    let tls = |file: &str| format!("{}/tests/support/tls/{file}", env!("CARGO_MANIFEST_DIR"));
    let place = Place::new(&Registry::of([]));
    let server = MailServer::start(&["--tlscert", &tls("cert.pem"), "--tlskey", &tls("key.pem")]);
    place.rewrite_registry(&Registry::of([]).config(&format!(
        "<notify><mail host=\"localhost\" port=\"{}\" from=\"a@b\" to=\"c@d\" tls=\"starttls\"/></notify>",
        server.port
    )));
    let tried = place.cli("check --notify");
    tried.assert_code(1);
    assert!(tried.stderr.contains("certificate"), "{}", tried.stderr);
    assert_eq!(server.new_letter(), None);
}
