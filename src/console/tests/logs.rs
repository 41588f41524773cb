//! Reading logs: following, searching, keeping, jumping, saving; and hostile output.

use super::{demo::Sim, record};
use crate::{
    console::{
        feed::Ask,
        update::{Effect, Message},
    },
    wire::Update,
};

fn reading(count: u64) -> Sim {
    let mut sim = Sim::live(80, 24);
    sim.keys("j l");
    sim.logs(0, "ps", 1, count);
    sim
}

#[test]
fn what_is_on_the_screen_is_what_is_asked_for() {
    let sim = reading(1);
    let wishes: Vec<Vec<String>> = sim
        .asked
        .iter()
        .filter_map(|request| match &request.ask {
            Ask::Logs { wanted } => Some(wanted.iter().map(|wish| wish.id.clone()).collect()),
            _ => None,
        })
        .collect();
    assert_eq!(wishes, [vec!["is"], vec!["ps"], vec!["ps"]], "the pane, twice, then the screen");
}

#[test]
fn the_pane_follows_the_cursor_when_it_rests() {
    let mut sim = Sim::live(80, 24);
    sim.asked.clear();
    for _ in 0..6 {
        sim.key("j");
        sim.wait_ms(30);
    }
    assert_eq!(sim.asked, [], "a cursor that runs asks for nothing");
    sim.wait_ms(200);
    assert_eq!(sim.asked.len(), 1);
}

#[test]
fn a_search_from_the_end_looks_up_and_n_goes_on() {
    let mut sim = reading(60);
    sim.keys("/ b r o k e n Enter");
    sim.shows(">  java.io.IOException: Broken pipe");
    sim.shows("PAUSED");
    sim.keys("N n");
    sim.keys("/ z z z Enter");
    sim.shows("\"zzz\" is not found");
    sim.keys("/ ( Enter");
    sim.shows("is no expression");
    sim.keys("Esc G");
    sim.shows("FOLLOW");
}

#[test]
fn errors_are_found_and_lines_are_kept() {
    let mut sim = reading(60);
    sim.keys("e");
    sim.shows(">");
    sim.keys("G & W A R N Enter");
    let lines = sim.screen();
    assert_eq!(lines.matches("cache 91% full").count(), 3, "{lines}");
    sim.shows_not("INFO req");
    sim.keys("& ctrl-u Enter");
    sim.shows("INFO req");
}

#[test]
fn a_time_is_gone_to() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j l");
    let lines: Vec<_> = (0..60)
        .map(|minute| {
            record(
                minute + 1,
                &format!("2026-11-23T13:{minute:02}:00Z"),
                &format!("minute {minute}"),
            )
        })
        .collect();
    sim.update(0, Update::Log { id: "ps".to_owned(), records: lines });
    sim.keys("T 1 3 : 0 2 Enter");
    sim.shows("minute 2");
    sim.shows_not("minute 1\n");
    sim.keys("T l a s t - e x i t Enter");
    sim.shows("no exit in the lines");
    sim.keys("Esc T n o o n Enter");
    sim.shows("is no time");
}

#[test]
fn what_is_shown_is_saved_without_colours_or_controls() {
    let mut sim = reading(12);
    sim.keys("W Enter");
    let Some(Effect::Save { file, text }) = sim.effects.last() else { panic!("{:?}", sim.effects) };
    assert_eq!(file, "ps.log");
    assert_eq!(text.lines().count(), 12);
    assert!(text.contains("WARN cache 91% full"));
    assert!(!text.contains('\u{1b}'));
    let error = Some("Permission denied".to_owned());
    sim.message(Message::Done { what: "cannot save to ps.log".to_owned(), error });
    sim.shows("cannot save to ps.log: Permission denied");
}

#[test]
fn output_cannot_drive_the_terminal() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j l");
    let hostile = [
        "\u{1b}]0;owned\u{7}title",
        "\u{1b}[2J\u{1b}[Hcleared",
        "\u{1b}[?1049lleft",
        "\u{1b}[5mblinks\u{1b}[8mhides",
        "\u{1b}Pq\u{1b}\\six",
        "a\u{202e}b\u{0}c",
    ];
    let records =
        hostile.iter().zip(1..).map(|(text, seq)| record(seq, "2026-11-23T14:25:02Z", text));
    let mut records: Vec<_> = records.collect();
    records.push(record(7, "2026-11-23T14:25:02Z", &"x".repeat(1 << 20)));
    sim.update(0, Update::Log { id: "ps".to_owned(), records });
    let (frame, cursor) = sim.frame();
    let mut painter = crate::console::terminal::paint::Painter::new(false);
    let bytes = String::from_utf8(painter.frame(frame, cursor).to_vec()).expect("text");
    for forbidden in ["\u{1b}]", "\u{1b}P", "\u{7}", "\u{0}", "\u{202e}", "?1049", "[5m", "[8m"] {
        assert!(!bytes.contains(forbidden), "{forbidden:?}");
    }
    for text in ["title", "cleared", "left", "blinkshides", "six", "abc", "xxxx"] {
        sim.shows(text);
    }
}

#[test]
fn a_flood_is_bounded() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j l k");
    let line = "y".repeat(1000);
    for block in 0..40_u64 {
        let records = (0..1000).map(|at| record(block * 1000 + at, "2026-11-23T14:25:02Z", &line));
        sim.update(0, Update::Log { id: "ps".to_owned(), records: records.collect() });
    }
    sim.shows("older lines dropped");
    let kept: usize = sim
        .model
        .screens
        .iter()
        .map(|screen| match screen {
            crate::console::model::Screen::Logs(view) => view.lines().len() * line.len(),
            _ => 0,
        })
        .sum();
    assert!(kept <= 16 << 20, "{kept} bytes");
}

#[test]
fn plain_lines_fill_the_screen_for_the_terminals_own_selection() {
    let mut sim = reading(60);
    sim.keys("C");
    let screen = sim.screen();
    assert!(screen.starts_with("INFO req") || screen.starts_with("exit"), "{screen}");
    assert_eq!(screen.lines().count(), 24);
    sim.keys("Esc");
    sim.shows("ps stdout+stderr");
}
