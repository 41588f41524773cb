//! Consoles on a Supervisor that runs by itself.

use crate::{
    support::{Place, Registry, Server},
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
