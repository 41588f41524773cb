//! Over many deaths of the engine nothing adds up: what was kept for what is no more is let go.

use std::fs;

use rustix::process::Signal;

use crate::support::{Place, Registry, Server, Supervisor, processes, until};

/// What the guardian has open: pipes by their path, pidfds as `anon_inode:[pidfd]`.
fn kept(supervisor: &Supervisor<'_>) -> Vec<String> {
    let folder = format!("/proc/{}/fd", supervisor.guardian());
    let entries = fs::read_dir(folder).expect("it lives").flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let mut kept: Vec<String> = targets.map(|target| target.display().to_string()).collect();
    kept.retain(|target| target.contains("pidfd") || target.contains("/pipes/"));
    kept.sort();
    kept
}

/// What is kept when all of it has come: two pipes and a pidfd of each component.
fn all_kept(supervisor: &Supervisor<'_>, components: usize) -> Vec<String> {
    until("the guardian has everything", || {
        let kept = kept(supervisor);
        (kept.len() == 3 * components).then_some(kept)
    })
}

/// Another engine than this one answers.
fn await_other_than(place: &Place, engine: u32) {
    until("another engine answers", || {
        let status = place.try_get("/v1/status")?;
        (status.status == 200 && status.json()["supervisor"]["pid"] != engine).then_some(())
    });
}

#[test]
fn what_a_component_had_goes_with_it_though_the_engine_dies_over_its_removal() {
    let place = Place::new(&Registry::of([Server::sleep("a"), Server::sleep("b")]));
    let supervisor = place.start();
    let (a, b) = (place.running("a"), place.running("b"));
    let group = fs::read_to_string(format!("/proc/{b}/cgroup")).expect("b lives");
    let (engine, before) = (supervisor.pid(), all_kept(&supervisor, 2));
    place.rewrite_registry(&Registry::of([Server::sleep("a")]));
    processes::signal(engine, Signal::KILL);
    await_other_than(&place, engine);
    until("b is gone", || (!processes::alive(b)).then_some(()));
    let of_b = |target: &String| target.contains("/pipes/b.");
    assert_eq!(before.iter().filter(|target| of_b(target)).count(), 2, "{before:?}");
    until("nothing of b is kept", || {
        let kept = kept(&supervisor);
        // Its two pipes, and its pidfd.
        (!kept.iter().any(of_b) && kept.len() == before.len() - 3).then_some(())
    });
    assert!(!place.path("temp/pipes/b.out").exists(), "its pipe goes with it");
    assert!(place.path("temp/pipes/a.out").exists(), "that of a stays");
    assert_eq!(place.pid("a"), a, "a has not noticed");
    if let Some(path) = group.lines().find_map(|line| line.strip_prefix("0::")) {
        let mounts = fs::read_to_string("/proc/mounts").expect("/proc is mounted");
        let mount = mounts.lines().find(|line| line.contains(" cgroup2 "));
        let root = mount.and_then(|line| line.split(' ').nth(1)).unwrap_or("/sys/fs/cgroup");
        let folder = format!("{root}{path}");
        assert!(
            !folder.contains("component-b") || !fs::exists(&folder).expect("readable"),
            "{folder}"
        );
    }
}

#[test]
fn nothing_is_kept_of_runs_that_ended_while_no_engine_lived() {
    let at_once = "<restart delay=\"0\" maxRestarts=\"0\"/>";
    let servers = ["a", "b", "c"].map(|id| Server::sleep(id).with(at_once));
    let place = Place::new(&Registry::of(servers));
    let supervisor = place.start();
    for id in ["a", "b", "c"] {
        place.running(id);
    }
    let before = all_kept(&supervisor, 3);
    for _ in 0..3 {
        let (engine, pids) = (supervisor.pid(), ["a", "b", "c"].map(|id| place.running(id)));
        // As long as it is stopped, no engine follows.
        processes::signal(supervisor.guardian(), Signal::STOP);
        processes::signal(engine, Signal::KILL);
        until("the engine has ended", || (!processes::alive(engine)).then_some(()));
        for pid in pids {
            processes::signal(pid, Signal::KILL);
        }
        processes::signal(supervisor.guardian(), Signal::CONT);
        await_other_than(&place, engine);
        for (id, pid) in ["a", "b", "c"].into_iter().zip(pids) {
            place.await_component(id, "runs anew", |component| {
                component["state"] == "running" && component["pid"] != pid
            });
        }
    }
    until("as much is kept as before", || (kept(&supervisor) == before).then_some(()));
}
