//! `doctor` as it is read.

use super::*;

fn finding(group: Group, check: &'static str, verdict: Verdict, seen: &str) -> Finding {
    Finding {
        group,
        check,
        component: None,
        verdict,
        seen: seen.to_owned(),
        why: None,
        advice: None,
    }
}

fn findings() -> Vec<Finding> {
    let program = Finding {
        component: Some("ps".to_owned()),
        why: Some("it cannot be started".to_owned()),
        advice: Some("mend the rights: namei -l /opt/is/bin/ps".to_owned()),
        ..finding(
            Group::Permissions,
            "program",
            Verdict::Problem,
            "/opt/is/bin/ps cannot be executed by nobody: it has mode 0644 and belongs to uid 0, gid 0",
        )
    };
    let level = Finding {
        why: Some(
            "trees are held by sessions and marks: a daemon that hides from both could outlive its \
             component"
                .to_owned(),
        ),
        ..finding(Group::Containment, "level", Verdict::Warning, "no cgroups: \x1b[31mred")
    };
    vec![
        finding(Group::Installation, "binary", Verdict::Ok, "/usr/bin/s7supervisor, version 0.1.0"),
        finding(
            Group::Supervisor,
            "running",
            Verdict::Note,
            "no Supervisor runs for this registry",
        ),
        finding(
            Group::Permissions,
            "runtime_folder",
            Verdict::Ok,
            "/opt/is/temp, mode 0700, of uid 0",
        ),
        program,
        level,
    ]
}

const LOOK: Look = Look { width: 80, colour: false, ascii: false, quiet: false };

#[test]
fn each_finding_says_what_why_and_what_to_do() {
    insta::assert_snapshot!(render(&findings(), &LOOK));
}

#[test]
fn quiet_tells_only_what_is_not_ok_and_ascii_is_ascii() {
    let text = render(&findings(), &Look { width: 50, ascii: true, quiet: true, ..LOOK });
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn no_line_is_wider_than_the_screen_unless_a_word_is() {
    for width in [50, 60, 100] {
        for line in render(&findings(), &Look { width, ..LOOK }).lines() {
            let indent = line.chars().take_while(|c| *c == ' ').count();
            let words = line.trim().split(' ').count();
            assert!(line.width() <= width || (indent > 20 && words <= 3), "{width}: {line}");
        }
    }
}

#[test]
fn where_all_is_well_and_nothing_else_is_wanted_one_line_says_so() {
    let well = [finding(Group::Clock, "wall", Verdict::Ok, "2026-11-29")];
    assert_eq!(render(&well, &Look { quiet: true, ..LOOK }), "1 ok\n");
}

#[test]
fn nothing_that_was_seen_reaches_the_terminal_as_a_command() {
    assert!(!render(&findings(), &LOOK).contains('\x1b'));
}
