//! Processes that no journal names are found by the mark in their environments: a component is never
//! started beside itself.

use std::fs;

use rustix::process::Signal;

use crate::support::{Place, Registry, Server, processes, until};

const BOTH: [&[&str]; 2] = [&[], &["--containment", "subreaper"]];

/// Says when it is started, and whether it is alone.
fn lonely(id: &str) -> Server {
    Server::shell(
        id,
        &format!(
            "exec 9>{id}.alone; flock -n 9 || echo {id} >>doubled; echo $$ >>{id}.starts; \
             sleep infinity & wait"
        ),
    )
}

fn starts(place: &Place, id: &str) -> usize {
    place.read(&format!("{id}.starts")).lines().count()
}

fn pids(place: &Place) -> Vec<u32> {
    place.component_processes().iter().map(|process| process.pid).collect()
}

/// Started and killed, with its journal gone.
fn without_journal(registry: &Registry, options: &[&str]) -> (Place, u32, u64) {
    let place = Place::new(registry);
    let supervisor = place.start_with(options);
    let pid = place.running("a");
    until("a has begun", || (starts(&place, "a") == 1).then_some(()));
    let run = place.component("a")["run"].as_u64().expect("a number");
    supervisor.crash();
    drop(supervisor);
    fs::remove_file(place.path("temp/journal")).expect("it is there");
    (place, pid, run)
}

#[test]
fn what_no_journal_names_is_taken_over_by_its_mark() {
    for options in BOTH {
        let registry = Registry::of([lonely("a"), Server::sleep("b")]);
        let (place, pid, run) = without_journal(&registry, options);
        let supervisor = place.start_with(options);
        assert_eq!(place.running("a"), pid, "{options:?}");
        let a = place.component("a");
        assert_eq!(a["run"], run, "{a:#}");
        assert_eq!((starts(&place, "a"), place.read("doubled")), (1, String::new()));
        // From then on it is in the journal, and the numbers of runs go on.
        supervisor.crash();
        drop(supervisor);
        let supervisor = place.start_with(options);
        assert_eq!(place.running("a"), pid, "{options:?}");
        place.achieve("restart", "a");
        let next = place.component("a")["run"].as_u64().expect("a number");
        assert!(next > run + 1, "b has one, too: {next}");
        supervisor.stop();
    }
}

#[test]
fn what_no_journal_names_is_ended_where_that_is_wished() {
    for options in BOTH {
        let registry = Registry::of([lonely("a")]).config("<leftovers>stop</leftovers>");
        let (place, pid, _run) = without_journal(&registry, options);
        let supervisor = place.start_with(options);
        assert_ne!(place.running("a"), pid, "{options:?}");
        assert!(!processes::alive(pid));
        until("a has begun", || (starts(&place, "a") == 2).then_some(()));
        assert_eq!(place.read("doubled"), "", "{options:?}");
        supervisor.stop();
    }
}

#[test]
fn what_no_journal_names_is_a_reason_not_to_start_where_that_is_wished() {
    for options in BOTH {
        let registry = Registry::of([lonely("a")]).config("<leftovers>refuse</leftovers>");
        let (place, pid, _run) = without_journal(&registry, options);
        let refused = place.cli(&format!("run {}", options.join(" ")));
        refused.assert_code(1);
        assert!(refused.stderr.contains(&format!("a (pid {pid})")), "{refused:?}");
        assert!(processes::alive(pid));
        let looked = place.cli("doctor");
        assert!(looked.stdout.contains("a Supervisor left"), "{looked:?}");
        place.rewrite_registry(&Registry::of([lonely("a")]));
        let supervisor = place.start_with(options);
        // With another registry, it is another process; but never two.
        place.running("a");
        assert_eq!(place.read("doubled"), "", "{options:?}");
        supervisor.stop();
    }
}

#[test]
fn what_is_left_of_a_tree_without_its_leader_and_of_others_components_is_ended() {
    for options in BOTH {
        let registry = Registry::of([lonely("a")]);
        let (place, pid, _run) = without_journal(&registry, options);
        let of_a = place.component_processes();
        processes::signal(pid, Signal::KILL);
        until("its leader is gone", || (!processes::alive(pid)).then_some(()));
        let left: Vec<u32> =
            of_a.iter().map(|process| process.pid).filter(|pid| processes::alive(*pid)).collect();
        assert!(!left.is_empty(), "its child is left: {of_a:?}");
        let supervisor = place.start_with(options);
        assert_ne!(place.running("a"), pid);
        assert!(left.iter().all(|pid| !processes::alive(*pid)), "{options:?}");
        supervisor.crash();
        drop(supervisor);
        let left = pids(&place);
        fs::remove_file(place.path("temp/journal")).expect("it is there");
        place.rewrite_registry(&Registry::of([Server::sleep("other")]));
        let supervisor = place.start_with(options);
        place.running("other");
        assert!(left.iter().all(|pid| !processes::alive(*pid)), "{options:?}");
        supervisor.stop();
    }
}

#[test]
fn one_supervisor_goes_on_whatever_is_to_become_of_leftovers() {
    for leftovers in ["stop", "refuse"] {
        let config = format!("<leftovers>{leftovers}</leftovers>");
        let place = Place::new(&Registry::of([lonely("a")]).config(&config));
        let supervisor = place.start();
        let pid = place.running("a");
        let engine = supervisor.pid();
        processes::signal(engine, Signal::KILL);
        until("another engine answers", || {
            let status = place.try_get("/v1/status")?.json();
            (status["supervisor"]["pid"] != engine).then_some(())
        });
        assert_eq!(place.running("a"), pid, "{leftovers}: a kill of the engine leaves nothing");
        let binary = env!("CARGO_BIN_EXE_s7supervisor");
        place.cli(&format!("upgrade --binary {binary}")).assert_code(0);
        assert_eq!(place.running("a"), pid, "{leftovers}: neither does an upgrade");
        supervisor.stop();
    }
}
