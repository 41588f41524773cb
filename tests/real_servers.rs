//! A real Image Serving's worth of servers, through the script that operators use: Tomcat and a
//! second JVM, nginx with its workers, their ports, their children, their ways to die.
//!
//! Needs Debian's tomcat10, openjdk-17-jdk-headless, nginx and prometheus, hence the feature; where one of
//! them is missing the tests fail and say which.

#![cfg(feature = "real-servers")]

#[expect(
    dead_code,
    reason = "the harness serves the acceptance tests first, this crate uses a part of it"
)]
mod support;

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use rustix::process::Signal;
use support::{
    Place, Registry, Server, free_port, http,
    place::{Finished, finish, pid_of, text},
    processes, report, since, until,
};

const TOMCAT: &str = "/usr/share/tomcat10";
const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// An installation with its servers' files in it, and the ports they listen on.
struct Installation {
    place: Place,
    is: u16,
    svg: u16,
    ps: u16,
    /// Further ports that must be free in the end: JMX, control.
    others: Vec<u16>,
}

fn project(file: &str) -> String {
    let path = Path::new(PROJECT).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our file");
}

impl Installation {
    /// Lays out what an installer would, around this registry.
    fn new(registry: &str, others: &[u16]) -> Self {
        for needed in [TOMCAT, "/usr/sbin/nginx", "/usr/bin/java", "/usr/bin/jar"] {
            assert!(Path::new(needed).exists(), "{needed} is not installed");
        }
        let mut place = Place::with_text(registry);
        let [is, svg, ps] = [(); 3].map(|()| free_port());
        for (name, port) in [("IS_PORT", is), ("SVG_PORT", svg), ("PS_PORT", ps)] {
            place.set(name, &port.to_string());
        }
        place.write("bin/ImageServing.sh", project("assets/ImageServing.sh"));
        executable(&place.path("bin/ImageServing.sh"));
        symlink(env!("CARGO_BIN_EXE_s7supervisor"), place.path("bin/s7supervisor"))
            .expect("our folder");

        place.write(
            "conf/nginx.conf",
            project("tests/real/nginx.conf").replace("@PORT@", &is.to_string()),
        );
        place.write("lib/Svg.java", project("tests/real/Svg.java"));
        place.write("tomcat/conf/server.xml", project("tests/real/server.xml"));
        place.write("tomcat/webapps/ROOT/index.jsp", project("tests/real/index.jsp"));
        place.write("tomcat/webapps/ROOT/fork.jsp", project("tests/real/fork.jsp"));
        for file in ["web.xml", "logging.properties"] {
            let text =
                fs::read(Path::new(TOMCAT).join("etc").join(file)).expect("Debian's tomcat10");
            place.write(&format!("tomcat/conf/{file}"), text);
        }
        for folder in ["tomcat/logs", "tomcat/temp", "tomcat/work"] {
            fs::create_dir_all(place.path(folder)).expect("our folder");
        }
        Self { place, is, svg, ps, others: others.to_vec() }
    }

    /// `bin/ImageServing.sh WORDS`, as an operator types it.
    #[track_caller]
    fn image_serving(&self, words: &str) -> Finished {
        let mut command = Command::new(self.place.path("bin/ImageServing.sh"));
        self.place.prepare(&mut command);
        command.args(words.split_whitespace());
        finish(command)
    }

    fn port(&self, id: &str) -> u16 {
        match id {
            "is" => self.is,
            "svg" => self.svg,
            "ps" => self.ps,
            other => panic!("no port for {other}"),
        }
    }

    /// What the server says of itself over HTTP: its name and a pid.
    fn answer(&self, id: &str) -> Option<(String, u32)> {
        let answer = http::tcp(self.port(id), "GET", "/", &[]).ok()?;
        let (name, pid) = answer.body.trim().split_once(' ')?;
        Some((name.to_owned(), pid.parse().ok()?))
    }

    /// Each server answers, out of the process tree that status shows.
    #[track_caller]
    fn assert_all_answer(&self) {
        for id in ["is", "svg", "ps"] {
            let leader = self.place.pid(id);
            let (name, pid) = self.answer(id).unwrap_or_else(|| panic!("{id} does not answer"));
            assert_eq!(name, id);
            // nginx answers out of a worker, a child of the leader.
            let known =
                pid == leader || processes::stat(pid).is_some_and(|stat| stat.parent == leader);
            assert!(known, "{id}: {pid} answers, status knows {leader}");
        }
    }

    /// Waits until a new process has taken the place of `old`; says how long the service was away.
    #[track_caller]
    fn await_successor(&self, id: &str, old: u32) -> u32 {
        let begin = support::now();
        let component = self.place.await_component(id, "runs again", |component| {
            component["state"] == "running" && component["pid"] != old
        });
        let pid = pid_of(&component);
        until(&format!("{id} answers again"), || self.answer(id).map(drop));
        report(&format!("{id}: answers {:?} after kill -9", since(begin)));
        pid
    }

    #[track_caller]
    fn assert_all_gone(&self) {
        self.place.assert_nothing_runs();
        for port in [self.is, self.svg, self.ps].iter().chain(&self.others) {
            TcpListener::bind(("127.0.0.1", *port))
                .unwrap_or_else(|error| panic!("port {port} is not free: {error}"));
        }
    }
}

#[test]
fn an_image_serving_lives_and_dies_by_its_script() {
    let jmx = free_port();
    let mut all = Installation::new(&project("tests/real/SupervisorRegistry.xml"), &[jmx]);
    all.place.set("PS_JMX_PORT", &jmx.to_string());
    let all = all;
    let place = &all.place;

    all.image_serving("status").assert_code(3);
    all.image_serving("start").assert_code(0);
    all.assert_all_answer();
    TcpStream::connect(("127.0.0.1", jmx)).expect("JMX listens");
    for id in ["is", "svg", "ps"] {
        let status = all.image_serving(&format!("status {id}"));
        status.assert_code(0);
        assert!(status.stdout.contains("running"), "{status:?}");
        assert!(status.stdout.contains(&place.pid(id).to_string()), "{status:?}");
    }
    until("nginx' log is kept", || place.log_text("is").contains("GET / HTTP/1.1").then_some(()));
    until("Tomcat's log is kept", || {
        place.log_text("ps").contains("org.apache.catalina.startup.Catalina").then_some(())
    });

    for id in ["is", "svg", "ps"] {
        let old = place.pid(id);
        processes::signal(old, Signal::KILL);
        all.await_successor(id, old);
    }
    all.assert_all_answer();

    // A JVM with a child in a session of its own: first the leader alone, then the whole tree.
    for whole_tree in [false, true] {
        let leader = place.pid("ps");
        let answer = http::tcp(all.ps, "GET", "/fork.jsp", &[]).expect("an answer");
        let child: u32 = answer.body.trim().parse().expect("the child's pid");
        until("the child sleeps", || {
            let sleeper = place.processes().into_iter().find(|process| process.pid == child)?;
            (sleeper.command == "sleep infinity").then_some(())
        });
        processes::signal(leader, Signal::KILL);
        if whole_tree {
            processes::signal(child, Signal::KILL);
        }
        all.await_successor("ps", leader);
        assert!(!processes::alive(child), "it was ended before the restart");
    }

    let before = ["is", "svg", "ps"].map(|id| place.pid(id));
    all.image_serving("restart ps").assert_code(0);
    let after = ["is", "svg", "ps"].map(|id| place.pid(id));
    assert_eq!(after[..2], before[..2], "ps alone is restarted");
    assert_ne!(after[2], before[2]);
    all.assert_all_answer();
    let status = place.component("ps");
    assert_eq!(status["restarts"], 0, "counted from the operator's restart: {status:#}");
    assert_eq!(place.component("is")["restarts"], 1);

    all.image_serving("stop").assert_code(0);
    all.assert_all_gone();
    all.image_serving("status").assert_code(3);
}

#[test]
fn the_shipped_registry_runs_where_the_executables_are() {
    let [control, svg_jmx, ps_jmx] = [(); 3].map(|()| free_port());
    // The documented ports may be in use by another installation on this machine.
    let mut registry = project("assets/SupervisorRegistry.xml");
    for (documented, free) in [("9910", control), ("9998", svg_jmx), ("9999", ps_jmx)] {
        assert!(registry.contains(documented), "the documented port {documented}");
        registry = registry.replace(documented, &free.to_string());
    }
    let all = Installation::new(&registry, &[control, svg_jmx, ps_jmx]);
    let place = &all.place;

    // bin/ImageServer: nginx under the original's name.
    place.write(
        "bin/ImageServer",
        "#!/bin/sh\nexec /usr/sbin/nginx -p . -e stderr -c conf/nginx.conf\n",
    );
    executable(&place.path("bin/ImageServer"));
    // lib/SvgRender.jar: the small Java server, compiled and packed.
    for words in [
        vec!["/usr/bin/javac", "-d", "build", "lib/Svg.java"],
        vec![
            "/usr/bin/jar",
            "--create",
            "--file",
            "lib/SvgRender.jar",
            "--main-class",
            "Svg",
            "-C",
            "build",
            ".",
        ],
    ] {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(place.path(""));
        finish(command).assert_code(0);
    }
    // tomcat/: home and base in one, as unpacked from Apache's archive. The port is in its file.
    for folder in ["bin", "lib"] {
        symlink(Path::new(TOMCAT).join(folder), place.path("tomcat").join(folder))
            .expect("our folder");
    }
    let server = project("tests/real/server.xml").replace("${ps.http.port}", &all.ps.to_string());
    place.write("tomcat/conf/server.xml", server);

    let checked = all.image_serving("check");
    checked.assert_code(0);
    all.image_serving("start").assert_code(0);
    // Without a readiness check *running* means alive for startDelay: the JVMs may need longer.
    for id in ["is", "svg", "ps"] {
        until(&format!("{id} answers"), || all.answer(id).map(drop));
    }
    all.assert_all_answer();
    for port in [svg_jmx, ps_jmx, control] {
        TcpStream::connect(("127.0.0.1", port))
            .unwrap_or_else(|error| panic!("port {port}: {error}"));
    }
    let command = fs::read(format!("/proc/{}/cmdline", place.pid("ps"))).expect("it runs");
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    assert!(command.contains("-Xmx512m"), "the documented default: {command}");
    assert!(
        command.trim_end().ends_with("org.apache.catalina.startup.Bootstrap start"),
        "{command}"
    );
    assert!(command.contains(text(&place.path(""))), "scene7.home is the installation: {command}");

    all.image_serving("restart").assert_code(0);
    for id in ["is", "svg", "ps"] {
        until(&format!("{id} answers after the restart"), || all.answer(id).map(drop));
    }
    all.image_serving("stop").assert_code(0);
    all.assert_all_gone();
}

#[test]
fn promtool_accepts_the_metrics() {
    let promtool = Path::new("/usr/bin/promtool");
    assert!(promtool.exists(), "{} is not installed", promtool.display());
    let place = Place::new(&Registry::of([
        Server::shell("is", "echo hello; exec sleep infinity")
            .with("<health interval=\"0.1\"><exec><argument>/bin/true</argument></exec></health>"),
        Server::sleep("ps").priority(2),
    ]));
    let _supervisor = place.start();
    place.running("ps");
    let metrics = until("a check has been made", || {
        let metrics = place.get("/metrics").body;
        metrics.contains("s7supervisor_probe_duration_seconds_count").then_some(metrics)
    });
    place.write("metrics.txt", &metrics);
    let input = fs::File::open(place.path("metrics.txt")).expect("just written");
    let checked = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(input)
        .output()
        .expect("promtool starts");
    // It says nothing about metrics that are as they should be.
    let said = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.is_empty(), "{said}\n{metrics}");
}

#[test]
fn a_tomcat_that_hangs_is_restarted_and_its_thread_dump_is_kept() {
    let jmx = free_port();
    let mut registry = project("tests/real/SupervisorRegistry.xml");
    let end = registry.rfind("</server>").expect("the last server is ps");
    registry.insert_str(
        end,
        "<health interval=\"0.5\" timeout=\"1\" failures=\"2\" startPeriod=\"60\">\
         <http url=\"http://127.0.0.1:${PS_PORT}/health.jsp\" match=\"well\"/></health>",
    );
    let mut all = Installation::new(&registry, &[jmx]);
    all.place.set("PS_JMX_PORT", &jmx.to_string());
    let place = &all.place;
    place.write(
        "tomcat/webapps/ROOT/health.jsp",
        "<% while (new java.io.File(\"hang\").exists()) Thread.sleep(50); %>well",
    );
    all.image_serving("start").assert_code(0);
    place.await_component("ps", "is healthy", |ps| ps["health"] == "ok");
    let old = place.pid("ps");

    place.write("hang", "");
    let folder = until("its dossier is there", || {
        let answer = place.get("/v1/components/ps/explain").json();
        answer["dossiers"][0]["path"].as_str().map(std::path::PathBuf::from)
    });
    fs::remove_file(place.path("hang")).expect("our file");
    let dump = fs::read_to_string(folder.join(format!("threads-{old}.txt")));
    let dump = dump.unwrap_or_else(|error| panic!("{error}: {:?}", fs::read_dir(&folder)));
    for part in ["Full thread dump", "health_jsp", "java.lang.Thread.sleep", "JNI global ref"] {
        assert!(dump.contains(part), "{part} is missing in\n{dump}");
    }
    let stacks = fs::read_to_string(folder.join("stacks.txt")).expect("the kernel's view");
    assert!(stacks.contains("http-nio") || stacks.contains("java"), "{stacks}");
    let summary = fs::read_to_string(folder.join("summary.json")).expect("a summary");
    assert!(summary.contains("/health.jsp no answer within 1 s"), "{summary}");

    all.await_successor("ps", old);
    all.image_serving("stop").assert_code(0);
    all.assert_all_gone();
}
