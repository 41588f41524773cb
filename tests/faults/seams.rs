//! What a fault at one seam must come to.

use std::time::Duration;

use libc::{EAGAIN, EIO, EMFILE, ENOMEM, ENOSPC};

use crate::{
    calls::{Effect::Fails, NEED_ROOM},
    injector::{Fault, Injector, Role},
    scenario::{
        EndsAll, IDS, all_run, another_engine, assert_no_line_lost_or_doubled, registry,
        running_pid, starts, writer,
    },
    support::{Place, Registry, Supervisor, now, since, until},
};

/// Three components run; then `during` happens, under whatever faults it sets, and may concern all but
/// `steady`. In the end all run, each once, and the Supervisor ends in order.
fn keeps_all(during: impl FnOnce(&Place, &Supervisor<'_>, &Injector)) {
    keeps_all_of(&registry(), during);
}

fn keeps_all_of(registry: &Registry, during: impl FnOnce(&Place, &Supervisor<'_>, &Injector)) {
    let place = Place::new(registry);
    let (injector, supervisor) = Injector::around(Vec::new(), || place.launch(&[]));
    let _ended_first = EndsAll(&place);
    place.await_answer(&supervisor);
    all_run(&place);
    let pids = IDS.map(|id| running_pid(&place, id));
    during(&place, &supervisor, &injector);
    injector.lift();
    all_run(&place);
    assert_eq!(running_pid(&place, "steady"), pids[0], "it was not restarted");
    assert_eq!(place.read("doubled"), "");
    supervisor.stop();
}

#[test]
fn a_guardian_that_cannot_fork_tries_again() {
    keeps_all(|place, supervisor, injector| {
        let fork = Fault::of(&["clone", "clone3"], Fails(EAGAIN)).by(Role::First).at(1, 4);
        injector.set(vec![fork]);
        another_engine(place, supervisor);
        assert_eq!(injector.hits().len(), 4);
    });
}

#[test]
fn a_guardian_without_memory_hears_its_engine_all_the_same() {
    keeps_all(|place, supervisor, injector| {
        injector.set(vec![Fault::of(&["recvmsg"], Fails(ENOMEM)).by(Role::First).at(1, 1)]);
        let guardian = place.status()["supervisor"]["guardian_pid"].clone();
        // It says that it begins to stop something, and what it keeps of a new run.
        place.achieve("restart", "other");
        place.achieve("restart", "other");
        until("it did not hear once", || (!injector.hits().is_empty()).then_some(()));
        assert_eq!(place.status()["supervisor"]["guardian_pid"], guardian, "it is not replaced");
        assert_eq!(guardian, supervisor.guardian());
    });
}

#[test]
fn an_engine_that_cannot_start_is_followed_by_another_one() {
    keeps_all(|place, supervisor, injector| {
        let loop_of_events = Fault::of(&["epoll_create1"], Fails(EMFILE)).by(Role::Engine).at(1, 3);
        injector.set(vec![loop_of_events]);
        another_engine(place, supervisor);
        assert_eq!(injector.hits().len(), 3);
        assert!(place.read("run.err").contains("cannot"), "it says why");
    });
}

#[test]
fn a_full_disk_keeps_no_engine_from_taking_over() {
    keeps_all(|place, supervisor, injector| {
        let journal = Fault::of(NEED_ROOM, Fails(ENOSPC)).about("/temp/journal");
        // Written in place it needs none.
        let lock = Fault::of(&["ftruncate"], Fails(ENOSPC)).about("supervisor.lock");
        injector.set(vec![journal, lock]);
        another_engine(place, supervisor);
        all_run(place);
        assert!(!injector.hits().is_empty());
        let told = place.log_text("Supervisor");
        assert!(told.contains("cannot write the journal"), "{told}");
        injector.lift();
        another_engine(place, supervisor);
    });
}

/// Has the crasher end; returns when it has begun anew.
fn crash(place: &Place) {
    let before = starts(place, "crasher");
    place.write("crasher.crash", "");
    until("the crasher is back", || (starts(place, "crasher") > before).then_some(()));
}

#[test]
fn a_process_that_cannot_be_watched_is_kept_and_its_end_is_seen_later() {
    keeps_all(|place, _, injector| {
        injector
            .set(vec![Fault::of(&["epoll_ctl"], Fails(ENOMEM)).by(Role::Engine).about("pidfd")]);
        crash(place);
        let newborn = running_pid(place, "crasher");
        until("it could not be watched", || (injector.hits().len() > 2).then_some(()));
        // Its end is seen when it is watched, and no sooner.
        place.write("crasher.crash", "");
        until("it ends", || (!place.path("crasher.crash").exists()).then_some(()));
        injector.lift();
        until("the next one runs", || (starts(place, "crasher") == 3).then_some(()));
        all_run(place);
        assert_ne!(running_pid(place, "crasher"), newborn);
        assert!(place.log_text("Supervisor").contains("cannot watch a process"));
    });
}

#[test]
fn a_kill_that_fails_is_repeated() {
    keeps_all(|place, _, injector| {
        let open = Fault::of(&["openat"], Fails(EMFILE)).by(Role::Engine).about("cgroup.kill");
        injector.set(vec![open.at(1, 5)]);
        place.achieve("kill", "other");
        place.achieve("start", "other");
        let is_cgroup = place.status()["supervisor"]["containment"] == "cgroup";
        assert_eq!(injector.hits().len(), if is_cgroup { 5 } else { 0 });
    });
}

#[test]
fn the_end_of_a_tree_that_cannot_be_read_is_not_missed() {
    keeps_all(|place, _, injector| {
        let open = Fault::of(&["openat"], Fails(EMFILE)).by(Role::Engine).about("cgroup.events");
        let read = Fault::of(&["pread64"], Fails(EIO)).by(Role::Engine).about("cgroup.events");
        for fault in [open, read] {
            // Each look of a stop in its turn.
            for first in 1..5 {
                injector.set(vec![fault.clone().at(first, 1)]);
                place.achieve("restart", "other");
            }
        }
    });
}

#[test]
fn a_start_that_fails_is_not_tried_without_pause_though_the_delay_is_0() {
    let eager = "<restart delay=\"0\" maxRestarts=\"0\"/>";
    let registry = Registry::of(IDS.map(|id| writer(id, eager)));
    keeps_all_of(&registry, |place, supervisor, injector| {
        injector.set(vec![Fault::of(&["execve"], Fails(ENOMEM)).by(Role::Newborn)]);
        place.write("crasher.crash", "");
        until("starts fail", || (injector.hits().len() >= 2).then_some(()));
        let (then, engine) = (now(), supervisor.pid());
        until("a second", || (since(then) >= Duration::from_secs(1)).then_some(()));
        // Without a pause it would be thousands.
        assert!(injector.hits().len() < 30, "{:#?}", injector.hits());
        let crasher = place.component("crasher");
        assert_eq!(crasher["state"], "backoff", "{crasher:#}");
        assert!(
            crasher["reason"].as_str().is_some_and(|why| why.contains("memory")),
            "{crasher:#}"
        );
        assert_eq!(supervisor.pid(), engine);
    });
}

#[test]
fn an_engine_that_can_make_no_thread_and_no_process_lives_on() {
    keeps_all(|place, supervisor, injector| {
        let engine = supervisor.pid();
        let then = now();
        // Threads that were needed for the start are gone by then, but for one.
        until("three seconds", || (since(then) >= Duration::from_secs(3)).then_some(()));
        injector.set(vec![Fault::of(&["clone", "clone3"], Fails(EAGAIN)).by(Role::Engine)]);
        place.write("crasher.crash", "");
        until("starts fail", || (injector.hits().len() >= 3).then_some(()));
        // Samples and events are the work of other threads.
        for path in
            ["/v1/status", "/v1/components/steady", "/v1/components/steady/details", "/metrics"]
        {
            let answer = place.get(path);
            assert!(answer.status < 600 && !answer.body.is_empty(), "{path}: {answer:?}");
        }
        let crasher = place.component("crasher");
        assert_eq!(crasher["state"], "backoff", "{crasher:#}");
        assert_eq!(place.status()["supervisor"]["pid"], engine);
    });
}

#[test]
fn no_descriptors_for_connections_cost_no_cpu_and_nobody_is_lost() {
    keeps_all(|place, supervisor, injector| {
        injector.set(vec![Fault::of(&["accept4"], Fails(EMFILE)).by(Role::Engine)]);
        let waiting = std::os::unix::net::UnixStream::connect(place.socket()).expect("it queues");
        until("nobody can be let in", || (injector.hits().len() >= 2).then_some(()));
        let then = now();
        until("a second", || (since(then) >= Duration::from_secs(1)).then_some(()));
        assert!(injector.hits().len() < 60, "{}", injector.hits().len());
        drop(waiting);
        injector.lift();
        place.await_answer(supervisor);
    });
}

#[test]
fn output_of_a_process_taken_over_is_read_as_soon_as_that_can_be() {
    keeps_all(|place, supervisor, injector| {
        let make = Fault::of(&["mknodat"], Fails(ENOSPC)).by(Role::Engine).about("steady.out");
        let watch = Fault::of(&["epoll_ctl"], Fails(ENOMEM)).by(Role::Engine).about("other.out");
        injector.set(vec![make.at(1, 3), watch.at(1, 3)]);
        another_engine(place, supervisor);
        until("it failed three times each", || (injector.hits().len() == 6).then_some(()));
        let lines = |id: &str| place.log_text(id).lines().count();
        for id in ["steady", "other"] {
            let before = lines(id);
            until("more is stored", || (lines(id) > before).then_some(()));
            assert_no_line_lost_or_doubled(place, id);
        }
    });
}
