//! The command line where no engine runs: usage, exit statuses, `check`, completions, manual.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

const RIGHT: &str = r#"<supervisor>
  <config><tcpport>0</tcpport><temp>SV::temp</temp></config>
  <servers>
    <server id="web">
      <description>A web server</description>
      <executable>/bin/sleep</executable>
      <arguments><argument>600</argument></arguments>
      <startPriority>2</startPriority>
      <dependsOn ref="db"/>
    </server>
    <server id="db"><executable>/bin/sleep</executable><operands><argument>600</argument></operands></server>
  </servers>
</supervisor>
"#;

/// An installation in a temporary folder.
struct Installation {
    folder: TempDir,
}

impl Installation {
    fn new(registry: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("conf")).expect("a folder");
        let installation = Self { folder };
        fs::write(installation.registry(), registry).expect("the registry is written");
        installation
    }

    fn registry(&self) -> PathBuf {
        self.path().join("conf/SupervisorRegistry.xml")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command on this installation.
    fn run(&self, arguments: &[&str]) -> Answer {
        let registry = self.registry();
        let registry = registry.to_str().expect("a temporary path is text");
        run(&[&["--registry", registry], arguments].concat())
    }
}

struct Answer {
    status: i32,
    out: String,
    err: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s7supervisor"));
    command.args(arguments).stdin(Stdio::null());
    for name in ["S7_REGISTRY", "S7_INSTALL_FOLDER", "S7_TOKEN", "SV__temp", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> Answer {
    let Output { status, stdout, stderr } =
        command(arguments).output().expect("the binary can be run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
    Answer { status: status.code().expect("it exits"), out: text(stdout), err: text(stderr) }
}

#[test]
fn wrong_usage_is_2_and_says_how_it_is_used() {
    for arguments in [&["fly"][..], &["kill"], &["explain"], &["check", "--set", "nonsense"], &[]] {
        let answer = run(arguments);
        assert_eq!(answer.status, 2, "{arguments:?}: {}", answer.err);
        assert!(
            answer.err.contains("Usage") || answer.err.contains("NAME=VALUE"),
            "{}",
            answer.err
        );
        assert_eq!(answer.out, "", "{arguments:?}");
    }
    let near = run(&["statsu"]);
    assert!(near.err.contains("'status'"), "{}", near.err);
}

#[test]
fn a_wrong_host_is_wrong_usage() {
    for host in ["localhost", "https://localhost:1", "unix:"] {
        let answer = run(&["--host", host, "status"]);
        assert_eq!(answer.status, 2, "{host}: {}", answer.err);
        assert!(answer.err.contains("cannot use --host"), "{}", answer.err);
    }
}

#[test]
fn check_prints_the_plan_in_the_order_of_the_start() {
    let answer = Installation::new(RIGHT).run(&["check"]);
    assert_eq!((answer.status, answer.err.as_str()), (0, ""));
    let place =
        |text: &str| answer.out.find(text).unwrap_or_else(|| panic!("{text}: {}", answer.out));
    assert!(place("  db") < place("  web"), "{}", answer.out);
    assert!(answer.out.contains("/bin/sleep 600"), "{}", answer.out);
    assert!(answer.out.contains("after      db"), "{}", answer.out);
}

#[test]
fn check_refuses_a_wrong_registry_with_78_and_every_problem() {
    let wrong = RIGHT.replace("ref=\"db\"", "ref=\"bd\"").replace(">2<", ">soon<");
    let answer = Installation::new(&wrong).run(&["check"]);
    assert_eq!(answer.status, 78, "{}", answer.err);
    assert_eq!(answer.out, "");
    for expected in ["bd", "db", "soon", "SupervisorRegistry.xml:"] {
        assert!(answer.err.contains(expected), "{expected}: {}", answer.err);
    }
}

#[test]
fn an_unknown_element_is_a_warning_and_an_error_when_strict() {
    let odd = RIGHT.replace("<servers>", "<servers><colour>red</colour>");
    let installation = Installation::new(&odd);
    let answer = installation.run(&["check"]);
    assert_eq!(answer.status, 0, "{}", answer.err);
    assert!(answer.err.contains("colour"), "{}", answer.err);
    let strict = installation.run(&["check", "--strict"]);
    assert_eq!(strict.status, 78, "{}", strict.err);
    assert!(strict.err.contains("colour") && strict.out.is_empty(), "{}", strict.err);
}

#[test]
fn check_names_the_registry_that_is_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let answer = run(&["check", "-i", folder.path().to_str().expect("text")]);
    assert_eq!(answer.status, 78);
    assert!(answer.err.contains("conf/SupervisorRegistry.xml"), "{}", answer.err);
}

#[test]
fn check_has_a_plan_for_programs() {
    let answer = Installation::new(RIGHT).run(&["check", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&answer.out).expect("it is JSON");
    assert_eq!(plan["stages"][1]["components"][0]["id"], "web");
    assert_eq!(plan["stages"][1]["components"][0]["depends_on"][0], "db");
}

#[test]
fn settings_reach_the_registry_from_both_sides_of_the_verb() {
    let registry = RIGHT.replace("600<", "SV::PsHeapSize-SV::SvgHeapSize<");
    let installation = Installation::new(&registry);
    let answer =
        installation.run(&["--set", "SV::PsHeapSize=7m", "check", "--set", "SV::SvgHeapSize=8m"]);
    assert!(answer.out.contains("7m-8m"), "{}{}", answer.out, answer.err);
}

#[test]
fn status_without_a_supervisor_is_3_and_says_so() {
    let installation = Installation::new(RIGHT);
    for arguments in
        [&["status"][..], &["status", "--json"], &["status", "--watch"], &["status", "web"]]
    {
        let answer = installation.run(arguments);
        assert_eq!(answer.status, 3, "{arguments:?}: {}", answer.err);
        assert!(answer.err.contains("not running"), "{}", answer.err);
        assert_eq!(answer.out, "", "{arguments:?}");
    }
}

#[test]
fn stop_without_a_supervisor_has_nothing_to_do() {
    let installation = Installation::new(RIGHT);
    for arguments in [&["stop"][..], &["stop", "web"]] {
        let answer = installation.run(arguments);
        assert_eq!(answer.status, 0, "{}", answer.err);
        assert_eq!(answer.out, "The Supervisor is not running.\n");
    }
}

#[test]
fn other_verbs_without_a_supervisor_are_69() {
    let installation = Installation::new(RIGHT);
    for arguments in [
        &["start", "web"][..],
        &["restart", "web"],
        &["kill", "web"],
        &["reload"],
        &["explain", "web"],
    ] {
        let answer = installation.run(arguments);
        assert_eq!(answer.status, 69, "{arguments:?}: {}", answer.err);
        assert!(answer.err.contains("not running"), "{arguments:?}: {}", answer.err);
    }
    let elsewhere = installation.run(&["--host", "unix:/nowhere/supervisor.sock", "start"]);
    assert_eq!(elsewhere.status, 69, "{}", elsewhere.err);
    assert!(elsewhere.err.contains("/nowhere/supervisor.sock"), "{}", elsewhere.err);
}

#[test]
fn the_socket_is_looked_for_where_the_registry_says() {
    let registry = RIGHT.replace("<temp>SV::temp</temp>", "<temp>run/here</temp>");
    let installation = Installation::new(&registry);
    let socket = installation.path().join("run/here/supervisor.sock");
    let answer = installation.run(&["status"]);
    assert!(answer.err.contains(socket.to_str().expect("text")), "{}", answer.err);

    let installation = Installation::new(RIGHT);
    let answer = installation.run(&["status", "--set", "SV::temp=/else/where"]);
    assert!(answer.err.contains("/else/where/supervisor.sock"), "{}", answer.err);

    let setting = "<settings><setting name=\"SV::temp\">set/here</setting></settings>\n  <servers>";
    let installation = Installation::new(&RIGHT.replace("<servers>", setting));
    let answer = installation.run(&["status"]);
    assert!(answer.err.contains("set/here/supervisor.sock"), "{}", answer.err);
}

#[test]
fn start_and_restart_refuse_a_wrong_registry_and_start_nothing() {
    for verb in ["start", "restart", "run"] {
        let installation = Installation::new(&RIGHT.replace("</servers>", ""));
        let answer = installation.run(&[verb]);
        assert_eq!(answer.status, 78, "{verb}: {}", answer.err);
        assert!(answer.err.contains("servers"), "{verb}: {}", answer.err);
        assert!(!installation.path().join("temp").exists(), "{verb} made a runtime folder");
    }
}

#[test]
fn completions_and_the_manual_know_every_verb_but_hidden_ones() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let answer = run(&["completions", shell]);
        assert_eq!((answer.status, answer.err.as_str()), (0, ""), "{shell}");
        assert!(answer.out.contains("reload") && answer.out.contains("explain"), "{shell}");
    }
    let manual = run(&["man"]);
    assert_eq!((manual.status, manual.err.as_str()), (0, ""));
    assert!(manual.out.contains(".TH") && manual.out.contains("EXIT STATUS"), "{}", manual.out);
    assert!(!manual.out.contains("demo\\-component"), "{}", manual.out);
}

/// A reader that goes away is no panic and no error; a full disk is one.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_standard_output_is_no_panic_and_a_full_one_is_told() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    #[expect(clippy::disallowed_methods, reason = "a test runs the binary as a user does")]
    let closed = command(&["man"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .expect("the binary can be run");
    assert_eq!(closed.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&closed.stderr), "");

    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
    #[expect(clippy::disallowed_methods, reason = "a test runs the binary as a user does")]
    let full = command(&["man"])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .expect("the binary can be run");
    assert_eq!(full.status.code(), Some(1));
    let err = String::from_utf8_lossy(&full.stderr);
    assert!(err.contains("standard output"), "{err}");
}

/// The control script finds its installation and passes arguments and exit statuses on.
#[cfg(unix)]
#[test]
fn the_script_passes_arguments_and_exit_statuses_on() {
    let installation = Installation::new(RIGHT);
    let bin = installation.path().join("bin");
    fs::create_dir(&bin).expect("a folder");
    let script = bin.join("ImageServing.sh");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/ImageServing.sh");
    fs::copy(own, &script).expect("the script can be copied");
    let link = installation.path().join("init.d-ImageServing");
    std::os::unix::fs::symlink("bin/ImageServing.sh", &link).expect("a link");

    let run = |script: &Path, arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.arg(script).args(arguments).stdin(Stdio::null());
        command.env("S7SUPERVISOR", env!("CARGO_BIN_EXE_s7supervisor"));
        command.env_remove("S7_REGISTRY").env_remove("S7_INSTALL_FOLDER");
        let output = command.output().expect("sh can be run");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let socket = installation.path().join("temp/supervisor.sock");
    for script in [&script, &link] {
        let (status, err) = run(script, &["status"]);
        assert_eq!(status, Some(3), "{err}");
        assert!(err.contains(socket.to_str().expect("text")), "{err}");
        assert_eq!(run(script, &["stop"]).0, Some(0));
        assert_eq!(run(script, &["restart", "ps", "--quiet"]).0, Some(69));
        assert_eq!(run(script, &["fly"]).0, Some(2));
    }
}
