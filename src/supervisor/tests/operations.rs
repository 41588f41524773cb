//! What callers are told: answers, outcomes, ends.

use super::world::{Seconds, Sim};
use crate::{
    model::{Exit, RunId},
    registry::RestartWhen,
    supervisor::Answer,
    wire::{
        ComponentState::{Running, Stopped, Waiting},
        OperationState::{Done, Failed, Pending},
        Outcome, Verb,
    },
};

#[test]
fn an_unknown_id_is_denied_with_the_nearest_and_nothing_else_happens() {
    let mut sim = Sim::new("thumbs ps");
    sim.start("ps thumb");
    assert_eq!(sim.denial(), "no component is called \"thumb\"; did you mean \"thumbs\"?");
    sim.expect_all(Stopped).start("zzz");
    assert_eq!(sim.denial(), "no component is called \"zzz\"");
}

#[test]
fn a_command_for_a_run_that_has_ended_is_denied() {
    let mut sim = Sim::new("is");
    sim.boot().advance(1.secs());
    let old = sim.run("is");
    sim.exit("is", 1).command(Verb::Stop, "is", Some(old));
    assert_eq!(sim.denial(), "run 1 of is has ended");
    sim.advance(1.secs()).command(Verb::Stop, "is", Some(old));
    assert_eq!(sim.denial(), "run 1 of is has ended; it is in run 2 now");
    sim.expect("is", Running).command(Verb::Stop, "is", Some(RunId(2))).advance(1.secs());
    sim.expect("is", Stopped);
}

#[test]
fn a_later_command_of_the_opposite_sense_supersedes() {
    let mut sim = Sim::new("is");
    sim.habit("is", |habit| habit.spawn = None).boot();
    let start = sim.operation();
    sim.stop("is");
    sim.expect_operation(start, Failed);
    assert_eq!(
        sim.outcome(start, "is"),
        (Outcome::Superseded, "a later stop took its place".into())
    );
}

#[test]
fn a_start_under_way_is_redundant_and_its_operation_can_be_awaited() {
    let mut sim = Sim::new("is");
    sim.habit("is", |habit| habit.spawn = None).boot().start("is");
    let Some(Answer::Redundant(Some(operation))) = sim.answer else { panic!("{:?}", sim.answer) };
    sim.expect_operation(operation, Pending);
    // A process that has just come to be may fall at once.
    sim.spawned("is").expect("is", Running).expect_operation(operation, Pending);
    sim.advance(1.secs()).expect_operation(operation, Done);
}

#[test]
fn what_falls_at_once_has_not_come_up() {
    let mut sim = Sim::with("is ps", |registry| {
        registry.components[0].restart.when = RestartWhen::Never;
    });
    sim.habit("is", |habit| habit.exit = Some((10.millis(), Exit::Code(3))));
    sim.boot().advance(1.secs()).expect("ps", Running);
    let boot = sim.operation();
    sim.expect_operation(boot, Failed);
    assert_eq!(sim.outcome(boot, "ps"), (Outcome::Done, String::new()));
    let (outcome, detail) = sim.outcome(boot, "is");
    assert_eq!(outcome, Outcome::Failed);
    assert!(detail.starts_with("it exited with 3"), "{detail}");
}

#[test]
fn callers_of_a_crash_loop_are_told_while_it_goes_on_trying() {
    let mut sim = Sim::new("is:1 ps:2 x:3");
    sim.habit("is", |habit| habit.spawn_error = Some("cannot execute /bin/is: no such file"));
    sim.boot().advance(1.secs());
    let boot = sim.operation();
    sim.expect_operation(boot, Failed);
    let (_, detail) = sim.outcome(boot, "is");
    assert!(
        detail.starts_with("cannot execute /bin/is: no such file, 3 times in a row; the next"),
        "{detail}"
    );
    let (_, detail) = sim.outcome(boot, "x");
    assert!(detail.starts_with("it waits for is: cannot execute /bin/is"), "{detail}");
    sim.expect("ps", Waiting);
    sim.habit("is", |habit| habit.spawn_error = None).advance(60.secs()).expect_all(Running);
}

#[test]
fn those_who_wait_are_told_what_for() {
    let mut sim = Sim::new("is:1 ps:2");
    sim.habit("is", |habit| habit.spawn = None).boot();
    let (outcome, detail) = sim.outcome(sim.operation(), "ps");
    assert_eq!((outcome, detail.as_str()), (Outcome::Pending, "is (starting)"));
}

#[test]
fn the_outcomes_of_several_are_told_apart() {
    let mut sim = Sim::with("good bad", |registry| {
        registry.components[1].restart.when = RestartWhen::Never;
        registry.components[1].start_delay = 1.secs();
    });
    sim.habit("bad", |habit| habit.exit = Some((0.secs(), Exit::Code(2)))).boot().advance(5.secs());
    let boot = sim.operation();
    sim.expect_operation(boot, Failed);
    assert_eq!(sim.outcome(boot, "good"), (Outcome::Done, String::new()));
    let expected = "it exited with 2; the policy does not restart it".to_owned();
    assert_eq!(sim.outcome(boot, "bad"), (Outcome::Failed, expected));
}

#[test]
fn old_operations_are_forgotten() {
    let mut sim = Sim::new("is");
    sim.boot().advance(1.secs());
    for _ in 0..1000 {
        sim.start("is");
    }
    assert!(sim.supervisor.operations.ids().count() <= 130);
}
