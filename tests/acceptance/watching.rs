//! What watchers are told, and the log of events.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, channel},
    thread,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Place, Registry, Server, http::Stream, processes, until};

/// What a watcher knows: each component as it was told last.
struct Watcher {
    messages: Receiver<Value>,
    components: BTreeMap<String, Value>,
    order: Vec<u64>,
}

impl Watcher {
    fn of(place: &Place) -> Self {
        let mut stream = Stream::open(&place.socket(), "/v1/updates", &[]).expect("it answers");
        let (sender, messages) = channel();
        thread::spawn(move || {
            while let Some(message) = stream.message() {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut watcher = Self { messages, components: BTreeMap::new(), order: Vec::new() };
        until("the snapshot comes", || {
            watcher.listen();
            (!watcher.components.is_empty()).then_some(())
        });
        watcher
    }

    /// Takes what has come.
    fn listen(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.order.push(message["seq"].as_u64().expect("a number"));
            match message["type"].as_str().expect("a type") {
                "snapshot" => {
                    self.components.clear();
                    for component in message["status"]["components"].as_array().expect("a list") {
                        self.take(component);
                    }
                }
                "component" => self.take(&message["component"]),
                _ => {}
            }
        }
    }

    fn take(&mut self, component: &Value) {
        let id = component["id"].as_str().expect("an id").to_owned();
        self.components.insert(id, lasting(component));
    }
}

/// What of a component does not change by itself.
fn lasting(component: &Value) -> Value {
    let mut component = component.clone();
    for figure in ["uptime_s", "cpu_percent", "memory_bytes", "processes", "next_attempt_s"] {
        component.as_object_mut().expect("an object").remove(figure);
    }
    component
}

fn truth(place: &Place) -> BTreeMap<String, Value> {
    let status = place.status();
    let components = status["components"].as_array().expect("a list");
    let named = |component: &Value| {
        (component["id"].as_str().expect("an id").to_owned(), lasting(component))
    };
    components.iter().map(named).collect()
}

#[test]
fn whoever_watches_ends_with_the_same_truth() {
    let at_once = "<restart delay=\"0\" maxRestarts=\"0\"/>";
    let mut servers: Vec<Server> =
        (0..6).map(|number| Server::sleep(&format!("c{number}")).with(at_once)).collect();
    servers.push(Server::sleep("late").with("<dependsOn ref=\"c0\"/>"));
    let place = Place::new(&Registry::of(servers));
    let _supervisor = place.start();
    let mut early = Watcher::of(&place);
    place.running("late");
    // Two clients and a command line act at once, and components crash.
    thread::scope(|scope| {
        for client in 0..2 {
            let place = &place;
            scope.spawn(move || {
                for round in 0..12 {
                    let verb = ["stop", "start", "restart"][(round + client) % 3];
                    place.post(&format!("/v1/components/c{}/{verb}", (round * 5 + client) % 6));
                }
            });
        }
        scope.spawn(|| {
            for id in ["c0", "c3"] {
                place.cli(&format!("restart {id}"));
            }
        });
        scope.spawn(|| {
            for id in ["c1", "c2", "late", "c4"] {
                let component = place.component(id);
                let running = component["state"] == "running";
                let ours = place.component_processes().into_iter();
                let mut ours = ours.filter(|one| running && component["pid"] == one.pid);
                if let Some(process) = ours.next() {
                    processes::signal(process.pid, Signal::KILL);
                }
            }
        });
    });
    let mut late = Watcher::of(&place);
    until("everybody knows the truth", || {
        early.listen();
        late.listen();
        let truth = truth(&place);
        (early.components == truth && late.components == truth).then_some(())
    });
    for watcher in [&early, &late] {
        assert!(watcher.order.is_sorted(), "numbers grow: {:?}", watcher.order);
    }
    // And it stays so: stopped things are not told to run.
    place.cli("stop c0 c1").assert_code(0);
    until("the stop is seen", || {
        early.listen();
        (early.components == truth(&place)).then_some(())
    });
}

#[test]
fn another_registry_is_shown_anew() {
    let place = Place::new(&Registry::of([Server::sleep("a")]));
    let _supervisor = place.start();
    place.running("a");
    let mut watcher = Watcher::of(&place);
    place.rewrite_registry(&Registry::of([Server::sleep("b")]));
    place.cli("reload").assert_code(0);
    until("b is there, and a is not", || {
        watcher.listen();
        let names: Vec<&str> = watcher.components.keys().map(String::as_str).collect();
        (names == ["b"] && watcher.components == truth(&place)).then_some(())
    });
}

#[test]
fn events_say_what_happened_and_who_asked_and_outlive_the_supervisor() {
    let place = Place::new(&Registry::of([
        Server::sleep("ps").with("<restart delay=\"0\" maxRestarts=\"0\"/>")
    ]));
    let supervisor = place.start();
    let first = place.running("ps");
    processes::signal(first, Signal::KILL);
    place.await_component("ps", "runs again", |ps| ps["state"] == "running" && ps["pid"] != first);
    place.cli("restart ps").assert_code(0);
    let refused = place.post_with("/v1/components/ps/restart", &["If-Match: 1"]);
    assert_eq!(refused.status, 412, "{refused:?}");

    let events = events(&place, "component=ps");
    let told = |kind: &str, text: &str| {
        let found = events.iter().find(|event| {
            event["kind"] == kind && event["text"].as_str().is_some_and(|told| told.contains(text))
        });
        found.unwrap_or_else(|| panic!("no {kind} with \"{text}\": {events:#?}"))
    };
    assert_eq!(told("crashed", "SIGKILL after")["run"], 1);
    let asked = told("command", "restart asked");
    assert!(asked["origin"].as_str().is_some_and(|who| who.contains("(cli)")), "{asked}");
    told("exited", "SIGTERM after");
    told("command", "restart refused");
    told("running", "as pid");

    let last = events.last().expect("some")["seq"].as_u64().expect("a number");
    // What was answered is written, or soon will be; a crash of ours loses none of it.
    until("the last event is written", || {
        place
            .read("logs/Supervisor-events.jsonl")
            .contains(&format!("\"seq\":{last},"))
            .then_some(())
    });
    supervisor.crash();
    // While nobody can be asked, the files tell.
    let told = place.cli("events ps -n 3");
    told.assert_code(0);
    assert_eq!(told.stdout.lines().count(), 3, "{told:?}");
    assert!(told.stderr.contains("not running"), "{told:?}");
    let _next = place.start();
    let after = self::events(&place, "");
    let numbers: Vec<u64> = after.iter().map(|event| event["seq"].as_u64().expect("n")).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "none twice, none missing");
    assert!(after.iter().any(|event| event["kind"] == "adopted"), "{after:#?}");
    let told = place.cli("events --since -1h");
    told.assert_code(0);
    assert_eq!(told.stdout.lines().count(), after.len(), "{told:?}");
    assert!(told.stdout.contains("crashed    SIGKILL after"), "{told:?}");
}

#[track_caller]
fn events(place: &Place, query: &str) -> Vec<Value> {
    let answer = place.get(&format!("/v1/events?{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = answer.body.lines();
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
