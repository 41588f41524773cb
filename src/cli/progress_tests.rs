use super::*;
use crate::wire::OperationState;

fn progress(id: &str, outcome: Outcome, state: ComponentState, detail: Option<&str>) -> Progress {
    let pid = matches!(state, ComponentState::Running | ComponentState::Starting).then_some(4711);
    Progress { id: id.to_owned(), outcome, state, pid, detail: detail.map(str::to_owned) }
}

fn boot() -> Operation {
    let components = vec![
        progress("is", Outcome::Done, ComponentState::Running, None),
        progress("svg", Outcome::Failed, ComponentState::Failed, Some("exited with 3\x07 at once")),
        progress("worker-1", Outcome::Pending, ComponentState::Starting, Some("2 s more alive")),
        progress("ps", Outcome::Superseded, ComponentState::Stopped, None),
    ];
    let state = OperationState::Pending;
    let origin = "supervisor".to_owned();
    Operation { id: 1, verb: Verb::Start, origin, state, age_s: 72.0, components }
}

#[test]
fn a_terminal_gets_a_block_of_lines() {
    insta::assert_snapshot!(block(&boot(), 80, 24, false).join("\n"));
}

#[test]
fn the_block_never_leaves_the_terminal() {
    for (width, height) in [(1, 1), (12, 4), (30, 5), (200, 60)] {
        let lines = block(&boot(), width, height, false);
        assert!(lines.len() < height.max(3), "{width}x{height}: {lines:?}");
        for line in &lines[..lines.len() - 1] {
            assert!(line.width() <= width, "{width}x{height}: {line:?}");
        }
    }
    // The one that failed is what must be seen when there is room for one.
    assert!(block(&boot(), 80, 4, false)[0].starts_with("svg"));
}

#[test]
fn without_a_terminal_only_changes_are_told() {
    let mut board = Board::default();
    assert_eq!(board.changes(&boot()).len(), 4);
    assert_eq!(board.changes(&boot()), [""; 0]);
    let mut later = boot();
    later.components[2] = progress("worker-1", Outcome::Done, ComponentState::Running, None);
    assert_eq!(board.changes(&later), ["worker-1: running, pid 4711"]);
}

#[test]
fn the_result_names_what_failed_and_why() {
    insta::assert_snapshot!(format!(
        "{}---\n{}",
        result(&boot(), false),
        failure(&boot()).expect("svg failed")
    ));
    let mut one = boot();
    one.components.truncate(2);
    insta::assert_snapshot!(failure(&one).expect("svg failed"));
    one.components.truncate(1);
    assert_eq!(failure(&one), None);
}
