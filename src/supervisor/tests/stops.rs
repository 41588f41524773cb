//! Stops in every state, escalation, kills, restarts, shutdown.

use super::world::{KILLED, Seconds, Sim};
use crate::{
    model::Exit,
    supervisor::{Answer, Effect, Fact},
    wire::{
        ComponentState::{
            Backoff, Exited, Failed, Running, Starting, Stopped, Stopping, Unkillable, Waiting,
        },
        Intent, OperationState, Outcome, Verb,
    },
};

#[test]
fn a_stop_of_all_goes_the_other_way_round() {
    let mut sim = Sim::new("is:1 svg:1<is ps:2 log:3");
    sim.boot().advance(1.secs());
    sim.stop("all");
    sim.expect("log", Stopping).expect("ps", Running).expect("svg", Running);
    assert_eq!(sim.view("ps").intent, Intent::Stopped);
    assert_eq!(sim.view("ps").waiting_for.as_deref(), Some("log to stop"));
    sim.advance(1.secs()).expect_all(Stopped);
    assert_eq!(sim.came_into(Stopped), ["log", "ps", "svg", "is"]);
    sim.expect_operation(sim.operation(), OperationState::Done);
}

#[test]
fn a_stop_is_answered_at_once_in_every_state() {
    // Waiting.
    let mut sim = Sim::new("is:1 ps:2");
    sim.habit("is", |habit| habit.spawn = None).boot().expect("ps", Waiting);
    sim.stop("ps").expect("ps", Stopped);
    sim.expect_operation(sim.operation(), OperationState::Done);

    // Starting, before there is a process: it is ended as soon as it is there.
    sim.stop("is").expect("is", Stopping);
    assert!(matches!(sim.answer, Some(Answer::Applied(_))));
    sim.spawned("is").advance(1.secs()).expect("is", Stopped);
    assert_eq!(sim.living(), []);

    // Starting, with a process.
    let mut sim = Sim::with("is", |registry| registry.components[0].start_delay = 9.secs());
    sim.boot().advance(1.secs()).expect("is", Starting).stop("is").expect("is", Stopping);
    sim.advance(1.secs()).expect("is", Stopped);

    // Back-off.
    sim.habit("is", |habit| habit.exit = Some((0.secs(), Exit::Code(1))));
    sim.start("is").advance(1.millis()).expect("is", Backoff).stop("is").expect("is", Stopped);
    assert_eq!(sim.supervisor.next_deadline(), None, "the timer is gone with it");
    sim.started();
    sim.advance(600.secs());
    assert_eq!(sim.started(), [""; 0], "after a stop nothing starts");

    // Stopping.
    sim.habit("is", |habit| habit.exit = None).start("is").advance(1.secs()).stop("is").stop("is");
    assert!(matches!(sim.answer, Some(Answer::Redundant(Some(_)))), "{:?}", sim.answer);
    sim.advance(1.secs()).expect_operation_of_last(OperationState::Done);
    sim.stop("is");
    assert_eq!(sim.answer, Some(Answer::Redundant(None)));
}

impl Sim {
    fn expect_operation_of_last(&self, state: OperationState) {
        self.expect_operation(self.operation(), state);
    }
}

#[test]
fn a_start_during_a_stop_is_kept() {
    let mut sim = Sim::new("is");
    sim.boot().advance(1.secs()).stop("is");
    let stop = sim.operation();
    sim.start("is").expect("is", Stopping);
    let start = sim.operation();
    assert_eq!(sim.outcome(stop, "is").0, Outcome::Superseded);
    sim.expect_operation(start, OperationState::Pending);
    sim.advance(1.secs()).expect("is", Running).expect_operation(start, OperationState::Done);
    assert_eq!(sim.started(), ["is", "is"]);
    let exit = sim.view("is").last_exit.expect("the first run ended");
    assert!(exit.expected, "a stop is no failure");
}

#[test]
fn a_stop_that_has_not_had_its_turn_is_withdrawn_by_a_start() {
    let mut sim = Sim::new("is:1 ps:2");
    sim.habit("ps", |habit| habit.stop = Some(5.secs())).boot().advance(1.secs()).stop("all");
    let run = sim.run("is");
    sim.start("is").advance(10.secs()).expect("is", Running).expect("ps", Stopped);
    assert_eq!(sim.run("is"), run, "it never went down");
}

#[test]
fn one_that_does_not_listen_is_killed_after_its_time() {
    let mut sim = Sim::new("is");
    sim.habit("is", |habit| habit.stop = None).boot().advance(1.secs()).stop("is");
    sim.advance(59.secs()).expect("is", Stopping);
    sim.advance(2.secs()).expect("is", Stopped);
    assert_eq!(sim.view("is").last_exit.map(|last| last.exit), Some(KILLED));
}

#[test]
fn a_kill_hurries_a_stop() {
    let mut sim = Sim::new("is");
    sim.habit("is", |habit| habit.stop = None)
        .boot()
        .advance(1.secs())
        .stop("is")
        .advance(1.secs());
    sim.kill("is").advance(1.secs()).expect("is", Stopped);
}

#[test]
fn stopped_means_that_the_whole_tree_is_gone() {
    let mut sim = Sim::new("is");
    sim.habit("is", |habit| habit.orphan = Some(600.secs())).boot().advance(1.secs()).stop("is");
    sim.advance(1.secs()).expect("is", Stopping);
    assert_eq!(sim.view("is").waiting_for.as_deref(), Some("the rest of its process tree to end"));
    sim.advance(60.secs()).expect("is", Stopped);
    assert_eq!(sim.living(), []);
}

#[test]
fn what_outlives_a_crash_is_ended_before_the_next_start() {
    let mut sim = Sim::new("is");
    sim.habit("is", |habit| habit.orphan = Some(600.secs())).boot().advance(1.secs());
    sim.exit("is", 1).expect("is", Stopping).advance(4.secs()).expect("is", Stopping);
    assert!(sim.started() == ["is"], "a new one beside the rest of the old");
    sim.advance(2.secs()).expect("is", Running);
    assert_eq!(sim.living().len(), 1);
}

#[test]
fn an_unkillable_one_is_shown_and_never_doubled() {
    let mut sim = Sim::new("is:1 ps:2");
    sim.habit("is", |habit| (habit.stop, habit.kill) = (None, None)).boot().advance(1.secs());
    sim.stop("is").advance(71.secs()).expect("is", Unkillable);
    let (outcome, detail) = sim.outcome(sim.operation(), "is");
    assert_eq!(outcome, Outcome::Failed);
    assert!(detail.contains("does not go away"), "{detail}");
    sim.started();
    sim.start("is");
    assert!(sim.denial().contains("never started beside it"), "{}", sim.denial());
    sim.restart("is");
    assert!(sim.denial().contains("never started beside it"), "{}", sim.denial());
    sim.advance(600.secs()).vanish("is").expect("is", Stopped);
    assert_eq!(sim.started(), [""; 0]);
    sim.start("is").advance(1.secs()).expect("is", Running);
}

#[test]
fn a_restart_that_meets_an_unkillable_goes_on_when_it_is_gone() {
    let mut sim = Sim::new("is");
    sim.habit("is", |habit| (habit.stop, habit.kill) = (None, None)).boot().advance(1.secs());
    sim.restart("is").advance(71.secs()).expect("is", Unkillable);
    sim.expect_operation_of_last(OperationState::Failed);
    sim.habit("is", |habit| habit.stop = Some(0.secs())).vanish("is").advance(1.secs());
    sim.expect("is", Running);
}

#[test]
fn a_process_that_comes_too_late_is_killed() {
    let mut sim = Sim::new("is");
    sim.boot().advance(1.secs());
    let (run, process) = (sim.run("is"), crate::machine::Process { pid: 9, started: sim.now });
    sim.exit("is", 1).tell(Fact::Spawned { run, process });
    assert_eq!(sim.effects, [Effect::KillTree { run }]);
}

#[test]
fn a_restart_of_all_goes_down_and_up_in_order() {
    let mut sim = Sim::new("is:1 svg:1<is ps:2");
    sim.boot().advance(1.secs());
    sim.started();
    sim.transitions.clear();
    sim.restart("all").advance(5.secs()).expect_all(Running);
    assert_eq!(sim.came_into(Stopping), ["ps", "svg", "is"]);
    assert_eq!(sim.started(), ["is", "svg", "ps"]);
    sim.expect_operation_of_last(OperationState::Done);
    assert_eq!(sim.view("is").restarts, 0, "an operator's restart is none without request");
}

#[test]
fn a_restart_of_one_leaves_the_others_alone() {
    let mut sim = Sim::new("is:1 ps:2<is");
    sim.boot().advance(1.secs());
    let (is, ps) = (sim.run("is"), sim.run("ps"));
    sim.restart("is").advance(1.secs()).expect_all(Running);
    assert!(sim.run("is") > is && sim.run("ps") == ps);
}

#[test]
fn a_restart_of_what_is_down_is_a_start() {
    let mut sim = Sim::with("is", |registry| registry.components[0].restart.max_restarts = Some(1));
    sim.restart("is").advance(1.secs()).expect("is", Running);
    sim.habit("is", |habit| habit.exit = Some((0.secs(), Exit::Code(1)))).exit("is", 1);
    sim.advance(1.secs()).expect("is", Failed);
    sim.habit("is", |habit| habit.exit = None)
        .restart("is")
        .advance(1.secs())
        .expect("is", Running);
}

#[test]
fn a_restart_before_there_is_a_process_starts_one_that_lives() {
    let mut sim = Sim::new("is");
    sim.habit("is", |habit| habit.spawn = None).boot().restart("is");
    sim.habit("is", |habit| habit.spawn = Some(0.secs())).spawned("is").advance(1.secs());
    sim.expect("is", Running).expect_operation_of_last(OperationState::Done);
    assert_eq!(sim.living().len(), 1);
}

#[test]
fn a_failing_one_that_is_asked_to_stop_keeps_its_place_in_the_order() {
    let mut sim = Sim::new("is:1 ps:2<is");
    sim.habit("ps", |habit| habit.stop = Some(5.secs())).boot().advance(1.secs());
    sim.unhealthy("ps").expect("ps", Stopping).stop("all").expect("is", Running);
    sim.advance(4.secs()).expect("is", Running).advance(2.secs()).expect_all(Stopped);
}

#[test]
fn a_shutdown_ends_all_in_order_and_lets_nothing_start() {
    let mut sim = Sim::new("is:1 ps:2");
    sim.boot().advance(1.secs()).exit("is", 1).expect("is", Backoff).shut_down(false);
    sim.start("is");
    assert!(sim.denial().contains("shutting down"), "{}", sim.denial());
    sim.started();
    sim.advance(10.secs()).expect_all(Stopped);
    assert_eq!(sim.all_gone, Some(vec![]));
    assert_eq!(sim.started(), [""; 0]);
}

#[test]
fn a_second_shutdown_kills() {
    let mut sim = Sim::new("is:1 ps:2");
    sim.habit("ps", |habit| habit.stop = None).boot().advance(1.secs()).shut_down(false);
    let first = sim.operation();
    sim.advance(1.secs()).expect("is", Running).expect("ps", Stopping);
    sim.shut_down(true).expect("is", Stopping).advance(1.secs()).expect_all(Stopped);
    assert_eq!(sim.operation(), first, "it is the same shutdown");
    assert_eq!(sim.all_gone, Some(vec![]));
    sim.expect_operation(first, OperationState::Done);
}

#[test]
fn a_shutdown_does_not_wait_for_an_unkillable_for_ever_and_names_it() {
    let mut sim = Sim::new("is:1 ps:2");
    sim.habit("ps", |habit| (habit.stop, habit.kill) = (None, None)).boot().advance(1.secs());
    sim.shut_down(false).advance(60.secs()).expect("is", Running);
    sim.advance(11.secs()).expect("ps", Unkillable).expect("is", Stopped);
    assert_eq!(sim.all_gone, Some(vec![super::world::id("ps")]));
    sim.expect_operation_of_last(OperationState::Failed);
}

#[test]
fn a_shutdown_of_nothing_ends_at_once() {
    let mut sim = Sim::new("");
    sim.shut_down(false);
    assert_eq!(sim.all_gone, Some(vec![]));
    sim.expect_operation_of_last(OperationState::Done);
}

#[test]
fn one_that_did_its_work_is_stopped_by_a_stop() {
    let mut sim = Sim::with("job", |registry| {
        registry.components[0].restart.when = crate::registry::RestartWhen::OnFailure;
    });
    sim.boot().advance(1.secs()).exit("job", 0).expect("job", Exited);
    sim.command(Verb::Stop, "job", None).expect("job", Stopped);
}

#[test]
fn an_unkillable_dependent_holds_up_no_stop() {
    let mut sim = Sim::new("x:1<is is:1");
    sim.habit("x", |habit| (habit.stop, habit.kill) = (None, None)).boot().advance(1.secs());
    sim.stop("x").advance(71.secs()).expect("x", Unkillable);
    sim.stop("all").expect("is", Stopping).advance(1.secs()).expect("is", Stopped);
}
