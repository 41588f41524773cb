//! Reading logs: following, searching, keeping, jumping, saving; and hostile output.

use super::{demo::Sim, record};
use crate::{
    console::{
        feed::{Ask, News, Page, Part},
        terminal::paint::Painter,
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
    sim.shows("no end of it is known");
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
    let mut painter = Painter::new(false);
    let bytes = String::from_utf8(painter.frame(frame, cursor).to_vec()).expect("text");
    for forbidden in ["\u{1b}]", "\u{1b}P", "\u{7}", "\u{0}", "\u{202e}", "?1049", "[5m", "[8m"] {
        assert!(!bytes.contains(forbidden), "{forbidden:?}");
    }
    for text in ["title", "cleared", "left", "blinkshides", "six", "a<U+202E>bc", "xxxx"] {
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
    sim.shows("FOLLOW");
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

/// The pages that were asked for: part, ids, number.
fn pages(sim: &Sim) -> Vec<(Part, Vec<String>, u64)> {
    let pages = sim.asked.iter().filter_map(|request| match &request.ask {
        Ask::Page { number, ids, part, .. } => Some((part.clone(), ids.clone(), *number)),
        _ => None,
    });
    pages.collect()
}

#[test]
fn scrolling_up_reads_older_lines_from_the_engine() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j l");
    sim.logs(0, "ps", 1000, 60);
    assert!(pages(&sim).is_empty(), "nothing is asked for while one reads the end");
    sim.keys("g");
    sim.shows("reading older lines");
    let (part, ids, number) = pages(&sim).pop().expect("older lines are asked for");
    assert!(matches!(part, Part::Until(_)) && ids == ["ps"]);
    sim.keys("k k");
    assert_eq!(pages(&sim).len(), 1, "one at a time");
    let older = (990..1000).map(|seq| record(seq, "2026-11-23T14:00:00Z", &format!("old {seq}")));
    let logs = vec![("ps".to_owned(), older.collect())];
    sim.news(0, News::Page { number, page: Ok(Page { logs, last: true }) });
    sim.shows_not("old 999");
    sim.keys("k");
    sim.shows("old 999");
    sim.keys("g / n o w h e r e Enter");
    sim.shows("old 990");
    sim.shows("first line");
    sim.shows("\"nowhere\" is not found below");
    // A page for a screen that was left is nobody's.
    sim.keys("Esc");
    sim.news(0, News::Page { number: 4711, page: Err("gone".to_owned()) });
    sim.shows_not("were not read");
}

#[test]
fn a_time_that_is_not_held_is_gone_to_when_its_lines_have_come() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j l");
    sim.logs(0, "ps", 1000, 60);
    sim.keys("T");
    sim.type_text("12:30");
    sim.keys("Enter");
    let (part, _, number) = pages(&sim).pop().expect("lines since then are asked for");
    assert_eq!(part, Part::Since("2026-11-23T12:30:00Z".to_owned()));
    sim.shows("going there");
    let then = (10..60).map(|seq| record(seq, "2026-11-23T12:30:07Z", &format!("then {seq}")));
    let logs = vec![("ps".to_owned(), then.collect())];
    sim.news(0, News::Page { number, page: Ok(Page { logs, last: false }) });
    sim.shows("then 10");
    sim.shows("PAUSED");
    // Back at the end, the stream is asked for anew.
    sim.asked.clear();
    sim.keys("G");
    sim.shows("FOLLOW");
    let wish = sim.asked.iter().find_map(|request| match &request.ask {
        Ask::Logs { wanted } => wanted.iter().find(|wish| wish.id == "ps").cloned(),
        _ => None,
    });
    assert_eq!(wish.map(|wish| wish.after), Some(None));
    // What cannot be read is said.
    sim.keys("T");
    sim.type_text("-3h");
    sim.keys("Enter");
    let (_, _, number) = pages(&sim).pop().expect("asked");
    sim.news(0, News::Page { number, page: Err("connection refused".to_owned()) });
    sim.shows("ps: older lines were not read: connection refused");
}

#[test]
fn no_character_moves_the_columns_behind_it() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j l");
    let hostile = [
        "\u{202e}txt.exe\u{202c} |",
        "e\u{301}e\u{301} |",
        "\u{301}\u{301} |",
        "日本語 |",
        "👩\u{200d}👩\u{200d}👧 |",
        "❤\u{fe0f} |",
        "🇩🇪 👍🏽 |",
        "a\u{200b}\u{200b}b |",
        "\u{3164}hidden |",
        "\u{1b}[8mconcealed\u{1b}[0m |",
    ];
    let at = "2026-11-23T14:30:00Z";
    let records = (1..).zip(hostile).map(|(seq, text)| record(seq, at, text)).collect();
    sim.update(0, Update::Log { id: "ps".to_owned(), records });
    let (frame, cursor) = sim.frame();
    let bytes = Painter::new(false).frame(frame.clone(), cursor).to_vec();
    let size = |size| std::num::NonZero::new(size).expect("not zero");
    let mut terminal = vt100::Parser::new(size(24), size(80), 0);
    terminal.process(&bytes);
    for seen in
        ["<U+202E>txt.exe<U+202C> |", "a<U+200B><U+200B>b |", "<U+3164>hidden |", "concealed |"]
    {
        assert!(terminal.screen().contents().contains(seen), "{}", terminal.screen().contents());
    }
    // The bar stands in the column that the console meant, whatever was before it.
    for row in frame.area.rows() {
        for x in row.left()..row.right() {
            if frame[(x, row.y)].symbol() == "|" {
                let cell = terminal.screen().cell(row.y, x).expect("on the screen");
                assert_eq!(cell.contents(), "|", "row {}", row.y);
            }
        }
    }
}
