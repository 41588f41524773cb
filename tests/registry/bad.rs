//! Wrong registries, each with what an operator is told.

use std::fs;

use s7supervisor::registry::Severity;

use super::support::{files, read};

#[test]
fn each_wrong_registry_is_refused_with_exactly_this() {
    let files = files("bad");
    assert!(files.len() >= 30, "only {} files found", files.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, path) in files {
            let bytes = fs::read(&path).expect("a readable file");
            let problems = read(&bytes).err().unwrap_or_else(|| panic!("{name} was accepted"));
            assert!(problems.has_errors(), "{name}: refused without an error");
            insta::assert_snapshot!(name, problems.render(false, 100));
        }
    });
}

#[test]
fn every_problem_of_a_file_has_a_place_in_it() {
    for (name, path) in files("bad") {
        let bytes = fs::read(&path).expect("a readable file");
        let lines = bytes.split(|&byte| byte == b'\n').count();
        for problem in &read(&bytes).expect_err("wrong") {
            let (file, line, column) = problem.place().expect("a place");
            assert_eq!(file, "SupervisorRegistry.xml", "{name}");
            assert!((1..=lines).contains(&line) && column >= 1, "{name}: {line}:{column}");
        }
    }
}

#[test]
fn warnings_are_errors_when_strict() {
    let text = "<supervisor><servrs/></supervisor>";
    let warnings = read(text.as_bytes()).expect("only a warning").warnings;
    assert_eq!(warnings.summary().as_deref(), Some("1 warning"));
    assert!(!warnings.has_errors());
    let strict = warnings.strict();
    assert!(strict.has_errors());
    assert!(strict.iter().all(|problem| problem.severity() == Severity::Error));
    assert_eq!(strict.summary().as_deref(), Some("1 error"));
}

#[test]
fn colour_is_only_added_where_it_is_asked_for() {
    let problems = read(b"<supervisor>").expect_err("wrong");
    assert!(problems.render(true, 80).contains('\x1b'));
    assert!(!problems.render(false, 80).contains('\x1b'));
}

#[test]
fn a_hostile_number_of_problems_is_counted_and_not_listed() {
    let text = format!("<supervisor>{}</supervisor>", "<x/>".repeat(200_000));
    let loaded = read(text.as_bytes()).expect("only warnings");
    assert_eq!(loaded.warnings.len(), 200_000);
    assert_eq!(loaded.warnings.iter().count(), 1_000);
    let rendered = loaded.warnings.render(false, 100);
    assert!(rendered.ends_with("200000 warnings (199000 of them not shown)\n"));
    // The whole file is one line: only the part around each place is shown.
    assert!(rendered.len() < 2_000_000, "{} bytes", rendered.len());
}

#[test]
fn a_registry_that_is_too_large_is_refused() {
    let mut text = b"<supervisor>".to_vec();
    text.resize((16 << 20) + 1, b' ');
    let problems = read(&text).expect_err("too large");
    assert!(problems.to_string().contains("larger than 16 MiB"), "{problems}");
}
