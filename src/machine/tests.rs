//! Every state with every event: the table, what holds in each of its cells, and what must not.

use std::{fmt::Write as _, time::Duration};

use super::*;
use crate::{
    model::{ComponentId, Exit, Moment, RunId},
    registry::{Check, Component, Probe, RestartWhen},
    wire::Intent,
};

const NOW: u64 = 1_000;
const RUN: RunId = RunId(7);
const STALE: RunId = RunId(6);
const NEXT: RunId = RunId(8);

fn second(second: u64) -> Moment {
    Moment::from_boot(Duration::from_secs(second))
}

fn process() -> Process {
    Process { pid: 70, started: second(NOW - 10) }
}

fn component() -> Component {
    let mut component = Component::new(ComponentId::new("ps").expect("a good id"), "/bin/true");
    component.start_delay = Duration::from_secs(15);
    component
}

fn context(config: &Component, gates_open: bool) -> Context<'_> {
    Context {
        now: second(NOW),
        config,
        chance: 0.0,
        next_run: NEXT,
        may_start: gates_open,
        may_stop: gates_open,
        restart_from: second(NOW),
    }
}

fn failure() -> StopCause {
    StopCause::Failure(Ended::Unhealthy("no answer".into()))
}

fn live(process: Option<Process>, asked: Option<StopCause>) -> Live {
    Live { run: RUN, process, asked }
}

fn stopping(cause: StopCause, phase: StopPhase, leader: Option<Exit>) -> State {
    let process = match phase {
        StopPhase::AwaitingSpawn { .. } => None,
        StopPhase::Evidence { .. } | StopPhase::Polite { .. } | StopPhase::Killing { .. } => {
            Some(process())
        }
    };
    State::Stopping { run: RUN, process, cause, phase, leader }
}

/// Every state in every shape that it can take, with the wish that goes with it.
fn states() -> Vec<(&'static str, Machine)> {
    use Intent::{Running, Stopped};
    let since = second(NOW - 5);
    let deadline = second(NOW);
    let polite = StopPhase::Polite { deadline };
    let killing = StopPhase::Killing { deadline };
    let evidence = StopPhase::Evidence { deadline };
    let awaiting = |kill| StopPhase::AwaitingSpawn { kill };
    let dead = Some(Exit::Code(1));
    let made = Some(process());
    let starting =
        |process, asked, deadline| State::Starting { live: live(process, asked), deadline };
    let running = |asked| State::Running { live: live(made, asked), since };
    let unkillable =
        |cause, leader| State::Unkillable { run: RUN, process: process(), cause, leader };
    let reason = FailReason::NotRestarted { last: Ended::Exited(Exit::Code(1)) };
    let stop = || Some(StopCause::Stop);
    let restart = || Some(StopCause::Restart);
    [
        ("stopped", State::Stopped, Stopped),
        ("waiting", State::Waiting { since }, Running),
        ("starting, no process yet", starting(None, None, None), Running),
        ("starting, no process yet, stop asked", starting(None, stop(), None), Stopped),
        ("starting, start delay", starting(made, None, Some(deadline)), Running),
        ("starting, start delay, stop asked", starting(made, stop(), Some(deadline)), Stopped),
        ("starting, readiness awaited", starting(made, None, None), Running),
        ("running", running(None), Running),
        ("running, stop asked", running(stop()), Stopped),
        ("running, restart asked", running(restart()), Running),
        ("stopping, no process yet", stopping(StopCause::Stop, awaiting(false), None), Stopped),
        (
            "stopping, no process yet, to kill",
            stopping(StopCause::Kill, awaiting(true), None),
            Stopped,
        ),
        (
            "stopping, no process yet, to restart",
            stopping(StopCause::Restart, awaiting(false), None),
            Running,
        ),
        ("stopping, no process yet, failed", stopping(failure(), awaiting(false), None), Running),
        ("evidence is taken", stopping(failure(), evidence, None), Running),
        ("stopping politely", stopping(StopCause::Stop, polite, None), Stopped),
        ("stopping politely, leader dead", stopping(StopCause::Stop, polite, dead), Stopped),
        ("stopping politely, start kept", stopping(StopCause::Stop, polite, None), Running),
        ("stopping politely, failed", stopping(failure(), polite, None), Running),
        ("stopping politely, failed, leader dead", stopping(failure(), polite, dead), Running),
        ("stopping politely, failed, stop asked", stopping(failure(), polite, None), Stopped),
        ("killing", stopping(StopCause::Stop, killing, None), Stopped),
        ("killing, leader dead", stopping(StopCause::Stop, killing, dead), Stopped),
        ("killing, failed", stopping(failure(), killing, None), Running),
        ("backoff", State::Backoff { until: second(NOW) }, Running),
        ("exited", State::Exited, Running),
        ("failed", State::Failed { reason }, Running),
        ("unkillable", unkillable(StopCause::Stop, None), Stopped),
        ("unkillable, leader dead", unkillable(StopCause::Stop, dead), Stopped),
        ("unkillable, failed", unkillable(failure(), None), Running),
    ]
    .map(|(name, state, wish)| (name, Machine::at(state, wish)))
    .to_vec()
}

fn commands() -> Vec<(&'static str, Event)> {
    vec![
        ("Start", Event::Start),
        ("Stop", Event::Stop(StopCause::Stop)),
        ("Restart", Event::Restart(StopCause::Restart)),
        ("Kill", Event::Kill),
    ]
}

fn facts(run: RunId) -> Vec<(&'static str, Event)> {
    let exit = Exit::Code(1);
    let process = Process { pid: 71, started: second(NOW) };
    vec![
        ("Spawned", Event::Spawned { run, process }),
        ("SpawnFailed", Event::SpawnFailed { run, error: "cannot execute it".into() }),
        ("Exited, all gone", Event::Exited { run, exit, oom: false, tree_gone: true }),
        ("Exited, tree lives", Event::Exited { run, exit, oom: false, tree_gone: false }),
        ("TreeGone", Event::TreeGone { run }),
        ("Ready", Event::Ready { run }),
        ("NotReady", Event::NotReady { run, why: "not ready in time".into() }),
        ("Unhealthy", Event::Unhealthy { run, why: "no answer".into() }),
        ("ExtendTimeout", Event::ExtendTimeout { run, by: Duration::from_mins(2) }),
        ("EvidenceGathered", Event::EvidenceGathered { run }),
        ("OverLimit", Event::OverLimit { run, why: "too much memory".into() }),
    ]
}

fn others() -> Vec<(&'static str, Event)> {
    let process = Process { pid: 50, started: second(500) };
    let adopted = |ready, wish, stopping| {
        let adoption = Adoption { run: RunId(5), process, ready, wish, stopping, ended: None };
        Event::Adopted(Box::new(adoption))
    };
    let stopping = |phase| {
        Some(StopUnderWay { cause: StopCause::Failure(Ended::Unhealthy("x".into())), phase })
    };
    let polite = StopPhase::Polite { deadline: second(1010) };
    let evidence = StopPhase::Evidence { deadline: second(1003) };
    let killing = StopPhase::Killing { deadline: second(1010) };
    let ended = EndedMeanwhile { exit: Exit::Code(3), oom: false };
    let ended = Adoption {
        run: RunId(5),
        process,
        ready: Some(second(501)),
        wish: Intent::Running,
        stopping: None,
        ended: Some(ended),
    };
    let reason = FailReason::NotRestarted { last: Ended::Exited(Exit::Code(3)) };
    vec![
        ("Proceed", Event::Proceed),
        ("Adopted, ready", adopted(Some(second(501)), Intent::Running, None)),
        ("Adopted, not ready", adopted(None, Intent::Running, None)),
        ("Adopted, not wished", adopted(Some(second(501)), Intent::Stopped, None)),
        ("Adopted, asked to end", adopted(None, Intent::Running, stopping(polite))),
        ("Adopted, looked into", adopted(None, Intent::Running, stopping(evidence))),
        ("Adopted, killed", adopted(None, Intent::Stopped, stopping(killing))),
        ("Adopted, ended", Event::Adopted(Box::new(ended))),
        ("Resumed, stopped", Event::Resumed(Resting::Stopped)),
        ("Resumed, waiting", Event::Resumed(Resting::Waiting)),
        ("Resumed, in back-off", Event::Resumed(Resting::Backoff { until: second(1005) })),
        ("Resumed, exited", Event::Resumed(Resting::Exited)),
        ("Resumed, failed", Event::Resumed(Resting::Failed { reason })),
        ("DeadlineReached", Event::DeadlineReached),
        ("Reconfigured", Event::Reconfigured),
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    [commands(), facts(RUN), others()].concat()
}

fn step(machine: &mut Machine, event: Event, cx: &Context<'_>) -> (Response, Vec<Effect>) {
    let mut effects = Vec::new();
    let response = machine.step(event, cx, &mut effects);
    (response, effects)
}

/// Calls `check` for every state, event and position of the gates, before and after the step.
fn for_every_cell(check: impl Fn(&str, &Machine, &Event, &Machine, Response, &[Effect])) {
    let config = component();
    for gates_open in [true, false] {
        let cx = context(&config, gates_open);
        for (state, before) in states() {
            for (name, event) in [events(), facts(STALE), facts(NEXT)].concat() {
                let mut after = before.clone();
                let (response, effects) = step(&mut after, event.clone(), &cx);
                let cell = format!("{state} × {name} (gates open: {gates_open})");
                check(&cell, &before, &event, &after, response, &effects);
            }
        }
    }
}

/// Told before anything else is: what an earlier Supervisor left.
fn is_inherited(event: &Event) -> bool {
    matches!(event, Event::Adopted(_) | Event::Resumed(_))
}

fn run_of(event: &Event) -> Option<RunId> {
    match event {
        Event::Spawned { run, .. }
        | Event::SpawnFailed { run, .. }
        | Event::Exited { run, .. }
        | Event::TreeGone { run }
        | Event::Ready { run }
        | Event::NotReady { run, .. }
        | Event::Unhealthy { run, .. }
        | Event::OverLimit { run, .. }
        | Event::EvidenceGathered { run }
        | Event::ExtendTimeout { run, .. } => Some(*run),
        Event::Adopted(adoption) => Some(adoption.run),
        Event::Resumed(_)
        | Event::Start
        | Event::Stop(_)
        | Event::Restart(_)
        | Event::Kill
        | Event::Proceed
        | Event::DeadlineReached
        | Event::Reconfigured => None,
    }
}

/// Whether the whole tree of the current run is known to be gone with this event, or never was.
fn tells_the_end(before: &Machine, event: &Event) -> bool {
    match event {
        Event::Exited { tree_gone, .. } => *tree_gone,
        Event::TreeGone { .. } | Event::SpawnFailed { .. } => before.state().process().is_none(),
        _ => false,
    }
}

#[test]
fn the_table() {
    let config = component();
    let mut table = String::new();
    let line = |machine: &Machine, response: Response, effects: &[Effect]| {
        format!(
            "{:?} {} {effects:?} -> wish {:?}",
            response,
            in_short(machine.state()),
            machine.wish()
        )
    };
    for (state, before) in states() {
        writeln!(table, "{state} (wish {:?})", before.wish()).expect("a string takes it");
        for (name, event) in events() {
            let (mut open, mut closed) = (before.clone(), before.clone());
            let (response, effects) = step(&mut open, event.clone(), &context(&config, true));
            let with_open = line(&open, response, &effects);
            let changed = open != before || response != Response::Redundant || !effects.is_empty();
            if changed {
                writeln!(table, "    {name:<19} {with_open}").expect("a string takes it");
            }
            let (response, effects) = step(&mut closed, event, &context(&config, false));
            let with_closed = line(&closed, response, &effects);
            if with_closed != with_open {
                let name = format!("{name}, gates closed");
                writeln!(table, "    {name:<19} {with_closed}").expect("a string takes it");
            }
        }
        table.push('\n');
    }
    let table = table.replace("RunId(7)", "7").replace("RunId(8)", "8").replace("RunId(5)", "5");
    insta::assert_snapshot!(table);
}

/// A state in a few words: moments are relative to now.
fn in_short(state: &State) -> String {
    let relative = |moment: &Moment| format!("{:+.1}s", moment.since_boot().as_secs_f64() - 1000.0);
    let asked = |live: &Live| match &live.asked {
        Some(cause) => format!(", asked {cause:?}"),
        None => String::new(),
    };
    let pid = |process: &Option<Process>| match process {
        Some(process) => format!("pid {}", process.pid),
        None => "no process".to_owned(),
    };
    let dead = |leader: &Option<Exit>| if leader.is_some() { ", leader dead" } else { "" };
    match state {
        State::Stopped | State::Exited => format!("{state:?}"),
        State::Waiting { since } => format!("Waiting(since {})", relative(since)),
        State::Starting { live, deadline } => {
            let until = deadline.as_ref().map(|at| format!(", until {}", relative(at)));
            let until = until.unwrap_or_default();
            format!("Starting({} {}{until}{})", live.run, pid(&live.process), asked(live))
        }
        State::Running { live, since } => {
            let since = relative(since);
            format!("Running({} {}, since {since}{})", live.run, pid(&live.process), asked(live))
        }
        State::Stopping { run, process, cause, phase, leader } => {
            let phase = match phase {
                StopPhase::AwaitingSpawn { kill } => format!("AwaitingSpawn(kill {kill})"),
                StopPhase::Evidence { deadline } => {
                    format!("Evidence(until {})", relative(deadline))
                }
                StopPhase::Polite { deadline } => format!("Polite(until {})", relative(deadline)),
                StopPhase::Killing { deadline } => format!("Killing(until {})", relative(deadline)),
            };
            format!("Stopping({run} {}, {cause:?}, {phase}{})", pid(process), dead(leader))
        }
        State::Backoff { until } => format!("Backoff(until {})", relative(until)),
        State::Failed { reason } => format!("Failed({reason})"),
        State::Unkillable { run, cause, leader, .. } => {
            format!("Unkillable({run}, {cause:?}{})", dead(leader))
        }
    }
}

#[test]
fn news_of_another_run_changes_nothing() {
    for_every_cell(|cell, before, event, after, response, effects| {
        let adopted = is_inherited(event);
        if run_of(event).is_some_and(|run| before.state().run() != Some(run)) && !adopted {
            assert_eq!(after, before, "{cell}");
            assert_eq!(response, Response::Redundant, "{cell}");
            assert_eq!(effects, [], "{cell}");
        }
    });
}

#[test]
fn a_spawn_comes_only_when_no_process_of_it_can_live() {
    for_every_cell(|cell, before, event, after, _, effects| {
        let spawns: Vec<_> =
            effects.iter().filter(|effect| matches!(effect, Effect::Spawn { .. })).collect();
        if spawns.is_empty() {
            return;
        }
        assert_eq!(spawns, [&Effect::Spawn { run: NEXT }], "{cell}");
        assert_eq!(after.state().run(), Some(NEXT), "{cell}");
        assert_eq!(after.wish(), Intent::Running, "{cell}");
        let free = before.state().run().is_none();
        assert!(free || tells_the_end(before, event), "{cell}: a process may still live");
    });
}

#[test]
fn a_run_ends_only_when_its_tree_is_gone() {
    for_every_cell(|cell, before, event, after, _, _| {
        if before.state().run().is_some() && after.state().run() != before.state().run() {
            assert!(tells_the_end(before, event), "{cell}: its process would be lost");
        }
    });
}

#[test]
fn effects_concern_the_run_that_lives() {
    for_every_cell(|cell, before, event, _, _, effects| {
        for effect in effects {
            match effect {
                Effect::Spawn { .. } => {}
                Effect::RequestStop { run }
                | Effect::KillTree { run }
                | Effect::Crashed { run, .. }
                | Effect::StopProbes { run }
                | Effect::StartProbes { run, .. }
                    if is_inherited(event) =>
                {
                    assert_eq!(*run, RunId(5), "{cell}");
                }
                Effect::RequestStop { run }
                | Effect::RequestOrphansStop { run }
                | Effect::KillTree { run }
                | Effect::GatherEvidence { run, .. }
                | Effect::Crashed { run, .. }
                | Effect::StartProbes { run, .. }
                | Effect::StopProbes { run } => {
                    assert_eq!(Some(*run), before.state().run(), "{cell}");
                }
            }
        }
    });
}

#[test]
fn a_stop_and_a_kill_are_taken_everywhere() {
    for_every_cell(|cell, before, event, after, response, effects| {
        if !matches!(event, Event::Stop(_) | Event::Kill) {
            return;
        }
        assert!(!matches!(response, Response::Denied(_)), "{cell}");
        assert_eq!(after.wish(), Intent::Stopped, "{cell}");
        let spawns = effects.iter().any(|effect| matches!(effect, Effect::Spawn { .. }));
        assert!(!spawns, "{cell}");
        match before.state().run() {
            None => assert_eq!(*after.state(), State::Stopped, "{cell}"),
            Some(run) => assert_eq!(after.state().run(), Some(run), "{cell}"),
        }
        let stopping = matches!(after.state(), State::Stopping { .. } | State::Unkillable { .. });
        let asked = after.state().stop_asked().is_some();
        assert!(stopping || asked || *after.state() == State::Stopped, "{cell}");
        if *event == Event::Kill && before.state().process().is_some() {
            assert!(effects.contains(&Effect::KillTree { run: RUN }), "{cell}: no kill");
        }
    });
}

#[test]
fn after_a_stop_nothing_starts() {
    let config = component();
    let cx = context(&config, true);
    for (state, machine) in states() {
        let mut machine = machine;
        step(&mut machine, Event::Stop(StopCause::Stop), &cx);
        for (name, event) in [facts(RUN), facts(RUN), others()].concat() {
            if is_inherited(&event) {
                continue;
            }
            let (_, effects) = step(&mut machine, event, &cx);
            let spawns = effects.iter().any(|effect| matches!(effect, Effect::Spawn { .. }));
            assert!(!spawns, "{state}, stopped, then {name}");
        }
    }
}

#[test]
fn only_commands_change_the_wish() {
    for_every_cell(|cell, before, event, after, _, _| {
        if !event.is_command() && !is_inherited(event) {
            assert_eq!(after.wish(), before.wish(), "{cell}");
        }
    });
}

#[test]
fn a_redundant_or_denied_event_has_no_effect() {
    for_every_cell(|cell, before, event, after, response, effects| {
        match response {
            Response::Applied => {}
            Response::Redundant => {
                assert_eq!(after.state().name(), before.state().name(), "{cell}");
                assert_eq!(effects, [], "{cell}");
            }
            Response::Denied(_) => assert_eq!(after, before, "{cell}"),
        }
        let start = matches!(event, Event::Start | Event::Restart(_));
        let unkillable = matches!(before.state(), State::Unkillable { .. });
        assert_eq!(matches!(response, Response::Denied(_)), start && unkillable, "{cell}");
    });
}

#[test]
fn a_deadline_acts_when_it_is_due_and_leaves_no_past_one() {
    let config = component();
    for (state, before) in states() {
        let mut early = before.clone();
        let cx = Context { now: second(NOW - 1), ..context(&config, true) };
        step(&mut early, Event::DeadlineReached, &cx);
        assert_eq!(early, before, "{state}: before its time");

        let mut due = before.clone();
        step(&mut due, Event::DeadlineReached, &context(&config, true));
        assert!(due.state().deadline().is_none_or(|at| at > second(NOW)), "{state}: due again");
    }
}

#[test]
fn closed_gates_hold_starts_and_stops() {
    let config = component();
    let cx = context(&config, false);
    for (state, before) in states() {
        for (name, event) in events() {
            let kill = event == Event::Kill;
            let mut after = before.clone();
            let (_, effects) = step(&mut after, event, &cx);
            for effect in effects {
                let polite = matches!(before.state(), State::Starting { .. } | State::Running { .. })
                    && before.state().stop_asked().is_some()
                    && effect == Effect::RequestStop { run: RUN }
                    // One that is broken is ended without regard to the order.
                    && !matches!(name, "NotReady" | "Unhealthy" | "OverLimit");
                assert!(!matches!(effect, Effect::Spawn { .. }), "{state} × {name}");
                assert!(!polite || kill, "{state} × {name}: its turn has not come");
            }
        }
    }
}

/// From the start of a run until it has failed with `event`, at second `at` after the start.
fn failed_after(machine: &mut Machine, config: &Component, from: u64, at: u64, event: Event) {
    let at_second =
        |second_of_run| Context { now: second(from + second_of_run), ..context(config, true) };
    if machine.state().run().is_none() {
        step(machine, Event::Start, &at_second(0));
    }
    let run = machine.state().run().expect("a start with open gates makes a run");
    let process = Process { pid: 1, started: second(from) };
    step(machine, Event::Spawned { run, process }, &at_second(0));
    step(machine, event, &at_second(at));
    step(
        machine,
        Event::Exited { run, exit: Exit::Code(1), oom: false, tree_gone: true },
        &at_second(at),
    );
}

#[test]
fn one_that_is_never_ready_is_not_stable_however_long_it_took() {
    let mut config = component();
    config.ready = Some(
        Probe {
            check: Check::Notify,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(90),
            failures: 1,
            successes: 1,
            start_period: Duration::ZERO,
            jitter: Probe::JITTER,
        }
        .into(),
    );
    let mut machine = Machine::new();
    let late = Event::NotReady { run: NEXT, why: "not ready within 90 s".into() };
    failed_after(&mut machine, &config, NOW, 90, late);
    assert_eq!(
        *machine.state(),
        State::Backoff { until: second(NOW + 90).after(config.restart.delay) }
    );
    assert_eq!(machine.record().failures_in_a_row, 1);
}

#[test]
fn one_that_served_long_enough_starts_again_at_once() {
    let mut config = component();
    config.start_delay = Duration::ZERO;
    let mut machine = Machine::new();
    let tick = Event::DeadlineReached;
    failed_after(&mut machine, &config, NOW, 60, tick.clone());
    assert_eq!(machine.state().run(), Some(NEXT), "a new run in the same step");

    let mut machine = Machine::new();
    failed_after(&mut machine, &config, NOW, 59, tick);
    assert!(matches!(machine.state(), State::Backoff { .. }), "{:?}", machine.state());
}

#[test]
fn the_policy_has_no_say_in_what_an_operator_asked_for() {
    let mut config = component();
    config.restart.when = RestartWhen::Never;
    let polite = StopPhase::Polite { deadline: second(NOW + 60) };
    let exited = Event::Exited { run: RUN, exit: Exit::Code(1), oom: false, tree_gone: true };
    for command in [Event::Start, Event::Restart(StopCause::Restart)] {
        let mut machine = Machine::at(stopping(failure(), polite, None), Intent::Running);
        let (response, _) = step(&mut machine, command, &context(&config, true));
        assert_eq!(response, Response::Applied);
        let (_, effects) = step(&mut machine, exited.clone(), &context(&config, true));
        assert_eq!(effects, [Effect::Spawn { run: NEXT }]);
    }
    let mut machine = Machine::at(stopping(failure(), polite, None), Intent::Running);
    step(&mut machine, exited, &context(&config, true));
    assert!(matches!(machine.state(), State::Failed { .. }), "left alone, the policy decides");
}

#[test]
fn a_restart_while_a_stop_waits_for_its_turn_begins_anew_and_a_second_one_is_the_same() {
    let config = component();
    for (asked, wish, forgives) in [
        (Some(StopCause::Stop), Intent::Stopped, true),
        (Some(StopCause::Restart), Intent::Running, false),
        (None, Intent::Running, true),
    ] {
        let state =
            State::Running { live: live(Some(process()), asked.clone()), since: second(NOW) };
        let mut machine = Machine::at(state, wish);
        machine.record.restarts = 5;
        step(&mut machine, Event::Restart(StopCause::Restart), &context(&config, false));
        let restarts = machine.record().restarts;
        assert_eq!(restarts, if forgives { 0 } else { 5 }, "{asked:?}");
        assert_eq!(machine.record().restarts_asked, u32::from(forgives), "{asked:?}");
    }
}

#[test]
fn an_end_for_want_of_memory_is_told_as_such() {
    let mut config = component();
    config.start_delay = Duration::ZERO;
    let killed = Exit::Signal { signal: 9, core: false };
    for (exit, oom, told) in [
        (killed, true, "the kernel's out-of-memory killer ended it"),
        (
            Exit::Code(137),
            true,
            "the kernel's out-of-memory killer ended a process of its tree, and then it exited \
             with 137",
        ),
        (killed, false, "SIGKILL ended it"),
    ] {
        let mut machine = Machine::new();
        let cx = context(&config, true);
        step(&mut machine, Event::Start, &cx);
        let process = Process { pid: 1, started: second(NOW) };
        step(&mut machine, Event::Spawned { run: NEXT, process }, &cx);
        step(&mut machine, Event::Exited { run: NEXT, exit, oom, tree_gone: true }, &cx);
        let trouble = machine.record().trouble.as_ref().map(ToString::to_string);
        assert_eq!(trouble.as_deref(), Some(told));
        assert_eq!(machine.record().last_exit.map(|last| last.oom), Some(oom));
    }
}

#[test]
fn a_second_kill_does_not_put_the_verdict_off() {
    let config = component();
    let killing = StopPhase::Killing { deadline: second(NOW + 1) };
    let mut machine = Machine::at(stopping(StopCause::Stop, killing, None), Intent::Stopped);
    step(&mut machine, Event::Kill, &context(&config, true));
    assert_eq!(machine.state().deadline(), Some(second(NOW + 1)));
}

#[test]
fn evidence_comes_before_the_stop_but_never_holds_it_up() {
    let config = component();
    let cx = context(&config, true);
    let broken = || {
        let live = live(Some(process()), None);
        let mut machine = Machine::at(State::Running { live, since: second(1) }, Intent::Running);
        let event = Event::Unhealthy { run: RUN, why: "no answer".into() };
        let (_, effects) = step(&mut machine, event, &cx);
        assert!(matches!(effects[..], [Effect::StopProbes { .. }, Effect::GatherEvidence { .. }]));
        machine
    };
    let stop = [Effect::RequestStop { run: RUN }];
    let kill = [Effect::KillTree { run: RUN }];
    for (event, expected) in [
        (Event::EvidenceGathered { run: RUN }, &stop),
        (Event::Stop(StopCause::Stop), &stop),
        (Event::Restart(StopCause::Restart), &stop),
        (Event::Kill, &kill),
    ] {
        let mut machine = broken();
        let (response, effects) = step(&mut machine, event.clone(), &cx);
        assert_eq!((response, &effects[..]), (Response::Applied, &expected[..]), "{event:?}");
    }
    // Where it hangs, time goes on.
    let mut machine = broken();
    let deadline = machine.state().deadline().expect("a limit");
    assert!(deadline.since(cx.now) <= Duration::from_secs(3));
    let late = Context { now: deadline, ..cx };
    assert_eq!(step(&mut machine, Event::DeadlineReached, &late).1, stop);
    // And what comes of it after that changes nothing.
    let (response, effects) = step(&mut machine, Event::EvidenceGathered { run: RUN }, &late);
    assert_eq!((response, effects), (Response::Redundant, vec![]));
}
