//! `doctor`: what is wrong is seen, and no longer seen when it is mended; nothing is changed.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Place, Registry, Server, free_port,
    place::{Finished, finish},
    processes, until,
};

/// What `doctor --json` answered.
struct Seen {
    code: i32,
    answer: Value,
}

#[track_caller]
fn doctor(place: &Place) -> Seen {
    seen(&place.cli("doctor --json"))
}

#[track_caller]
fn seen(finished: &Finished) -> Seen {
    let answer = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("no JSON ({error}): {finished:?}"));
    Seen { code: finished.code.expect("it ends by itself"), answer }
}

impl Seen {
    fn findings(&self) -> impl Iterator<Item = &Value> {
        self.answer["findings"].as_array().expect("a list").iter()
    }

    /// The texts of a check's findings with this verdict.
    fn of(&self, group: &str, check: &str, verdict: &str) -> Vec<&str> {
        let of = self.findings().filter(|finding| {
            finding["group"] == group && finding["check"] == check && finding["verdict"] == verdict
        });
        of.map(|finding| finding["seen"].as_str().expect("a text")).collect()
    }

    /// The one finding of this check with this verdict holds this text.
    #[track_caller]
    fn assert(&self, group: &str, check: &str, verdict: &str, text: &str) {
        let texts = self.of(group, check, verdict);
        assert!(
            texts.iter().any(|seen| seen.contains(text)),
            "no {verdict} of {group}/{check} with {text:?}: {:#}",
            self.answer
        );
    }

    /// The check says nothing worse than that all is well.
    #[track_caller]
    fn assert_well(&self, group: &str, check: &str) {
        for verdict in ["note", "warning", "problem"] {
            let texts = self.of(group, check, verdict);
            assert!(texts.is_empty(), "{group}/{check} has a {verdict}: {texts:?}");
        }
    }
}

fn sleeper() -> Place {
    Place::new(&Registry::of([Server::sleep("ps")]))
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our file");
}

/// Every file with what would tell that somebody touched it.
fn everything(folder: &Path) -> BTreeMap<String, (u32, u64, i64, i64)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("our folder").flatten() {
            let metadata = entry.metadata().expect("it is there");
            let path = entry.path();
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            let touched =
                (metadata.mode(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
            all.insert(path.display().to_string(), touched);
        }
    }
    all
}

#[test]
fn an_installation_that_is_well_is_found_well_with_and_without_a_supervisor() {
    let place = sleeper();
    let before = everything(&place.path(""));
    let down = doctor(&place);
    assert_eq!(everything(&place.path("")), before, "doctor changes nothing");
    assert_eq!(down.code, 0, "{:#}", down.answer);
    down.assert("supervisor", "running", "note", "no Supervisor runs");
    down.assert("state", "runtime_folder", "ok", "nothing there yet");

    let supervisor = place.start();
    place.running("ps");
    let up = doctor(&place);
    assert_eq!(up.code, 0, "{:#}", up.answer);
    up.assert("supervisor", "running", "ok", &format!("pid {}", supervisor.pid()));
    up.assert("supervisor", "components", "ok", "1 of 1 run");
    up.assert("state", "lock", "ok", &supervisor.pid().to_string());
    up.assert("state", "processes", "ok", "belongs to a component");
    assert_eq!(up.answer["summary"]["problem"], 0);

    supervisor.stop();
    let down = doctor(&place);
    assert_eq!(down.code, 0, "{:#}", down.answer);
    down.assert_well("state", "lock");
}

#[test]
fn the_answer_has_a_stable_form() {
    let place = sleeper();
    let seen = doctor(&place);
    let verdicts = ["ok", "note", "warning", "problem"];
    let mut counted = BTreeMap::new();
    for finding in seen.findings() {
        let text = |name: &str| finding[name].as_str().unwrap_or_default();
        assert!(!text("group").is_empty() && !text("check").is_empty(), "{finding}");
        assert!(!text("seen").is_empty() && verdicts.contains(&text("verdict")), "{finding}");
        for name in ["why", "advice", "component"] {
            assert!(finding.get(name).is_none_or(Value::is_string), "{finding}");
        }
        // Who is told of something bad is told why it matters.
        let is_bad = ["warning", "problem"].contains(&text("verdict"));
        assert!(!is_bad || finding["why"].is_string(), "{finding}");
        *counted.entry(text("verdict").to_owned()).or_insert(0) += 1;
    }
    for verdict in verdicts {
        let told = seen.answer["summary"][verdict].as_u64().expect("a number");
        assert_eq!(told, counted.get(verdict).copied().unwrap_or(0), "{verdict}");
    }
    for name in ["version", "install_folder", "registry"] {
        assert!(seen.answer[name].is_string(), "{:#}", seen.answer);
    }
}

#[test]
fn a_person_reads_groups_and_quietly_only_what_is_not_well() {
    let place = sleeper();
    fs::create_dir(place.path("temp")).expect("our folder");
    chmod(&place.path("temp"), 0o1777);
    let all = place.cli("doctor");
    all.assert_code(1);
    assert!(all.stdout.starts_with("Installation\n  ok       binary"), "{all:?}");
    assert!(all.stdout.contains("Permissions\n  problem  runtime folder"), "{all:?}");
    assert!(all.stdout.trim_end().lines().last().expect("a summary").starts_with("1 problem, "));
    assert_eq!(all.stderr, "");
    let quiet = place.cli("doctor -q");
    quiet.assert_code(1);
    assert!(!quiet.stdout.contains("  ok  "), "{quiet:?}");
    assert!(quiet.stdout.contains("shared with other users"), "{quiet:?}");
    chmod(&place.path("temp"), 0o700);
    place.cli("doctor").assert_code(0);
}

#[test]
fn a_wrong_registry_is_told_with_its_place_and_exit_status() {
    let place = Place::with_text("<supervisor><servers><server id='ps'/></servers></supervisor>");
    let wrong = doctor(&place);
    assert_eq!(wrong.code, 78, "{:#}", wrong.answer);
    wrong.assert("installation", "registry", "problem", "SupervisorRegistry.xml:1:");

    place.rewrite_registry(&Registry::of([Server::sleep("ps")]));
    let right = doctor(&place);
    assert_eq!(right.code, 0);
    right.assert_well("installation", "registry");
    let unused = seen(&place.cli("doctor --json --set SV::Frobnicate=1"));
    unused.assert("installation", "registry", "warning", "SV::Frobnicate");
    assert_eq!(unused.code, 0);

    fs::remove_file(place.path("conf/SupervisorRegistry.xml")).expect("ours");
    let missing = doctor(&place);
    assert_eq!(missing.code, 78);
    missing.assert("installation", "registry", "problem", "cannot read the registry");
}

#[test]
fn a_file_that_never_answers_holds_nobody_up() {
    let place = sleeper();
    let registry = place.path("conf/SupervisorRegistry.xml");
    fs::remove_file(&registry).expect("ours");
    // Whoever opens it waits for a writer.
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &registry, rustix::fs::FileType::Fifo, mode, 0)
        .expect("our folder");
    let seen = doctor(&place);
    assert_eq!(seen.code, 1, "{:#}", seen.answer);
    seen.assert("installation", "registry", "problem", "no answer from");
    seen.assert("clock", "wall", "ok", "");
}

#[test]
fn what_a_component_needs_to_start_is_looked_at_for_its_user() {
    let place = Place::new(&Registry::of([
        Server::command("program", &["bin/program"]),
        Server::command("script", &["bin/script"]),
        Server::command("bare", &["no-such-program-anywhere"]),
        Server::sleep("folder").with("<workingDirectory>work</workingDirectory>"),
        Server::sleep("well"),
    ]));
    place.write("bin/program", "#!/bin/sh\n");
    place.write("bin/script", "#!/no/such/interpreter\n");
    chmod(&place.path("bin/program"), 0o644);
    chmod(&place.path("bin/script"), 0o755);
    let seen = doctor(&place);
    assert_eq!(seen.code, 1);
    let of = |seen: &Seen, id: &str| {
        let mut findings = seen.findings();
        findings.find(|finding| finding["component"] == id).map(|finding| {
            assert_eq!(finding["group"], "permissions", "{finding}");
            finding["seen"].as_str().expect("a text").to_owned()
        })
    };
    assert!(of(&seen, "program").is_some_and(|text| text.contains("it has mode 0644")));
    assert!(of(&seen, "script").is_some_and(|text| text.contains("/no/such/interpreter")));
    assert!(of(&seen, "bare").is_some_and(|text| text.contains("is not on its PATH")));
    assert!(of(&seen, "folder").is_some_and(|text| text.contains("cannot be entered")));
    assert_eq!(of(&seen, "well"), None);
    seen.assert("permissions", "components", "ok", "1 of 5 components");

    chmod(&place.path("bin/program"), 0o755);
    place.write("bin/script", "#!/bin/sh\n");
    chmod(&place.path("bin/script"), 0o755);
    fs::create_dir(place.path("work")).expect("our folder");
    let mended = doctor(&place);
    assert_eq!(["program", "script", "folder"].map(|id| of(&mended, id)), [None, None, None]);
    assert!(of(&mended, "bare").is_some());
}

#[test]
fn accounts_that_are_missing_are_named() {
    let with = |user: &str| Registry::of([Server::sleep("ps").with(user)]);
    let place = Place::new(&with("<user>no-such-user</user>"));
    doctor(&place).assert("permissions", "user", "problem", "no-such-user");
    place.rewrite_registry(&with(""));
    doctor(&place).assert_well("permissions", "user");
}

#[test]
fn rights_that_let_others_in_are_told() {
    let place = sleeper();
    let temp = place.path("temp");
    fs::create_dir(&temp).expect("our folder");
    chmod(&temp, 0o777);
    place.write("temp/control.token", "0123456789abcdef0123456789abcdef\n");
    chmod(&place.path("temp/control.token"), 0o644);
    let open = doctor(&place);
    open.assert("permissions", "runtime_folder", "warning", "others may write to it");
    open.assert("permissions", "tokens", "problem", "has mode 0644");
    assert_eq!(open.code, 1);
    chmod(&temp, 0o700);
    chmod(&place.path("temp/control.token"), 0o600);
    let closed = doctor(&place);
    closed.assert_well("permissions", "runtime_folder");
    closed.assert_well("permissions", "tokens");
    assert_eq!(closed.code, 0, "{:#}", closed.answer);
}

#[test]
fn ports_in_use_are_told_with_who_has_them() {
    let (ours, theirs) = (free_port(), free_port());
    let check = format!("<ready><tcp port=\"{theirs}\"/></ready>");
    let registry =
        Registry::of([Server::sleep("ps").with(&check).with("<enabled>false</enabled>")])
            .config(&format!("<tcpport>{ours}</tcpport>"));
    let place = Place::new(&registry);
    let strangers =
        [ours, theirs].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("free"));
    let taken = doctor(&place);
    let us = format!("is in use by pid {}", std::process::id());
    taken.assert("ports", "control_port", "problem", &us);
    taken.assert("ports", "ports", "problem", &us);
    assert_eq!(taken.code, 1);
    drop(strangers);
    let free = doctor(&place);
    free.assert("ports", "control_port", "ok", "is free");
    free.assert("ports", "ports", "ok", "is free");

    let _supervisor = place.start();
    doctor(&place).assert("ports", "control_port", "ok", "the Supervisor listens");
}

#[test]
fn a_port_that_an_argument_names_is_told_where_somebody_else_has_it() {
    let port = free_port();
    let option = format!("-Dcom.sun.management.jmxremote.port={port}");
    let server = Server::command("jvm", &["/bin/true", &option]).with("<enabled>false</enabled>");
    let place = Place::new(&Registry::of([server]));
    assert!(doctor(&place).of("ports", "arguments", "note").is_empty());
    let stranger = TcpListener::bind(("127.0.0.1", port)).expect("free");
    doctor(&place).assert("ports", "arguments", "note", &format!("port={port}: pid "));
    drop(stranger);
    assert!(doctor(&place).of("ports", "arguments", "note").is_empty());
}

#[test]
fn a_registry_that_was_edited_and_not_read_is_told() {
    let place = sleeper();
    let _supervisor = place.start();
    place.running("ps");
    doctor(&place).assert_well("supervisor", "registry");
    // As if it had been edited in some minutes: nobody waits for that here.
    let file = fs::File::options().write(true).open(place.path("conf/SupervisorRegistry.xml"));
    let file = file.expect("ours");
    #[expect(clippy::disallowed_methods, reason = "the clock that files are stamped by")]
    let now = SystemTime::now();
    file.set_modified(now + Duration::from_mins(1)).expect("ours");
    doctor(&place).assert("supervisor", "registry", "note", "was edited");
    file.set_modified(now).expect("ours");
    place.cli("reload").assert_code(0);
    doctor(&place).assert_well("supervisor", "registry");
}

#[test]
fn a_port_of_a_component_is_told_from_another_ones() {
    let port = free_port();
    let check = format!("<ready><tcp port=\"{port}\"/></ready>");
    let program = env!("CARGO_BIN_EXE_s7supervisor");
    let server = |id: &str| {
        let port = port.to_string();
        let command = [program, "demo-component", "--name", id, "--port", &port];
        Server::command(id, &command).with("<enabled>false</enabled>")
    };
    let place = Place::new(&Registry::of([server("other"), server("ps").with(&check)]));
    let _supervisor = place.start();
    place.achieve("start", "other");
    until("it listens", || place.log_text("other").contains("ready on port").then_some(()));
    let taken = doctor(&place);
    taken.assert("ports", "ports", "problem", &format!("{port} is in use by other, pid"));
    place.achieve("stop", "other");
    place.achieve("start", "ps");
    doctor(&place).assert("ports", "ports", "ok", "it listens");
}

#[test]
fn what_a_killed_supervisor_left_is_told_until_the_next_one_has_it() {
    let place = sleeper();
    let first = place.start();
    let pid = place.running("ps");
    first.crash();
    let left = doctor(&place);
    left.assert("state", "socket", "note", "nobody answers");
    left.assert("state", "processes", "warning", &format!("pid {pid} (/bin/sleep infinity)"));
    left.assert("supervisor", "running", "note", "no Supervisor runs");
    let _second = place.start();
    place.running("ps");
    let taken_over = doctor(&place);
    taken_over.assert_well("state", "socket");
    taken_over.assert_well("state", "processes");
}

#[test]
fn a_process_of_an_ended_run_is_found() {
    let place = sleeper();
    let _supervisor = place.start();
    let first = place.running("ps");
    let mark = processes::environment(first, "S7SUPERVISOR_TREE").expect("each process has it");
    let mut command = Command::new("/bin/sleep");
    command.arg("infinity").env("S7SUPERVISOR_TREE", mark).stdin(Stdio::null());
    place.prepare(&mut command);
    #[expect(clippy::disallowed_methods, reason = "a process that no Supervisor started")]
    let mut stray = command.spawn().expect("sleep starts");
    doctor(&place).assert_well("state", "processes");
    place.achieve("restart", "ps");
    let text = format!("of runs that have ended: pid {} (", stray.id());
    doctor(&place).assert("state", "processes", "warning", &text);
    stray.kill().and_then(|()| stray.wait()).expect("our child");
    doctor(&place).assert_well("state", "processes");
}

#[test]
fn files_that_the_next_supervisor_would_refuse_are_told() {
    let place = sleeper();
    place.write(
        "temp/journal",
        "{\"kind\":\"header\",\"version\":999,\"boot\":\"b\",\"next_run\":1}\n",
    );
    place.write("temp/holds.json", "{");
    place.write("temp/start.err", "error: cannot bind\n");
    chmod(&place.path("temp"), 0o700);
    let seen = doctor(&place);
    assert_eq!(seen.code, 1);
    seen.assert("state", "journal", "problem", "version 999");
    seen.assert("state", "holds", "problem", "is not readable");
    seen.assert("state", "start_err", "note", "error: cannot bind");

    for name in ["journal", "start.err"] {
        fs::remove_file(place.path("temp").join(name)).expect("ours");
    }
    let hold = r#"{"version":1,"holds":[
        {"id":"ps","by":"anna","since":"2026-01-01T00:00:00Z","until":"2026-01-02T00:00:00Z"}]}"#;
    place.write("temp/holds.json", hold);
    let mended = doctor(&place);
    assert_eq!(mended.code, 0, "{:#}", mended.answer);
    mended.assert("state", "holds", "note", "has expired");
    mended.assert_well("state", "journal");
    mended.assert_well("state", "start_err");
}

#[test]
fn a_supervisor_that_does_not_answer_is_told_from_one_that_is_not_there() {
    let place = sleeper();
    let supervisor = place.start();
    place.running("ps");
    // The engine answers, or does not; its guardian does neither.
    processes::signal(supervisor.pid(), Signal::STOP);
    let silent = doctor(&place);
    assert_eq!(silent.code, 1);
    silent.assert("supervisor", "running", "problem", &format!("pid {}", supervisor.pid()));
    processes::signal(supervisor.pid(), Signal::CONT);
    doctor(&place).assert_well("supervisor", "running");
}

#[test]
fn a_supervisor_without_a_guardian_is_told_and_one_with_it_by_its_pid() {
    let place = sleeper();
    let guarded = place.start();
    let pid = place.status()["supervisor"]["guardian_pid"].as_u64().expect("it has a guardian");
    doctor(&place).assert("supervisor", "guardian", "ok", &pid.to_string());
    guarded.stop();
    let _alone = place.start_with(&["--no-guardian"]);
    doctor(&place).assert("supervisor", "guardian", "note", "without one");
}

#[test]
fn a_lock_that_was_removed_is_told() {
    let place = sleeper();
    let supervisor = place.start();
    fs::remove_file(place.path("temp/supervisor.lock")).expect("ours");
    doctor(&place).assert("state", "lock", "problem", "nobody holds");
    supervisor.stop();
    doctor(&place).assert_well("state", "lock");
}

#[test]
fn components_that_are_not_well_are_told_by_name() {
    let place = Place::new(&Registry::of([
        Server::command("failing", &["/bin/false"])
            .with("<restart delay=\"0.05\" maxRestarts=\"1\"/>"),
        Server::sleep("ps"),
    ]));
    let _supervisor = place.start();
    place.running("ps");
    place.cli("hold ps --reason disk").assert_code(0);
    place.await_state("failing", "failed");
    let seen = doctor(&place);
    assert_eq!(seen.code, 1);
    seen.assert("supervisor", "components", "problem", "failed: ");
    seen.assert("supervisor", "components", "note", "disk");
    place.cli("release ps").assert_code(0);
    assert!(doctor(&place).of("supervisor", "components", "note").is_empty());
}

#[test]
fn a_program_that_was_replaced_is_told() {
    let place = sleeper();
    let program = place.path("s7supervisor");
    fs::copy(env!("CARGO_BIN_EXE_s7supervisor"), &program).expect("our folder");
    let mut command = Command::new(&program);
    place.prepare(&mut command);
    command.arg("-i").arg(place.path("")).arg("run");
    let supervisor = crate::support::Supervisor::new(&place, place.spawn(command));
    place.await_answer(&supervisor);
    doctor(&place).assert_well("installation", "running_binary");
    fs::remove_file(&program).expect("ours");
    doctor(&place).assert("installation", "running_binary", "warning", "is gone");
    fs::copy(env!("CARGO_BIN_EXE_s7supervisor"), &program).expect("our folder");
    doctor(&place).assert("installation", "running_binary", "note", "was replaced");
    supervisor.stop();
    doctor(&place).assert_well("installation", "running_binary");
}

#[test]
fn bounds_that_nobody_keeps_are_told_with_who_asked() {
    let mut place = Place::new(&Registry::of([
        Server::sleep("ps").with("<limits><processes>50</processes></limits>")
    ]));
    place.set("S7_CONTAINMENT", "subreaper");
    let supervisor = place.start();
    place.running("ps");
    let seen = doctor(&place);
    seen.assert("containment", "level", "warning", "");
    seen.assert("containment", "controllers", "warning", "limits/processes is not kept");
    place.rewrite_registry(&Registry::of([Server::sleep("ps")]));
    doctor(&place).assert_well("containment", "controllers");
    supervisor.stop();
}

#[test]
fn logs_that_should_be_compressed_are_told() {
    let compress = "<output><compress>true</compress></output>";
    let place = Place::new(&Registry::of([Server::sleep("ps").with(compress)]));
    let _supervisor = place.start();
    place.running("ps");
    // Nobody looks at this one before the next rotation: it came from elsewhere.
    place.write("logs/ps-2026-01-01.001.log", "text");
    let file = fs::File::options().write(true).open(place.path("logs/ps-2026-01-01.001.log"));
    let file = file.expect("ours");
    doctor(&place).assert_well("storage", "compression");
    #[expect(clippy::disallowed_methods, reason = "the clock that files are stamped by")]
    let now = SystemTime::now();
    file.set_modified(now - Duration::from_hours(2)).expect("ours");
    doctor(&place).assert("storage", "compression", "note", "a complete log file, 0 MiB");
    fs::remove_file(place.path("logs/ps-2026-01-01.001.log")).expect("ours");
    doctor(&place).assert_well("storage", "compression");
}

#[test]
fn logs_from_the_future_are_told() {
    let place = sleeper();
    place.write("logs/ps-2026-01-01.log", "");
    let file = fs::File::options().write(true).open(place.path("logs/ps-2026-01-01.log"));
    let file = file.expect("ours");
    let set = |at| file.set_modified(at).expect("ours");
    #[expect(clippy::disallowed_methods, reason = "the clock that files are stamped by")]
    let now = SystemTime::now();
    set(now + Duration::from_hours(1));
    doctor(&place).assert("clock", "future", "warning", "in the future");
    set(now);
    doctor(&place).assert_well("clock", "future");
}

#[test]
fn whoever_may_not_ask_is_told_so_and_sees_the_rest() {
    if !rustix::process::geteuid().is_root() {
        // Only root can become somebody else; everybody else is that already in the other tests.
        return;
    }
    let place = sleeper();
    let _supervisor = place.start();
    place.running("ps");
    let program = place.path("s7supervisor");
    fs::copy(env!("CARGO_BIN_EXE_s7supervisor"), &program).expect("our folder");
    let mut command = Command::new(&program);
    place.prepare(&mut command);
    command.arg("-i").arg(place.path("")).args(["doctor", "--json"]).uid(65_534).gid(65_534);
    let seen = seen(&finish(command));
    seen.assert("supervisor", "running", "warning", "may not be asked");
    seen.assert("installation", "registry", "ok", "1 component");
}
