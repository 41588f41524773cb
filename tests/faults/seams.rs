//! What a fault at one seam must come to.

use libc::{EAGAIN, EMFILE, ENOMEM, ENOSPC};

use crate::{
    calls::{Effect::Fails, NEED_ROOM},
    injector::{Fault, Injector, Role},
    scenario::{EndsAll, IDS, all_run, another_engine, registry, running_pid},
    support::{Place, Supervisor, until},
};

/// Three components run; then `during` happens, under whatever faults it sets, and may restart `other`;
/// in the end there must be the same processes, and an orderly end.
fn keeps_all(during: impl FnOnce(&Place, &Supervisor<'_>, &Injector)) {
    let place = Place::new(&registry());
    let (injector, supervisor) = Injector::around(Vec::new(), || place.launch(&[]));
    let _ended_first = EndsAll(&place);
    place.await_answer(&supervisor);
    all_run(&place);
    let pids = IDS.map(|id| running_pid(&place, id));
    during(&place, &supervisor, &injector);
    injector.lift();
    all_run(&place);
    for (id, pid) in IDS.iter().zip(pids).filter(|(id, _)| **id != "other") {
        assert_eq!(running_pid(&place, id), pid, "{id} was not restarted");
    }
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
        injector.set(vec![Fault::of(NEED_ROOM, Fails(ENOSPC)).about("/temp/journal")]);
        another_engine(place, supervisor);
        all_run(place);
        assert!(!injector.hits().is_empty());
        let told = place.log_text("Supervisor");
        assert!(told.contains("cannot write the journal"), "{told}");
        injector.lift();
        another_engine(place, supervisor);
    });
}
