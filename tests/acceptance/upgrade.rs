//! Another version takes over in the same process; the components must not notice.
//!
//! The new version is a copy of the binary under test that calls itself otherwise (`BINARY.wish`).

#![expect(
    clippy::disallowed_methods,
    reason = "a test starts programs, and looks how long somebody waited"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{Place, Registry, Server, http, place::text, processes, until};

/// A copy of the binary, and what is otherwise about it.
fn version(place: &Place, name: &str, wishes: &str) -> PathBuf {
    let folder = place.path(name);
    fs::create_dir_all(&folder).expect("our folder");
    let copy = folder.join("s7supervisor");
    fs::copy(env!("CARGO_BIN_EXE_s7supervisor"), &copy).expect("our folder");
    fs::write(folder.join("s7supervisor.wish"), wishes).expect("our folder");
    copy
}

fn upgrade(place: &Place, binary: &std::path::Path) -> crate::support::place::Finished {
    place.cli(&format!("upgrade --binary {}", text(binary)))
}

fn script(place: &Place, name: &str, body: &str) -> PathBuf {
    place.write(name, body);
    let path = place.path(name);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    path
}

/// Writes numbered lines as fast as the pace allows, in pieces that end in the midst of lines.
fn counter(id: &str, stamps: &str) -> Server {
    let script = "n=0; while :; do n=$((n+1)); printf 'line %s\\nli' $n; sleep 0.005; printf 'ne %s-\\n' $n; done";
    Server::shell(id, script).with(stamps)
}

/// The lines are those that were written, each once, in their order.
fn assert_whole(place: &Place, id: &str) -> usize {
    let log = place.log_text(id);
    let text = log.lines().map(|line| {
        // Of a stamped line, what stands behind its stamp and its stream.
        let stamped = line.find(" out").map(|at| &line[at + 4..]);
        stamped.map_or(line, |text| text.trim_start_matches(['+', ' ']))
    });
    let lines: Vec<&str> = text.collect();
    for (index, line) in lines.iter().enumerate() {
        let n = index / 2 + 1;
        let expected = if index % 2 == 0 { format!("line {n}") } else { format!("line {n}-") };
        let is_last = index + 1 == lines.len();
        assert!(
            *line == expected || is_last && expected.starts_with(line.trim_end()),
            "{id}, line {}: {line:?}, not {expected:?}",
            index + 1
        );
    }
    lines.len()
}

#[test]
fn an_upgrade_under_load_is_noticed_by_no_component_and_by_no_client() {
    let ids: Vec<String> = (0..20).map(|number| format!("c{number:02}")).collect();
    let servers = ids.iter().enumerate().map(|(number, id)| {
        let stamps = "<output timestamps=\"rfc3339\"/>";
        counter(id, if number % 2 == 0 { "" } else { stamps })
    });
    let place = Place::new(&Registry::of(servers));
    let supervisor = place.start();
    let own = place.status()["supervisor"]["pid"].clone();
    let pids: Vec<u32> = ids.iter().map(|id| place.running(id)).collect();
    // One with a past.
    processes::signal(pids[3], Signal::KILL);
    let third = place.await_component(&ids[3], "runs again", |it| {
        it["state"] == "running" && it["pid"] != pids[3]
    });
    let pids: Vec<u32> = ids.iter().map(|id| place.running(id)).collect();

    let (done, asked, longest) =
        (AtomicBool::new(false), AtomicUsize::new(0), &AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            // A client that asks all the time: every answer is one, none is a broken connection.
            while !done.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let answer = http::unix(&place.socket(), "GET", "/v1/status", &[]);
                let answer = answer.expect("no connection is refused or cut off");
                assert_eq!(answer.status, 200, "{answer:?}");
                let took = usize::try_from(begin.elapsed().as_millis()).expect("short");
                longest.fetch_max(took, Ordering::Relaxed);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        for (number, name) in ["9.1.0", "9.2.0"].into_iter().enumerate() {
            let binary = version(&place, name, &format!("version {name}\n"));
            let before = if number == 0 { env!("CARGO_PKG_VERSION") } else { "9.1.0" };
            let done = upgrade(&place, &binary);
            done.assert_code(0);
            assert!(done.stdout.starts_with(&format!("{before} -> {name} ")), "{done:#?}");
            let status = place.status();
            assert_eq!(status["supervisor"]["version"], name);
            assert_eq!(status["supervisor"]["pid"], own);
            assert_eq!(status["supervisor"]["upgrades"], number + 1);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(asked.load(Ordering::Relaxed) > 5, "the client has asked");
    for (id, pid) in ids.iter().zip(&pids) {
        assert_eq!(place.running(id), *pid, "{id} is the same process");
    }
    assert_eq!(place.component(&ids[3])["restarts"], third["restarts"], "counters go on");
    let seen: Vec<usize> = ids.iter().map(|id| place.log_text(id).lines().count()).collect();
    until("all go on writing", || {
        ids.iter()
            .zip(&seen)
            .all(|(id, seen)| place.log_text(id).lines().count() > seen + 5)
            .then_some(())
    });
    supervisor.stop();
    for id in ids.iter().filter(|id| **id != ids[3]) {
        assert!(assert_whole(&place, id) > 50, "{id} has written");
    }
    let told = place.log_text("Supervisor");
    assert!(told.contains("upgraded in place"), "{told}");
}

#[test]
fn a_binary_that_cannot_take_over_is_refused_and_nothing_changes() {
    let place = Place::new(&Registry::of([Server::sleep("a")]));
    let supervisor = place.start();
    let a = place.running("a");
    let own = place.status()["supervisor"]["pid"].clone();
    let refused = [
        (script(&place, "a-script", "#!/bin/sh\necho '{}'\n"), "is not what an s7supervisor"),
        (PathBuf::from("/bin/false"), "it ended with exit 1"),
        (script(&place, "garbage", "\u{7f}ELF and no more"), "Exec format error"),
        (place.path("nowhere"), "No such file"),
        (place.path("logs"), "it is no file"),
        (version(&place, "old", "version 0.0.1\njournal 1\n"), "reads the journal up to format 1"),
        (version(&place, "crash", "answer crash\n"), "SIGABRT"),
    ];
    for (binary, why) in &refused {
        let answer = upgrade(&place, binary);
        answer.assert_code(1);
        assert!(answer.stderr.contains(why), "{why}: {answer:#?}");
        assert!(answer.stderr.contains("nothing was changed"), "{answer:#?}");
    }
    let unreadable = place.path("not-executable");
    fs::copy(env!("CARGO_BIN_EXE_s7supervisor"), &unreadable).expect("our folder");
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o644)).expect("ours");
    upgrade(&place, &unreadable).assert_code(1);
    let answer = place.post(&format!("/v1/upgrade?binary={}", text(&refused[1].0)));
    assert_eq!((answer.status, &answer.json()["code"]), (422, &"upgrade_refused".into()));
    assert_eq!(place.post("/v1/upgrade?binary=relative").status, 400);

    let status = place.status();
    assert_eq!(
        (&status["supervisor"]["pid"], &status["supervisor"]["upgrades"]),
        (&own, &0.into())
    );
    assert_eq!(place.running("a"), a);
    assert!(place.cli("events").stdout.contains("not upgraded: "), "it is told");
    supervisor.stop();
}

#[test]
fn a_binary_that_does_not_answer_is_ended_after_its_time() {
    let place = Place::new(&Registry::of([Server::sleep("a")]));
    let supervisor = place.start();
    let a = place.running("a");
    let hanging = version(&place, "hanging", "answer never\n");
    let answer = upgrade(&place, &hanging);
    answer.assert_code(1);
    assert!(answer.stderr.contains("did not answer within 10 s"), "{answer:#?}");
    until("it is gone", || (place.component_processes().len() == 1).then_some(()));
    assert_eq!(place.running("a"), a);
    supervisor.stop();
}

#[test]
fn where_the_step_fails_the_old_version_goes_on_as_if_nothing_had_been() {
    let place = Place::new(&Registry::of([counter("c", ""), Server::sleep("a")]));
    // The wish is that of the version that runs.
    let old = version(&place, "old", "exec fails\n");
    let mut command = std::process::Command::new(&old);
    place.prepare(&mut command);
    command.arg("-i").arg(place.path("")).arg("run");
    let supervisor = crate::support::Supervisor::new(&place, place.spawn(command));
    place.await_answer(&supervisor);
    let (c, a) = (place.running("c"), place.running("a"));
    let new = version(&place, "new", "version 9.9.9\n");
    let answer = upgrade(&place, &new);
    answer.assert_code(1);
    assert!(answer.stderr.contains("goes on"), "{answer:#?}");
    assert!(place.cli("events").stdout.contains("not upgraded to 9.9.9: cannot execute"));
    let status = place.status();
    assert_eq!(status["supervisor"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((place.running("c"), place.running("a")), (c, a));
    // Everything works: a restart, a stream, the log.
    place.achieve("restart", "a");
    let descriptors = processes::descriptors(place.running("a"));
    assert!(descriptors.iter().all(|number| *number <= 2), "nothing leaked: {descriptors:?}");
    let seen = place.log_text("c").lines().count();
    until("its output is read", || (place.log_text("c").lines().count() > seen + 5).then_some(()));
    supervisor.stop();
    assert_whole(&place, "c");
}

#[test]
fn what_was_decided_goes_over_and_sigusr2_asks_as_well() {
    let place = Place::new(&Registry::of([
        Server::shell("loop", "echo x >>loop.starts; exit 3")
            .with("<restart delay=\"8\" maxDelay=\"8\"/>"),
        Server::shell("given-up", "exit 1").with("<restart policy=\"never\"/>"),
        Server::sleep("held"),
        Server::sleep("by-hand"),
    ]));
    let binary = version(&place, "bin", "version 1.0.1\n");
    let mut command = std::process::Command::new(&binary);
    place.prepare(&mut command);
    command.arg("-i").arg(place.path("")).arg("run");
    let next = version(&place, "next", "");
    let supervisor = crate::support::Supervisor::new(&place, place.spawn(command));
    place.await_answer(&supervisor);
    let held = place.running("held");
    place.running("by-hand");
    place.achieve("stop", "by-hand");
    place.cli("hold held --reason looking").assert_code(0);
    place.await_state("given-up", "failed");
    let before = place.await_component("loop", "a back-off", |it| {
        it["state"] == "backoff" && it["restarts"] == 1
    });
    let starts = place.read("loop.starts").lines().count();

    // As an installation does it: the new file is renamed over the old one.
    fs::rename(&next, &binary).expect("our folder");
    place.write("bin/s7supervisor.wish", "version 1.0.2\n");
    supervisor.signal(Signal::USR2);
    until("the new version answers", || {
        let status = place.try_get("/v1/status")?.json();
        (status["supervisor"]["version"] == "1.0.2").then_some(())
    });
    let now = place.component("loop");
    assert_eq!((&now["state"], &now["restarts"]), (&before["state"], &before["restarts"]));
    assert_eq!(now["attempt"], before["attempt"]);
    assert!(now["next_attempt_s"].as_f64() < before["next_attempt_s"].as_f64(), "{now:#}");
    assert_eq!(place.read("loop.starts").lines().count(), starts, "no attempt because of us");
    assert_eq!(place.component("given-up")["state"], "failed");
    assert_eq!(place.component("by-hand")["state"], "stopped");
    let still = place.component("held");
    assert_eq!((&still["pid"], &still["hold"]["reason"]), (&held.into(), &"looking".into()));
    place.await_component("loop", "the next attempt in its time", |it| it["restarts"] == 2);
    supervisor.stop();
}

#[test]
fn one_that_ends_meanwhile_is_told_with_its_exit_and_its_last_words() {
    // It ends on its own time, whoever supervises at that moment.
    let script = "echo begun >>ID.starts; sleep 1; echo last words; exit 7";
    let ids = ["a", "b", "c", "d", "e"];
    let place =
        Place::new(&Registry::of(ids.map(|id| {
            Server::shell(id, &script.replace("ID", id)).with("<restart delay=\"0\"/>")
        })));
    let supervisor = place.start();
    let versions: Vec<PathBuf> =
        (0..6).map(|n| version(&place, &format!("v{n}"), &format!("version 9.0.{n}\n"))).collect();
    let begin = Instant::now();
    let mut upgraded = 0;
    for binary in versions.iter().cycle() {
        if begin.elapsed() > Duration::from_secs(5) {
            break;
        }
        upgraded += usize::from(upgrade(&place, binary).code == Some(0));
    }
    assert!(upgraded > 3, "{upgraded}");
    for id in ids {
        let known = place.await_component(id, "has a past", |it| it["restarts"].as_u64() > Some(2));
        assert_eq!(known["last_exit"]["code"], 7, "{known:#}");
        let starts = place.read(&format!("{id}.starts")).lines().count();
        let words = place.log_text(id).lines().filter(|line| line.ends_with("last words")).count();
        assert!(words + 1 >= starts && words <= starts, "{id}: {words} of {starts}");
    }
    let events = place.cli("events --json").stdout;
    assert!(!events.contains("unknown"), "every exit is known: {events}");
    supervisor.stop();
}

#[test]
fn readers_of_logs_go_on_over_an_upgrade() {
    let place = Place::new(&Registry::of([Server::shell(
        "c",
        "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.01; done",
    )]));
    let supervisor = place.start();
    place.running("c");
    let mut command = place.command();
    command.args(["logs", "-f", "-n", "1000000", "c"]);
    let mut reader = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let output = std::io::BufReader::new(reader.stdout.take().expect("piped"));
    let (tell, lines) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for line in std::io::BufRead::lines(output).map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    let mut expected = 1;
    let mut read_until = |last: usize| {
        while expected <= last {
            let line = lines.recv_timeout(crate::support::PATIENCE).expect("a line in time");
            if let Some(at) = line.find("line ") {
                assert_eq!(&line[at..], format!("line {expected}"), "no hole, none twice");
                expected += 1;
            }
        }
    };
    read_until(30);
    let binary = version(&place, "new", "version 9.9.9\n");
    upgrade(&place, &binary).assert_code(0);
    let written = place.log_text("c").lines().count();
    read_until(written + 30);
    reader.kill().expect("it runs");
    reader.wait().expect("it ends");
    supervisor.stop();
}

#[test]
fn while_something_stops_an_upgrade_waits_and_then_says_who_keeps_it() {
    let deaf = "trap '' TERM; echo >deaf; while :; do sleep 0.1; done";
    let place = Place::new(&Registry::of([
        Server::shell("ps", deaf).stop_timeout(60.0),
        Server::sleep("is"),
    ]));
    let supervisor = place.start();
    until("it does not listen any more", || place.path("deaf").exists().then_some(()));
    place.running("ps");
    place.ask("stop", "ps");
    place.await_state("ps", "stopping");
    let binary = version(&place, "new", "version 9.9.9\n");
    let answer = upgrade(&place, &binary);
    answer.assert_code(1);
    assert!(answer.stderr.contains("busy stopping ps"), "{answer:#?}");
    place.achieve("kill", "ps");
    upgrade(&place, &binary).assert_code(0);
    // An edited registry is one thing, another version another.
    place.rewrite_registry(&Registry::of([Server::sleep("is").priority(3), Server::sleep("ps")]));
    let answer = upgrade(&place, &binary);
    answer.assert_code(1);
    assert!(answer.stderr.contains("reload first"), "{answer:#?}");
    place.rewrite_registry(&Registry::of([
        Server::shell("ps", deaf).stop_timeout(60.0),
        Server::sleep("is"),
    ]));
    supervisor.stop();
}

#[test]
fn an_engine_that_dies_after_an_upgrade_is_followed_by_one_of_the_new_version() {
    let place = Place::new(&Registry::of([Server::sleep("a"), counter("c", "")]));
    let supervisor = place.start();
    let (a, c) = (place.running("a"), place.running("c"));
    let engine = |place: &Place| place.status()["supervisor"]["pid"].as_u64().expect("a pid");
    for name in ["9.1.0", "9.2.0"] {
        let binary = version(&place, name, &format!("version {name}\n"));
        upgrade(&place, &binary).assert_code(0);
        for _ in 0..2 {
            let before = engine(&place);
            processes::signal(u32::try_from(before).expect("a pid"), Signal::KILL);
            let after = until("another engine serves", || {
                let status = place.try_get("/v1/status")?.json();
                (status["supervisor"]["pid"] != before).then_some(status)
            });
            assert_eq!(after["supervisor"]["version"], name, "{after:#}");
            assert_eq!((place.running("a"), place.running("c")), (a, c));
        }
    }
    let told = place.cli("events").stdout;
    assert!(told.contains("SIGKILL"), "the death is told: {told}");
    supervisor.stop();
    assert_whole(&place, "c");
}
