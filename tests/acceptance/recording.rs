//! `run --record FILE`, and `replay FILE`: the same inputs lead to the same decisions.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Place, Registry, Server, until};

fn components() -> [Server; 3] {
    let failing = Server::shell("fails", "echo x >>fails.starts; exit 3");
    [
        Server::sleep("steady"),
        failing.with("<restart delay=\"0.1\" maxRestarts=\"4\"/>"),
        Server::sleep("other").with("<dependsOn ref=\"steady\"/>"),
    ]
}

#[test]
fn a_record_over_crashes_commands_a_reload_and_two_supervisors_is_replayed_alike() {
    let place = Place::new(&Registry::of(components()));
    let record = place.path("inputs.jsonl");
    let options = ["--record", record.to_str().expect("a path in text")];
    let first = place.start_with(&options);
    place.await_state("fails", "failed");
    place.running("other");
    place.achieve("restart", "steady");
    place.achieve("stop", "other");
    place.cli("hold steady --reason look").assert_code(0);
    let mode = std::fs::metadata(&record).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else reads the registry's values");
    first.crash();

    let second = place.start_with(&options);
    let [steady, fails, _] = components();
    let changed = "<environment><variable name=\"CHANGED\">yes</variable></environment>";
    place.rewrite_registry(&Registry::of([steady, fails.with(changed), Server::sleep("comes")]));
    let reloaded = place.cli("reload");
    assert!(reloaded.stderr.contains("fails did not restart"), "{reloaded:?}");
    place.running("comes");
    second.stop();

    let replay = |name: &str| place.cli(&format!("replay {}", place.path(name).display()));
    let replayed = replay("inputs.jsonl");
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.stdout.contains("of 2 Supervisors: the same decisions"), "{replayed:?}");
    assert!(!replayed.stdout.contains("ends early"), "{replayed:?}");

    // One code of exit is another.
    let text = place.read("inputs.jsonl");
    let tampered = text.replacen("\"exit\":{\"code\":3}", "\"exit\":{\"code\":4}", 1);
    assert_ne!(tampered, text, "a crash was recorded");
    place.write("tampered.jsonl", tampered);
    let refused = replay("tampered.jsonl");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for word in ["another decision than recorded", "exit: Code(4)", "recorded: ", "now: "] {
        assert!(refused.stderr.contains(word), "{word}: {refused:?}");
    }

    // As a kill leaves it, and as another program wrote it.
    place.write("torn.jsonl", &text[..text.len() - 20]);
    let torn = replay("torn.jsonl");
    assert_eq!(torn.code, Some(0), "{torn:?}");
    assert!(torn.stdout.contains("ends early: its last line is torn"), "{torn:?}");
    place.write("foreign.jsonl", text.replacen("\"format\":1", "\"format\":9", 1));
    let foreign = replay("foreign.jsonl");
    assert!(foreign.code == Some(1) && foreign.stderr.contains("format 9"), "{foreign:?}");
}

#[test]
fn a_record_that_cannot_be_written_ends_and_the_supervising_does_not() {
    let place = Place::new(&Registry::of(components()));
    let supervisor = place.start_with(&["--record", "/dev/full"]);
    place.running("other");
    until("it is told", || {
        let told = place.read("run.err");
        told.contains("the record of inputs ends here").then_some(())
    });
    place.achieve("restart", "other");
    supervisor.stop();
}
