//! Another registry comes into force.

use super::world::{Seconds, Sim, probe, registry};
use crate::{
    model::Exit,
    supervisor::{Answer, Effect},
    wire::{
        ComponentState::{Failed, Running, Starting, Stopped, Stopping, Waiting},
        OperationState::Done,
    },
};

fn changed(line: &str, id: &str) -> crate::registry::Registry {
    let mut registry = registry(line);
    let component = registry.components.iter_mut().find(|one| &*one.id == id);
    component.expect("a component of the line").arguments.push("--new".into());
    registry
}

#[test]
fn only_what_differs_is_touched() {
    let mut sim = Sim::new("is svg gone");
    sim.boot().advance(1.secs());
    let svg = sim.run("svg");
    sim.started();
    sim.reload(changed("is svg ps:2", "is")).advance(5.secs()).expect_all(Running);
    assert_eq!(sim.run("svg"), svg);
    assert_eq!(sim.started(), ["is", "ps"]);
    assert!(sim.supervisor.component("gone").is_none());
    assert_eq!(sim.living().len(), 3);
    sim.expect_operation(sim.operation(), Done);
    assert_eq!(sim.supervisor.generation(), 2);
    sim.reload(changed("is svg ps:2", "is"));
    assert_eq!(sim.answer, Some(Answer::Redundant(None)), "nothing differs");
}

#[test]
fn a_changed_one_is_started_with_its_new_values() {
    let mut sim = Sim::new("is");
    sim.boot().advance(1.secs()).reload(changed("is", "is"));
    let arguments = |sim: &Sim| sim.supervisor.config("is").expect("it is there").arguments.len();
    sim.expect("is", Stopping);
    assert_eq!(arguments(&sim), 0, "the old process is stopped as its own registry said");
    sim.advance(1.secs()).expect("is", Running);
    assert_eq!(arguments(&sim), 1);
}

#[test]
fn a_changed_one_that_nobody_wishes_stays_down() {
    let mut sim = Sim::new("is");
    sim.boot().advance(1.secs()).stop("is").advance(1.secs()).reload(changed("is", "is"));
    sim.advance(60.secs()).expect("is", Stopped);
}

#[test]
fn a_changed_one_that_failed_is_tried_again() {
    let mut sim = Sim::with("is", |registry| registry.components[0].restart.max_restarts = Some(0));
    sim.habit("is", |habit| habit.exit = Some((0.secs(), Exit::Code(1)))).boot().advance(1.secs());
    sim.expect("is", Failed).habit("is", |habit| habit.exit = None).reload(changed("is", "is"));
    sim.advance(1.secs()).expect("is", Running);
}

#[test]
fn one_that_left_and_returned_while_leaving_starts_again() {
    let mut sim = Sim::new("is ps");
    sim.habit("ps", |habit| habit.stop = Some(5.secs())).boot().advance(1.secs());
    sim.reload(registry("is")).expect("ps", Stopping);
    let leaving = sim.operation();
    sim.start("ps");
    assert!(sim.denial().contains("has left the registry"), "{}", sim.denial());
    sim.reload(changed("is ps", "ps")).expect("ps", Stopping).advance(10.secs());
    sim.expect_all(Running);
    sim.expect_operation(sim.operation(), Done);
    assert!(sim.ended.contains(&leaving));
    assert_eq!(sim.living().len(), 2);
}

#[test]
fn one_that_leaves_is_forgotten_when_its_tree_is_gone() {
    let mut sim = Sim::new("is ps");
    sim.habit("ps", |habit| habit.orphan = Some(5.secs())).boot().advance(1.secs());
    sim.reload(registry("is")).advance(1.secs()).expect("ps", Stopping);
    assert!(sim.supervisor.is_leaving("ps"));
    sim.advance(10.secs());
    assert!(sim.supervisor.component("ps").is_none());
    sim.expect_operation(sim.operation(), Done);
    sim.reload(registry("is new")).advance(1.secs()).expect("new", Running);
}

#[test]
fn new_values_for_a_living_one_need_no_restart() {
    let mut sim = Sim::new("is");
    sim.boot().advance(1.secs());
    let run = sim.run("is");
    let mut new = registry("is");
    new.components[0].stop.timeout = 2.secs();
    sim.reload(new);
    let told = sim.effects.iter().any(|effect| matches!(effect, Effect::Reconfigured { .. }));
    assert!(told, "the world has to know: {:?}", sim.effects);
    assert_eq!(sim.run("is"), run);
    sim.habit("is", |habit| habit.stop = None);
}

#[test]
fn a_starting_one_follows_its_new_readiness_rule() {
    let mut probed = registry("is");
    probed.components[0].ready = Some(probe());
    let mut sim = Sim::over(probed, 1);
    sim.habit("is", |habit| habit.ready = None).boot().advance(60.secs()).expect("is", Starting);
    sim.reload(registry("is")).advance(1.millis()).expect("is", Running);
}

#[test]
fn a_new_dependency_counts_for_the_restart_that_brings_it() {
    let mut sim = Sim::new("a b");
    sim.boot().advance(1.secs()).stop("b").advance(1.secs());
    sim.reload(changed("a<b b", "a")).advance(1.secs()).expect("a", Waiting);
    sim.start("b").advance(1.secs()).expect_all(Running);
}

#[test]
fn in_a_shutdown_a_reload_starts_nothing() {
    let mut sim = Sim::new("is");
    sim.habit("is", |habit| habit.stop = Some(5.secs())).boot().advance(1.secs()).shut_down(false);
    sim.started();
    sim.reload(registry("is ps")).advance(60.secs());
    assert_eq!(sim.started(), [""; 0]);
    assert_eq!(sim.all_gone, Some(vec![]));
}
