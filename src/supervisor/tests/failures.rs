//! Crashes, back-off, budget, policies.

use super::world::{Seconds, Sim, probe};
use crate::{
    model::Exit,
    registry::RestartWhen,
    wire::ComponentState::{Backoff, Exited, Failed, Running, Starting, Stopping},
};

fn crashing(sim: &mut Sim, after: std::time::Duration) {
    sim.habit("is", |habit| habit.exit = Some((after, Exit::Signal { signal: 11, core: true })));
}

#[test]
fn one_that_was_stable_comes_back_without_delay() {
    let mut sim = Sim::new("is");
    sim.boot().advance(60.secs()).exit("is", 1).expect("is", Starting);
    sim.advance(0.secs()).expect("is", Running);
    assert_eq!(sim.view("is").restarts, 1);
    sim.exit("is", 1).expect("is", Backoff);
}

#[test]
fn delays_double_with_jitter_up_to_the_maximum_and_are_forgotten_when_it_is_stable() {
    let mut sim = Sim::with("is", |registry| {
        let policy = &mut registry.components[0].restart;
        (policy.max_restarts, policy.max_delay) = (None, 2.secs());
    });
    sim.boot().advance(1.secs());
    for expected in [100, 200, 400, 800, 1600, 2000, 2000] {
        sim.exit("is", 1).expect("is", Backoff);
        let view = sim.view("is");
        let delay = view.next_attempt.expect("in back-off").since(sim.now).as_secs_f64() * 1000.0;
        let full = f64::from(expected);
        assert!((full * 0.8..=full).contains(&delay), "{delay} ms is not about {full} ms");
        sim.advance(3.secs()).expect("is", Running);
    }
    sim.advance(60.secs()).exit("is", 1).expect("is", Starting);
    assert_eq!(sim.view("is").attempt, 1);
}

#[test]
fn a_spent_budget_ends_in_failed_and_an_operators_start_forgives() {
    let mut sim = Sim::with("is", |registry| registry.components[0].restart.max_restarts = Some(3));
    crashing(&mut sim, 1.millis());
    sim.boot().advance(60.secs()).expect("is", Failed);
    assert_eq!(sim.started().len(), 4, "the first start and three restarts");
    let reason = sim.view("is").reason.expect("it says why");
    assert_eq!(
        reason,
        "SIGSEGV (core) ended it; 3 restarts within 600 s are all that the policy allows"
    );
    sim.advance(3600.secs()).expect("is", Failed);

    sim.habit("is", |habit| habit.exit = None).start("is").advance(1.secs()).expect("is", Running);
    let view = sim.view("is");
    assert_eq!((view.restarts, view.attempt), (0, 0));
}

#[test]
fn old_restarts_leave_the_window() {
    let mut sim = Sim::with("is", |registry| {
        let policy = &mut registry.components[0].restart;
        (policy.max_restarts, policy.window) = (Some(2), 100.secs());
    });
    sim.boot().advance(1.secs());
    for _ in 0..10 {
        sim.exit("is", 1).advance(51.secs()).expect("is", Running);
    }
}

#[test]
fn the_policy_says_what_an_end_leads_to() {
    let cases = [
        (RestartWhen::Always, 0, Backoff),
        (RestartWhen::Always, 1, Backoff),
        (RestartWhen::OnFailure, 0, Exited),
        (RestartWhen::OnFailure, 7, Exited),
        (RestartWhen::OnFailure, 1, Backoff),
        (RestartWhen::Never, 0, Exited),
        (RestartWhen::Never, 7, Exited),
        (RestartWhen::Never, 1, Failed),
    ];
    for (when, code, expected) in cases {
        let mut sim = Sim::with("job next<job", |registry| {
            let policy = &mut registry.components[0].restart;
            policy.when = when;
            policy.success_codes = vec![7];
        });
        sim.boot().advance(1.secs()).exit("job", code).expect("job", expected);
        assert_eq!(sim.view("job").attempt, u32::from(expected != Exited));
    }
}

#[test]
fn a_spawn_that_fails_is_an_ordinary_failed_attempt() {
    let mut sim = Sim::with("is", |registry| registry.components[0].restart.max_restarts = Some(2));
    sim.habit("is", |habit| habit.spawn_error = Some("cannot execute /bin/is: permission denied"));
    sim.boot().advance(1.millis()).expect("is", Backoff);
    sim.advance(5.secs()).expect("is", Failed);
    let reason = sim.view("is").reason.expect("it says why");
    assert!(
        reason.starts_with("cannot execute /bin/is: permission denied; 2 restarts"),
        "{reason}"
    );
    assert_eq!(sim.view("is").last_exit, None, "nothing ran, so nothing ended");
}

#[test]
fn a_readiness_that_does_not_come_is_a_failure_and_never_stability() {
    let mut sim = Sim::with("is", |registry| {
        registry.components[0].ready = Some(probe());
        registry.components[0].restart.reset_after = 10.secs();
    });
    sim.habit("is", |habit| habit.ready = None).boot();
    let operation = sim.operation();
    for _ in 0..3 {
        sim.advance(30.secs()).expect("is", Starting);
        let run = sim.run("is");
        sim.tell(crate::supervisor::Fact::NotReady { run, why: "port 1 did not answer".into() });
        sim.expect("is", Stopping).advance(20.millis()).expect("is", Backoff);
    }
    assert_eq!(sim.view("is").attempt, 3);
    let (_, detail) = sim.outcome(operation, "is");
    assert!(detail.starts_with("port 1 did not answer, 3 times in a row"), "{detail}");
}

#[test]
fn an_unhealthy_one_is_ended_and_started_anew() {
    let mut sim = Sim::new("is");
    sim.boot().advance(1.secs()).unhealthy("is").expect("is", Stopping).advance(1.secs());
    sim.expect("is", Running);
    let exit = sim.view("is").last_exit.expect("it ended");
    assert!(!exit.expected, "nobody asked for it");
}
