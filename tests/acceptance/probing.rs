//! Readiness and health by real servers and real processes.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::support::{Place, Registry, Server, until};

/// An HTTP server of the test's own, that answers as long as it is told to.
fn server() -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let answers = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&answers);
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let _read = stream.read(&mut request);
            if told.load(Ordering::SeqCst) {
                let _left = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            } else {
                // As a server that hangs: the connection stays, and nothing comes.
                kept.push(stream);
            }
        }
    });
    (port, answers)
}

#[test]
fn one_that_stops_answering_but_lives_is_restarted_after_the_failures_that_are_configured() {
    let (port, answers) = server();
    let place = Place::new(&Registry::of([Server::sleep("ps").with(&format!(
        "<health interval=\"0.2\" timeout=\"0.3\" failures=\"3\">\
         <http url=\"http://127.0.0.1:{port}/alive\"/></health>"
    ))]));
    let _supervisor = place.start();
    let pid = place.running("ps");
    place.await_component("ps", "is healthy", |ps| ps["health"] == "ok");
    answers.store(false, Ordering::SeqCst);
    let anew = place
        .await_component("ps", "is restarted", |ps| ps["state"] == "running" && ps["pid"] != pid);
    assert_eq!(anew["restarts"], 1, "{anew:#}");
    answers.store(true, Ordering::SeqCst);
    let dossier = until("the dossier is there", || {
        let answer = place.get("/v1/components/ps/explain").json();
        answer["dossiers"].as_array()?.last().cloned()
    });
    let what = dossier["what"].as_str().expect("words");
    assert!(what.contains("/alive no answer within 0.3 s (3 failures in a row"), "{what}");
}

#[test]
fn slow_to_become_ready_holds_back_the_next_priority_and_only_that() {
    let place = Place::new(&Registry::of([
        Server::shell(
            "slow",
            "while [ ! -e go ]; do sleep 0.05; done; echo ready; exec sleep infinity",
        )
        .priority(2)
        .with("<ready timeout=\"600\"><log match=\"^ready$\"/></ready>"),
        Server::sleep("beside").priority(2),
        Server::sleep("before").priority(1),
        Server::sleep("after").priority(3),
    ]));
    let _supervisor = place.start();
    place.running("before");
    place.running("beside");
    let waiting = place.await_state("after", "waiting");
    assert_eq!(waiting["waiting_for"], "slow (starting)", "{waiting:#}");
    let slow = place.await_component("slow", "is starting", |slow| slow["pid"].is_u64());
    let what = slow["waiting_for"].as_str().expect("its check");
    assert!(what.contains("a line that matches \"^ready$\""), "{slow:#}");
    place.write("go", "");
    place.running("slow");
    place.running("after");
}

#[test]
fn a_readiness_failure_says_which_probe_what_it_answered_and_when_it_tries_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let place = Place::new(&Registry::of([Server::sleep("ps")
        .with("<restart delay=\"600\" maxDelay=\"600\"/>")
        .with(&format!(
            "<ready interval=\"0.1\" timeout=\"1\" failures=\"3\">\
             <tcp host=\"127.0.0.1\" port=\"{port}\"/></ready>"
        ))]));
    let _supervisor = place.start();
    let down = place.await_state("ps", "backoff");
    let reason = down["reason"].as_str().expect("words");
    assert!(
        reason.contains(&format!("tcp 127.0.0.1:{port} failed: connection refused")),
        "{reason}"
    );
    assert!(reason.contains("3 failures in a row"), "{reason}");
    let explained = place.cli("explain ps");
    assert!(explained.stdout.contains(reason), "{explained:#?}");
    assert!(explained.stdout.contains("the next attempt is in "), "{explained:#?}");
}
