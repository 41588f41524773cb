//! A short life of a Supervisor, and what must hold after it whatever went wrong meanwhile.

use std::{cell::RefCell, collections::BTreeMap, fmt::Write as _, fs, thread, time::Duration};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    injector::{Fault, Injector, Role},
    support::{
        Place, Registry, Server, Supervisor, http, now, place::pid_of, processes, since, until,
    },
};

/// Writes numbered lines, and ends with 3 when it is told to. Says how often it was started, and
/// whether another one of it runs.
pub fn writer(id: &str, restart: &str) -> Server {
    Server::shell(
        id,
        &format!(
            "exec 9>{id}.alone; flock -n 9 || echo {id} >>doubled; echo $$ >>{id}.starts; n=0\n\
             while :; do n=$((n+1)); echo \"line $n of {id}\"\n\
             rm {id}.crash 2>/dev/null 9>&- && exit 3; sleep 0.02 9>&- || exit 4; done"
        ),
    )
    .with(restart)
}

pub const IDS: [&str; 3] = ["steady", "crasher", "other"];

pub fn registry() -> Registry {
    let restart = "<restart delay=\"0.05\" maxRestarts=\"0\"/>";
    let [steady, crasher, other] = IDS.map(|id| writer(id, restart));
    Registry::of([steady, crasher, other.depends_on("steady")])
        .config("<startsPerMinute>1000000</startsPerMinute>")
}

/// What a life came to.
#[derive(Debug)]
pub struct Life {
    pub counts: BTreeMap<(Role, &'static str), u64>,
    pub hits: Vec<String>,
    /// Of the engine that followed on the killed one.
    pub descriptors: usize,
}

/// Starts three components, has one crash, one restarted, the logs reopened, the engine killed, all
/// stopped; meanwhile the faults happen. Panics where something is not as it must be afterwards.
#[track_caller]
pub fn live(faults: Vec<Fault>) -> Life {
    let then = now();
    let place = Place::new(&registry());
    let (injector, supervisor) = Injector::around(faults, || place.launch(&[]));
    let shown = KeepHits(&injector);
    let again;
    let _ended_first = EndsAll(&place);
    let answers = || place.try_get("/v1/status").is_some_and(|answer| answer.status == 200);
    let came_up = until("the Supervisor answers, or says why not", || {
        if supervisor.exit().is_some() {
            return Some(false);
        }
        answers().then_some(true)
    });
    if !came_up {
        let said = format!("{}{}", place.read("run.err"), place.log_text("Supervisor"));
        assert!(said.contains("error") || said.contains("ERROR"), "it says why: {said:?}");
        assert_ne!(supervisor.ended().code(), Some(0));
        place.assert_nothing_runs();
        injector.lift();
    }
    again = (!came_up).then(|| place.start());
    let supervisor = again.as_ref().unwrap_or(&supervisor);
    let engine = || supervisor.pid();
    all_run(&place);

    // A crash, and a restart after it.
    let before = starts(&place, "crasher");
    place.write("crasher.crash", "");
    until("the crasher is back", || (starts(&place, "crasher") > before).then_some(()));
    all_run(&place);

    // A restart that is asked for.
    let before = starts(&place, "other");
    let socket = place.socket();
    until("a restart is accepted", || {
        let answer = http::unix(&socket, "POST", "/v1/components/other/restart", &[]).ok()?;
        (answer.status == 202)
            .then_some(())
            .or_else(|| (starts(&place, "other") > before).then_some(()))
    });
    until("the other is restarted", || (starts(&place, "other") > before).then_some(()));
    all_run(&place);

    // Rotation by others.
    rotate(&place);
    supervisor.signal(Signal::USR1);
    let lines = place.log("steady").len();
    until("output is stored", || (place.log("steady").len() > lines).then_some(()));

    let pids = IDS.map(|id| running_pid(&place, id));
    another_engine(&place, supervisor);
    all_run(&place);
    assert_eq!(IDS.map(|id| running_pid(&place, id)), pids, "nobody was restarted");

    injector.lift();
    all_run(&place);
    for id in IDS {
        let before = place.log(id).len();
        until("output of all is stored", || (place.log(id).len() > before).then_some(()));
    }
    assert_eq!(place.read("doubled"), "", "started twice");
    for (id, pid) in IDS.iter().zip(&pids) {
        let said = place.read(&format!("{id}.starts"));
        let last = said.lines().last().and_then(|pid| pid.parse().ok());
        assert_eq!(last, Some(*pid), "{id}: the status tells of the process that runs");
    }
    // Each component has a session of its own.
    let all = place.component_processes();
    assert_eq!(all.iter().filter(|one| one.session == one.pid).count(), 3, "{all:#?}");
    let descriptors = processes::descriptors(engine()).len();
    let used = cpu(engine()) + cpu(supervisor.guardian());
    let life_so_far = since(then);
    assert!(used < Duration::from_secs(1) + life_so_far / 2, "{used:?} of CPU in {life_so_far:?}");
    let (crashes, dropped) = (events(&place, "crashed"), events(&place, "dropped"));
    supervisor.stop();
    if injector.hits().is_empty() {
        for name in ["events.pending", "in-hand", "pipes", "supervisor.sock"] {
            assert!(!place.path("temp").join(name).exists(), "{name} is of no use any more");
        }
    }
    // Said beforehand: what is in hand cannot be kept from a kill then.
    if !place.log_text("Supervisor").contains("a kill would take the output just read") {
        // What a disk did not take is counted, and told.
        let is_whole = |id: &&&str| !dropped.iter().any(|it| it["component"] == ***id);
        for id in IDS.iter().filter(is_whole) {
            assert_no_line_lost_or_doubled(&place, id);
        }
    }
    let told: Vec<_> =
        crashes.iter().map(|it| format!("{} {}", it["component"], it["text"])).collect();
    assert_eq!(crashes.len(), 1, "each end is told once: {told:#?}");
    let (counts, hits) = (injector.counts(), injector.hits());
    drop(shown);
    Life { counts, hits, descriptors }
}

/// Kills the engine; returns when another one answers.
#[track_caller]
pub fn another_engine(place: &Place, supervisor: &Supervisor<'_>) {
    let killed = supervisor.pid();
    processes::signal(killed, Signal::KILL);
    until("another engine answers", || {
        assert!(supervisor.exit().is_none(), "the guardian goes on");
        let answer = place.try_get("/v1/status").filter(|answer| answer.status == 200)?;
        (answer.json()["supervisor"]["pid"] != killed).then_some(())
    });
}

thread_local! {
    /// What had gone wrong when the last life on this thread failed.
    pub static LAST_HITS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what went wrong where the test fails.
struct KeepHits<'a>(&'a Injector);

impl Drop for KeepHits<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let hits = self.0.hits();
            LAST_HITS.set(hits.into_iter().take(20).collect());
        }
    }
}

/// Where a test fails under faults, not even the end can be expected to work: everything is killed.
/// What would outlive us could make no call any more that is asked about here.
pub struct EndsAll<'a>(pub &'a Place);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.show();
            until("everything has ended", || {
                let left = self.0.processes();
                for one in &left {
                    processes::signal(one.pid, Signal::KILL);
                }
                left.is_empty().then_some(())
            });
        }
    }
}

/// Waits until all components run.
#[track_caller]
pub fn all_run(place: &Place) {
    until("all components run", || {
        let answer = place.try_get("/v1/status").filter(|answer| answer.status == 200)?;
        let json = answer.json();
        let all = json["components"].as_array()?;
        (all.len() == 3 && all.iter().all(|one| one["state"] == "running")).then_some(())
    });
    for id in IDS {
        until("its first words", || (starts(place, id) > 0).then_some(()));
    }
}

pub fn running_pid(place: &Place, id: &str) -> u32 {
    pid_of(&until("a component is told", || {
        let answer = place.try_get(&format!("/v1/components/{id}"))?;
        (answer.status == 200).then(|| answer.json())
    }))
}

pub fn starts(place: &Place, id: &str) -> usize {
    place.read(&format!("{id}.starts")).lines().count()
}

/// CPU time that `pid` itself has used.
fn cpu(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace());
    let ticks = fields.into_iter().flatten().skip(11).take(2);
    // A tick is 10 ms.
    Duration::from_millis(ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

/// Gives each log of a component another name, as a program that rotates does.
fn rotate(place: &Place) {
    for entry in fs::read_dir(place.path("logs")).expect("our folder").flatten() {
        let name = entry.file_name().into_string().expect("ASCII");
        if let Some(stem) = name.strip_suffix(".log")
            && IDS.iter().any(|id| name.starts_with(id))
        {
            fs::rename(entry.path(), place.path(&format!("logs/{stem}-a.log"))).expect("renamed");
        }
    }
}

/// The events of one kind.
pub fn events(place: &Place, kind: &str) -> Vec<Value> {
    let stdout = place.cli("events -n 100000 --json").stdout;
    let events = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    events.filter(|event: &Value| event["kind"] == kind).collect()
}

/// Each line follows on the one before, or begins with 1 anew.
#[track_caller]
pub fn assert_no_line_lost_or_doubled(place: &Place, id: &str) {
    let text = place.log_text(id);
    let mut next = 1;
    let mut wrong = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut is_next = |n: u64| {
            let expected = format!("line {n} of {id}");
            // Its writer may have been ended in the middle of it.
            line == expected || (lines.peek().is_none() && expected.starts_with(line))
        };
        if is_next(1) {
            next = 2;
        } else if is_next(next) {
            next += 1;
        } else {
            let _infallible = writeln!(wrong, "{line:?}, not line {next}");
            next += 1;
        }
    }
    assert!(wrong.is_empty(), "{id}: {wrong}{text}");
}
