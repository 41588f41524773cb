//! Several who look and act at once: every screen ends with the same truth.

use rustix::process::Signal;

use crate::{
    support::{Place, Registry, Server, processes, until},
    terminal::Terminal,
};

const DOWN: &str = "\u{1b}[B";

fn three() -> Place {
    Place::new(&Registry::of(["one", "two", "three"].map(Server::sleep)))
}

/// Whether the screen's row of `id` says what the engine says.
fn agrees(place: &Place, screen: &Terminal, id: &str) -> bool {
    let truth = place.component(id);
    let state = truth["state"].as_str().unwrap_or_default().to_owned();
    let pid = truth["pid"].as_u64().map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    let row = screen.row(id, &[]);
    row.contains(&state) && (pid == "-" || row.contains(&pid))
}

#[test]
fn two_consoles_and_a_command_line_end_with_the_same_truth() {
    let place = three();
    let mut embedded = Terminal::open(&place, &["console"]);
    embedded.shows("3/3 up");
    let mut attached = Terminal::open(&place, &["console"]);
    attached.shows("3/3 up");
    let before = ["one", "two", "three"].map(|id| place.pid(id));

    // All at once: one restarts, one stops, one restarts by command.
    embedded.press("r");
    embedded.shows("restart one (pid");
    attached.press(DOWN);
    attached.press("x");
    attached.shows("stop two (pid");
    attached.rest(std::time::Duration::from_millis(200));
    embedded.send("r");
    attached.send("x");
    place.cli("restart three").assert_code(0);

    place.await_state("two", "stopped");
    until("one has another process", || {
        let one = place.component("one");
        (one["state"] == "running" && one["pid"] != before[0]).then_some(())
    });
    for screen in [&embedded, &attached] {
        until("the screen says what is", || {
            ["one", "two", "three"].iter().all(|id| agrees(&place, screen, id)).then_some(())
        });
        screen.shows("2/3 up");
    }
    assert_ne!(place.pid("three"), before[2]);

    attached.press("q");
    attached.ends_with(0);
    embedded.press("q");
    embedded.press("s");
    embedded.ends_with(0);
    place.assert_nothing_runs();
}

#[test]
fn a_question_about_a_run_that_has_ended_cancels_itself() {
    let place = three();
    let _supervisor = place.start();
    place.running("three");
    let mut terminal = Terminal::open(&place, &["console"]);
    terminal.shows("3/3 up");
    let old = place.pid("one");
    terminal.press("r");
    terminal.shows(&format!("restart one (pid {old})?"));
    processes::signal(old, Signal::KILL);
    terminal.shows("its run has changed since it was asked");
    let new = until("it runs again", || {
        let one = place.component("one");
        (one["state"] == "running" && one["pid"] != old).then(|| place.pid("one"))
    });
    // The yes that was under way says yes to nothing.
    terminal.press("y");
    terminal.row("one", &["running", &new.to_string()]);
    terminal.press("q");
    terminal.ends_with(0);
    assert_eq!(place.pid("one"), new);
    assert_eq!(place.component("one")["restarts"], 1);
}

#[test]
fn a_console_that_only_reads_changes_nothing() {
    for words in [&["console", "--read-only"][..], &["--host", "SOCKET", "console", "--read-only"]]
    {
        let place = three();
        let _supervisor = place.start();
        let pid = place.running("one");
        let host = format!("unix:{}", place.socket().display());
        let words: Vec<&str> =
            words.iter().map(|word| if *word == "SOCKET" { &*host } else { *word }).collect();
        let mut terminal = Terminal::open(&place, &words);
        terminal.shows("READ-ONLY");
        terminal.row("one", &["running"]);
        terminal.press("r");
        terminal.shows("restart: not sent, this console only reads");
        for keys in ["r", "x", "x", "K", "y", "R"] {
            terminal.press(keys);
        }
        terminal.press("?");
        terminal.shows("Moving");
        assert!(!terminal.screen().contains("kill their"), "{}", terminal.screen());
        terminal.press("q");
        terminal.press("q");
        terminal.ends_with(0);
        assert_eq!(place.pid("one"), pid);
    }
}

#[test]
fn one_host_that_is_down_does_not_disturb_the_others() {
    let places = [Place::new(&Registry::of([Server::sleep("left")])), three()];
    let [left, right] = &places;
    let (first, _second) = (left.start(), right.start());
    left.running("left");
    let hosts = places.each_ref().map(|place| format!("unix:{}", place.socket().display()));
    let words = ["--host", &hosts[0], "--host", &hosts[1], "console"];
    let mut terminal =
        Terminal::sized(right, env!("CARGO_BIN_EXE_s7supervisor"), &words, (110, 24));
    terminal.row("left", &["running"]);
    terminal.row("three", &["running"]);
    terminal.shows("HOST");
    // Not with `stop`: the console on the screen names this place, too.
    first.signal(Signal::TERM);
    first.ended();
    terminal.shows("STALE");
    let pid = right.pid("three");
    processes::signal(pid, Signal::KILL);
    let new = until("it runs again", || {
        let three = right.component("three");
        (three["state"] == "running" && three["pid"] != pid).then(|| right.pid("three"))
    });
    terminal.row("three", &["running", &new.to_string()]);
    terminal.press("q");
    terminal.ends_with(0);
    terminal.is_restored();
}
