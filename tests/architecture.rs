//! Holds the table of who may import whom, and what the pure rooms may not touch.
//!
//! The table is `docs/architecture.md` as code: a room that is not in it, or an import that it
//! does not list, fails here. `model` and `wire` are known by all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each room with the rooms that it may import.
const MAY_IMPORT: [(&str, &[&str]); 28] = [
    ("model", &[]),
    ("wire", &[]),
    ("registry", &[]),
    // How numbers are written for Prometheus.
    ("metrics", &[]),
    ("plan", &["registry"]),
    ("machine", &["registry"]),
    ("supervisor", &["registry", "plan", "machine"]),
    // A ring and its readers; a log and its files: words of the wire, nothing of the engine.
    ("updates", &[]),
    ("events", &[]),
    // What is told to whom and when; and how a message gets there.
    ("alerts", &["registry"]),
    ("courier", &["registry", "alerts"]),
    ("process", &["registry"]),
    // Its ends of the pipes are kept beyond the engine's life.
    ("logs", &["registry", "guardian", "process"]),
    // Who owns what; which user a component runs as is asked where it is started, too.
    ("premises", &["registry", "process"]),
    // Commands of exec checks are processes like others.
    ("probes", &["registry", "process", "metrics"]),
    ("sampler", &["registry", "process"]),
    // Rows and files; who samples, and when, is the driver's.
    ("history", &[]),
    // The driver: the world's rooms, the pure ones, and the listeners that it opens.
    (
        "runtime",
        &[
            "registry",
            "plan",
            "machine",
            "supervisor",
            "process",
            "logs",
            "probes",
            "sampler",
            "history",
            "metrics",
            "updates",
            "events",
            "alerts",
            "courier",
            "control",
            "dossier",
            "premises",
            "guardian",
            "premises",
        ],
    ),
    // Of the runtime it may know the handle alone; see `control_knows_the_handle_alone`.
    ("control", &["runtime", "updates", "events", "metrics"]),
    // How a socket with a long path is reached is said once, where it is bound.
    ("client", &["control"]),
    ("console", &["client"]),
    ("demo", &[]),
    ("dossier", &[]),
    // The engine's keeper: processes, and no word of what they are for.
    ("guardian", &["process"]),
    // Looks at what the others own, and asks the Supervisor as any client does.
    (
        "doctor",
        &["registry", "premises", "plan", "process", "runtime", "control", "client", "logs"],
    ),
    (
        "cli",
        &[
            // `logs` reads the files itself where no Supervisor runs.
            "logs", "registry", "plan", "process", "runtime", "control", "client", "console",
            "demo", "doctor", "guardian", "premises", "events", "alerts", "courier",
        ],
    ),
    // One function for each door that bytes of strangers come in by; for tests and the fuzzer.
    (
        "fuzzing",
        &[
            "registry", "plan", "console", "control", "runtime", "events", "history", "logs",
            "probes", "client", "cli",
        ],
    ),
    // The binary calls the command line.
    ("main", &["cli"]),
];

/// Known by every room but themselves among each other: `wire` may use `model`'s words.
const KNOWN_BY_ALL: [&str; 2] = ["model", "wire"];

/// What decides gets time, chance and the world as arguments.
const PURE: [&str; 6] = ["registry", "plan", "machine", "supervisor", "metrics", "alerts"];
const IMPURE: [&str; 15] = [
    "tokio",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::process",
    "std::fs",
    "std::env",
    "rustix",
    "libc",
    "fastrand",
    "getrandom",
    "Instant::now",
    "SystemTime",
];
/// The one door of the registry to a disk.
const DOORS: [&str; 1] = ["src/registry/load.rs"];

#[test]
fn rooms_import_only_whom_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(allowed) = table.get(source.room.as_str()) else {
            if source.room != "lib" {
                wrong
                    .push(format!("{}: the room {} is not in the table", source.name, source.room));
            }
            continue;
        };
        for import in imports(&source.code) {
            let known = import == source.room
                || KNOWN_BY_ALL.contains(&import.as_str())
                || allowed.contains(&import.as_str());
            if !known {
                wrong.push(format!("{}: {} must not know {import}", source.name, source.room));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_words_depend_on_nothing() {
    for source in sources() {
        if source.room == "model" {
            let imports = imports(&source.code);
            assert!(imports.iter().all(|room| room == "model"), "{}: {imports:?}", source.name);
        }
    }
}

#[test]
fn the_pure_rooms_touch_no_world() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !PURE.contains(&source.room.as_str()) || DOORS.contains(&source.name.as_str()) {
            continue;
        }
        let used = IMPURE.iter().filter(|word| mentions(&source.code, word));
        wrong.extend(used.map(|word| format!("{}: {word}", source.name)));
    }
    assert!(wrong.is_empty(), "pure rooms use the world:\n{}", wrong.join("\n"));
}

#[test]
fn control_knows_the_handle_alone() {
    const HANDLE: [&str; 9] = [
        "Handle",
        "HistoryRange",
        "LogFeed",
        "LogRequest",
        "Message",
        "Request",
        "Targets",
        "TraceFeed",
        "TraceRequest",
    ];
    for source in sources().into_iter().filter(|source| source.room == "control") {
        let names = names_from(&source.code, "runtime");
        let strangers: Vec<_> =
            names.iter().filter(|name| !HANDLE.contains(&name.as_str())).collect();
        assert!(strangers.is_empty(), "{}: runtime::{strangers:?}", source.name);
    }
}

#[test]
fn terminal_drawing_stays_in_the_console() {
    for source in sources().into_iter().filter(|source| source.room != "console") {
        for word in ["ratatui", "crossterm"] {
            assert!(!mentions(&source.code, word), "{} uses {word}", source.name);
        }
    }
}

#[test]
fn only_the_command_line_is_told_by_arguments() {
    for source in sources() {
        if !["cli", "demo", "main"].contains(&source.room.as_str()) {
            assert!(!mentions(&source.code, "clap"), "{} uses clap", source.name);
        }
    }
}

/// One file of the program without its tests and comments.
struct Source {
    /// `src/registry/load.rs`
    name: String,
    room: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&home.join("src"), &mut files);
    assert!(files.len() > 10, "the sources were not found");
    files.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(home).expect("below the root").display().to_string();
        let inner = name.trim_start_matches("src/").trim_end_matches(".rs");
        let room = inner.split('/').next().expect("a path has a first part").to_owned();
        let text = fs::read_to_string(&path).expect("a source can be read");
        Source { name, room, code: without_tests(&without_comments(&text)) }
    };
    let is_test = |path: &PathBuf| {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        // What the fuzzer runs is compiled for it and for tests alone.
        name == "tests"
            || name == "fuzz"
            || name.ends_with("_tests")
            || path.components().any(|part| {
                // The simulation is a test by chance: compiled into nothing else.
                part.as_os_str() == "tests" || part.as_os_str() == "simulation"
            })
    };
    files.into_iter().filter(|path| !is_test(path)).map(read).collect()
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

fn without_comments(text: &str) -> String {
    let code = |line: &str| {
        let is_comment = line.trim_start().starts_with("//");
        let code = if is_comment { None } else { line.split(" // ").next() };
        code.unwrap_or_default().to_owned()
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// Unit tests stand at the end of their file, by the rules of this project.
fn without_tests(code: &str) -> String {
    match code.find("#[cfg(test)]\nmod tests {") {
        Some(at) => code[..at].to_owned(),
        None => code.to_owned(),
    }
}

/// Whether a path or a name occurs as such, not as a part of another.
fn mentions(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    }) || grouped(code, word)
}

/// `std::fs` is also written `use std::{fs, …}`.
fn grouped(code: &str, word: &str) -> bool {
    let Some((outer, inner)) = word.split_once("::") else { return false };
    names_after(code, &format!("{outer}::")).contains(inner)
}

/// The rooms that a file names: `crate::room` and `use crate::{room, …}`; in the binary
/// `s7supervisor::room`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut rooms = names_after(code, "crate::");
    rooms.extend(names_after(code, "s7supervisor::"));
    let rooms_only = |name: &String| name.chars().next().is_some_and(char::is_lowercase);
    rooms.into_iter().filter(rooms_only).collect()
}

/// The names that a file takes from a room.
fn names_from(code: &str, room: &str) -> BTreeSet<String> {
    let mut names = names_after(code, &format!("crate::{room}::"));
    for (at, _) in code.match_indices("use crate::{") {
        let group = &code[at..code[at..].find(';').map_or(code.len(), |end| at + end)];
        names.extend(names_after(group, &format!("{room}::")));
    }
    names
}

/// The first names of what follows `prefix`: one, or those of the outer level of a group.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].chars().next_back().is_some_and(|c| part(c) || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(rest.chars().take_while(|&c| part(c)).collect());
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        let mut name = String::new();
        for c in group.chars() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    names.insert(std::mem::take(&mut name));
                    start = true;
                }
                c if depth == 0 && start && part(c) => name.push(c),
                ':' | ' ' if depth == 0 && !name.is_empty() => start = false,
                _ => {}
            }
        }
        names.insert(name);
    }
    names.remove("");
    names
}

#[test]
fn the_reader_of_imports_understands_what_is_written_here() {
    let code = "use crate::{\n    model::{Exit, RunId},\n    wire::Status,\n    plan,\n};\n\
                let x = crate::process::spawn();\nuse std::{fs, io::{self}};";
    let rooms: Vec<String> = imports(code).into_iter().collect();
    assert_eq!(rooms, ["model", "plan", "process", "wire"]);
    let names: Vec<String> = names_from(code, "model").into_iter().collect();
    assert_eq!(names, ["Exit", "RunId"]);
    assert!(mentions(code, "std::fs") && !mentions(code, "std::net") && !mentions(code, "proc"));
}
