use super::*;
use crate::cli::samples::{self, component};

fn mixed() -> Status {
    let mut is = component("is", ComponentState::Running);
    is.health = Health::Ok;
    let mut svg = component("svg", ComponentState::Backoff);
    svg.restarts = 4;
    svg.attempt = 3;
    svg.next_attempt_s = Some(12.4);
    svg.last_exit = Some(samples::exit(Some(3), None));
    svg.reason = Some("exited with 3 after 0.2 s".to_owned());
    let mut ps = component("ps", ComponentState::Waiting);
    ps.waiting_for = Some("svg (backoff)".to_owned());
    let mut wide = component("worker-1", ComponentState::Failed);
    wide.last_exit = Some(LastExit { oom: true, ..samples::exit(None, Some(9)) });
    wide.reason = Some("ended 10 times within 600 s\x1b[2J".to_owned());
    let mut sick = component("queue", ComponentState::Running);
    sick.health = Health::Failing;
    sick.health_detail = Some("GET http://127.0.0.1:7000/: 503".to_owned());
    let mut asked = component("cron", ComponentState::Stopped);
    asked.last_exit = Some(LastExit { expected: true, ..samples::exit(None, Some(15)) });
    samples::status(vec![is, svg, ps, wide, sick, asked])
}

use crate::wire::LastExit;

#[test]
fn the_table_shows_every_condition() {
    insta::assert_snapshot!(status(&mixed(), samples::now(), false));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let coloured = status(&mixed(), samples::now(), true);
    assert!(coloured.contains("\x1b[32mrunning\x1b[0m"));
    let code = regex::Regex::new("\x1b\\[[0-9;]*m").expect("a pattern");
    assert_eq!(code.replace_all(&coloured, ""), status(&mixed(), samples::now(), false));
}

#[test]
fn a_registry_without_components_is_no_empty_table() {
    let text = status(&samples::status(Vec::new()), samples::now(), false);
    assert!(text.ends_with("The registry has no components.\n"), "{text}");
}

#[test]
fn it_is_told_who_would_start_the_engine_again() {
    let mut status = samples::status(Vec::new());
    let line = |status: &Status| {
        let text = super::status(status, samples::now(), false);
        text.lines().nth(1).expect("below the first line").to_owned()
    };
    let supervisor = &mut status.supervisor;
    supervisor.guardian.as_mut().expect("the sample has one").form = GuardianForm::Beside;
    assert_eq!(line(&status), "Guardian: pid 811, beside it, up 4d 3h");
    status.supervisor.guardian = None;
    assert_eq!(line(&status), "Guardian: pid 811", "an older one says no more");
    status.supervisor.guardian_pid = None;
    assert_eq!(line(&status), "Guardian: none");
}

#[test]
fn what_is_well_needs_no_remark() {
    assert_eq!(remark(&component("is", ComponentState::Running), samples::now()), None);
    assert_eq!(remark(&component("is", ComponentState::Stopped), samples::now()), None);
}

#[test]
fn several_hosts_share_one_table() {
    let mut other = samples::status(vec![component("is", ComponentState::Running)]);
    other.supervisor.shutting_down = true;
    let hosts = [("ssh://anna@img-1", &mixed()), ("ssh://img-2", &other)];
    insta::assert_snapshot!(statuses(&hosts, samples::now(), false));
    let empty = samples::status(Vec::new());
    let text = statuses(&[("ssh://img-3", &empty)], samples::now(), false);
    assert_eq!(text.lines().count(), 1, "{text}");
}
