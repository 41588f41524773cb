//! Notifications: what arrives at webhooks and mail servers, and that nobody is held up by them.

use std::fs;

use crate::support::{
    Place, Registry, Server, processes,
    receivers::{Mail, Reply, Web},
    until,
};

/// Fails for good until `licence` is there.
fn fragile(id: &str) -> Server {
    Server::shell(id, "test -e licence && exec sleep infinity; exit 3")
        .with("<restart delay=\"0\" maxRestarts=\"1\" window=\"600\"/>")
}

fn telling(event: &str, targets: &str) -> String {
    format!("<notify event=\"{event}\" interval=\"0\">{targets}</notify>")
}

fn webhook(web: &Web) -> String {
    format!("<webhook url=\"{}\"/>", web.url())
}

/// The texts of the events of a kind.
fn events(place: &Place, kind: &str) -> Vec<String> {
    let finished = place.cli("events --json");
    finished.assert_code(0);
    let events = finished.stdout.lines().map(|line| {
        serde_json::from_str::<serde_json::Value>(line).expect("an event is a line of JSON")
    });
    let of_kind = events.filter(|event| event["kind"] == kind);
    of_kind.map(|event| event["text"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_webhook_that_refuses_at_first_gets_the_same_message_again() {
    let web = Web::new(&[Reply::Status(503)]);
    let place = Place::new(
        &Registry::of([fragile("ps"), Server::sleep("is")])
            .config(&telling("failed", &webhook(&web))),
    );
    let _supervisor = place.start();
    let first = web.request(1);
    assert!(first.head.starts_with("POST /hook/s3cret?to=ops HTTP/1.1\r\n"), "{}", first.head);
    assert!(first.head.to_lowercase().contains("content-type: application/json"), "{}", first.head);
    let json = &first.json;
    assert_eq!(json["schema"], 1);
    assert_eq!(json["summary"], "ps failed");
    assert_eq!(json["supervisor"]["version"], env!("CARGO_PKG_VERSION"));
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux tells");
    assert_eq!(json["host"], host.trim());
    let registry = place.path("conf/SupervisorRegistry.xml").display().to_string();
    assert_eq!(json["registry"], registry);
    assert_eq!(json["notices"].as_array().map(Vec::len), Some(1), "{json:#}");
    let notice = &json["notices"][0];
    assert_eq!((&notice["component"], &notice["kind"]), (&"ps".into(), &"failed".into()));
    assert_eq!(notice["state"], "failed");
    let failed = events(&place, "failed");
    assert_eq!(notice["text"], failed[0].as_str(), "it says what the event says");
    let text = json["text"].as_str().unwrap_or_default();
    assert!(text.contains(&format!("s7supervisor -r {registry} explain ps")), "{text}");

    let again = web.request(2);
    assert_eq!(again.json, first.json, "another try, not another message");
    assert!(events(&place, "dropped").is_empty(), "a receiver that comes back is no event");
}

#[test]
fn who_is_told_of_a_failure_is_told_of_the_recovery() {
    let web = Web::new(&[]);
    let place = Place::new(
        &Registry::of([fragile("ps")]).config(&telling("failed recovered", &webhook(&web))),
    );
    let supervisor = place.start();
    assert_eq!(web.request(1).json["summary"], "ps failed");
    place.write("licence", "");
    place.achieve("start", "ps");
    let recovered = web.request(2).json;
    assert_eq!(recovered["summary"], "ps recovered", "{recovered:#}");
    assert_eq!(recovered["notices"][0]["state"], "running", "{recovered:#}");

    until("no thread is left for it", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", supervisor.pid())).expect("it runs");
        let mut names =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        (!names.any(|name| name.trim() == "courier")).then_some(())
    });
}

#[test]
fn restarts_above_the_rate_are_told() {
    let web = Web::new(&[]);
    let notify = format!(
        "<notify event=\"restarts\" interval=\"0\" restarts=\"2\" within=\"600\">{}</notify>",
        webhook(&web)
    );
    let flapping = Server::shell("ps", "test -e licence && exec sleep infinity; sleep 0.2; exit 4")
        .with("<restart delay=\"0\" maxRestarts=\"0\"/>");
    let place = Place::new(&Registry::of([flapping]).config(&notify));
    let _supervisor = place.start();
    let told = web.request(1).json;
    assert_eq!(told["summary"], "ps restarts too often", "{told:#}");
    let text = told["notices"][0]["text"].as_str().unwrap_or_default();
    assert!(text.starts_with("3 restarts within 10 m 0 s"), "{text}");
    place.write("licence", "");
}

#[test]
fn a_silent_receiver_holds_nobody_up() {
    let web = Web::new(&[Reply::Silence]);
    let place = Place::new(
        &Registry::of([fragile("ps"), Server::sleep("is")])
            .config(&telling("failed", &webhook(&web))),
    );
    let supervisor = place.start();
    web.request(1);
    let before = place.running("is");
    place.achieve("restart", "is");
    assert_ne!(place.running("is"), before);
    assert_eq!(place.component("ps")["state"], "failed");
    // The receiver is silent for as long as it lives, and outlives the Supervisor.
    supervisor.stop();
    assert_eq!(web.posted().len(), 1);
}

#[test]
fn what_no_receiver_takes_is_an_event_that_says_what_to_do_and_no_secret() {
    let web = Web::new(&[Reply::Status(404)]);
    let place = Place::new(
        &Registry::of([fragile("ps"), Server::sleep("is")])
            .config(&telling("failed", &webhook(&web))),
    );
    let supervisor = place.start();
    let dropped = until("it is told", || events(&place, "dropped").pop());
    let receiver = format!("http://127.0.0.1:{}/…", web.port());
    assert_eq!(
        dropped,
        format!(
            "a notice could not be delivered to {receiver} in 1 try: answered 404: as asked; look \
             at <notify> and at the receiver, and try with s7supervisor check --notify"
        )
    );
    supervisor.stop();
    let log = place.log_text("Supervisor");
    assert!(log.contains(&receiver), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
    assert_eq!(web.posted().len(), 1, "that it was not told is not told");
}

#[test]
fn the_crash_of_the_supervisor_itself_is_told_by_the_next_one() {
    let web = Web::new(&[]);
    let place = Place::new(
        &Registry::of([Server::sleep("ps"), Server::sleep("is")])
            .config(&telling("failed", &webhook(&web))),
    );
    let first = place.start();
    let pid = place.running("ps");
    place.running("is");
    first.crash();
    let _second = place.start();
    let told = web.request(1).json;
    assert_eq!(told["summary"], "the Supervisor was restarted", "{told:#}");
    assert_eq!(told["notices"][0]["count"], 2, "{told:#}");
    assert!(told["notices"][0]["component"].is_null(), "{told:#}");
    assert_eq!(place.pid("ps"), pid);
}

#[test]
fn a_reload_takes_other_receivers_over() {
    let (first, second) = (Web::new(&[]), Web::new(&[]));
    let registry = |web: &Web| {
        Registry::of([fragile("ps"), Server::sleep("is")]).config(&telling("failed", &webhook(web)))
    };
    let place = Place::new(&registry(&first));
    let _supervisor = place.start();
    first.request(1);
    place.rewrite_registry(&registry(&second));
    place.cli("reload").assert_code(0);
    place.ask("start", "ps");
    assert_eq!(second.request(1).json["summary"], "ps failed");
    assert_eq!(first.posted().len(), 1);
}

#[test]
fn a_message_that_is_collected_still_goes_out_at_the_end() {
    let web = Web::new(&[]);
    let place = Place::new(
        &Registry::of([fragile("ps"), fragile("is")])
            .config(&telling("failed", &webhook(&web)).replace("\"0\"", "\"3600\"")),
    );
    let supervisor = place.start();
    place.await_state("is", "failed");
    let first = web.request(1).json;
    assert_eq!(
        first["notices"].as_array().map(Vec::len),
        Some(2),
        "what comes together: {first:#}"
    );
    place.ask("start", "ps");
    until("it has failed again", || (events(&place, "failed").len() == 3).then_some(()));
    supervisor.stop();
    assert_eq!(web.request(2).json["summary"], "ps failed");
}

#[test]
fn a_mail_server_gets_a_letter() {
    let mail = Mail::new();
    let target = format!(
        "<mail host=\"127.0.0.1\" port=\"{}\" from=\"s7@example.com\" \
         to=\"ops@example.com, night@example.com\"/>",
        mail.port()
    );
    let place = Place::new(&Registry::of([fragile("ps")]).config(&telling("failed", &target)));
    let _supervisor = place.start();
    let letter = mail.letter();
    assert_eq!(letter.from, "s7@example.com");
    assert_eq!(letter.to, ["ops@example.com", "night@example.com"]);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux tells");
    let (head, body) = letter.text.split_once("\n\n").expect("headers and a text");
    let unfolded = head.replace("\n ", " ");
    let subject = format!("Subject: [s7supervisor {}] ps failed", host.trim());
    assert!(unfolded.lines().any(|line| line == subject), "{head}");
    for header in ["Date: ", "Message-ID: ", "Auto-Submitted: auto-generated"] {
        assert!(unfolded.lines().any(|line| line.starts_with(header)), "{header}: {head}");
    }
    let by_whom = |line: &str| line.starts_with("Message-ID: <") && line.ends_with("@example.com>");
    assert!(unfolded.lines().any(by_whom), "{head}");
    // Long lines may be broken up on their way.
    let body = body.replace("=\n", "");
    assert!(body.contains(" ps failed\n"), "{body}");
    assert!(body.contains("explain ps\n"), "{body}");
}

#[test]
fn https_needs_a_certificate_that_is_trusted() {
    let web = Web::secure();
    let mut place =
        Place::new(&Registry::of([Server::sleep("is")]).config(&telling("failed", &webhook(&web))));
    let refused = place.cli("check --notify");
    refused.assert_code(1);
    assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);
    let ca = format!("{}/tests/support/tls/ca.pem", env!("CARGO_MANIFEST_DIR"));
    place.set("SSL_CERT_FILE", &ca);
    place.cli("check --notify").assert_code(0);
    assert_eq!(web.posted().len(), 1);
}

#[test]
fn check_tries_whether_messages_arrive() {
    let (web, refusing, mail) = (Web::new(&[]), Web::new(&[Reply::Status(403)]), Mail::new());
    let targets = format!(
        "{}{}<mail host=\"127.0.0.1\" port=\"{}\" from=\"s7@example.com\" to=\"ops@example.com\"/>",
        webhook(&web),
        webhook(&refusing),
        mail.port()
    );
    let place =
        Place::new(&Registry::of([Server::sleep("is")]).config(&telling("failed", &targets)));
    let tried = place.cli("check --notify");
    tried.assert_code(1);
    let told = format!("told     http://127.0.0.1:{}/…\n", web.port());
    assert!(tried.stdout.contains(&told), "{}", tried.stdout);
    assert!(tried.stdout.contains("told     ops@example.com by 127.0.0.1"), "{}", tried.stdout);
    let why = format!("http://127.0.0.1:{}/…: answered 403: as asked", refusing.port());
    assert!(tried.stderr.contains(&why), "{}", tried.stderr);
    assert!(!tried.all().contains("s3cret"), "{tried:?}");
    assert_eq!(web.request(1).json["notices"][0]["kind"], "test");
    assert!(mail.letter().text.contains("a test: messages arrive"));
    assert!(processes::marked(&place.path("")).is_empty(), "nothing was started");

    let nobody = Place::new(&Registry::of([Server::sleep("is")]));
    let tried = nobody.cli("check --notify");
    tried.assert_code(1);
    assert!(tried.stderr.contains("<notify>"), "{}", tried.stderr);
}
