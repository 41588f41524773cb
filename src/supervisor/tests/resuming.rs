//! What an earlier Supervisor left goes on, with everything that was known of it.

use std::time::Duration;

use super::world::{Seconds, Sim, id};
use crate::{
    machine::{
        Adoption, Ended, EndedMeanwhile, FailReason, Process, Record, Resting, StopCause,
        StopPhase, StopUnderWay,
    },
    model::{Exit, Moment, RunId},
    registry::RestartPolicy,
    supervisor::{Inherited, Left},
    wire::{ComponentState::*, Intent},
};

fn adoption(sim: &Sim, run: u64) -> Adoption {
    Adoption {
        run: RunId(run),
        process: Process { pid: 4711, started: sim.now },
        ready: Some(sim.now),
        wish: Intent::Running,
        stopping: None,
        ended: None,
    }
}

fn left(name: &str, left: Left) -> Inherited {
    Inherited { id: id(name), record: Record::default(), left }
}

fn resting(name: &str, resting: Resting, record: Record) -> Inherited {
    Inherited { id: id(name), record, left: Left::Resting(resting) }
}

/// Of one that has failed so often in a row and was restarted each time, just now.
fn failed(times: u32, now: Moment) -> Record {
    let mut record = Record::default();
    for _ in 0..times {
        record.count_failure(Ended::Exited(Exit::Code(1)), false);
        assert!(record.take_restart(now, &RestartPolicy::default()));
    }
    record
}

#[test]
fn processes_of_an_earlier_supervisor_are_continued() {
    let mut sim = Sim::with("is:1 ps:2", |registry| {
        for component in &mut registry.components {
            component.start_delay = 5.secs();
        }
    });
    let record = failed(3, sim.now);
    let first = Left::Run(adoption(&sim, 40));
    sim.adopt(vec![Inherited { id: id("is"), record, left: first }]);
    let second = left("is", Left::Run(adoption(&sim, 41)));
    let unknown = left("gone", Left::Run(adoption(&sim, 50)));
    assert_eq!(sim.adopt(vec![second.clone()]), [second], "one live run each");
    assert_eq!(sim.adopt(vec![unknown.clone()]), [unknown]);
    let view = sim.view("is");
    assert_eq!((view.state, view.pid, view.restarts), (Running, Some(4711), 3));
    sim.boot();
    assert_eq!(sim.started(), ["ps"]);
    assert_eq!(sim.run("ps"), RunId(51), "a run's number is never used again");
    assert_eq!(sim.view("is").restarts, 3, "our own start forgives nothing");
}

#[test]
fn a_back_off_ends_when_it_was_to_end_and_its_budget_is_what_was_left_of_it() {
    let mut sim = Sim::new("is ps");
    let until = sim.now.after(30.secs());
    let record = failed(9, sim.now);
    sim.adopt(vec![resting("is", Resting::Backoff { until }, record)]);
    sim.habit("is", |habit| habit.exit = Some((10.millis(), Exit::Code(1)))).boot();
    assert_eq!(sim.started(), ["ps"], "no attempt because of us");
    sim.advance(29.secs()).expect("is", Backoff);
    sim.advance(1.secs());
    assert_eq!(sim.started(), ["is"]);
    assert_eq!(sim.view("is").restarts, 9);
    // Ten restarts are allowed; nine were taken before, this failure takes the tenth.
    sim.advance(10.secs()).expect("is", Backoff).advance(120.secs()).expect("is", Failed);
    assert_eq!(sim.view("is").restarts, 10);
}

#[test]
fn what_was_given_up_or_has_done_its_work_stays_so_until_somebody_asks() {
    let mut sim = Sim::new("given-up job both<job");
    let reason = FailReason::NotRestarted { last: Ended::Exited(Exit::Code(7)) };
    sim.adopt(vec![
        resting("given-up", Resting::Failed { reason }, failed(2, sim.now)),
        resting("job", Resting::Exited, Record::default()),
    ]);
    sim.boot().advance(600.secs()).expect("given-up", Failed).expect("job", Exited);
    assert_eq!(sim.started(), ["both"], "a job that is done satisfies those who depend on it");
    assert!(sim.view("given-up").reason.expect("a reason").contains("exited with 7"));
    sim.start("given-up").expect("given-up", Starting);
    assert_eq!(sim.view("given-up").restarts, 0, "asked for by an operator, with a new budget");
}

#[test]
fn an_end_that_nobody_saw_is_an_end_like_others() {
    let ended = |sim: &Sim, ready: bool, code| {
        let ended = Some(EndedMeanwhile { exit: Exit::Code(code), oom: false });
        Adoption { ended, ready: ready.then_some(sim.now), ..adoption(sim, 40) }
    };
    // It had been stable: it starts at once, and it counts.
    let mut sim = Sim::new("is");
    let mut stable = ended(&sim, true, 3);
    stable.ready = Some(Moment::default());
    sim.adopt(vec![left("is", Left::Run(stable))]);
    assert_eq!(sim.started(), ["is"]);
    sim.boot().advance(1.secs()).expect("is", Running);
    let view = sim.view("is");
    assert_eq!((view.restarts, view.last_exit.map(|last| last.exit)), (1, Some(Exit::Code(3))));

    // It had not: it backs off as it would have.
    let mut sim = Sim::new("is");
    sim.adopt(vec![left("is", Left::Run(ended(&sim, true, 3)))]);
    sim.boot().expect("is", Backoff).advance(100.millis());
    assert_eq!(sim.started(), ["is"]);

    // A job that ended well is not done twice.
    let mut sim = Sim::with("job", |registry| {
        registry.components[0].restart.when = crate::registry::RestartWhen::OnFailure;
    });
    sim.adopt(vec![left("job", Left::Run(ended(&sim, true, 0)))]);
    sim.boot().advance(60.secs()).expect("job", Exited);
    assert_eq!(sim.started(), [""; 0]);
}

#[test]
fn one_that_ended_waits_for_those_it_depends_on() {
    let mut sim = Sim::new("is:1 ps:2<is");
    let ended = |sim: &Sim, run| {
        let ended = Some(EndedMeanwhile { exit: Exit::Unknown, oom: false });
        Adoption { ended, ready: Some(Moment::default()), ..adoption(sim, run) }
    };
    sim.habit("is", |habit| habit.spawn = None);
    sim.adopt(vec![left("ps", Left::Run(ended(&sim, 41))), left("is", Left::Run(ended(&sim, 40)))]);
    sim.expect("is", Starting).expect("ps", Waiting).boot().advance(10.secs());
    sim.expect("ps", Waiting).spawned("is").advance(1.secs()).expect_all(Running);
    assert_eq!(sim.started(), ["is", "ps"]);
}

#[test]
fn a_stop_that_had_begun_is_carried_through() {
    let mut sim = Sim::with("is ps", |registry| {
        for component in &mut registry.components {
            component.stop.timeout = Duration::from_mins(1);
        }
    });
    let deadline = sim.now.after(20.secs());
    let stopping = |cause, wish| Adoption {
        stopping: Some(StopUnderWay { cause, phase: StopPhase::Polite { deadline } }),
        wish,
        ..adoption(&sim, 40)
    };
    let (is, ps) = (
        stopping(StopCause::Stop, Intent::Stopped),
        Adoption { run: RunId(41), ..stopping(StopCause::Restart, Intent::Running) },
    );
    sim.adopt(vec![left("is", Left::Run(is)), left("ps", Left::Run(ps))]);
    sim.boot_without(&["is"]).expect("is", Stopping).expect("ps", Stopping);
    assert!(!sim.kills_asked(), "the time that was left is left");
    sim.advance(21.secs());
    assert!(sim.kills_asked(), "and no more than that");
    sim.exit_unknown(RunId(40)).expect("is", Stopped);
    sim.exit_unknown(RunId(41)).advance(1.secs()).expect("ps", Running);
    assert_eq!(sim.view("is").intent, Intent::Stopped);
}

#[test]
fn a_stop_that_was_only_asked_for_is_begun_in_order() {
    let mut sim = Sim::new("is:1 ps:2<is");
    let asked = |run| Adoption { wish: Intent::Stopped, ..adoption(&sim, run) };
    let both = vec![left("is", Left::Run(asked(40))), left("ps", Left::Run(asked(41)))];
    sim.adopt(both);
    sim.boot_without(&["is", "ps"]).expect("ps", Stopping).expect("is", Running);
    sim.exit_unknown(RunId(41)).expect("ps", Stopped).expect("is", Stopping);
    sim.exit_unknown(RunId(40)).expect_all(Stopped);
}

#[test]
fn a_start_that_was_announced_is_made_and_what_was_held_back_stays_held() {
    let mut sim = Sim::new("is ps");
    sim.hold("ps", None);
    sim.adopt(vec![
        resting("is", Resting::Waiting, failed(4, sim.now)),
        resting("ps", Resting::Backoff { until: sim.now }, failed(1, sim.now)),
    ]);
    sim.boot().advance(1.secs()).expect("is", Running).expect("ps", Waiting);
    assert_eq!(sim.view("is").restarts, 4, "the same attempt, not one more");
}

#[test]
fn the_governor_counts_what_was_restarted_before() {
    let mut sim = Sim::with("a b", |registry| registry.config.starts_per_minute = Some(2));
    let until = sim.now.after(1.secs());
    let record = failed(2, sim.now);
    sim.adopt(vec![resting("a", Resting::Backoff { until }, record)]);
    sim.boot().advance(59.secs()).expect("a", Backoff).advance(2.secs());
    assert_eq!(sim.started(), ["b", "a"]);
}
