//! What components write stands in their files, byte for byte, and writing never blocks them.

use std::{fs, time::Duration};

use crate::support::{Place, Registry, Server, now, report, since, until};

/// Every byte there is, long lines and short ones, and an end without a newline.
fn payload() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut bytes: Vec<u8> = (0..=255).collect();
    for _ in 0..2_000 {
        let line = random.usize(0..300);
        bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(line));
        bytes.push(b'\n');
    }
    bytes.extend(vec![b'x'; 200_000]);
    bytes.extend_from_slice(b"\r\nthe last words, no newline");
    bytes
}

#[test]
fn output_is_kept_byte_for_byte() {
    let never = "<restart policy=\"never\"/>";
    let place = Place::new(&Registry::of([
        Server::command("out", &["/bin/cat", "payload"]).with(never),
        Server::shell("err", "cat payload >&2").with(never),
    ]));
    let payload = payload();
    place.write("payload", &payload);
    let supervisor = place.start();
    for id in ["out", "err"] {
        place.await_state(id, "exited");
    }
    supervisor.stop();
    for id in ["out", "err"] {
        let written = place.log(id);
        let same = written.iter().zip(&payload).take_while(|(a, b)| a == b).count();
        assert!(
            written == payload,
            "{id}: {} bytes instead of {}, equal up to byte {same}",
            written.len(),
            payload.len()
        );
    }
    // One file a day: more than one at midnight alone.
    let files = fs::read_dir(place.path("logs")).expect("our folder").flatten();
    let names: Vec<_> = files.filter_map(|file| file.file_name().into_string().ok()).collect();
    let dated = names.iter().filter(|name| {
        let date = name.strip_prefix("out-").and_then(|rest| rest.strip_suffix(".log"));
        date.is_some_and(|date| {
            date.len() == 10 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        })
    });
    assert!(matches!(dated.count(), 1 | 2), "{names:?}");
}

#[test]
fn the_last_words_before_a_crash_are_kept() {
    let place =
        Place::new(&Registry::of([Server::shell("ps", "printf 'half a line'; kill -9 $$")
            .with("<restart policy=\"never\"/>")]));
    let _supervisor = place.start();
    place.await_component("ps", "has ended", |ps| ps["last_exit"]["signal"] == 9);
    until("its words are in the file", || (place.log_text("ps") == "half a line").then_some(()));
}

#[test]
fn huge_output_never_blocks() {
    const MEBIBYTES: usize = 60;
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        &format!(
            "yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c {MEBIBYTES}M; touch done; exec sleep infinity"
        ),
    )]));
    let begin = now();
    let supervisor = place.start();
    until("it has written it all", || place.path("done").exists().then_some(()));
    let took = since(begin);
    // The engine answers while and after.
    let asked = now();
    place.status();
    assert!(since(asked) < Duration::from_secs(5));
    supervisor.stop();
    assert_eq!(place.log("ps").len(), MEBIBYTES << 20, "nothing lost");
    report(&format!("{MEBIBYTES} MiB through the log in {took:?} (debug build)"));
}

#[test]
fn a_log_that_cannot_be_written_blocks_nobody() {
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        "head -c 3000000 /dev/zero; touch done; exec sleep infinity",
    )
    .with("<output><log>logs/occupied/ps.log</log></output>")]));
    place.write("logs/occupied", "a file where a folder should be");
    let _supervisor = place.start();
    until("it has written it all", || place.path("done").exists().then_some(()));
    assert_eq!(place.await_state("ps", "running")["restarts"], 0);
    until("the trace log says what is lost", || {
        place.log_text("Supervisor").contains("occupied").then_some(())
    });
}

#[test]
fn a_grandchild_that_holds_the_pipe_does_not_hide_the_exit() {
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        "setsid sleep infinity & echo leaving; exit 7",
    )
    .with("<restart policy=\"never\"/>")]));
    let _supervisor = place.start();
    place.await_component("ps", "has ended", |ps| ps["last_exit"]["code"] == 7);
    until("its words are in the file", || (place.log_text("ps") == "leaving\n").then_some(()));
    until("the grandchild is ended", || place.component_processes().is_empty().then_some(()));
}

#[test]
fn standard_error_can_be_opened_anew() {
    // Shells and servers write to /dev/stderr: with a socket there the open would fail.
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        "echo to stderr >/dev/stderr && echo to stdout >/dev/stdout && touch done; exec sleep infinity",
    )]));
    let _supervisor = place.start();
    until("both could be opened", || place.path("done").exists().then_some(()));
    until("both are in the file", || {
        let log = place.log_text("ps");
        (log.contains("to stderr\n") && log.contains("to stdout\n")).then_some(())
    });
}

#[test]
fn the_log_has_the_place_that_the_registry_says() {
    let place = Place::new(&Registry::of([Server::shell("ps", "echo here; exec sleep infinity")
        .with("<output><log>logs/deeper/thumbs.out</log></output>")]));
    let _supervisor = place.start();
    until("the line is there", || {
        let folder = fs::read_dir(place.path("logs/deeper")).ok()?;
        let file = folder.flatten().find(|file| {
            let name = file.file_name().into_string().unwrap_or_default();
            let date = name.strip_prefix("thumbs-").and_then(|rest| rest.strip_suffix(".out"));
            date.is_some_and(|date| date.len() == 10)
        })?;
        (fs::read_to_string(file.path()).ok()? == "here\n").then_some(())
    });
}
