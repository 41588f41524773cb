//! The table: filter, sort, marks, problems; the cursor stays with its component.

use super::demo::{self, Sim};
use crate::wire::ComponentState;

fn shown(sim: &Sim) -> Vec<&str> {
    sim.model.table.shown.iter().map(|key| &*key.id).collect()
}

#[test]
fn the_table_follows_while_a_filter_is_typed_and_esc_takes_it_back() {
    let mut sim = Sim::live(80, 24);
    sim.keys("/ s t a t e : r u n");
    assert_eq!(shown(&sim), ["is", "ps", "proxy", "cache-warmer", "metrics", "gateway"]);
    sim.keys("Esc");
    assert_eq!(shown(&sim).len(), 12);
    sim.keys("/ c p u > 5 0 Enter");
    sim.shows("/cpu>50");
    assert!(!shown(&sim).is_empty() && shown(&sim).len() < 6);
    sim.keys("Esc");
    assert_eq!(shown(&sim).len(), 12, "Esc clears the filter");
    sim.keys("/ r e : (");
    sim.shows("unclosed group");
    sim.keys("Enter");
    sim.shows("unclosed group");
}

#[test]
fn problems_only() {
    let mut sim = Sim::live(80, 24);
    sim.keys("!");
    assert_eq!(shown(&sim), ["svg", "mailer", "proxy"]);
    sim.shows("problems only");
    sim.keys("!");
    assert_eq!(shown(&sim).len(), 12);
}

#[test]
fn sorting_keeps_the_cursor_on_its_component() {
    let mut sim = Sim::live(80, 24);
    sim.keys("j N");
    assert_eq!(shown(&sim)[..3], ["cache-warmer", "debug-shell", "gateway"]);
    assert_eq!(sim.model.table.cursor.as_ref().map(|key| &*key.id), Some("ps"));
    sim.keys("N");
    assert_eq!(shown(&sim)[0], "thumbnails", "the same key again turns it round");
    sim.keys("o j Enter");
    assert_eq!(shown(&sim)[..3], ["mailer", "svg", "proxy"], "state, trouble first");
}

#[test]
fn with_many_components_trouble_stands_first_and_rows_rest_three_seconds() {
    let mut sim = Sim::new(80, 24);
    let all = (0..80).map(|n| demo::status(&format!("w{n:02}"), ComponentState::Running));
    sim.snapshot(0, all.collect());
    sim.wait_ms(4000);
    sim.component(|status| status.state = ComponentState::Failed, "w70");
    assert_eq!(shown(&sim)[0], "w70");
    sim.component(|status| status.state = ComponentState::Failed, "w60");
    assert_eq!(shown(&sim)[0], "w70", "it moved a moment ago");
    sim.wait_ms(3000);
    assert_eq!(shown(&sim)[..2], ["w60", "w70"]);
}

#[test]
fn marks_are_what_an_action_is_about() {
    let mut sim = Sim::live(80, 24);
    sim.keys("Space j j v");
    assert_eq!(sim.model.table.marks.len(), 4);
    sim.shows("4 marked");
    sim.keys("s");
    assert_eq!(sim.commands()[0].1, ["is", "mailer", "ps", "svg"]);
    assert!(sim.model.table.marks.is_empty(), "they have been used up");
    sim.keys("*");
    assert_eq!(sim.model.table.marks.len(), 12);
    sim.keys("u");
    assert!(sim.model.table.marks.is_empty());
}

#[test]
fn a_component_that_leaves_takes_its_mark_and_its_screen_along() {
    let mut sim = Sim::live(80, 24);
    sim.keys("Space Enter");
    let left: Vec<_> = demo::components().into_iter().filter(|one| one.id != "ps").collect();
    sim.snapshot(0, left);
    sim.shows("ps: no longer in the registry");
    sim.shows("NAME");
    assert_eq!(shown(&sim).len(), 11);
    assert_eq!(sim.model.table.cursor.as_ref().map(|key| &*key.id), Some("svg"));
}

#[test]
fn the_cursor_is_always_on_the_screen() {
    let mut sim = Sim::live(80, 16);
    for keys in ["G", "g", "PgDn", "PgDn", "PgUp", "ctrl-d", "k", "G", "k"] {
        sim.keys(keys);
        let cursor = sim.model.table.cursor.as_ref().map(|key| key.id.to_string());
        sim.shows(&format!(" {} ", cursor.expect("there are rows")));
    }
}

#[test]
fn the_palette_runs_an_action_and_remembers_it() {
    let mut sim = Sim::live(80, 24);
    sim.keys(":");
    sim.type_text("problems");
    sim.keys("Enter");
    assert_eq!(shown(&sim).len(), 3);
    sim.keys(": Up Enter");
    assert_eq!(shown(&sim).len(), 12);
    sim.keys(":");
    sim.type_text("filter state:failed");
    sim.keys("Enter");
    assert_eq!(shown(&sim), ["mailer"]);
    sim.keys(":");
    sim.type_text("xyzzy");
    sim.keys("Enter");
    sim.shows("no action is called \"xyzzy\"");
}

#[test]
fn what_nobody_has_measured_is_not_shown_as_nothing() {
    let mut sim = Sim::new(100, 20);
    let mut all = demo::components();
    for component in &mut all {
        (component.cpu_percent, component.memory_bytes) = (None, None);
    }
    sim.snapshot(0, all);
    let screen = sim.screen();
    let header = screen.lines().next().expect("a header");
    assert!(!header.contains("cpu") && !header.contains("mem"), "{header}");
    sim.sample(0, 1);
    sim.shows("cpu ");
}
