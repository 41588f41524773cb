//! Figures and states over time, through the API.

use serde_json::Value;

use crate::support::{Place, Registry, Server, processes, until};

fn points(place: &Place, query: &str) -> Vec<Value> {
    let answer = place.get(&format!("/v1/components/ps/history?{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["points"].as_array().expect("a list").clone()
}

fn measured(points: &[Value]) -> usize {
    points.iter().filter(|point| point["memory_bytes"].as_u64() > Some(0)).count()
}

/// A question within the first tenth of a second may be answered from a sample before the start.
fn measured_once(place: &Place) {
    place.await_component("ps", "has been measured", |ps| ps["memory_bytes"].as_u64() > Some(0));
}

#[test]
fn history_survives_a_killed_supervisor() {
    let place = Place::new(&Registry::of([Server::sleep("ps")]));
    let supervisor = place.start();
    let pid = place.running("ps");
    measured_once(&place);
    let before = points(&place, "from=-1m&step=1");
    assert!((1..=62).contains(&before.len()), "{} points", before.len());
    let last = before.last().expect("at least one");
    assert_eq!(last["state"], "running", "{before:#?}");
    let known = place.get("/v1/components/ps/history?from=-1m&step=1").json();
    let from = known["from"].as_str().expect("a time").to_owned();
    assert!(measured(&before) >= 1, "{before:#?}");

    supervisor.crash();
    let _next = place.start();
    assert_eq!(place.running("ps"), pid, "taken over");
    let after = points(&place, &format!("from={from}&step=1"));
    assert!(measured(&after[..before.len()]) >= 1, "what was known still is: {after:#?}");
}

#[test]
fn states_stand_on_the_same_time_line() {
    let place =
        Place::new(&Registry::of([Server::sleep("ps").with("<restart policy=\"never\"/>")]));
    let _supervisor = place.start();
    let pid = place.running("ps");
    points(&place, "from=-1m&step=1");
    processes::signal(pid, rustix::process::Signal::KILL);
    place.await_state("ps", "failed");
    let told = until("a second of it is over", || {
        let told = points(&place, "from=-1m&step=1");
        let last = told.last()?;
        (last["state"] == "failed" && last["memory_bytes"].is_null()).then_some(told)
    });
    let states: Vec<_> = told.iter().filter_map(|point| point["state"].as_str()).collect();
    assert!(states.iter().all(|state| ["running", "failed"].contains(state)), "{states:?}");
    place.get("/v1/components/pz/history").assert_problem(404, "unknown_component");
}
