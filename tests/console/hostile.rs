//! What a component writes, and what a terminal does, cannot garble, freeze or drive the console.

use std::time::Duration;

use crate::{
    support::{Place, Registry, Server},
    terminal::Terminal,
};

/// Writes everything that a terminal would obey, a line of 1 MiB, and bytes that are no text.
const WILD: &str =
    "printf '\\033[2J\\033[H\\033]0;owned\\007\\033[?1049l\\033[?25h\\033c\\033[31mred\\033[0m \
     after-the-escapes\\n'
printf '\\377\\376\\300 after-the-bytes\\n'
head -c 1048576 /dev/zero | tr '\\0' x
echo
echo after-the-long-line
while [ ! -e go ]; do sleep 0.05; done
yes 'a line of the flood that goes on and on' | head -n 400000
echo the-flood-is-over
exec sleep infinity";

#[test]
fn what_a_component_writes_cannot_drive_the_console() {
    let place = Place::new(&Registry::of([Server::shell("wild", WILD), Server::sleep("calm")]));
    let mut terminal = Terminal::open(&place, &["console"]);
    terminal.shows("2/2 up");
    terminal.press("l");
    terminal.shows("after-the-long-line");
    terminal.shows("after-the-bytes");
    terminal.shows("red after-the-escapes");
    let parsed = terminal.parsed();
    assert!(parsed.screen().alternate_screen() && parsed.screen().hide_cursor());
    assert!(terminal.screen().lines().next().is_some_and(|line| line.contains("wild")));
    for harmful in [&b"\x1b]0;"[..], b"\x1bc", b"\xff", b"\xfe"] {
        assert!(!terminal.wrote(harmful), "{harmful:?} reached the terminal");
    }

    // A flood: some frames a second, keys are obeyed, and the end is seen.
    let before = terminal.bytes();
    place.write("go", "");
    terminal.shows("a line of the flood");
    terminal.press("\u{1b}");
    terminal.row("calm", &["running"]);
    terminal.press("l");
    terminal.shows("the-flood-is-over");
    let bytes = terminal.bytes() - before;
    assert!(bytes < 1 << 20, "{bytes} bytes for a flood of 16 MB");

    terminal.press("q");
    terminal.press("q");
    terminal.press("s");
    terminal.ends_with(0);
    terminal.is_restored();
    // Nothing of it was lost on the way to the file.
    let log = place.log("wild");
    let flood = memchr::memmem::find_iter(&log, b"a line of the flood").count();
    assert_eq!(flood, 400_000);
}

#[test]
fn a_terminal_may_have_any_size_at_any_time() {
    let place = Place::new(&Registry::of(["one", "two", "three"].map(Server::sleep)));
    let _supervisor = place.start();
    place.running("three");
    let mut terminal = Terminal::open(&place, &["console"]);
    terminal.shows("3/3 up");
    let mut random = 0x2545_f491_u32;
    let mut side = |most: u32| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        u16::try_from(1 + random % most).expect("small")
    };
    for screen in ["l", "\u{1b}", "\r", "\t", "\u{1b}", "K", "\u{1b}", "?", "q", ":", "\u{1b}"] {
        terminal.send(screen);
        for _ in 0..6 {
            terminal.resize(side(210), side(64));
            terminal.rest(Duration::from_millis(25));
        }
    }
    terminal.resize(80, 24);
    terminal.press("\u{c}");
    terminal.row("three", &["running"]);
    terminal.press("q");
    terminal.ends_with(0);
    terminal.is_restored();
}
