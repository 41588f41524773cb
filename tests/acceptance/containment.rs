//! *Stopped* means that the whole process tree is gone: at both levels of containment.

use std::{fs, path::PathBuf, sync::OnceLock, time::Duration};

use serde_json::Value;

use crate::support::{
    Place, Registry, Server, now, place::pid_of, processes, report, since, until,
};

/// A leader that ignores TERM, a child in its session, a grandchild that called setsid, and a
/// daemon that was forked twice and has lost its parent: all of them deaf to TERM.
const FAMILY: &str = "trap '' TERM\n\
    sleep infinity &\n\
    setsid sh -c 'sleep infinity & wait' &\n\
    (setsid sleep infinity &)\n\
    exec sleep infinity";
const FAMILY_SIZE: usize = 5;

/// Whether this level can be had on this machine. The answer comes from the kernel, not from
/// the engine under test, and a level that cannot be tested is said aloud.
pub fn available(level: &str) -> bool {
    static CGROUP: OnceLock<bool> = OnceLock::new();
    level != "cgroup"
        || *CGROUP.get_or_init(|| {
            let possible = own_cgroup().is_some_and(|own| {
                let trial = own.join(format!("s7t-{}", std::process::id()));
                let made = fs::create_dir(&trial).is_ok() && trial.join("cgroup.kill").exists();
                let _absent_where_it_was_not_made = fs::remove_dir(&trial);
                made
            });
            if !possible {
                report("cgroup v2 cannot be written here: only the subreaper level is tested");
            }
            possible
        })
}

/// The folder of this process's own cgroup in the unified hierarchy.
fn own_cgroup() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let root = mounts.lines().find_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        (fields.get(2) == Some(&"cgroup2")).then(|| PathBuf::from(fields[1]))
    })?;
    Some(root.join(cgroup_of("self")?.trim_start_matches('/')))
}

/// The path of a process's cgroup in the unified hierarchy.
fn cgroup_of(pid: &str) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    groups.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

fn family(level: &str) -> Place {
    let place = Place::new(&Registry::of([
        Server::shell("ps", FAMILY).stop_timeout(0.3),
        Server::sleep("other"),
    ]));
    // What is tested is written down where a failure shows it.
    place.write("level", level);
    place
}

/// The family in full, grandchildren in sessions of their own.
fn await_family(place: &Place) -> Vec<processes::Process> {
    let other = place.running("other");
    until("the whole family lives", || {
        let all: Vec<_> = place
            .component_processes()
            .into_iter()
            .filter(|process| process.pid != other)
            .collect();
        let sleeping = all.iter().filter(|process| process.command == "sleep infinity").count();
        (all.len() == FAMILY_SIZE && sleeping == FAMILY_SIZE - 1).then_some(all)
    })
}

fn at_every_level(test: impl Fn(&str)) {
    for level in ["subreaper", "cgroup"] {
        if available(level) {
            test(level);
        }
    }
}

#[test]
fn stop_ends_the_whole_tree() {
    at_every_level(|level| {
        let place = family(level);
        let _supervisor = place.start_with(&["--containment", level]);
        assert_eq!(place.status()["supervisor"]["containment"], level);
        place.await_state("ps", "running");
        let all = await_family(&place);

        place.achieve("stop", "ps");
        // At the very moment of the answer: nothing may trickle away afterwards.
        let alive: Vec<_> = all.iter().filter(|process| processes::alive(process.pid)).collect();
        assert!(alive.is_empty(), "with {level}: {alive:#?}");
        let ps = place.component("ps");
        assert_eq!(ps["state"], "stopped", "{ps:#}");
        assert!(ps["pid"].is_null(), "{ps:#}");
        assert_eq!(ps["last_exit"]["signal"], 9, "it did not hear TERM: {ps:#}");
        assert_eq!(ps["last_exit"]["expected"], true, "{ps:#}");
        assert_eq!(ps["restarts"], 0, "{ps:#}");
        assert_eq!(place.component("other")["state"], "running", "nobody else is touched");
    });
}

#[test]
fn status_counts_the_whole_tree() {
    at_every_level(|level| {
        let place = family(level);
        let _supervisor = place.start_with(&["--containment", level]);
        let all = await_family(&place);
        let ps = place.await_component("ps", "the tree is counted", |ps| {
            ps["processes"] == FAMILY_SIZE && ps["memory_bytes"].is_u64()
        });
        let resident: u64 = all.iter().map(|process| processes::resident(process.pid)).sum();
        let told = ps["memory_bytes"].as_u64().expect("a number");
        assert!(told * 2 > resident && told < resident * 2, "with {level}: {told}, not {resident}");
    });
}

#[test]
fn a_polite_leader_does_not_end_the_escalation() {
    at_every_level(|level| {
        // The leader goes at once on TERM, the grandchild is deaf.
        let place = Place::new(&Registry::of([Server::shell(
            "ps",
            "setsid sh -c \"trap '' TERM; echo deaf >deaf; exec sleep infinity\" &\n\
             exec sleep infinity",
        )
        .stop_timeout(0.3)]));
        let _supervisor = place.start_with(&["--containment", level]);
        place.await_state("ps", "running");
        until("the grandchild is deaf", || (place.read("deaf") == "deaf\n").then_some(()));
        place.achieve("stop", "ps");
        assert_eq!(place.component_processes(), [], "with {level}");
    });
}

#[test]
fn kill_ends_the_whole_tree_at_once() {
    at_every_level(|level| {
        let place = Place::new(&Registry::of([
            Server::shell("ps", FAMILY).stop_timeout(600.0).with("<restart policy=\"never\"/>"),
            Server::sleep("other"),
        ]));
        let _supervisor = place.start_with(&["--containment", level]);
        place.await_state("ps", "running");
        let all = await_family(&place);
        place.cli("kill ps").assert_code(0);
        let alive: Vec<_> = all.iter().filter(|process| processes::alive(process.pid)).collect();
        assert!(alive.is_empty(), "with {level}: {alive:#?}");
        assert_eq!(place.component("ps")["last_exit"]["signal"], 9);
        assert_eq!(place.component("other")["state"], "running", "nobody else is touched");
    });
}

#[test]
fn a_restart_leaves_nothing_of_the_old_run() {
    at_every_level(|level| {
        let place = family(level);
        let _supervisor = place.start_with(&["--containment", level]);
        place.await_state("ps", "running");
        let old = await_family(&place);
        place.achieve("restart", "ps");
        let alive: Vec<_> = old.iter().filter(|process| processes::alive(process.pid)).collect();
        assert!(alive.is_empty(), "with {level}: {alive:#?}");
        let new = await_family(&place);
        assert!(new.iter().any(|process| process.pid == place.pid("ps")), "{new:#?}");
    });
}

#[test]
fn a_component_that_ends_cleanly_is_not_waited_for() {
    // The whole stop timeout is for those that need it.
    let place = Place::new(&Registry::of([Server::sleep("ps").stop_timeout(600.0)]));
    let _supervisor = place.start();
    place.await_state("ps", "running");
    let asked = now();
    place.achieve("stop", "ps");
    assert!(since(asked) < Duration::from_secs(10), "{:?}", since(asked));
}

#[test]
fn cgroups_of_components_are_their_own_and_go_with_them() {
    if !available("cgroup") {
        return;
    }
    let place = Place::new(&Registry::of([Server::sleep("a"), Server::sleep("b")]));
    let supervisor = place.start_with(&["--containment", "cgroup"]);
    let group = |id: &str| {
        let component: Value = place.await_state(id, "running");
        cgroup_of(&pid_of(&component).to_string()).expect("a unified hierarchy")
    };
    let (a, b) = (group("a"), group("b"));
    let own = cgroup_of(&supervisor.pid().to_string()).expect("a unified hierarchy");
    assert!(a != b && a != own && b != own, "{a} {b} {own}");
    let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
    let root = mounts.lines().find(|line| line.contains(" cgroup2 ")).expect("available says so");
    let root = PathBuf::from(root.split(' ').nth(1).expect("a mount point"));
    let [a, b] = [a, b].map(|group| root.join(group.trim_start_matches('/')));
    // One that leaves the registry takes its own with it, and no other's.
    place.rewrite_registry(&Registry::of([Server::sleep("a")]));
    place.cli("reload").assert_code(0);
    until("the cgroup of b is gone", || (!b.exists()).then_some(()));
    assert!(a.exists(), "a still runs in {}", a.display());
    supervisor.stop();
    assert!(!a.exists(), "left behind: {}", a.display());
}
