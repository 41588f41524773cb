//! The world that a component is born into.

use std::{fs, process::Command};

use rustix::process::Signal;

use crate::support::{
    Place, Registry, Server, Supervisor,
    place::text,
    processes::{environment, stat, status_line},
    report, until,
};

#[test]
fn descriptors_signals_and_session_are_clean() {
    let place = Place::new(&Registry::of([Server::sleep("ps")]));
    // Started as carelessly as a login shell might: signals ignored, a descriptor left open.
    let mut command = Command::new("/bin/sh");
    place.prepare(&mut command);
    command.args([
        "-c",
        "trap '' INT QUIT HUP PIPE USR1; exec 7</dev/null; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_s7supervisor"),
        "-i",
        text(&place.path("")),
        "run",
    ]);
    let supervisor = Supervisor::new(&place, place.spawn(command));
    place.await_answer(&supervisor);
    let pid = place.running("ps");

    let mut descriptors: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("it runs")
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    descriptors.sort();
    assert_eq!(descriptors, ["0", "1", "2"]);
    let input = fs::read_link(format!("/proc/{pid}/fd/0")).expect("it runs");
    assert_eq!(text(&input), "/dev/null");
    for mask in ["SigBlk", "SigIgn", "SigCgt"] {
        let bits = u64::from_str_radix(&status_line(pid, mask), 16).expect("hexadecimal");
        assert_eq!(bits, 0, "{mask}");
    }
    let sleeper = stat(pid).expect("it runs");
    assert_eq!(sleeper.session, pid, "a session of its own");
    // TERM still reaches the Supervisor: it says itself what it handles.
    supervisor.signal(Signal::TERM);
    assert_eq!(supervisor.ended().code(), Some(0));
}

#[test]
fn the_environment_is_merged_and_the_server_has_the_last_word() {
    let registry = "<supervisor><config><tcpport>0</tcpport></config>
      <profiles>
        <profile id=\"Base\"><environment>
          <variable name=\"FROM_BASE\">base</variable><variable name=\"BOTH\">base</variable>
        </environment></profile>
        <profile id=\"Derived\"><extends ref=\"Base\"/>
          <executable>/bin/sleep</executable>
          <operands><argument>infinity</argument></operands>
          <environment><variable name=\"BOTH\">derived</variable></environment>
        </profile>
      </profiles>
      <servers><server id=\"ps\">
        <profile ref=\"Derived\"/>
        <environment file=\"conf/ps.env\">
          <variable name=\"BOTH\">server</variable>
          <variable name=\"HEAP\">-XmxSV::PsHeapSize</variable>
          <variable name=\"DEFAULTED\">${NOT_SET_ANYWHERE:-fallback}</variable>
          <variable name=\"TAKEN\">${OUTSIDE}</variable>
        </environment>
      </server></servers></supervisor>";
    let mut place = Place::with_text(registry);
    place.set("OUTSIDE", "from the caller");
    place.set("NOTIFY_SOCKET", "@nobody-listens-here");
    place.write("conf/ps.env", "# a comment\nFROM_FILE=file\nBOTH=file\n");
    let _supervisor = place.start_with(&["--set", "SV::PsHeapSize=77m"]);
    let pid = place.running("ps");
    let of = |name| environment(pid, name);
    assert_eq!(of("FROM_BASE").as_deref(), Some("base"));
    assert_eq!(of("BOTH").as_deref(), Some("server"));
    assert_eq!(of("FROM_FILE").as_deref(), Some("file"));
    assert_eq!(of("HEAP").as_deref(), Some("-Xmx77m"));
    assert_eq!(of("DEFAULTED").as_deref(), Some("fallback"));
    assert_eq!(of("TAKEN").as_deref(), Some("from the caller"));
    assert_eq!(of("OUTSIDE").as_deref(), Some("from the caller"), "the rest is inherited");
    assert_eq!(of("PATH"), std::env::var("PATH").ok());
    assert_eq!(of("NOTIFY_SOCKET"), None, "the Supervisor's own conversation with systemd");
}

#[test]
fn working_directory_umask_and_limits() {
    let place = Place::new(&Registry::of([
        Server::sleep("plain"),
        Server::sleep("special").with(
            "<workingDirectory>work/deep</workingDirectory><umask>027</umask>\
             <limits><openFiles>123</openFiles><core>0</core><nice>5</nice>\
             <oomScoreAdjust>200</oomScoreAdjust></limits>",
        ),
    ]));
    fs::create_dir_all(place.path("work/deep")).expect("our folder");
    let _supervisor = place.start();
    let (plain, special) = (place.running("plain"), place.running("special"));
    let cwd = |pid| fs::read_link(format!("/proc/{pid}/cwd")).expect("it runs");
    let same = |a: &std::path::Path, b: &std::path::Path| {
        fs::canonicalize(a).expect("a folder") == fs::canonicalize(b).expect("a folder")
    };
    assert!(same(&cwd(plain), &place.path("")), "the installation folder by default");
    assert!(same(&cwd(special), &place.path("work/deep")));
    assert_eq!(status_line(special, "Umask"), "0027");
    assert_eq!(status_line(plain, "Umask"), status_line(std::process::id(), "Umask"));

    let limit = |pid: u32, name: &str| -> String {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
        let line = limits.lines().find(|line| line.starts_with(name)).expect("a known limit");
        line[name.len()..].split_whitespace().next().expect("a soft limit").to_owned()
    };
    assert_eq!(limit(special, "Max open files"), "123");
    assert_eq!(limit(special, "Max core file size"), "0");
    assert_eq!(stat(special).expect("it runs").nice, 5);
    let adjust = fs::read_to_string(format!("/proc/{special}/oom_score_adj")).expect("it runs");
    assert_eq!(adjust.trim(), "200");
    // The Supervisor raises its own limit of open files; what it was started with is handed on.
    assert_eq!(limit(plain, "Max open files"), limit(std::process::id(), "Max open files"));
    assert_eq!(stat(plain).expect("it runs").nice, stat(std::process::id()).expect("we run").nice);
}

#[test]
fn a_component_can_run_as_another_user() {
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        "id -un; echo to stderr >/dev/stderr; exec sleep infinity",
    )
    .with("<user>nobody</user><restart delay=\"0\" maxRestarts=\"1\" window=\"600\"/>")]));
    let _supervisor = place.start();
    if !rustix::process::geteuid().is_root() {
        report("not root: only the refusal of another user is tested");
        let ps = place.await_state("ps", "failed");
        assert!(ps["reason"].as_str().is_some_and(|reason| reason.contains("nobody")), "{ps:#}");
        return;
    }
    let pid = place.running("ps");
    until("it has said who it is", || {
        (place.log_text("ps") == "nobody\nto stderr\n").then_some(())
    });
    let ids = |name| status_line(pid, name);
    let passwd = fs::read_to_string("/etc/passwd").expect("users");
    let nobody: Vec<_> = passwd
        .lines()
        .find(|line| line.starts_with("nobody:"))
        .expect("nobody is a user")
        .split(':')
        .collect();
    assert_eq!(ids("Uid"), [nobody[2]; 4].join("\t"));
    assert_eq!(ids("Gid"), [nobody[3]; 4].join("\t"));
    assert!(!ids("Groups").split_whitespace().any(|group| group == "0"), "{}", ids("Groups"));
    let capabilities = u64::from_str_radix(&ids("CapEff"), 16).expect("hexadecimal");
    assert_eq!(capabilities, 0);
}

#[test]
fn a_stage_of_the_launch_that_fails_is_named() {
    let failing = "<restart delay=\"0\" maxRestarts=\"1\" window=\"600\"/>";
    let place = Place::new(&Registry::of([
        Server::sleep("folder")
            .with("<workingDirectory>no/such/folder</workingDirectory>")
            .with(failing),
        Server::command("rights", &["conf/SupervisorRegistry.xml"]).with(failing),
        Server::sleep("sound"),
    ]));
    let _supervisor = place.start();
    let folder = place.await_state("folder", "failed");
    assert!(
        folder["reason"].as_str().is_some_and(|reason| reason.contains("no/such/folder")),
        "{folder:#}"
    );
    let rights = place.await_state("rights", "failed");
    assert!(
        rights["reason"].as_str().is_some_and(|reason| reason.contains("ermission denied")),
        "{rights:#}"
    );
    place.await_state("sound", "running");
}

#[test]
fn a_stop_command_takes_the_place_of_the_signal() {
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        "trap 'echo TERM >>heard' TERM; trap 'echo USR1 >>heard; exit 0' USR1\n\
         echo $$ >pid; while :; do sleep 0.05; done",
    )
    .stop_timeout(600.0)
    .with(
        "<stopCommand><argument>/bin/sh</argument><argument>-c</argument>\
         <argument>pwd &gt;asked; kill -USR1 $(cat pid)</argument></stopCommand>",
    )]));
    let _supervisor = place.start();
    place.await_state("ps", "running");
    until("it has written its pid", || (!place.read("pid").is_empty()).then_some(()));
    place.achieve("stop", "ps");
    assert_eq!(place.read("heard"), "USR1\n");
    let asked = place.read("asked");
    let asked = fs::canonicalize(asked.trim()).expect("a folder");
    assert_eq!(
        asked,
        fs::canonicalize(place.path("")).expect("our folder"),
        "its working directory"
    );
    assert_eq!(place.component("ps")["last_exit"]["code"], 0);
    assert_eq!(place.component_processes(), []);
}

#[test]
fn a_stop_command_that_fails_or_hangs_does_not_save_the_component() {
    let command = |script: &str| {
        format!(
            "<stopCommand><argument>/bin/sh</argument><argument>-c</argument>\
             <argument>{script}</argument></stopCommand>"
        )
    };
    let place = Place::new(&Registry::of([
        Server::sleep("fails").stop_timeout(0.3).with(&command("exit 1")),
        Server::sleep("hangs").stop_timeout(0.3).with(&command("exec sleep infinity")),
        Server::sleep("missing")
            .stop_timeout(0.3)
            .with("<stopCommand><argument>bin/no-such-command</argument></stopCommand>"),
    ]));
    let _supervisor = place.start();
    for id in ["fails", "hangs", "missing"] {
        place.await_state(id, "running");
        place.achieve("stop", id);
    }
    assert_eq!(place.component_processes(), []);
}

#[test]
fn the_stop_signal_can_be_chosen() {
    let place = Place::new(&Registry::of([Server::shell(
        "ps",
        "trap 'echo TERM >>heard' TERM; trap 'echo INT >>heard; exit 0' INT\n\
         echo up >up; while :; do sleep 0.05; done",
    )
    .stop_timeout(600.0)
    .with("<stopSignal>INT</stopSignal>")]));
    let _supervisor = place.start();
    until("it is up", || (place.read("up") == "up\n").then_some(()));
    place.achieve("stop", "ps");
    assert_eq!(place.read("heard"), "INT\n");
}
