//! The harness is trusted by every other test: what it promises is tested here.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Child, Command},
};

use crate::support::{Place, Registry, processes, until};

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<String>().map_or("", String::as_str)
}

#[test]
fn a_process_left_behind_fails_the_test_and_is_ended() {
    let marked_by_environment = |place: &Place| {
        let mut command = Command::new("/usr/bin/setsid");
        place.prepare(&mut command);
        command.args(["/bin/sleep", "infinity"]);
        place.spawn(command)
    };
    let marked_by_folder = |place: &Place| {
        let mut command = Command::new("/bin/sleep");
        command.arg("infinity").env_clear().current_dir(place.path(""));
        place.spawn(command)
    };
    let starts: [&dyn Fn(&Place) -> Child; 2] = [&marked_by_environment, &marked_by_folder];
    for start in starts {
        let place = Place::new(&Registry::of([]));
        let mut child = start(&place);
        until("it is found", || (place.processes().len() == 1).then_some(()));
        let caught = catch_unwind(AssertUnwindSafe(|| drop(place))).expect_err("it must fail");
        assert!(message(&*caught).contains("left behind"), "{}", message(&*caught));
        assert!(!processes::alive(child.id()));
        child.wait().expect("a child can be waited for");
    }
}

#[test]
fn another_tests_processes_are_not_ours() {
    let mine = Place::new(&Registry::of([]));
    let other = Place::new(&Registry::of([]));
    let mut command = Command::new("/bin/sleep");
    other.prepare(&mut command);
    command.arg("infinity");
    let mut child = other.spawn(command);
    until("it is found", || (other.processes().len() == 1).then_some(()));
    assert_eq!(mine.processes(), [], "another test's process is not ours");
    child.kill().expect("our child");
    child.wait().expect("a child can be waited for");
    assert_eq!(other.processes(), [], "a dead one is not alive");
}
