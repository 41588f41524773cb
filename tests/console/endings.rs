//! Every way in which a console ends, and what becomes of the engine behind it.

use std::time::Duration;

use rustix::process::Signal;

use crate::{
    support::{Place, Registry, Server, processes, until},
    terminal::Terminal,
};

fn two() -> Place {
    Place::new(&Registry::of([Server::sleep("one"), Server::sleep("two")]))
}

/// The console with the engine in it, and both components running.
fn console(place: &Place, words: &[&str]) -> Terminal {
    let mut all = vec!["console"];
    all.extend(words);
    let terminal = Terminal::open(place, &all);
    terminal.shows("2/2 up");
    terminal
}

/// The pids of the engine and of both components.
fn pids(place: &Place) -> [u32; 3] {
    let status = place.status();
    let engine = status["supervisor"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    [engine.expect("a pid"), place.pid("one"), place.pid("two")]
}

/// The engine has no terminal any more, nothing has been restarted, and it does nothing.
#[track_caller]
fn goes_on(place: &Place, before: [u32; 3]) {
    assert_eq!(pids(place), before, "the same processes");
    assert_eq!(place.component("one")["restarts"], 0);
    let engine = before[0];
    let stat = processes::stat(engine).expect("it lives");
    assert_eq!(stat.session, engine, "a session of its own");
    until("its threads for the terminal are gone", || (threads(engine) <= 8).then_some(()));
    let before = cpu_ticks(engine);
    std::thread::park_timeout(Duration::from_secs(1));
    let spent = cpu_ticks(engine) - before;
    assert!(spent < 50, "{spent} of 100 ticks of CPU in a second in which nothing happened");
}

/// The CPU time that `pid` has used, in clock ticks (10 ms).
#[track_caller]
fn cpu_ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let (_, rest) = text.rsplit_once(')').expect("a name in parentheses");
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
    ticks(11) + ticks(12)
}

fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

#[track_caller]
fn stop(place: &Place) {
    place.cli("stop").assert_code(0);
    until("the Supervisor has ended", || place.processes().is_empty().then_some(()));
}

#[test]
fn detaching_gives_the_prompt_back_and_the_engine_goes_on() {
    let place = two();
    let mut terminal = console(&place, &[]);
    let before = pids(&place);
    assert_ne!(before[0], terminal.pid(), "the shell waits for the front");
    terminal.press("q");
    terminal.shows("The Supervisor runs in this console.");
    terminal.press("\u{1b}");
    terminal.shows_no("The Supervisor runs in this console.");
    terminal.press("q");
    terminal.press("d");
    terminal.ends_with(0);
    terminal.is_restored();
    terminal.shows(&format!("The Supervisor goes on as pid {}", before[0]));
    goes_on(&place, before);

    // From now on a hangup means what it means to a daemon.
    place.rewrite_registry(&Registry::of([
        Server::sleep("one"),
        Server::sleep("two"),
        Server::sleep("three"),
    ]));
    processes::signal(before[0], Signal::HUP);
    until("the registry is read again", || {
        place.try_get("/v1/components/three").filter(|answer| answer.status == 200)
    });

    let mut again = Terminal::open(&place, &["console"]);
    again.row("one", &["running", &before[1].to_string()]);
    again.row("three", &["running"]);
    again.press("q");
    again.ends_with(0);
    again.is_restored();
    assert_eq!(place.pid("one"), before[1]);
    stop(&place);
}

/// In a shell with jobs: the console is one, and when it is left the prompt is there at once.
#[test]
fn a_shell_gets_its_prompt_back() {
    let place = two();
    let mut terminal = Terminal::run(&place, "bash", &["--norc", "--noprofile", "-i"]);
    terminal.press("PS1='the-prompt> '\r");
    terminal.until("a prompt", |screen| {
        screen
            .ends_with("the-prompt> ")
            .then_some(())
            .or_else(|| screen.trim_end().ends_with("the-prompt>").then_some(()))
    });
    let folder = place.path("");
    let command = format!(
        "{} -i {} console\r",
        env!("CARGO_BIN_EXE_s7supervisor"),
        crate::support::place::text(&folder)
    );
    terminal.press(&command);
    terminal.shows("2/2 up");
    let before = pids(&place);
    terminal.press("q");
    terminal.press("d");
    terminal.shows(&format!("The Supervisor goes on as pid {}", before[0]));
    terminal.press("echo status=$? jobs=$(jobs | wc -l)\r");
    terminal.shows("status=0 jobs=0");
    goes_on(&place, before);
    // The shell and its terminal go: nothing of it concerns the engine any more.
    terminal.close();
    terminal.ended();
    goes_on(&place, before);
    stop(&place);
}

#[test]
fn a_terminal_that_is_gone_leaves_the_engine_as_it_is() {
    let place = two();
    let mut terminal = console(&place, &[]);
    let before = pids(&place);
    terminal.close();
    terminal.ended();
    goes_on(&place, before);
    let mut again = Terminal::open(&place, &["console"]);
    again.row("two", &["running", &before[2].to_string()]);
    again.press("q");
    again.ends_with(0);
    stop(&place);
}

#[test]
fn a_terminal_that_is_gone_stops_everything_where_that_is_wished() {
    let place = two();
    let mut terminal = console(&place, &["--on-hangup", "stop"]);
    terminal.close();
    terminal.ended();
    until("everything has ended", || place.processes().is_empty().then_some(()));
}

#[test]
fn term_and_int_give_the_terminal_back_and_stop_everything_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        for to_the_front in [true, false] {
            let place = two();
            let mut terminal = console(&place, &[]);
            let engine = pids(&place)[0];
            processes::signal(if to_the_front { terminal.pid() } else { engine }, signal);
            terminal.ends_with(0);
            terminal.is_restored();
            terminal.shows("All 2 components and the Supervisor have stopped.");
            place.assert_nothing_runs();
            assert!(!place.socket().exists());
        }
    }
}

/// A shell's `kill %1` asks the front and the engine at once: that is one wish, not two.
#[test]
fn asked_as_a_group_it_stops_politely_and_a_second_time_it_kills() {
    let place = Place::new(&Registry::of([
        Server::stubborn("deaf").stop_timeout(600.0),
        Server::sleep("two"),
    ]));
    let mut terminal = Terminal::open(&place, &["console"]);
    terminal.shows("2/2 up");
    until("it is deaf", || place.log_text("deaf").contains("deaf").then_some(()));
    let group = i32::try_from(terminal.pid()).ok().and_then(rustix::process::Pid::from_raw);
    let group = group.expect("a pid");
    rustix::process::kill_process_group(group, Signal::TERM).expect("our own group");
    place.await_state("deaf", "stopping");
    terminal.is_restored();
    terminal.shows("deaf");
    // Long enough for whatever was under way to have had its effect.
    terminal.rest(Duration::from_millis(1500));
    assert_eq!(place.component("deaf")["state"], "stopping", "it is asked, not killed");
    terminal.signal(Signal::TERM);
    terminal.ended();
    place.assert_nothing_runs();
}

#[test]
fn a_hangup_without_a_lost_terminal_gives_it_back() {
    let place = two();
    let mut terminal = console(&place, &[]);
    let before = pids(&place);
    processes::signal(before[0], Signal::HUP);
    terminal.ends_with(0);
    terminal.is_restored();
    goes_on(&place, before);
    assert_eq!(place.status()["supervisor"]["generation"], 1, "it was not taken for a reload");
    stop(&place);
}

#[test]
fn a_killed_front_is_a_lost_terminal() {
    let place = two();
    let mut terminal = console(&place, &[]);
    let before = pids(&place);
    terminal.signal(Signal::KILL);
    terminal.ended();
    terminal.is_restored();
    goes_on(&place, before);
    stop(&place);
}

/// The guardian starts the Supervisor again, headless; the terminal is given back by the front.
#[test]
fn a_killed_engine_leaves_a_usable_terminal_and_goes_on_headless() {
    let place = two();
    let mut terminal = console(&place, &[]);
    until("it has a guardian", || place.status()["supervisor"].get("guardian_pid").map(|_| ()));
    let [engine, one, two] = pids(&place);
    processes::signal(engine, Signal::KILL);
    terminal.ends_with(128 + 9);
    terminal.is_restored();
    terminal.shows("killed by signal 9");
    terminal.shows("headless, as pid");
    assert!(processes::alive(one) && processes::alive(two));
    let status = place.status();
    assert_ne!(status["supervisor"]["pid"], engine);
    assert_eq!((place.pid("one"), place.pid("two")), (one, two), "taken over");
    let mut again = console(&place, &[]);
    assert_eq!(place.pid("one"), one);
    again.press("q");
    again.ends_with(0);
    stop(&place);
}

#[test]
fn a_panic_of_the_console_leaves_the_terminal_and_the_engine_whole() {
    let mut place = two();
    place.set("S7_TEST_PANIC", "console");
    let mut terminal = console(&place, &[]);
    let before = pids(&place);
    processes::signal(before[0], Signal::USR2);
    terminal.ends_with(1);
    terminal.is_restored();
    terminal.shows("the console made a mistake and ended");
    terminal.shows(&format!("goes on as pid {}", before[0]));
    goes_on(&place, before);
    assert!(place.log_text("Supervisor").contains("told to panic"));
    stop(&place);
}

#[test]
fn a_panic_elsewhere_leaves_the_screen_alone_and_is_told() {
    let mut place = two();
    place.set("S7_TEST_PANIC", "worker");
    let mut terminal = console(&place, &[]);
    let engine = pids(&place)[0];
    processes::signal(engine, Signal::USR2);
    until("it is in the trace log", || {
        let log = place.log_text("Supervisor");
        (log.contains("a worker was told to panic") && log.contains("a task was told to panic"))
            .then_some(())
    });
    terminal.press("\u{1b}[B");
    terminal.shows("two stdout+stderr");
    assert!(terminal.parsed().screen().alternate_screen());
    assert!(!terminal.screen().contains("panic"), "{}", terminal.screen());
    terminal.press("L");
    terminal.shows("told to panic");
    terminal.press("q");
    terminal.press("q");
    terminal.press("s");
    terminal.ends_with(0);
    terminal.is_restored();
    place.assert_nothing_runs();
}

/// Somebody else stops everything: the screen ends with the engine and says so.
#[test]
fn a_stop_from_elsewhere_ends_the_console() {
    let place = two();
    let mut terminal = console(&place, &[]);
    place.cli("stop").assert_code(0);
    terminal.ends_with(0);
    terminal.is_restored();
    terminal.shows("The Supervisor and its components were stopped.");
}

/// A restart in place keeps the pid, and the screen comes back with the new program.
#[test]
fn a_restart_in_place_brings_the_screen_back() {
    let place = two();
    let mut terminal = console(&place, &[]);
    let before = pids(&place);
    place.cli("restart").assert_code(0);
    let after = pids(&place);
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    terminal.row("one", &["running", &after[1].to_string()]);
    assert!(terminal.parsed().screen().alternate_screen());
    terminal.press("q");
    terminal.press("d");
    terminal.ends_with(0);
    terminal.is_restored();
    stop(&place);
}

/// A registry that is wrong is told where there is room for it, and the shell gets its status.
#[test]
fn a_wrong_registry_is_told_on_the_ordinary_screen() {
    let place = Place::with_text("<supervisor><servers><server/></servers></supervisor>");
    let mut terminal = Terminal::open(&place, &["console"]);
    terminal.ends_with(78);
    terminal.shows("the registry is wrong");
    terminal.is_restored();
}

/// Nothing that the console had of the terminal goes to a component.
#[test]
fn components_inherit_nothing_of_the_terminal() {
    let place = two();
    let mut terminal = console(&place, &[]);
    let component = place.pid("one");
    let ignored = processes::status_line(component, "SigIgn");
    assert_eq!(u64::from_str_radix(&ignored, 16).expect("a mask"), 0, "no signal is ignored");
    let stat = processes::stat(component).expect("it lives");
    assert_eq!(stat.session, component, "a session of its own");
    for entry in std::fs::read_dir(format!("/proc/{component}/fd")).expect("it lives").flatten() {
        let leads_to = std::fs::read_link(entry.path()).unwrap_or_default();
        assert!(!leads_to.starts_with("/dev/pts"), "{}", leads_to.display());
        let number = entry.file_name().into_string().expect("a number");
        assert!(number.parse::<u32>().expect("a number") <= 2, "{}", leads_to.display());
    }
    terminal.press("q");
    terminal.press("s");
    terminal.ends_with(0);
}
