//! `explain` for every state, as a colleague would put it.

use super::world::{KILLED, Seconds, Sim, probe};
use crate::{
    model::{Exit, RunId},
    registry::RestartWhen,
    supervisor::Fact,
};

fn explained(sim: &Sim, id: &str) -> String {
    let explain = sim.supervisor.explain(sim.now, id).expect("a component of the registry");
    let exits = explain.exits.iter();
    let exits = exits.map(|exit| format!("run {}: {}, {}", exit.run, exit.exit.exit, exit.cause));
    let lines = [explain.summary, format!("intent: {}", explain.intent)]
        .into_iter()
        .chain(explain.blocker.map(|blocker| format!("blocker: {blocker}")))
        .chain(exits)
        .chain(explain.advice.iter().map(|advice| format!("- {advice}")));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn every_state_is_explained() {
    let mut texts = Vec::new();
    let mut note = |title: &str, sim: &Sim, id: &str| {
        texts.push(format!("# {title}\n{}", explained(sim, id)));
    };

    let mut sim = Sim::with("is:1 svg:1 ps:2<is tool:1", |registry| {
        registry.components[0].ready = Some(probe());
        registry.components[1].start_delay = 5.secs();
        registry.components[3].enabled = false;
    });
    sim.habit("is", |habit| (habit.ready, habit.spawn) = (None, None)).boot();
    note("stopped, not enabled", &sim, "tool");
    note("starting, being made", &sim, "is");
    sim.spawned("is").advance(2.secs());
    note("starting, readiness awaited", &sim, "is");
    note("starting, start delay", &sim, "svg");
    note("waiting for a dependency", &sim, "ps");
    let run = sim.run("is");
    sim.tell(Fact::Ready { run }).advance(5.secs());
    note("running", &sim, "ps");
    sim.habit("ps", |habit| habit.orphan = Some(600.secs())).restart("ps").advance(1.secs());
    sim.stop("all").advance(1.millis());
    note("stop asked, not its turn", &sim, "is");
    note("stopping", &sim, "ps");
    sim.advance(1.secs());
    note("stopping, leader gone", &sim, "ps");
    sim.advance(60.secs());
    note("stopped by an operator", &sim, "ps");
    sim.start("ps");
    note("waiting with a dependency that starts", &sim, "ps");

    let mut sim = Sim::with("is job:1 ps:2", |registry| {
        registry.components[0].restart.max_restarts = Some(2);
        registry.components[1].restart.when = RestartWhen::OnFailure;
    });
    sim.habit("is", |habit| {
        habit.exit = Some((10.millis(), Exit::Signal { signal: 11, core: true }));
    });
    sim.boot().advance(20.millis()).exit("job", 0).advance(30.millis());
    note("backoff", &sim, "is");
    note("exited", &sim, "job");
    sim.advance(10.secs());
    note("failed", &sim, "is");

    let mut sim = Sim::new("svg ps<svg is:2");
    sim.habit("is", |habit| (habit.stop, habit.kill) = (None, None));
    sim.boot_without(&["svg"]).advance(1.secs());
    note("waiting for one that was stopped", &sim, "ps");
    sim.unhealthy("is").advance(1.secs());
    note("stopping, unhealthy", &sim, "is");
    sim.advance(80.secs());
    note("unkillable", &sim, "is");

    insta::assert_snapshot!(texts.join("\n"));
}

/// Titles and explanations, as one text to be read.
#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    fn note(&mut self, title: &str, sim: &Sim, id: &str) {
        self.0.push(format!("# {title}\n{}", explained(sim, id)));
    }
}

#[test]
fn every_cause_is_told_by_name() {
    let mut told = Told::default();
    let crash = |exit, oom| {
        let mut sim = Sim::new("ps");
        sim.boot().advance(1.secs());
        let run = sim.run("ps");
        sim.forget_tree(run);
        sim.tell(Fact::Exited { run, exit, oom, tree_gone: true });
        sim
    };
    told.note("exit", &crash(Exit::Code(3), false), "ps");
    told.note("signal", &crash(Exit::Signal { signal: 11, core: true }, false), "ps");
    told.note("out of memory", &crash(KILLED, true), "ps");

    let broken = |fact: fn(RunId) -> Fact| {
        let mut sim = Sim::with("ps", |registry| registry.components[0].ready = Some(probe()));
        sim.habit("ps", |habit| habit.evidence = None).boot().advance(1.secs());
        let run = sim.run("ps");
        sim.tell(fact(run));
        sim
    };
    let unhealthy = |run| Fact::Unhealthy {
        run,
        why: "unhealthy: GET http://127.0.0.1:8080/ no answer within 2 s (3 failures in a row)"
            .into(),
    };
    let silent = |run| Fact::Unhealthy { run, why: "watchdog: no WATCHDOG=1 for 10 s".into() };
    let over = |run| Fact::OverLimit { run, why: "its memory of 712 MiB is over its limit".into() };
    let mut sim = broken(unhealthy);
    told.note("unhealthy, looked at first", &sim, "ps");
    sim.advance(4.secs());
    told.note("unhealthy, and back", &sim, "ps");
    told.note("watchdog", &broken(silent), "ps");
    let mut sim = broken(over);
    told.note("limit", &sim, "ps");
    sim.kill("ps");
    told.note("killed by an operator meanwhile", &sim, "ps");

    let mut sim = Sim::with("ps", |registry| registry.components[0].ready = Some(probe()));
    sim.habit("ps", |habit| habit.ready = None).boot().advance(5.secs());
    let run = sim.run("ps");
    let answer = "GET http://127.0.0.1:8080/ready answered 503";
    sim.tell(Fact::StatusText { run, text: answer.into() });
    told.note("starting, with the last answer", &sim, "ps");
    let why = format!("not ready: {answer} (30 failures in a row, the last after 0.01 s)");
    sim.tell(Fact::NotReady { run, why }).advance(20.millis());
    told.note("not ready, and when it is tried again", &sim, "ps");

    let mut sim =
        Sim::with("ps", |registry| registry.components[0].restart.when = RestartWhen::Never);
    sim.habit("ps", |habit| {
        habit.spawn_error = Some("cannot execute /opt/ps: No such file or directory");
    });
    sim.boot().advance(1.secs());
    told.note("failed at a stage of its start", &sim, "ps");
    insta::assert_snapshot!(told.0.join("\n"));
}

#[test]
fn holds_and_the_governor_are_explained() {
    let mut told = Told::default();
    let mut sim = Sim::with("is ps<is", |registry| registry.config.starts_per_minute = Some(1));
    sim.boot().advance(120.secs()).hold("ps", Some(7200.secs())).advance(10.secs());
    told.note("held, and running", &sim, "ps");
    sim.unhealthy("ps");
    told.note("held, and unhealthy", &sim, "ps");
    sim.exit("ps", 1);
    told.note("held, and down", &sim, "ps");
    sim.exit("is", 1).advance(1.secs()).exit("is", 1);
    told.note("the governor", &sim, "is");
    sim.release("ps").advance(1.secs());
    told.note("a dependent of one that waits for the governor", &sim, "ps");
    insta::assert_snapshot!(told.0.join("\n"));
}
