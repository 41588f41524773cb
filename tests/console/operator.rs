//! What an operator does: look, choose, act, read, leave.

use crate::{
    support::{Place, Registry, Server, place::text, processes, until},
    terminal::Terminal,
};

const DOWN: &str = "\u{1b}[B";
const UP: &str = "\u{1b}[A";
const ESC: &str = "\u{1b}";

/// A demo in a temporary folder of the test's own.
pub fn demo(place: &mut Place) -> Terminal {
    let temporary = place.path("tmp");
    std::fs::create_dir_all(&temporary).expect("our folder");
    place.set("TMPDIR", text(&temporary));
    Terminal::run(place, env!("CARGO_BIN_EXE_s7supervisor"), &["demo"])
}

fn nothing_left(place: &Place) {
    place.assert_nothing_runs();
    let left: Vec<_> = std::fs::read_dir(place.path("tmp")).expect("our folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_demo_shows_the_console_and_does_what_it_is_told() {
    let mut place = Place::new(&Registry::of([]));
    let mut terminal = demo(&mut place);
    terminal.shows("3/3 up");
    terminal.shows("New here?");
    let before = terminal.row("svg", &["running", "0"]);

    terminal.press(DOWN);
    terminal.shows("svg stdout+stderr");
    terminal.press(DOWN);
    terminal.shows("ps stdout+stderr");
    terminal.press(UP);
    terminal.shows("svg stdout+stderr");

    // The same key again says yes; the counter and the pid change.
    let pid = &before[before.iter().position(|word| word == "running").expect("it runs") + 2];
    terminal.press("r");
    terminal.shows(&format!("restart svg (pid {pid})?"));
    terminal.press("r");
    let after = terminal.until("another pid and one restart", |_screen| {
        let row = terminal.row("svg", &[]);
        (row.contains(&"running".to_owned()) && !row.contains(pid)).then_some(row)
    });
    assert!(after.contains(&"running".to_owned()), "{after:?}");
    until("the old process is gone", || {
        (!processes::alive(pid.parse().expect("a pid"))).then_some(())
    });

    terminal.press("K");
    terminal.shows("and its whole tree at once?");
    terminal.press(ESC);
    terminal.shows_no("and its whole tree at once?");

    terminal.press("/");
    terminal.press("svg\r");
    terminal.until("one row", |screen| (!screen.contains(" is  ")).then_some(()));
    terminal.press(ESC);
    terminal.row("ps", &["running"]);

    terminal.press("l");
    terminal.shows("FOLLOW");
    terminal.shows("ready on port");
    terminal.press("/");
    terminal.press("ready on\r");
    terminal.shows("search /ready on/");
    terminal.shows("PAUSED");
    terminal.press("G");
    terminal.shows("FOLLOW");
    terminal.press("q");
    terminal.row("ps", &["running"]);

    terminal.press("?");
    terminal.shows("Acting on components");
    terminal.press("q");
    terminal.row("ps", &["running"]);

    terminal.press("q");
    terminal.shows("The Supervisor runs in this console.");
    terminal.press("s");
    terminal.ends_with(0);
    terminal.is_restored();
    terminal.shows("All 3 components and the Supervisor have stopped.");
    nothing_left(&place);
}

#[test]
fn every_action_is_in_the_help() {
    let place = Place::new(&Registry::of([Server::sleep("only")]));
    let _supervisor = place.start();
    let mut terminal = Terminal::open(&place, &["console"]);
    terminal.row("only", &["running"]);
    // A terminal high enough for all of it.
    terminal.resize(120, 150);
    terminal.press("?");
    terminal.shows("Acting on components");
    let documented = include_str!("../../docs/console.md");
    let table = documented.split("## All actions").nth(1).expect("a table of all actions");
    let ids = table.lines().filter_map(|line| {
        let id = line.strip_prefix('|')?.split('|').nth(1)?.trim();
        id.strip_prefix('`')?.strip_suffix('`')
    });
    let mut count = 0;
    for id in ids {
        terminal.shows(id);
        count += 1;
    }
    assert!(count > 50, "the table of all actions was not found: {count}");
    terminal.press("q");
    terminal.press("q");
    terminal.ends_with(0);
    terminal.is_restored();
}
