//! What the screens look like, at the sizes that matter. Look at the snapshots when they change.

use super::demo::{self, Sim};
use crate::{
    console::feed::News,
    wire::{ComponentState, History, HistoryPoint},
};

#[test]
fn components() {
    insta::assert_snapshot!("components_80x24", Sim::live(80, 24).screen());
    insta::assert_snapshot!("components_40x12", Sim::live(40, 12).screen());
    insta::assert_snapshot!("components_29x5", Sim::live(29, 5).screen());
    insta::assert_snapshot!("components_60x16", Sim::live(60, 16).screen());
}

/// With the wide screen's details asked for and answered.
#[test]
fn components_wide() {
    let mut sim = Sim::live(160, 45);
    sim.keys("j");
    sim.logs(0, "ps", 1, 40);
    answer_details(&mut sim, "ps");
    sim.wait_ms(200);
    sim.logs(0, "ps", 1, 40);
    insta::assert_snapshot!("components_160x45", sim.screen());
}

#[test]
fn several_hosts_are_one_table() {
    let mut sim = Sim::hosts(110, 20, &["img-prod-3", "img-prod-4", "img-test"]);
    sim.snapshot(0, demo::components().drain(..4).collect());
    sim.snapshot(1, demo::components().drain(..2).collect());
    sim.wait_ms(4000);
    insta::assert_snapshot!("hosts_110x20", sim.screen());
}

fn answer_details(sim: &mut Sim, id: &str) {
    let key = crate::console::model::RowKey::new(0, id);
    let status = sim.model.facts.rows[&key].status.clone();
    sim.news(0, News::Details(Box::new(demo::details(id))));
    sim.news(0, News::Explanation(Box::new(demo::explanation(&status))));
}

#[test]
fn details_in_their_tabs() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j Enter");
    assert!(sim.asked.iter().any(|request| {
        matches!(&request.ask, crate::console::feed::Ask::Details { id } if id == "ps")
    }));
    answer_details(&mut sim, "ps");
    insta::assert_snapshot!("details_info_80x24", sim.screen());
    sim.keys("Tab");
    insta::assert_snapshot!("details_charts_80x24", sim.screen());
    sim.keys("Tab");
    insta::assert_snapshot!("details_events_80x24", sim.screen());
    sim.keys("Tab");
    insta::assert_snapshot!("details_environment_80x24", sim.screen());
    sim.shows_not("told by mistake");
    sim.keys("Tab");
    insta::assert_snapshot!("details_dependencies_80x24", sim.screen());
    sim.keys("Tab");
    insta::assert_snapshot!("details_processes_80x24", sim.screen());
    sim.keys("Esc");
    sim.shows("NAME");
}

#[test]
fn an_hour_of_history_is_asked_for_and_drawn() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j Enter Tab + +");
    let asked = sim.asked.iter().rev().find_map(|request| match &request.ask {
        crate::console::feed::Ask::History { id, range, points } => Some((id, *range, *points)),
        _ => None,
    });
    let (id, range, points) = asked.expect("history is asked for");
    assert_eq!((id.as_str(), range.as_secs()), ("ps", 3600));
    let history = History {
        id: "ps".to_owned(),
        from: "2026-11-23T13:23:01Z".to_owned(),
        step_s: 3600.0 / f64::from(points),
        points: (0..points)
            .map(|at| HistoryPoint {
                cpu_percent: (at % 20 != 0).then(|| f64::from(at % 60) * 3.0),
                memory_bytes: Some(u64::from(400 + at * 3) << 20),
                state: (at > 5).then_some(match at {
                    20..24 => ComponentState::Failed,
                    24..28 => ComponentState::Backoff,
                    _ => ComponentState::Running,
                }),
            })
            .collect(),
    };
    sim.news(0, News::History { range, history: Box::new(history) });
    insta::assert_snapshot!("details_charts_hour_80x24", sim.screen());
}

#[test]
fn logs_of_one_and_of_several() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j l");
    sim.logs(0, "ps", 1, 60);
    insta::assert_snapshot!("logs_80x24", sim.screen());
    sim.keys("t w k k k");
    sim.logs(0, "ps", 61, 37);
    insta::assert_snapshot!("logs_paused_80x24", sim.screen());
    let mut sim = Sim::live(80, 24);
    sim.keys("Space Space l");
    sim.logs(0, "ps", 1, 10);
    sim.logs(0, "is", 1, 10);
    insta::assert_snapshot!("logs_merged_80x24", sim.screen());
}

#[test]
fn events() {
    let mut sim = Sim::live(80, 24);
    sim.keys("e");
    insta::assert_snapshot!("events_80x24", sim.screen());
}

/// On a telephone at three in the morning.
#[test]
fn small_screens() {
    let mut sim = Sim::live(40, 12);
    sim.keys("j Enter");
    answer_details(&mut sim, "ps");
    insta::assert_snapshot!("details_info_40x12", sim.screen());
    sim.keys("Tab");
    insta::assert_snapshot!("details_charts_40x12", sim.screen());
    sim.keys("Tab");
    insta::assert_snapshot!("details_events_40x12", sim.screen());
    sim.keys("Esc e");
    insta::assert_snapshot!("events_40x12", sim.screen());
    sim.keys("Esc l");
    sim.logs(0, "ps", 1, 60);
    insta::assert_snapshot!("logs_40x12", sim.screen());
    sim.keys("Esc K");
    insta::assert_snapshot!("kill_40x12", sim.screen());
    sim.keys("Esc :");
    insta::assert_snapshot!("palette_40x12", sim.screen());
    sim.keys("Esc");
    sim.model.settings.embedded = true;
    sim.keys("q");
    insta::assert_snapshot!("quit_40x12", sim.screen());
}

#[test]
fn help_and_palette_and_sort_menu() {
    let mut sim = Sim::live(80, 24);
    sim.keys("?");
    insta::assert_snapshot!("help_80x24", sim.screen());
    sim.keys("Esc :");
    sim.type_text("res");
    insta::assert_snapshot!("palette_80x24", sim.screen());
    sim.keys("Esc o j");
    insta::assert_snapshot!("sort_menu_80x24", sim.screen());
}

/// Everything in the table of actions is in the help, with its keys.
#[test]
fn help_lists_every_action() {
    let mut sim = Sim::live(120, 200);
    sim.keys("?");
    let screen = sim.screen();
    for entry in crate::console::action::ACTIONS {
        assert!(screen.contains(entry.help), "{} is not in the help:\n{screen}", entry.id);
        for key in sim.model.settings.keymap.keys(entry.action) {
            assert!(screen.contains(&key.to_string()), "{key}");
        }
    }
}

#[test]
fn questions() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j r");
    insta::assert_snapshot!("prompt_80x24", sim.screen());
    sim.keys("Esc K");
    insta::assert_snapshot!("kill_80x24", sim.screen());
    sim.keys("Esc g Space Space x");
    insta::assert_snapshot!("stop_several_80x24", sim.screen());
    sim.keys("Esc R");
    insta::assert_snapshot!("restart_shown_80x24", sim.screen());
    let mut sim = Sim::live(40, 12);
    sim.keys("R");
    insta::assert_snapshot!("restart_shown_40x12", sim.screen());
}

#[test]
fn quitting_an_embedded_console_asks() {
    let mut sim = Sim::live(80, 24);
    sim.model.settings.embedded = true;
    sim.keys("q");
    insta::assert_snapshot!("quit_80x24", sim.screen());
}

#[test]
fn an_empty_registry_and_a_first_run() {
    let mut sim = Sim::new(80, 24);
    sim.model.first_run = true;
    sim.snapshot(0, Vec::new());
    insta::assert_snapshot!("empty_80x24", sim.screen());
    sim.keys("Esc");
    sim.shows_not("New here?");
}

#[test]
fn a_lost_link() {
    let mut sim = Sim::live(80, 24);
    let lost = crate::console::feed::Link::Lost {
        why: "broken pipe".to_owned(),
        retry_in: std::time::Duration::from_secs(9),
    };
    sim.news(0, News::Link(lost));
    sim.keys("j");
    sim.wait_ms(8000);
    insta::assert_snapshot!("stale_80x24", sim.screen());
}
