//! Consoles on a Supervisor that runs by itself.

use std::time::Duration;

use rustix::process::Signal;

use crate::{
    support::{Place, Registry, Server, until},
    terminal::Terminal,
};

#[test]
fn an_attached_console_leaves_without_a_question() {
    let place = Place::new(&Registry::of([Server::sleep("only")]));
    let _supervisor = place.start();
    let pid = place.running("only");
    let mut terminal = Terminal::open(&place, &["console"]);
    terminal.row("only", &["running", &pid.to_string()]);
    terminal.press("q");
    terminal.ends_with(0);
    terminal.is_restored();
    assert_eq!(place.pid("only"), pid);
}

/// Nothing is written when nothing changes, and the console's threads sleep.
#[test]
fn a_console_at_rest_writes_nothing_and_sleeps() {
    let place = Place::new(&Registry::of([]));
    let _supervisor = place.start();
    let mut terminal = Terminal::open(&place, &["console"]);
    terminal.shows("no components yet");
    let console = terminal.pid();
    let woken = until("five seconds within one minute of the clock", || {
        terminal.rest(Duration::from_secs(2));
        let clock = terminal.screen().lines().next().map(str::to_owned);
        let (bytes, woken) = (terminal.bytes(), wake_ups(console, "s7supervisor"));
        terminal.rest(Duration::from_secs(5));
        let same = terminal.screen().lines().next().map(str::to_owned) == clock;
        if same {
            assert_eq!(terminal.bytes(), bytes, "{}", terminal.screen());
        }
        same.then(|| wake_ups(console, "s7supervisor") - woken)
    });
    assert!(woken <= 10, "{woken} wake-ups of the screen's thread in 5 s");
    terminal.press("q");
    terminal.ends_with(0);
}

/// How often the threads of this name have gone to sleep so far.
fn wake_ups(pid: u32, name: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let ours = tasks.filter_map(|task| {
        let folder = task.ok()?.path();
        let comm = std::fs::read_to_string(folder.join("comm")).ok()?;
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("voluntary"))?;
        (comm.trim() == name).then(|| line.split_whitespace().last()?.parse::<u64>().ok())?
    });
    ours.sum()
}

/// Two installations in one table: the one that is not there yet disturbs nobody, and joins when
/// it comes.
#[test]
fn one_host_that_is_down_does_not_disturb_the_other() {
    let here = Place::new(&Registry::of([Server::sleep("alpha")]));
    let there = Place::new(&Registry::of([Server::sleep("beta")]));
    let _supervisor = here.start();
    let alpha = here.running("alpha");
    let socket = |place: &Place| format!("unix:{}", place.path("temp/supervisor.sock").display());
    let hosts = [socket(&here), socket(&there)];
    let words = ["console", "--host", &hosts[0], "--host", &hosts[1]];
    let program = env!("CARGO_BIN_EXE_s7supervisor");
    let mut terminal = Terminal::sized(&here, program, &words, (140, 24));
    terminal.shows(&alpha.to_string());
    terminal.shows("STALE");
    terminal.press("r");
    terminal.press("r");
    let again = until("alpha runs anew", || {
        let pid = here.component("alpha")["pid"].as_u64()?;
        (pid != u64::from(alpha)).then_some(pid)
    });
    terminal.shows(&again.to_string());
    let other = there.start();
    terminal.shows(&there.running("beta").to_string());
    terminal.shows_no("STALE");
    // Not by its own `stop`, which would take the console for something left behind.
    other.signal(Signal::TERM);
    other.ended();
    terminal.shows("STALE");
    terminal.shows(&again.to_string());
    terminal.press("q");
    terminal.ends_with(0);
    terminal.is_restored();
}
