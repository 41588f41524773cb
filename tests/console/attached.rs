//! Consoles on a Supervisor that runs by itself.

use std::time::Duration;

use rustix::process::Signal;

use crate::{
    support::{Place, Registry, Server, place::text, processes, until},
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

/// A component that has grown and is small again, in a console whose chart shows that. The engine
/// stores such a peak only seconds later.
struct Watched {
    terminal: Terminal,
    pid: u32,
    /// The chart's last time.
    last: String,
}

const SWELL: &str = "until test -e grow; do sleep 0.05; done
    (x=$(head -c 20000000 /dev/zero | tr '\\0' a); until test -e shrink; do sleep 0.05; done)
    exec sleep 600";

/// MiB that it has only for a while.
const MUCH: f64 = 19.0;

impl Watched {
    fn open(place: &Place) -> Self {
        let pid = place.running("only");
        let folder = place.path("");
        let words = ["-i", text(&folder), "console"];
        let program = env!("CARGO_BIN_EXE_s7supervisor");
        let mut terminal = Terminal::sized(place, program, &words, (120, 30));
        terminal.row("only", &["running", &pid.to_string()]);
        terminal.press("\r");
        terminal.press("\t");
        terminal.until("a chart", highest);
        place.write("grow", "");
        terminal.until("much memory", |screen| (memory(screen)? > MUCH).then_some(()));
        // Another range and back: the chart is asked for at once.
        terminal.press("+");
        terminal.shows("[15 m]");
        terminal.press("-");
        terminal.shows("[2 m]");
        terminal.until("a chart of it", |screen| (highest(screen)? > MUCH).then_some(()));
        place.write("shrink", "");
        terminal.until("little memory", |screen| (memory(screen)? < MUCH).then_some(()));
        let last = terminal.until("the chart's last time", last_time);
        Self { terminal, pid, last }
    }

    /// The next engine's chart has what was shown before; the process is the same; what happened is
    /// told.
    fn goes_on(mut self, place: &Place, told: &str) {
        let Self { terminal, pid, last } = &mut self;
        terminal.shows_no("STALE");
        let peak = terminal.until("a newer chart", |screen| {
            (last_time(screen)? != *last).then(|| highest(screen)).flatten()
        });
        assert!(peak > MUCH, "what was shown is gone:\n{}", terminal.screen());
        assert_eq!(place.pid("only"), *pid);
        terminal.press("q");
        terminal.row("only", &["running", &pid.to_string()]);
        terminal.press("e");
        terminal.shows(told);
        terminal.press("q");
        terminal.press("q");
        terminal.ends_with(0);
        terminal.is_restored();
    }
}

/// The title of the memory's chart.
fn title(screen: &str) -> Option<Vec<&str>> {
    let line = screen.lines().find(|line| line.starts_with(" memory "))?;
    Some(line.split_whitespace().collect())
}

/// MiB that the component has now.
fn memory(screen: &str) -> Option<f64> {
    mebibytes(title(screen)?.get(1)?)
}

/// The most that the chart shows.
fn highest(screen: &str) -> Option<f64> {
    let words = title(screen)?;
    let at = words.iter().position(|word| *word == "highest")?;
    mebibytes(words.get(at + 1)?)
}

fn mebibytes(text: &str) -> Option<f64> {
    text.strip_suffix('M')?.parse().ok()
}

/// The time below the chart's last column.
fn last_time(screen: &str) -> Option<String> {
    let is_time = |word: &str| word.matches(':').count() == 2;
    let times = |line: &str| line.split_whitespace().all(is_time) && !line.trim().is_empty();
    let line = screen.lines().find(|line| times(line))?;
    line.split_whitespace().last().map(str::to_owned)
}

/// It says so while there is no engine, and goes on by itself with all that it had shown.
#[test]
fn a_console_goes_on_over_a_kill_of_the_engine() {
    let place = Place::new(&Registry::of([Server::shell("only", SWELL)]));
    let supervisor = place.start();
    let watched = Watched::open(&place);
    let engine = supervisor.pid();
    // The guardian can start no other one for now.
    supervisor.signal(Signal::STOP);
    processes::signal(engine, Signal::KILL);
    watched.terminal.shows("STALE");
    assert!(processes::alive(watched.pid), "the component does not notice");
    supervisor.signal(Signal::CONT);
    watched.goes_on(&place, "the engine ended by SIGKILL");
    assert_ne!(supervisor.pid(), engine);
}

#[test]
fn a_console_goes_on_over_an_upgrade() {
    let place = Place::new(&Registry::of([Server::shell("only", SWELL)]));
    let _supervisor = place.start();
    let watched = Watched::open(&place);
    place.cli(&format!("upgrade --binary {}", env!("CARGO_BIN_EXE_s7supervisor"))).assert_code(0);
    watched.goes_on(&place, "upgraded in place");
}
