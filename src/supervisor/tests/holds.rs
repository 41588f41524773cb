//! Holds: no start and no restart, by hand or by itself, until released or expired.

use super::world::{Seconds, Sim, registry};
use crate::{
    supervisor::{Answer, Effect, Fact, HoldChange},
    wire::{
        ComponentState::{Backoff, Running, Starting, Stopped, Stopping, Waiting},
        Health, OperationState, Outcome,
    },
};

#[test]
fn a_crash_of_a_held_component_is_kept_as_a_wish_until_its_release() {
    let mut sim = Sim::new("ps");
    sim.boot().advance(120.secs()).hold("ps", None);
    sim.expect("ps", Running).exit("ps", 1).advance(3600.secs()).expect("ps", Waiting);
    assert_eq!(sim.view("ps").waiting_for.as_deref(), Some("the end of its hold"));
    sim.release("ps").advance(0.secs()).expect("ps", Running);
    assert_eq!(sim.view("ps").restarts, 1);
}

#[test]
fn a_hold_expires_by_itself_and_what_waited_starts() {
    let mut sim = Sim::new("ps");
    sim.boot().advance(120.secs()).hold("ps", Some(60.secs())).exit("ps", 1);
    sim.advance(59.secs()).expect("ps", Waiting);
    sim.advance(1.secs()).expect("ps", Running);
    assert_eq!(sim.view("ps").hold, None);
}

#[test]
fn a_back_off_that_ends_under_a_hold_starts_nothing() {
    let mut sim = Sim::new("ps");
    sim.boot().advance(1.secs()).exit("ps", 1).expect("ps", Backoff);
    sim.hold("ps", None).advance(60.secs()).expect("ps", Waiting);
    assert_eq!(sim.started(), ["ps"]);
}

#[test]
fn a_start_or_restart_by_hand_is_denied_with_who_holds_it_why_and_until_when() {
    let mut sim = Sim::new("ps is");
    sim.boot().advance(1.secs()).hold("ps", Some(3600.secs())).restart("ps");
    let denial = sim.denial();
    for part in ["held by", "until 2026-11-27 14:30:00 UTC: disk swap", "s7supervisor release ps"] {
        assert!(denial.contains(part), "{denial}");
    }
    sim.restart("is ps").denial();
    sim.expect("is", Running);
    assert_eq!(sim.view("is").run, Some(sim.run("is")), "nothing has changed");
    // It runs: a start asks for nothing.
    sim.start("ps");
    assert_eq!(sim.answer, Some(Answer::Redundant(None)));
    // Stop and kill stay possible; a start after them does not.
    sim.stop("ps").advance(1.secs()).expect("ps", Stopped);
    sim.start("ps").denial();
    sim.release("ps").advance(1.secs()).expect("ps", Stopped);
    sim.start("ps").advance(1.secs()).expect("ps", Running);
}

#[test]
fn who_depends_on_one_that_is_held_down_is_told_by_name() {
    let mut sim = Sim::new("is ps<is");
    sim.hold("is", None).boot_without(&["is", "ps"]).start("ps");
    assert!(sim.denial().starts_with("ps depends on is, and is is held by"), "{}", sim.denial());
}

#[test]
fn a_command_to_all_leaves_the_held_alone_and_says_so() {
    let mut sim = Sim::new("is:1 ps:2");
    sim.boot().advance(1.secs()).started();
    sim.hold("is", None).restart("all").advance(5.secs());
    let operation = sim.operation();
    sim.expect_operation(operation, OperationState::Done);
    assert_eq!(sim.started(), ["ps"], "and it does not wait for one that is held");
    let (outcome, detail) = sim.outcome(operation, "is");
    assert_eq!(outcome, Outcome::Held);
    assert!(detail.starts_with("it is held by"), "{detail}");
    sim.hold("ps", None).restart("all").denial();
}

#[test]
fn the_start_of_everything_does_not_wait_for_a_held_one() {
    let mut sim = Sim::new("is:1 svg:2 ps:3<is");
    sim.hold("is", None).boot().advance(5.secs());
    sim.expect("is", Waiting).expect("svg", Running).expect("ps", Waiting);
    let operation = sim.operation();
    assert_eq!(sim.outcome(operation, "is").0, Outcome::Held);
    let (outcome, why) = sim.outcome(operation, "ps");
    assert_eq!(outcome, Outcome::Failed);
    assert!(why.starts_with("it waits for is: it is held by"), "{why}");
    sim.release("is").advance(5.secs()).expect("is", Running).expect("ps", Running);
}

#[test]
fn an_unhealthy_component_that_is_held_keeps_running_and_is_restarted_at_the_end() {
    let mut sim = Sim::new("ps");
    sim.boot().advance(1.secs()).hold("ps", Some(60.secs())).unhealthy("ps").advance(30.secs());
    sim.expect("ps", Running);
    let explain = sim.supervisor.explain(sim.now, "ps").expect("ps");
    assert!(explain.blocker.expect("the hold").contains("no answer on port 8080"));
    let before = sim.run("ps");
    sim.advance(35.secs()).expect("ps", Running);
    assert_ne!(sim.run("ps"), before, "the verdict was put off, not forgotten");
}

#[test]
fn a_held_component_that_recovers_is_not_restarted_at_the_end() {
    let mut sim = Sim::new("ps");
    sim.boot().advance(1.secs()).hold("ps", None).unhealthy("ps");
    let run = sim.run("ps");
    sim.tell(Fact::HealthChanged { run, health: Health::Ok, detail: None });
    sim.release("ps").advance(5.secs());
    assert_eq!(sim.run("ps"), run);
}

#[test]
fn a_reload_changes_a_held_component_when_the_hold_ends_and_nobody_waits_for_that() {
    let mut sim = Sim::new("is:1 ps:2<is");
    sim.boot().advance(1.secs()).hold("is", None).started();
    let mut new = registry("is:1 ps:2<is");
    for component in &mut new.components {
        component.arguments.push("new".into());
    }
    sim.reload(new).advance(60.secs());
    let operation = sim.operation();
    sim.expect_operation(operation, OperationState::Done);
    assert_eq!(sim.outcome(operation, "is").0, Outcome::Held);
    assert_eq!(sim.started(), ["ps"]);
    assert_eq!(sim.view("is").waiting_for.as_deref(), Some("the end of its hold, to be restarted"));
    sim.release("is").advance(60.secs());
    assert_eq!(sim.started(), ["is"]);
}

#[test]
fn a_start_that_is_under_way_is_carried_out() {
    let mut sim = Sim::new("ps");
    sim.habit("ps", |habit| habit.spawn = None).boot().hold("ps", None).expect("ps", Starting);
    sim.spawned("ps").expect("ps", Running);
}

#[test]
fn a_hold_that_is_given_anew_has_the_new_terms_alone() {
    let mut sim = Sim::new("ps");
    sim.boot().hold("ps", Some(10.secs())).hold("ps", Some(60.secs())).advance(30.secs());
    assert!(sim.view("ps").hold.is_some());
    sim.hold("ps", None).advance(3600.secs());
    assert!(sim.view("ps").hold.is_some());
    sim.release("ps");
    let change = HoldChange::Released { by: super::world::operator().to_string() };
    let told = Effect::HoldChanged { id: super::world::id("ps"), change };
    assert!(sim.effects.contains(&told), "{:?}", sim.effects);
    sim.release("ps");
    assert_eq!(sim.effects, [], "there is nothing to release");
}

#[test]
fn a_restart_of_everything_and_the_supervisor_leaves_what_is_held_running() {
    let mut sim = Sim::new("is ps");
    sim.boot().advance(1.secs()).hold("is", None).restart_all().advance(5.secs());
    assert_eq!(sim.all_gone, Some(Vec::new()));
    sim.expect("is", Running).expect("ps", Stopped);
    let operation = sim.operation();
    sim.expect_operation(operation, OperationState::Done);
    assert_eq!(sim.outcome(operation, "is").0, Outcome::Held);
}

#[test]
fn a_hold_that_ends_while_everything_restarts_keeps_nothing_any_more() {
    let mut sim = Sim::new("is ps");
    sim.habit("ps", |habit| habit.stop = Some(20.secs())).boot().advance(1.secs());
    sim.hold("is", Some(10.secs())).restart_all().advance(5.secs()).expect("is", Running);
    assert_eq!(sim.all_gone, None);
    sim.advance(30.secs()).expect("is", Stopped);
    assert_eq!(sim.all_gone, Some(Vec::new()));
}

#[test]
fn a_stop_of_everything_stops_what_is_held_too() {
    let mut sim = Sim::new("is ps");
    sim.habit("ps", |habit| habit.stop = Some(20.secs())).boot().advance(1.secs());
    sim.hold("is", None).restart_all().advance(5.secs()).shut_down(false).advance(30.secs());
    sim.expect("is", Stopped).expect("ps", Stopped);
    assert_eq!(sim.all_gone, Some(Vec::new()));
}

#[test]
fn a_verdict_that_was_put_off_does_not_break_the_order_of_a_stop() {
    let mut sim = Sim::new("is ps<is");
    sim.habit("ps", |habit| habit.stop = Some(20.secs()));
    sim.boot().advance(1.secs()).hold("is", Some(10.secs())).unhealthy("is");
    sim.stop("all").expect("ps", Stopping).expect("is", Running);
    sim.advance(15.secs()).expect("ps", Stopping).expect("is", Running);
    sim.advance(10.secs()).expect_all(Stopped);
}
