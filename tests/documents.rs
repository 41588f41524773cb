//! Holds what the documentation says of the tests: whatever is named exists.
//!
//! `docs/testing.md` maps rules to tests by their paths, as `cargo test` prints them:
//! `supervisor::tests::stops::a_kill_hurries_a_stop` of the library,
//! `acceptance::commands::stop_while_waiting` of `tests/acceptance/`. A path that ends at a file
//! stands for all tests in it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const PAGE: &str = "docs/testing.md";

#[test]
fn every_test_that_the_page_names_exists() {
    let tests = tests();
    assert!(tests.len() > 500, "the tests were not found: {}", tests.len());
    let files: BTreeSet<&str> =
        tests.iter().filter_map(|test| Some(test.rsplit_once("::")?.0)).collect();
    let page = fs::read_to_string(home().join(PAGE)).expect("the page is there");
    let named = named(&page);
    assert!(named.len() > 80, "the names were not found: {}", named.len());
    // A room or a file of tests, with or without its module of tests, stands for what is in it.
    let stands_for_some = |name: &str| {
        let inside = format!("{name}::");
        files.iter().any(|file| *file == name || file.starts_with(&inside))
    };
    let missing: Vec<_> =
        named.iter().filter(|name| !tests.contains(**name) && !stands_for_some(name)).collect();
    assert!(missing.is_empty(), "{PAGE} names tests that do not exist: {missing:#?}");
}

#[test]
fn every_row_of_the_faults_has_a_test_by_name() {
    let tests = tests();
    let page = fs::read_to_string(home().join(PAGE)).expect("the page is there");
    let (_, section) = page.split_once("## What went wrong elsewhere").expect("the section");
    let section = section.split("\n## ").next().expect("it has an end");
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 33, "rows are missing: {}", rows.len());
    for row in rows {
        assert!(named(row).iter().any(|name| tests.contains(*name)), "no test: {row}");
    }
}

/// What stands in backquotes and looks like a path of Rust.
fn named(text: &str) -> Vec<&str> {
    let is_path = |word: &&str| {
        word.contains("::")
            && word.split("::").all(|part| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            })
    };
    text.split('`').skip(1).step_by(2).filter(is_path).collect()
}

/// The paths of all tests, of the library and of `tests/`.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    collect(&home().join("src"), &mut files);
    collect(&home().join("tests"), &mut files);
    let mut found = BTreeSet::new();
    for file in files {
        let module = module(&file);
        let text = fs::read_to_string(&file).expect("a source can be read");
        // A test without the harness of Rust is a function that its program lists by name.
        let scenarios = text.contains("const SCENARIOS");
        let (mut inner, mut marked) = (None, false);
        for line in text.lines() {
            let code = line.trim_start();
            if let Some(name) = code.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
                inner = Some(name.to_owned());
            } else if line == "}" {
                inner = None;
            }
            marked |= code.starts_with("#[test]") || code.starts_with("#[tokio::test");
            let head = code.strip_prefix("async ").unwrap_or(code);
            if let Some(rest) = head.strip_prefix("fn ") {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                if marked || (scenarios && text.contains(&format!(", {name})"))) {
                    let parts = [module.as_str(), inner.as_deref().unwrap_or_default(), name];
                    found.insert(
                        parts
                            .iter()
                            .filter(|part| !part.is_empty())
                            .copied()
                            .collect::<Vec<_>>()
                            .join("::"),
                    );
                }
                marked = false;
            }
        }
    }
    found
}

/// `src/logs/read/mod.rs` is `logs::read`, `src/cli/table_tests.rs` is `cli::table::tests`,
/// `tests/acceptance/main.rs` is `acceptance`.
fn module(file: &Path) -> String {
    let inner = file.strip_prefix(home()).expect("below the root").with_extension("");
    let mut parts: Vec<String> =
        inner.iter().skip(1).map(|part| part.to_str().expect("ASCII").to_owned()).collect();
    let last = parts.pop().expect("a file has a name");
    match last.strip_suffix("_tests") {
        Some(tested) => parts.extend([tested.to_owned(), "tests".to_owned()]),
        None if ["mod", "main", "lib"].contains(&last.as_str()) => {}
        None => parts.push(last),
    }
    parts.join("::")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
