//! Order and gates of starts.

use super::world::{Seconds, Sim, probe};
use crate::{
    model::Exit,
    registry::RestartWhen,
    supervisor::Answer,
    wire::{
        ComponentState::{Backoff, Exited, Failed, Running, Starting, Stopped, Stopping, Waiting},
        OperationState, Outcome,
    },
};

#[test]
fn lower_priorities_run_before_higher_ones_start() {
    let mut sim = Sim::with("is:1 svg:1 ps:2", |registry| {
        for component in &mut registry.components {
            component.start_delay = 5.secs();
        }
    });
    sim.boot();
    assert_eq!(sim.started(), ["is", "svg"]);
    sim.advance(4.secs()).expect("is", Starting).expect("ps", Waiting);
    assert_eq!(sim.view("ps").waiting_for.as_deref(), Some("is (starting), svg (starting)"));
    sim.advance(1.secs()).expect("is", Running).expect("svg", Running).expect("ps", Starting);
    sim.advance(5.secs()).expect("ps", Running);
    sim.expect_operation(sim.operation(), OperationState::Done);
}

#[test]
fn a_readiness_check_opens_the_gate_and_the_delay_does_not() {
    let mut sim = Sim::with("is:1 ps:2", |registry| {
        registry.components[0].ready = Some(probe());
        registry.components[0].start_delay = 1.secs();
    });
    sim.habit("is", |habit| habit.ready = Some(30.secs())).boot();
    sim.advance(29.secs()).expect("is", Starting).expect("ps", Waiting);
    sim.advance(1.secs()).expect("is", Running).expect("ps", Running);
}

#[test]
fn within_a_priority_those_depended_on_come_first_whatever_the_file_says() {
    let mut sim = Sim::new("a:1<b b:1<c c:1");
    sim.habit("c", |habit| habit.spawn = Some(1.secs())).boot();
    assert_eq!(sim.started(), ["c"]);
    sim.expect_operation(sim.operation(), OperationState::Pending);
    sim.advance(2.secs()).expect_all(Running);
    assert_eq!(sim.started(), ["b", "a"]);
    sim.expect_operation(sim.operation(), OperationState::Done);
}

#[test]
fn one_that_failed_for_good_opens_the_gate_but_not_that_of_its_dependents() {
    let mut sim = Sim::with("is:1 x:1<is ps:2 q:2<is", |registry| {
        registry.components[0].restart.max_restarts = Some(2);
        registry.components[0].start_delay = 1.secs();
    });
    sim.habit("is", |habit| habit.exit = Some((0.secs(), Exit::Code(3))));
    sim.boot().advance(10.secs());
    sim.expect("is", Failed).expect("x", Waiting).expect("q", Waiting).expect("ps", Running);
    let operation = sim.operation();
    sim.expect_operation(operation, OperationState::Failed);
    assert_eq!(sim.outcome(operation, "ps").0, Outcome::Done);
    let (outcome, detail) = sim.outcome(operation, "q");
    assert_eq!(outcome, Outcome::Failed);
    assert!(detail.starts_with("it waits for is: it exited with 3"), "{detail}");

    sim.habit("is", |habit| habit.exit = None).start("is").advance(2.secs()).expect_all(Running);
}

#[test]
fn one_whose_dependency_was_stopped_by_hand_holds_up_nobody_else() {
    let mut sim = Sim::new("svg:1 x:1<svg y:1<x ps:2");
    sim.boot_without(&["svg"]).advance(1.secs());
    sim.expect("svg", Stopped).expect("x", Waiting).expect("y", Waiting).expect("ps", Running);
    let (outcome, detail) = sim.outcome(sim.operation(), "y");
    assert_eq!(
        (outcome, detail.as_str()),
        (Outcome::Failed, "it waits for x: it waits for svg: it is stopped")
    );
    sim.start("svg").advance(1.secs()).expect_all(Running);
}

#[test]
fn a_start_takes_those_along_that_it_depends_on() {
    let mut sim = Sim::new("is:1 svg:1<is ps:2<svg other:1");
    sim.start("ps").advance(1.secs());
    sim.expect("ps", Running).expect("other", Stopped);
    assert_eq!(sim.started(), ["is", "svg", "ps"]);
}

#[test]
fn disabled_ones_are_started_by_hand_only() {
    let mut sim = Sim::with("is:1 tool:1", |registry| registry.components[1].enabled = false);
    sim.boot().advance(1.secs()).expect("is", Running).expect("tool", Stopped);
    sim.start("tool").advance(1.secs()).expect("tool", Running);
}

#[test]
fn a_start_of_what_runs_is_redundant() {
    let mut sim = Sim::new("is");
    sim.boot().advance(1.secs()).start("is");
    assert_eq!(sim.answer, Some(Answer::Redundant(None)));
}

#[test]
fn a_crash_restart_waits_for_dependencies_and_not_for_priorities() {
    let mut sim = Sim::new("is:1 svg:1 ps:2<is");
    sim.boot().advance(1.secs());
    sim.habit("svg", |habit| habit.spawn = None).exit("svg", 1).advance(200.millis());
    sim.expect("svg", Starting);
    sim.exit("ps", 1).advance(200.millis()).expect("ps", Running);
    sim.habit("is", |habit| habit.spawn = None).exit("is", 1).exit("ps", 1).advance(1.secs());
    sim.expect("is", Starting).expect("ps", Waiting);
    sim.spawned("is").expect("is", Running).advance(1.secs()).expect("ps", Running);
}

#[test]
fn the_governor_bounds_all_restarts_together() {
    let mut sim = Sim::with("a b c d e f", |registry| {
        registry.config.starts_per_minute = Some(4);
        for component in &mut registry.components {
            component.restart.max_restarts = None;
        }
    });
    sim.boot().advance(1.secs());
    sim.started();
    for name in ["a", "b", "c", "d", "e", "f"] {
        sim.habit(name, |habit| habit.exit = Some((10.millis(), Exit::Code(1)))).exit(name, 1);
    }
    sim.spawns.clear();
    sim.advance(600.secs());
    let starts: Vec<_> = sim.spawns.iter().map(|(at, _)| *at).collect();
    for window in starts.windows(5) {
        assert!(window[4].since(window[0]) >= 60.secs(), "five starts within a minute");
    }
    assert!(starts.len() >= 36, "and no fewer than it allows: {}", starts.len());
}

#[test]
fn a_restart_under_way_holds_back_a_dependent_of_the_same_request() {
    let mut sim = Sim::new("b:1 a:1<b");
    sim.boot().advance(1.secs());
    sim.exit("a", 1).expect("a", Backoff).restart("b a");
    sim.expect("b", Stopping).expect("a", Waiting);
    sim.advance(1.secs()).expect_all(Running);
}

#[test]
fn those_whom_others_wait_for_start_first_where_the_governor_lets_few_through() {
    let mut sim = Sim::with("a b c<d d", |registry| registry.config.starts_per_minute = Some(1));
    sim.boot().advance(120.secs()).started();
    // The first takes the minute's only start; the rest wait for the governor.
    for id in ["a", "b", "d", "c"] {
        sim.exit(id, 1);
    }
    assert_eq!(sim.started(), ["a"]);
    let waits = sim.view("b").waiting_for.expect("the governor");
    assert_eq!(
        waits,
        "the governor: 1 restart in the last minute, and startsPerMinute allows no more"
    );
    assert_eq!(sim.view("c").waiting_for.as_deref(), Some("d (backoff)"), "it does not flap");
    sim.advance(60.secs());
    assert_eq!(sim.started(), ["d"], "c waits for it");
    sim.advance(60.secs()).advance(60.secs());
    let mut rest = sim.started();
    rest.sort();
    assert_eq!(rest, ["b", "c"], "one a minute");
}

#[test]
fn dependents_that_are_released_together_pass_the_governor_one_by_one() {
    let names = ["b", "c", "d", "e", "f"];
    let mut sim = Sim::with("a b<a c<a d<a e<a f<a", |registry| {
        registry.config.starts_per_minute = Some(2);
    });
    sim.boot().advance(120.secs()).started();
    sim.habit("a", |habit| habit.spawn = Some(300.secs())).exit("a", 1);
    for id in names {
        sim.exit(id, 1);
    }
    sim.advance(200.secs());
    assert_eq!(sim.started(), ["a"], "they wait for it instead of flapping");
    sim.advance(101.secs());
    assert_eq!(sim.started().len(), 2);
    sim.advance(60.secs());
    assert_eq!(sim.started().len(), 2);
    sim.advance(60.secs());
    assert_eq!(sim.started().len(), 1);
}

#[test]
fn a_restart_of_all_waits_for_one_that_had_done_its_work_and_does_it_again() {
    let mut sim = Sim::with("b:1<a a:1", |registry| {
        registry.components[1].restart.when = RestartWhen::OnFailure;
        registry.components[1].start_delay = 5.secs();
    });
    sim.boot().advance(10.secs()).exit("a", 0).expect("a", Exited).expect("b", Running);
    sim.stop("b").advance(1.secs()).started();
    sim.restart("all").advance(1.secs());
    assert_eq!(sim.started(), ["a"], "b waits until a has done it");
    sim.advance(5.secs()).expect_all(Running);
    sim.expect_operation(sim.operation(), OperationState::Done);
}
