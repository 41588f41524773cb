//! The folder of dossiers, on a real disk.

use std::fs;

use super::*;
use crate::model::{ComponentId, Exit, RunId};

fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("a good id")
}

fn dossier(name: &str, run: u64, size: usize) -> Dossier {
    let (minute, second) = (run / 60, run % 60);
    Dossier {
        summary: Summary {
            version: Summary::VERSION,
            id: id(name),
            description: String::new(),
            run: RunId(run),
            pid: Some(4711),
            at: format!("2026-11-27T19:{minute:02}:{second:02}.250Z"),
            cause: Cause { kind: CauseKind::Exit, text: "it exited with 3".to_owned() },
            exit: None,
            lasted_s: Some(1.5),
            attempt: 1,
            restarts: 0,
            last_check: None,
            followed_by: "it is ended".to_owned(),
            left_out: 0,
            missing: Vec::new(),
            command: vec!["/bin/true".to_owned()],
            working_directory: "/".to_owned(),
            registry: RegistryFacts {
                file: "/x.xml".to_owned(),
                generation: 1,
                fingerprint: "00ff".to_owned(),
            },
            supervisor: SupervisorFacts { version: "1".to_owned(), pid: 1 },
        },
        files: vec![("output.log".to_owned(), vec![b'x'; size])],
        replaces: None,
    }
}

fn folders(folder: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_dossier_is_found_again_and_says_how_it_went_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("logs/dossiers");
    let store = Store::new(home.clone(), Bounds::default());
    let path = store.write(&dossier("ps", 12, 10)).expect("written");
    assert_eq!(folders(&home), ["ps-20261127T190012Z-run12"]);
    let exit = ExitFacts::of(Exit::Signal { signal: 11, core: true }, false);
    store.complete(&path, &exit, "it started again").expect("completed");

    let later = Store::new(home, Bounds::default());
    later.look().expect("readable");
    let known = later.index().of(&id("ps"), 5);
    assert_eq!(known.len(), 1);
    assert_eq!((&known[0].path, &*known[0].what), (&path, "it exited with 3"));
    let summary: Summary =
        serde_json::from_slice(&fs::read(path.join("summary.json")).expect("a summary"))
            .expect("as it was written");
    let exit = summary.exit.expect("the end");
    assert_eq!((exit.signal_name.as_deref(), exit.core), (Some("SIGSEGV"), true));
    assert_eq!(summary.followed_by, "it started again");
}

#[test]
fn the_oldest_go_first_by_component_by_count_and_by_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let bounds = Bounds { of_a_component: 3, of_all: 5, bytes: 1 << 20, file: 1 << 20 };
    let store = Store::new(folder.path().to_owned(), bounds);
    for run in 1..=4 {
        store.write(&dossier("a", run, 1)).expect("written");
    }
    for run in 5..=7 {
        store.write(&dossier("b", run, 1)).expect("written");
    }
    let runs = |name: &str| -> Vec<u64> {
        store.index().of(&id(name), 9).iter().map(|known| known.run.0).collect()
    };
    assert_eq!((runs("a"), runs("b")), (vec![4, 3], vec![7, 6, 5]));
    assert_eq!(folders(folder.path()).len(), 5);
    store.write(&dossier("b", 8, (1 << 20) - 10)).expect("written");
    assert_eq!((runs("a"), runs("b")), (vec![], vec![8]), "and the newest stays in any case");
}

#[test]
fn a_file_is_cut_at_its_bound_and_its_end_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let bounds = Bounds { file: 100, ..Bounds::default() };
    let store = Store::new(folder.path().to_owned(), bounds);
    let mut long = dossier("a", 1, 0);
    let lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
    long.files[0].1 = lines.join("\n").into_bytes();
    let path = store.write(&long).expect("written");
    let text = fs::read_to_string(path.join("output.log")).expect("text");
    assert!(text.starts_with("[the beginning is left out]\nline "), "{text}");
    assert!(text.ends_with("line 99"), "{text}");
}

#[test]
fn in_a_crash_loop_the_latest_takes_the_place_of_the_one_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(folder.path().to_owned(), Bounds::default());
    store.write(&dossier("a", 1, 1)).expect("written");
    let second = store.write(&dossier("a", 2, 1)).expect("written");
    let mut third = dossier("a", 3, 1);
    third.replaces = Some(second);
    store.write(&third).expect("written");
    let runs: Vec<u64> = store.index().of(&id("a"), 9).iter().map(|known| known.run.0).collect();
    assert_eq!(runs, [3, 1]);
}

#[test]
fn nothing_is_left_of_what_could_not_be_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(folder.path().to_owned(), Bounds::default());
    let mut wrong = dossier("a", 1, 1);
    wrong.files.push(("no/such/folder".to_owned(), Vec::new()));
    store.write(&wrong).expect_err("cannot be written");
    assert_eq!(folders(folder.path()), Vec::<String>::new());
    assert!(store.index().of(&id("a"), 9).is_empty());
}

#[test]
fn the_stacks_name_every_thread_of_a_process() {
    let own = i32::try_from(std::process::id()).expect("a pid");
    let text = stacks(&[own, 999_999_999]);
    assert!(text.contains(&format!("== pid {own}\n")), "{text}");
    assert!(text.matches("-- thread ").count() >= 2, "{text}");
    assert!(text.contains("== pid 999999999: gone"), "{text}");
    assert!(!is_jvm_that_dumps(own), "SIGQUIT would end this one");
}
