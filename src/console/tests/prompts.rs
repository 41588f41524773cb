//! Acting: what is asked first, what a question is bound to, what is sent, what is told.

use super::demo::Sim;
use crate::{
    console::{
        feed::{Answer, Ask, Link, News},
        update::{Effect, Leave},
    },
    wire::{Access, ComponentState, Hold, Update},
};

fn command(verb: &str, ids: &[&str], run: Option<u64>) -> (String, Vec<String>, Option<u64>) {
    (verb.to_owned(), ids.iter().map(|id| (*id).to_owned()).collect(), run)
}

#[test]
fn the_same_key_twice_restarts_and_the_row_shows_it_as_asked_only() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j r");
    assert_eq!(sim.commands(), []);
    sim.keys("r");
    assert_eq!(sim.commands(), [command("restart", &["ps"], Some(18_151))]);
    sim.shows("running…");
    let number = sim.last_number();
    sim.news(0, News::Answer { number, answer: Answer::Applied });
    sim.shows("running…");
    sim.component(|status| status.state = ComponentState::Stopping, "ps");
    sim.shows("stopping");
    sim.shows_not("running…");
}

#[test]
fn a_key_within_the_first_moments_is_no_answer() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j r");
    // A finger that rests on the key.
    for _ in 0..4 {
        sim.wait_ms(30);
        sim.key("r");
    }
    assert_eq!(sim.commands(), []);
    sim.shows("restart ps (pid 42151)?");
    sim.wait_ms(40);
    sim.key("y");
    assert_eq!(sim.commands().len(), 1);
}

#[test]
fn any_other_key_means_no() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j x j");
    assert_eq!(sim.commands(), []);
    sim.shows("cancelled, nothing was done");
    assert_eq!(sim.model.table.position(), Some(1), "the key that said no does nothing else");
}

#[test]
fn a_start_is_not_asked_about() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j j j s");
    assert_eq!(sim.commands(), [command("start", &["mailer"], None)]);
}

#[test]
fn a_question_ends_with_the_run_that_it_was_about() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j r");
    sim.component(
        |status| {
            status.run = Some(99_000);
            status.pid = Some(43_000);
        },
        "ps",
    );
    sim.shows("its run has changed since it was asked");
    sim.keys("y");
    assert_eq!(sim.commands(), []);
    // The same for one of several, and for a component that has left the registry.
    sim.keys("u g Space Space x");
    sim.component(|status| status.pid = None, "is");
    sim.shows("its run has changed");
    sim.keys("K");
    let others = super::demo::components().split_off(3);
    sim.snapshot(0, others);
    sim.keys("y");
    assert_eq!(sim.commands(), []);
}

#[test]
fn numbers_alone_do_not_end_a_question_and_the_rows_stand_still_meanwhile() {
    let mut sim = Sim::live(80, 24);
    sim.keys("P");
    let order = sim.model.table.shown.clone();
    sim.keys("x");
    for second in 200..260 {
        sim.wait_ms(1000);
        sim.sample(0, second);
    }
    assert_eq!(sim.model.table.shown, order);
    sim.keys("Esc");
    sim.wait_ms(4000);
    assert_ne!(sim.model.table.shown, order, "it sorts again when the question is gone");
}

#[test]
fn several_are_listed_and_cancel_is_the_default() {
    let mut sim = Sim::live(80, 24);
    sim.keys("Space Space x");
    sim.shows("stop 2 components?");
    sim.shows("proxy");
    sim.keys("Enter");
    assert_eq!(sim.commands(), []);
    sim.keys("x Tab Enter");
    assert_eq!(sim.commands(), [command("stop", &["is", "ps"], None)]);
}

#[test]
fn all_of_them_need_their_count_typed() {
    let mut sim = Sim::live(80, 24);
    sim.keys("X 1 1 Enter");
    assert_eq!(sim.commands(), []);
    sim.keys("X 1 2 Enter");
    assert_eq!(sim.commands().len(), 1);
    assert_eq!(sim.commands()[0].1.len(), 12);
    // Starting all is asked about too, with the count of those that are shown.
    sim.keys("/ s t a t e : f a i l e d Enter S");
    sim.shows("start mailer?");
}

#[test]
fn a_kill_is_always_asked_about_in_a_dialog() {
    let mut sim = Sim::live(80, 24);
    sim.keys("K K K");
    assert_eq!(sim.commands(), []);
    sim.shows("kill is (pid 24189) and its whole tree at once?");
    sim.keys("y");
    assert_eq!(sim.commands(), [command("kill", &["is"], Some(189))]);
}

#[test]
fn what_the_engine_says_is_told() {
    for (answer, told) in [
        (Answer::Redundant, "nothing to do, it is so already"),
        (
            Answer::Denied { reason: "it is held until 15:00".to_owned() },
            "cannot restart ps: it is held until 15:00",
        ),
        (Answer::Unknown { reason: "connection lost".to_owned() }, "not known whether it was done"),
    ] {
        let mut sim = Sim::live(100, 24);
        sim.keys("j r r");
        let number = sim.last_number();
        sim.news(0, News::Answer { number, answer });
        sim.shows(told);
        sim.shows_not("running…");
        // It is kept among the events.
        sim.keys("e");
        sim.shows(told);
    }
}

#[test]
fn a_console_that_only_reads_has_no_way_to_act() {
    let mut sim = Sim::live(100, 24);
    let mut snapshot = super::demo::snapshot("img-prod-3", super::demo::components());
    snapshot.access = Access::ReadOnly;
    sim.update(0, Update::Snapshot(Box::new(snapshot)));
    sim.shows("READ-ONLY");
    sim.shows_not("r restart");
    for key in ["r", "s", "x", "K", "R", "S", "X"] {
        sim.keys(&format!("{key} y"));
    }
    sim.keys(": r e s t a r t");
    sim.shows_not("restart the selected");
    sim.keys("Enter");
    assert_eq!(sim.commands(), []);
    sim.keys("Esc Esc ?");
    sim.shows_not("Acting on components\n  r ");
}

#[test]
fn actions_are_off_while_the_link_is_lost_and_r_reconnects() {
    let mut sim = Sim::live(80, 24);
    let retry_in = std::time::Duration::from_secs(5);
    sim.news(0, News::Link(Link::Lost { why: "broken pipe".to_owned(), retry_in }));
    sim.keys("x y");
    assert_eq!(sim.commands(), []);
    sim.keys("r");
    assert_eq!(sim.commands(), []);
    assert_eq!(sim.asked.last().map(|request| &request.ask), Some(&Ask::Reconnect));
}

#[test]
fn a_frozen_screen_is_not_acted_on() {
    let mut sim = Sim::live(100, 24);
    sim.keys("Z");
    sim.component(|status| status.state = ComponentState::Failed, "is");
    sim.shows("FROZEN");
    sim.shows("● is               running");
    sim.keys("r y");
    assert_eq!(sim.commands(), []);
    sim.shows("the screen is frozen");
    sim.keys("Z");
    sim.shows("✗ is               failed");
}

#[test]
fn what_the_engine_never_shows_is_said() {
    let mut sim = Sim::live(100, 24);
    sim.keys("j r r");
    sim.wait_ms(31_000);
    sim.shows("restart ps: the engine has not shown it yet");
    sim.shows_not("running…");
}

#[test]
fn leaving() {
    let mut sim = Sim::live(80, 24);
    sim.keys("e q q");
    assert_eq!(sim.effects, [Effect::Leave(Leave::Quit)]);
    let mut sim = Sim::live(80, 24);
    sim.model.settings.embedded = true;
    sim.keys("q");
    sim.key("s");
    assert_eq!(sim.effects, [], "too early to be meant");
    sim.keys("Esc q d");
    assert_eq!(sim.effects, [Effect::Leave(Leave::Detach)]);
    sim.keys("q s");
    assert_eq!(sim.effects[1], Effect::Leave(Leave::StopAll));
}

#[test]
fn holding_says_who_is_meant_how_long_and_why() {
    let mut sim = Sim::live(100, 24);
    sim.keys("j H");
    sim.shows("hold ps (2h or 14:30, then why):");
    sim.type_text("2h new disk");
    sim.keys("Enter");
    let asked = sim.asked.last().map(|request| &request.ask);
    let Some(Ask::Hold { number, id, until, reason }) = asked else { panic!("{asked:?}") };
    assert_eq!(
        (id.as_str(), until.as_deref(), reason.as_deref()),
        ("ps", Some("+2h"), Some("new disk"))
    );
    let number = *number;
    let reason = "\"+2h\" has passed".to_owned();
    sim.news(0, News::Answer { number, answer: Answer::Denied { reason } });
    sim.shows("cannot hold ps: \"+2h\" has passed");
    // Held, it is counted, marked and found.
    let hold = Hold {
        by: "root (console)".to_owned(),
        reason: Some("new disk".to_owned()),
        since: "2026-11-23T14:25:00Z".to_owned(),
        until: None,
    };
    sim.component(|status| status.hold = Some(hold), "ps");
    sim.keys("Esc");
    sim.shows("1 held");
    sim.keys("/");
    sim.type_text("state:held");
    sim.keys("Enter");
    sim.shows_not("gateway");
    sim.keys(": r e l e a s e Enter");
    let asked = sim.asked.last().map(|request| &request.ask);
    assert!(matches!(asked, Some(Ask::Release { id, .. }) if id == "ps"), "{asked:?}");
    // Not where one only reads.
    sim.model.settings.read_only = true;
    sim.asked.clear();
    sim.keys("H");
    sim.shows("this console only reads");
    assert!(sim.asked.is_empty());
}
