//! Another version takes over in the process that has the console as well.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    operator::demo,
    support::{Place, Registry, Server, place::text, until},
    terminal::Terminal,
};

/// A copy of the binary that calls itself otherwise.
fn version(place: &Place, name: &str) -> PathBuf {
    let folder = place.path(name);
    fs::create_dir_all(&folder).expect("our folder");
    let copy = folder.join("s7supervisor");
    fs::copy(env!("CARGO_BIN_EXE_s7supervisor"), &copy).expect("our folder");
    fs::write(folder.join("s7supervisor.wish"), format!("version {name}")).expect("our folder");
    copy
}

fn pid_in(row: &[String]) -> u32 {
    let number = row.iter().filter_map(|word| word.parse().ok()).find(|number| *number > 9);
    number.unwrap_or_else(|| panic!("no pid in {row:?}"))
}

/// What a terminal is sent when the screen is entered, and left.
const ENTER: &[u8] = b"\x1b[?1049h";
const LEAVE: &[u8] = b"\x1b[?1049l";

#[test]
fn the_screen_comes_again_with_the_new_version_and_nothing_else_changes() {
    let place = Place::new(&Registry::of([Server::sleep("one"), Server::sleep("two")]));
    let mut terminal = Terminal::open(&place, &["console"]);
    terminal.shows("2/2 up");
    let before = [place.pid("one"), place.pid("two")];
    let engine = place.status()["supervisor"]["pid"].clone();
    for (round, name) in ["7.0.0", "8.0.0"].into_iter().enumerate() {
        let binary = version(&place, name);
        let upgraded = place.cli(&format!("upgrade --binary {}", text(&binary)));
        upgraded.assert_code(0);
        assert!(upgraded.stdout.contains(name), "{upgraded:?}");
        until("the screen comes again", || (terminal.times(ENTER) == round + 2).then_some(()));
        assert_eq!(terminal.times(LEAVE), round + 1, "it was given back meanwhile");
        for (id, pid) in ["one", "two"].into_iter().zip(before) {
            terminal.row(id, &["running", &pid.to_string()]);
        }
        let status = place.status();
        assert_eq!(status["supervisor"]["pid"], engine, "in the same process");
        assert_eq!(status["supervisor"]["version"], name);
        assert_eq!([place.pid("one"), place.pid("two")], before);
    }
    // It is the console as ever: what is asked for is done, and it is left as it was entered.
    terminal.press("r");
    terminal.shows(&format!("restart one (pid {})?", before[0]));
    terminal.press("r");
    until("one has another process", || {
        let one = place.component("one");
        (one["state"] == "running" && one["pid"] != before[0]).then_some(())
    });
    terminal.press("q");
    terminal.shows("The Supervisor runs in this console.");
    terminal.press("s");
    terminal.ends_with(0);
    terminal.is_restored();
    place.assert_nothing_runs();
}

#[test]
fn who_left_the_console_has_a_new_version_without_one() {
    let place = Place::new(&Registry::of([Server::sleep("one")]));
    let mut terminal = Terminal::open(&place, &["console"]);
    terminal.shows("1/1 up");
    let pid = place.pid("one");
    terminal.press("q");
    terminal.shows("The Supervisor runs in this console.");
    terminal.press("d");
    terminal.ends_with(0);
    let binary = version(&place, "7.0.0");
    place.cli(&format!("upgrade --binary {}", text(&binary))).assert_code(0);
    let status = place.status();
    assert_eq!(status["supervisor"]["version"], "7.0.0");
    assert_eq!(place.pid("one"), pid);
    place.cli("stop").assert_code(0);
    until("everything has ended", || place.processes().is_empty().then_some(()));
}

#[test]
fn a_binary_that_cannot_is_refused_and_the_screen_stays() {
    let place = Place::new(&Registry::of([Server::sleep("one")]));
    let mut terminal = Terminal::open(&place, &["console"]);
    terminal.shows("1/1 up");
    let pid = place.pid("one");
    let refused = place.cli("upgrade --binary /bin/true");
    refused.assert_code(1);
    terminal.row("one", &["running", &pid.to_string()]);
    assert_eq!(terminal.times(LEAVE), 0, "{refused:?}");
    terminal.press("q");
    terminal.press("s");
    terminal.ends_with(0);
    place.assert_nothing_runs();
}

#[test]
fn a_demo_goes_on_under_another_version() {
    let mut place = Place::new(&Registry::of([]));
    let mut terminal = demo(&mut place);
    terminal.shows("3/3 up");
    let pid = pid_in(&terminal.row("svg", &["running"]));
    let folder = fs::read_dir(place.path("tmp")).expect("our folder").flatten().next();
    let folder = folder.expect("the demo has one").path();
    let binary = version(&place, "7.0.0");
    let mut command = Command::new(env!("CARGO_BIN_EXE_s7supervisor"));
    place.prepare(&mut command);
    command.args(["-i", text(&folder), "upgrade", "--binary", text(&binary)]);
    crate::support::place::finish(command).assert_code(0);
    until("the screen comes again", || (terminal.times(ENTER) == 2).then_some(()));
    let row = terminal.row("svg", &["running"]);
    assert_eq!(pid_in(&row), pid, "{row:?}");
    terminal.press("q");
    terminal.press("s");
    terminal.ends_with(0);
    terminal.is_restored();
    place.assert_nothing_runs();
    let left: Vec<_> = fs::read_dir(place.path("tmp")).expect("our folder").collect();
    assert!(left.is_empty(), "{left:?}");
}
