//! How cells look in each theme: colour never tells alone, and only where it is meant.

use ratatui::{
    buffer::Cell,
    style::{Color, Modifier},
};

use super::demo::Sim;
use crate::console::views::{Skin, Theme};

fn sim(theme: Theme, ascii: bool) -> Sim {
    let mut sim = Sim::live(80, 24);
    sim.stage.skin = Skin { theme, ascii };
    sim.model.settings.ascii = ascii;
    sim.keys("G");
    sim
}

/// The cell where `text` begins, on the line that begins with ` glyph name`.
fn cell(sim: &Sim, line: &str, text: &str) -> Cell {
    let screen = sim.screen();
    let (y, line) =
        screen.lines().enumerate().find(|(_, at)| at.contains(line)).expect("the line is there");
    let x = line.split(text).next().expect("a part").chars().count();
    let (frame, _) = sim.frame();
    frame[(u16::try_from(x).expect("small"), u16::try_from(y).expect("small"))].clone()
}

#[test]
fn dark() {
    let sim = sim(Theme::Dark, false);
    assert_eq!(cell(&sim, "● is", "●").fg, Color::Green);
    assert_eq!(cell(&sim, "● is", "is ").fg, Color::Reset, "names have the terminal's own colour");
    assert_eq!(cell(&sim, "● is", "24189").fg, Color::Reset);
    assert_eq!(cell(&sim, "↻ svg", "backoff").fg, Color::Yellow);
    let failed = cell(&sim, "✗ mailer", "failed");
    assert_eq!((failed.fg, failed.modifier), (Color::Red, Modifier::BOLD));
    assert_eq!(cell(&sim, "◐ thumbnails", "starting").fg, Color::Cyan);
    assert_eq!(cell(&sim, "⊘ debug-shell", "⊘").modifier, Modifier::DIM);
}

#[test]
fn light() {
    let sim = sim(Theme::Light, false);
    assert_eq!(cell(&sim, "↻ svg", "backoff").fg, Color::Magenta);
    assert_eq!(cell(&sim, "◐ thumbnails", "starting").fg, Color::Blue);
}

#[test]
fn mono_has_no_colours_and_still_tells() {
    let mut sim = sim(Theme::Mono, false);
    sim.keys("g j l");
    sim.logs(0, "ps", 1, 60);
    for keys in ["Esc", "e", "Esc ?", "Esc K"] {
        sim.keys(keys);
        let (frame, _) = sim.frame();
        let coloured =
            frame.content().iter().find(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(coloured, None);
    }
    sim.keys("Esc");
    assert!(cell(&sim, "↻ svg", "backoff").modifier.contains(Modifier::BOLD));
    assert!(cell(&sim, "✗ mailer", "failed").modifier.contains(Modifier::UNDERLINED));
}

#[test]
fn the_selected_row_is_plain_reverse() {
    let mut sim = sim(Theme::Dark, false);
    sim.keys("g j j j");
    for text in ["✗", "mailer", "failed", "exit 1"] {
        let cell = cell(&sim, "✗ mailer", text);
        assert_eq!(
            (cell.fg, cell.bg, cell.modifier),
            (Color::Reset, Color::Reset, Modifier::REVERSED)
        );
    }
}

#[test]
fn nothing_has_a_background_or_a_forbidden_colour() {
    for theme in [Theme::Dark, Theme::Light] {
        let mut sim = sim(theme, false);
        for keys in ["Esc", "Enter", "Tab", "Esc e", "Esc ?", "Esc K", "Esc :"] {
            sim.keys(keys);
            let (frame, _) = sim.frame();
            for cell in frame.content() {
                assert_eq!(cell.bg, Color::Reset);
                assert!(!matches!(cell.fg, Color::White | Color::DarkGray | Color::Black));
            }
        }
    }
}

#[test]
fn ascii_everywhere() {
    for keys in ["Esc", "Enter", "Enter Tab", "e", "?", "K", "R", "o", ":", "l", "L"] {
        let mut sim = sim(Theme::Dark, true);
        sim.keys("g j");
        sim.keys(keys);
        let screen = sim.screen();
        assert!(screen.is_ascii(), "after {keys}:\n{screen}");
    }
    insta::assert_snapshot!("ascii_80x24", sim(Theme::Dark, true).screen());
}

#[test]
fn what_is_old_is_dim() {
    let mut sim = sim(Theme::Dark, false);
    let link = crate::console::feed::Link::Lost {
        why: "gone".to_owned(),
        retry_in: std::time::Duration::from_secs(2),
    };
    sim.news(0, crate::console::feed::News::Link(link));
    assert!(cell(&sim, "? is", "24189").modifier.contains(Modifier::DIM));
}
