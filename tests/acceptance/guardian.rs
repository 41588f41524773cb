//! The engine is killed, and again, and again; the components must not notice, and nothing of
//! what they say or how they end may be lost.

use std::{
    collections::BTreeSet, io::Write as _, ops::Range, os::unix::net::UnixStream, thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    PATIENCE, Place, Registry, Server, Supervisor, http, now, processes, report, since, until,
};

const AT_ONCE: &str = "<restart delay=\"0\" maxRestarts=\"0\"/>";

/// Writes numbered lines, many at a time; says how often it was started, and who else runs.
fn writer(id: &str, lines: u32, pause: &str) -> Server {
    Server::shell(
        id,
        &format!(
            "exec 9>{id}.alone; flock -n 9 || echo {id} >>doubled; echo $$ >>{id}.starts; n=0\n\
             while :; do i=0\n\
             while test $i -lt {lines}; do i=$((i+1)); n=$((n+1)); echo \"line $n of {id}\"; done\n\
             sleep {pause} 9>&-; done"
        ),
    )
    .with(AT_ONCE)
}

/// Ends with 3 when it is told to, once for each time.
fn crasher() -> Server {
    Server::shell(
        "crasher",
        "echo $$ >>crasher.starts; until rm crash 2>/dev/null; do sleep 0.02; done; exit 3",
    )
    .with(AT_ONCE)
}

/// Has the crasher end.
fn crash(place: &Place) {
    place.write("crash", "");
    until("the crasher has heard", || (!place.path("crash").exists()).then_some(()));
}

fn starts(place: &Place, id: &str) -> usize {
    place.read(&format!("{id}.starts")).lines().count()
}

/// Kills the engine; returns when another one answers, and how long that took.
fn kill_engine(place: &Place, supervisor: &Supervisor<'_>) -> Duration {
    let engine = supervisor.pid();
    let then = now();
    processes::signal(engine, Signal::KILL);
    until("another engine answers", || {
        let status = http::unix(&place.socket(), "GET", "/v1/status", &[]).ok()?;
        (status.status == 200 && status.json()["supervisor"]["pid"] != engine).then_some(())
    });
    since(then)
}

/// The engine is dead, and its guardian cannot start another one until this is dropped.
struct Gap<'a>(&'a Supervisor<'a>);

impl<'a> Gap<'a> {
    fn new(supervisor: &'a Supervisor<'a>) -> Self {
        let engine = supervisor.pid();
        supervisor.signal(Signal::STOP);
        processes::signal(engine, Signal::KILL);
        until("the engine is dead", || (!processes::alive(engine)).then_some(()));
        Self(supervisor)
    }
}

impl Drop for Gap<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

/// Each line of this log is the one that follows on the one before; how many there are.
#[track_caller]
fn assert_no_line_lost_or_doubled(place: &Place, id: &str) -> usize {
    let text = place.log_text(id);
    let count = text.lines().count();
    for (n, line) in text.lines().enumerate() {
        let expected = format!("line {} of {id}", n + 1);
        // The last one may be cut short: its writer was ended.
        let is_cut = n + 1 == count && expected.starts_with(line);
        assert!(line == expected || is_cut, "{id}: {line:?}, not {expected:?}");
    }
    count
}

/// The events of one kind.
fn events(place: &Place, kind: &str) -> Vec<Value> {
    let stdout = place.cli("events -n 100000 --json").stdout;
    let events = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    events.filter(|event: &Value| event["kind"] == kind).collect()
}

fn fleet() -> Place {
    let heavy = (0..4).map(|n| writer(&format!("heavy{n}"), 400, "0.02"));
    let light = (0..15).map(|n| writer(&format!("light{n:02}"), 5, "0.1"));
    let servers = heavy.chain(light).chain([crasher()]);
    Place::new(&Registry::of(servers).config("<startsPerMinute>1000000</startsPerMinute>"))
}

fn writers() -> Vec<String> {
    let heavy = (0..4).map(|n| format!("heavy{n}"));
    heavy.chain((0..15).map(|n| format!("light{n:02}"))).collect()
}

/// So many kills of the engine, and of both, each after a life of random length.
#[expect(clippy::disallowed_methods, reason = "the moment of a kill is what is random here")]
fn storm(engine_kills: u32, kills_of_both: u32, life: Range<u64>) {
    let place = fleet();
    let mut supervisor = place.start();
    let pids: Vec<u32> = writers().iter().map(|id| place.running(id)).collect();
    place.running("crasher");
    until("all have started", || writers().iter().all(|id| starts(&place, id) == 1).then_some(()));
    let mut random = fastrand::Rng::with_seed(0x9e37);
    let mut gaps = Vec::new();
    let mut crashes = 0;
    let mut both_at: Vec<u32> = (0..engine_kills + kills_of_both).collect();
    random.shuffle(&mut both_at);
    both_at.truncate(kills_of_both.try_into().expect("a small number"));
    let mut gaps_of_both = Vec::new();
    for round in 0..engine_kills + kills_of_both {
        thread::sleep(Duration::from_micros(random.u64(life.clone())));
        let crashes_now = round % 10 == 0;
        if crashes_now {
            crash(&place);
            crashes += 1;
        }
        if both_at.contains(&round) {
            supervisor.crash();
            let then = now();
            supervisor = place.start();
            gaps_of_both.push(since(then));
        } else {
            gaps.push(kill_engine(&place, &supervisor));
        }
        if crashes_now {
            until("the crasher is back", || {
                (starts(&place, "crasher") == crashes + 1).then_some(())
            });
        }
    }
    for (id, pid) in writers().iter().zip(&pids) {
        assert_eq!(place.pid(id), *pid, "{id} was not restarted");
        assert_eq!(starts(&place, id), 1, "{id}");
    }
    // A shell that has forked and not executed its `sleep` yet looks like another of itself.
    until("each runs once", || {
        let processes = place.component_processes();
        let others = processes.iter().filter(|one| !one.command.starts_with("sleep"));
        (others.count() == 20).then_some(())
    });
    let ends = events(&place, "crashed");
    let of_crasher = ends.iter().filter(|event| event["component"] == "crasher");
    assert_eq!(of_crasher.count(), crashes, "each end is told once");
    assert_eq!(ends.len(), crashes, "nobody else ended: {ends:#?}");
    let texts: Vec<&str> = ends.iter().filter_map(|event| event["text"].as_str()).collect();
    let exact = texts.iter().filter(|text| text.starts_with("exit 3")).count();
    let runs: BTreeSet<u64> = ends.iter().filter_map(|event| event["run"].as_u64()).collect();
    assert_eq!(runs.len(), crashes, "each with a run of its own");
    supervisor.stop();
    drop(supervisor);
    assert_eq!(place.read("doubled"), "");
    let lines: usize = writers().iter().map(|id| assert_no_line_lost_or_doubled(&place, id)).sum();
    gaps.sort();
    gaps_of_both.sort();
    let show = |gaps: &[Duration]| {
        let [median, worst] = [gaps.get(gaps.len() / 2), gaps.last()];
        format!(
            "median {:.1?}, worst {:.1?}",
            median.unwrap_or(&Duration::ZERO),
            worst.unwrap_or(&Duration::ZERO)
        )
    };
    report(&format!(
        "{engine_kills} kills of the engine: supervised again in {}; {kills_of_both} of both: {}; \
         {exact} of {crashes} exits exact; {lines} lines, none lost or doubled",
        show(&gaps),
        show(&gaps_of_both),
    ));
    if kills_of_both == 0 {
        assert_eq!(exact, crashes, "{texts:?}");
    }
}

#[test]
fn components_do_not_notice_that_their_engine_is_killed() {
    // Short lives: the guardian takes more and more time for the next engine.
    storm(6, 0, 0..60_000);
}

/// The whole figure: `cargo test --release --test acceptance guardian::two_hundred -- --ignored
/// --nocapture`.
#[test]
#[ignore = "some minutes: see docs/testing.md"]
fn two_hundred_kills_of_the_engine_and_fifty_of_both() {
    // An engine that has lived for a second is followed at once.
    storm(200, 50, 1_000_000..1_150_000);
}

#[test]
fn a_line_of_a_stamped_file_that_is_begun_at_a_kill_is_stored_once() {
    let script = "n=0; while :; do n=$((n+1)); until rm begin 2>/dev/null; do sleep 0.01; done\n\
                  printf \"begun $n \"; touch begun.$n\n\
                  until rm end 2>/dev/null; do sleep 0.01; done; echo \"ended $n\"; done";
    let server = Server::shell("halves", script).with("<output timestamps=\"rfc3339\"/>");
    let place = Place::new(&Registry::of([server]));
    let supervisor = place.start();
    place.running("halves");
    for round in 1..=8 {
        place.write("begin", "");
        let begun = place.path(&format!("begun.{round}"));
        until("the line is begun", || begun.exists().then_some(()));
        // The engine reads it within milliseconds, and gives it out as it is after 200 of them.
        kill_engine(&place, &supervisor);
        place.write("end", "");
        let end = format!("ended {round}\n");
        until("the line has ended", || place.log_text("halves").ends_with(&end).then_some(()));
    }
    // What was given out before its end is in a line of its own, which says so.
    let text: String = place
        .log_text("halves")
        .lines()
        .map(|line| {
            let (_, line) = line.split_once(' ').expect("a time");
            match (line.strip_prefix("out "), line.strip_prefix("out+ ")) {
                (Some(whole), _) => format!("{whole}\n"),
                (None, begun) => begun.expect("standard output").to_owned(),
            }
        })
        .collect();
    let wanted: Vec<String> =
        (1..=8).map(|round| format!("begun {round} ended {round}\n")).collect();
    assert_eq!(text, wanted.concat());
}

#[test]
fn an_end_between_two_engines_is_told_with_its_exit_code() {
    let place = Place::new(&Registry::of([crasher(), Server::sleep("other")]));
    let supervisor = place.start();
    let pid = place.running("crasher");
    let other = place.running("other");
    let run = place.component("crasher")["run"].clone();
    let engine = supervisor.pid();
    let gap = Gap::new(&supervisor);
    crash(&place);
    until("the crasher has ended", || (!processes::alive(pid)).then_some(()));
    drop(gap);
    let crasher = place.await_component("crasher", "is back", |one| {
        one["state"] == "running" && one["pid"] != pid
    });
    assert_eq!(crasher["last_exit"]["code"], 3, "{crasher:#}");
    assert_eq!(crasher["restarts"], 1, "{crasher:#}");
    assert_eq!(place.pid("other"), other);
    let ends = events(&place, "crashed");
    assert_eq!(ends.len(), 1, "{ends:#?}");
    assert_eq!((&ends[0]["run"], &ends[0]["component"]), (&run, &"crasher".into()), "{ends:#?}");
    assert!(ends[0]["text"].as_str().is_some_and(|text| text.contains("exit 3")), "{ends:#?}");

    let status = place.status();
    assert_ne!(status["supervisor"]["pid"], engine, "another engine");
    assert_eq!(status["supervisor"]["pid"], supervisor.pid(), "that of the lock");
    assert_eq!(status["supervisor"]["guardian_pid"], supervisor.guardian(), "{status:#}");
    let guardian = &status["supervisor"]["guardian"];
    assert_eq!(guardian["pid"], supervisor.guardian(), "{status:#}");
    assert_eq!(guardian["form"], "parent", "{status:#}");
    let of_engine = status["supervisor"]["uptime_s"].as_f64().expect("seconds");
    assert!(guardian["uptime_s"].as_f64() >= Some(of_engine), "it is older: {status:#}");
    let shown = place.cli("status").stdout;
    let line = format!("Guardian: pid {}, up ", supervisor.guardian());
    assert!(shown.lines().any(|known| known.starts_with(&line)), "{shown}");
    let told = events(&place, "supervisor");
    let is_death = |event: &&Value| {
        event["text"]
            .as_str()
            .is_some_and(|text| text.contains("ended by SIGKILL") && text.contains(" kept"))
    };
    assert_eq!(told.iter().filter(is_death).count(), 1, "{told:#?}");
}

#[test]
fn who_asks_between_two_engines_waits_and_is_answered() {
    let place = Place::new(&Registry::of([Server::sleep("a")]));
    let supervisor = place.start();
    let pid = place.running("a");
    let gap = Gap::new(&supervisor);
    let mut early = UnixStream::connect(place.socket()).expect("nobody is refused");
    let request = http::request("GET", "/v1/status", "localhost", &[], "");
    early.write_all(request.as_bytes()).expect("there is room");
    let second = place.cli("run");
    second.assert_code(1);
    assert!(second.stderr.contains("already runs"), "the lock is held: {second:?}");
    drop(gap);
    early.set_read_timeout(Some(PATIENCE)).expect("a time-out above 0");
    let answer = std::io::read_to_string(early).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&pid.to_string()), "{answer}");
}

#[test]
fn output_outlives_its_writer_and_the_engine() {
    // What nobody has read is in the pipe, which the last holder would take with it.
    let place = Place::new(&Registry::of([Server::shell(
        "writer",
        "echo $$ >>writer.starts; while ! test -e go; do sleep 0.01; done; echo last words; exit 4",
    )
    .with("<restart policy=\"never\"/>")]));
    let supervisor = place.start();
    let pid = place.running("writer");
    let gap = Gap::new(&supervisor);
    place.write("go", "");
    until("the writer has ended", || (!processes::alive(pid)).then_some(()));
    drop(gap);
    let ended = place.await_component("writer", "has ended", |one| one["pid"].is_null());
    assert_eq!(ended["last_exit"]["code"], 4, "{ended:#}");
    until("its words are stored", || (place.log_text("writer") == "last words\n").then_some(()));
}

#[test]
fn a_stop_is_not_forgotten_between_two_engines() {
    // Asked before the kill, asked in the gap by signal: either is carried out to its end.
    for early in [true, false] {
        let place = Place::new(&Registry::of([
            Server::stubborn("slow").stop_timeout(1.0),
            Server::sleep("quick"),
        ]));
        let supervisor = place.start();
        place.running("slow");
        if early {
            until("it is deaf", || place.log_text("slow").contains("deaf").then_some(()));
            supervisor.signal(Signal::TERM);
            place.await_state("slow", "stopping");
        }
        let gap = Gap::new(&supervisor);
        if !early {
            supervisor.signal(Signal::TERM);
        }
        drop(gap);
        let status = supervisor.ended();
        assert_eq!(status.code(), Some(0), "early: {early}");
        place.assert_nothing_runs();
    }
}

#[test]
fn a_signal_to_guardian_and_engine_is_one_wish() {
    let place = Place::new(&Registry::of([Server::shell(
        "polite",
        "trap 'sleep 0.3; echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done",
    )
    .stop_timeout(20.0)]));
    let supervisor = place.start();
    until("it is up", || place.log_text("polite").contains("up").then_some(()));
    // As a service manager does it that asks every process of a service.
    processes::signal(supervisor.pid(), Signal::TERM);
    supervisor.signal(Signal::TERM);
    assert_eq!(supervisor.ended().code(), Some(0));
    assert!(place.log_text("polite").contains("bye"), "it was not killed");
}

#[test]
fn two_wishes_are_a_kill_and_the_guardian_ends_as_its_engine() {
    let place = Place::new(&Registry::of([Server::stubborn("deaf").stop_timeout(600.0)]));
    let supervisor = place.start();
    until("it is deaf", || place.log_text("deaf").contains("deaf").then_some(()));
    supervisor.signal(Signal::INT);
    place.await_state("deaf", "stopping");
    supervisor.signal(Signal::INT);
    assert_eq!(supervisor.ended().code(), Some(0));
    place.assert_nothing_runs();
}

#[test]
fn an_engine_that_panics_is_started_again() {
    let mut place = Place::new(&Registry::of([Server::sleep("a")]));
    place.set("S7_TEST_PANIC", "engine");
    let supervisor = place.start();
    let a = place.running("a");
    let engine = supervisor.pid();
    supervisor.signal(Signal::USR1);
    until("another engine answers", || {
        let status = place.try_get("/v1/status")?.json();
        (status["supervisor"]["pid"] != engine).then_some(())
    });
    assert_eq!(place.pid("a"), a);
    assert!(
        events(&place, "supervisor")
            .iter()
            .any(|event| { event["text"].as_str().is_some_and(|text| text.contains("exit 101")) })
    );
}

#[test]
fn an_engine_that_never_comes_up_is_given_up() {
    let mut place = Place::new(&Registry::of([Server::sleep("a")]));
    place.set("S7_TEST_PANIC", "start");
    let ended = place.cli("run");
    ended.assert_code(1);
    assert!(ended.stderr.contains("died 3 times at its start"), "{ended:?}");
    place.assert_nothing_runs();
}

#[test]
fn a_guardian_that_is_killed_is_replaced_and_the_next_one_guards() {
    let place = Place::new(&Registry::of([crasher(), Server::sleep("other")]));
    let supervisor = place.start();
    let other = place.running("other");
    let pid = place.running("crasher");
    let engine = supervisor.pid();
    let guardian = supervisor.guardian();
    supervisor.signal(Signal::KILL);
    supervisor.ended();
    let second = until("there is another guardian", || {
        let known = place.status()["supervisor"]["guardian_pid"].as_u64()?;
        u32::try_from(known).ok().filter(|known| *known != guardian)
    });
    assert_eq!(place.status()["supervisor"]["pid"], engine, "the engine goes on");
    assert_eq!(processes::stat(second).expect("it lives").parent, engine, "a child of the engine");
    assert_eq!(place.status()["supervisor"]["guardian"]["form"], "beside");

    // Now the engine, while its guardian cannot act; and the crasher after it.
    processes::signal(second, Signal::STOP);
    processes::signal(engine, Signal::KILL);
    until("the engine is dead", || (!processes::alive(engine)).then_some(()));
    crash(&place);
    until("the crasher has ended", || (!processes::alive(pid)).then_some(()));
    processes::signal(second, Signal::CONT);
    let crasher = place.await_component("crasher", "is back", |one| {
        one["state"] == "running" && one["pid"] != pid
    });
    // Nobody of ours could reap it: the kernel tells by the pidfd, from Linux 6.15 on.
    let code = &crasher["last_exit"]["code"];
    assert!(*code == 3 || code.is_null(), "{crasher:#}");
    assert_eq!(place.pid("other"), other);
    let status = place.status();
    assert_ne!(status["supervisor"]["pid"], engine, "another engine");
    assert_eq!(status["supervisor"]["guardian_pid"], second, "with its guardian as its parent");
    place.cli("stop").assert_code(0);
    place.assert_nothing_runs();
}

#[test]
fn a_restart_of_everything_finds_its_guardian_again() {
    let place = Place::new(&Registry::of([Server::sleep("a")]));
    let supervisor = place.start();
    let engine = supervisor.pid();
    place.cli("restart").assert_code(0);
    let status = place.status();
    assert_eq!(status["supervisor"]["pid"], engine, "in place");
    assert_eq!(status["supervisor"]["guardian_pid"], supervisor.guardian());
    let a = place.running("a");
    kill_engine(&place, &supervisor);
    assert_eq!(place.pid("a"), a);
    assert_ne!(supervisor.pid(), engine);
}

#[test]
fn a_supervisor_can_do_without() {
    let place = Place::new(&Registry::of([Server::sleep("a")]));
    let supervisor = place.start_with(&["--no-guardian"]);
    assert_eq!(supervisor.pid(), supervisor.guardian(), "one process");
    let status = place.status();
    assert!(status["supervisor"].get("guardian_pid").is_none(), "{status:#}");
    assert!(status["supervisor"].get("guardian").is_none(), "{status:#}");
    let shown = place.cli("status").stdout;
    assert!(shown.contains("\nGuardian: none\n"), "{shown}");
    place.cli("restart").assert_code(0);
    assert_eq!(place.status()["supervisor"]["pid"], supervisor.guardian());
}
