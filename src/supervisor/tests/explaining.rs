//! `explain` for every state, as a colleague would put it.

use super::world::{Seconds, Sim, probe};
use crate::{model::Exit, registry::RestartWhen};

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
    sim.tell(crate::supervisor::Fact::Ready { run }).advance(5.secs());
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
