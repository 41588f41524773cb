//! Notifications by a real mail server: Debian's aiosmtpd, plain and with STARTTLS.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use crate::support::{Place, Registry, Server, free_port, place::text, until};

const PYTHON: &str = "/usr/bin/python3";

/// Keeps what it gets in a Maildir below the place.
struct MailServer {
    child: Child,
    port: u16,
}

impl MailServer {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests stand outside of the engine: they start programs"
    )]
    fn start(place: &Place, options: &[&str]) -> Self {
        let port = free_port();
        let log = fs::File::create(place.path("aiosmtpd.log")).expect("our folder");
        let child = Command::new(PYTHON)
            .args(["-m", "aiosmtpd", "--nosetuid", "--listen", &format!("127.0.0.1:{port}")])
            .args(options)
            .args(["--class", "aiosmtpd.handlers.Mailbox", text(&place.path("maildir"))])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("Debian's python3");
        let mut server = Self { child, port };
        until("aiosmtpd listens", || {
            if let Some(status) = server.child.try_wait().expect("our child") {
                let said = place.read("aiosmtpd.log");
                panic!("aiosmtpd ended ({status}); is python3-aiosmtpd installed? {said}");
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        server
    }

    fn letter(place: &Place) -> String {
        until("a letter comes", || {
            let mut new = fs::read_dir(place.path("maildir/new")).ok()?;
            let file = new.find_map(Result::ok)?;
            Some(fs::read_to_string(file.path()).expect("a letter can be read"))
        })
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
    let letter = MailServer::letter(place);
    supervisor.stop();
    letter
}

fn assert_is_whole(letter: &str) {
    let unfolded = letter.replace("\r\n", "\n").replace("\n ", " ");
    assert!(unfolded.contains("X-MailFrom: s7@example.com\n"), "{letter}");
    assert!(unfolded.contains("X-RcptTo: ops@example.com\n"), "{letter}");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux tells");
    assert!(
        unfolded.contains(&format!("Subject: [s7supervisor {}] ps failed\n", host.trim())),
        "{letter}"
    );
    assert!(unfolded.contains("explain ps\n"), "{letter}");
}

#[test]
fn a_mail_server_without_tls_gets_the_letter() {
    let place = Place::new(&Registry::of([]));
    let server = MailServer::start(&place, &[]);
    assert_is_whole(&told(&place, &server, ""));
}

/// It refuses mail that comes in clear, so what arrives was encrypted.
#[test]
fn a_mail_server_that_insists_on_starttls_gets_it_from_who_trusts_it_and_from_who_does_not_ask() {
    let tls = |file: &str| format!("{}/tests/support/tls/{file}", env!("CARGO_MANIFEST_DIR"));
    let (certificate, key) = (tls("cert.pem"), tls("key.pem"));
    let options = ["--tlscert", &certificate, "--tlskey", &key];

    let place = Place::new(&Registry::of([]));
    let server = MailServer::start(&place, &options);
    assert_is_whole(&told(&place, &server, ""));

    let mut place = Place::new(&Registry::of([]));
    place.set("SSL_CERT_FILE", &tls("ca.pem"));
    let server = MailServer::start(&place, &options);
    assert_is_whole(&told(&place, &server, "tls=\"starttls\""));
}

#[test]
fn a_certificate_that_nobody_trusts_is_refused_where_that_is_asked_for() {
    let tls = |file: &str| format!("{}/tests/support/tls/{file}", env!("CARGO_MANIFEST_DIR"));
    let place = Place::new(&Registry::of([]));
    let server =
        MailServer::start(&place, &["--tlscert", &tls("cert.pem"), "--tlskey", &tls("key.pem")]);
    place.rewrite_registry(&Registry::of([]).config(&format!(
        "<notify><mail host=\"localhost\" port=\"{}\" from=\"a@b\" to=\"c@d\" tls=\"starttls\"/></notify>",
        server.port
    )));
    let tried = place.cli("check --notify");
    tried.assert_code(1);
    assert!(tried.stderr.contains("certificate"), "{}", tried.stderr);
    assert!(!place.path("maildir/new").read_dir().is_ok_and(|mut new| new.next().is_some()));
}
