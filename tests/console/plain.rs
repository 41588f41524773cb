//! The console as lines.

use crate::{
    support::{Place, Registry, Server, until},
    terminal::Terminal,
};

#[test]
fn a_plain_console_tells_each_change_in_a_line_and_stops_by_ctrl_c() {
    let place = Place::new(&Registry::of([Server::sleep("one")]));
    let mut terminal = Terminal::open(&place, &["console", "--plain"]);
    terminal.shows("one running pid");
    let pid = place.pid("one");
    place.cli("restart one").assert_code(0);
    terminal.shows(&format!("one running pid {}", place.pid("one")));
    assert_ne!(place.pid("one"), pid);
    assert!(!terminal.wrote(b"\x1b["), "no sequence of a screen");
    terminal.press("\u{3}");
    terminal.ends_with(0);
    place.assert_nothing_runs();
}

#[test]
fn a_plain_console_whose_terminal_goes_leaves_the_engine() {
    let place = Place::new(&Registry::of([Server::sleep("one")]));
    let mut terminal = Terminal::open(&place, &["console", "--plain"]);
    terminal.shows("one running pid");
    let pid = place.pid("one");
    terminal.close();
    // Long enough for a reload, had the hangup been taken for one.
    until("it has let go of the terminal", || {
        let leads_to = std::fs::read_link(format!("/proc/{}/fd/1", terminal.pid())).ok()?;
        leads_to.ends_with("start.err").then_some(())
    });
    assert_eq!(place.pid("one"), pid);
    assert_eq!(place.status()["supervisor"]["generation"], 1);
    place.cli("stop").assert_code(0);
    terminal.ends_with(0);
}

#[test]
fn attached_and_plain_it_leaves_everything_alone() {
    let place = Place::new(&Registry::of([Server::sleep("one")]));
    let _supervisor = place.start();
    place.running("one");
    let mut terminal = Terminal::open(&place, &["console", "--plain"]);
    terminal.shows("one running pid");
    terminal.press("\u{3}");
    terminal.ended();
    place.running("one");
}

#[test]
fn several_hosts_are_told_apart() {
    let places = ["left", "right"].map(|id| Place::new(&Registry::of([Server::sleep(id)])));
    let supervisors = places.each_ref().map(Place::start);
    let hosts = places.each_ref().map(|place| format!("unix:{}", place.socket().display()));
    let words = ["--host", &hosts[0], "--host", &hosts[1], "console", "--plain"];
    let mut terminal =
        Terminal::sized(&places[1], env!("CARGO_BIN_EXE_s7supervisor"), &words, (120, 24));
    terminal.shows(&format!("{} left running pid", hosts[0]));
    terminal.shows(&format!("{} right running pid", hosts[1]));
    supervisors[0].signal(rustix::process::Signal::TERM);
    supervisors[0].ended();
    terminal.shows(&format!("{} supervisor not running", hosts[0]));
    terminal.press("\u{3}");
    terminal.ended();
}
