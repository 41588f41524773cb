//! `exec` with real commands, by either way in which process trees are known.

use std::{
    ffi::OsString,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use super::*;
use crate::{
    process::{Containment, Launch, Level},
    registry::Limits,
};

type LaunchFn =
    dyn Fn(RunId, &ComponentId, OwnedFd, OwnedFd) -> Result<Launch, String> + Send + Sync;

/// A runner whose commands run as this test does, in this folder.
struct Bench {
    containment: Containment,
    runner: Runner,
    launch_of: Arc<LaunchFn>,
    folder: TempDir,
}

impl Bench {
    fn new(level: Level) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = folder.path().file_name().expect("it has a name").to_string_lossy();
        let containment = Containment::probe(&format!("probes-{name}"), Some(level));
        let working_directory = folder.path().to_owned();
        let launch_of: Arc<LaunchFn> = Arc::new(move |_run, _id, stdout, stderr| {
            let variable = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
            let path = std::env::var("PATH").map_err(|error| error.to_string())?;
            Ok(Launch {
                executable: PathBuf::from("/the/component"),
                arguments: vec!["its".into(), "own".into()],
                environment: vec![variable("PATH", &path), variable("NOTIFY_SOCKET", "/x")],
                working_directory: working_directory.clone(),
                user: None,
                group: None,
                umask: None,
                limits: Limits::default(),
                stdout,
                stderr,
            })
        });
        let of = Arc::clone(&launch_of);
        let runner = Runner::new(
            containment.clone(),
            Box::new(move |run, id, out, err| of(run, id, out, err)),
        );
        Self { containment, runner, launch_of, folder }
    }

    fn run(&self, script: &str) -> Task<Result<CommandEnd, CommandError>> {
        self.command(&["sh", "-c", script])
    }

    fn command(&self, words: &[&str]) -> Task<Result<CommandEnd, CommandError>> {
        let id = ComponentId::new("ps").expect("a good id");
        let command = words.iter().map(ToString::to_string).collect();
        self.runner.run(CommandRequest { run: RUN, id, command })
    }

    /// The pid that a script writes to this file.
    async fn pid(&self, file: &str) -> u32 {
        let path = self.folder.path().join(file);
        let read = || std::fs::read_to_string(&path).ok()?.strip_suffix('\n')?.parse().ok();
        eventually("the script writes a pid", read).await
    }

    /// Waits until all that was started is gone, its cgroups included.
    async fn end(self) {
        eventually("the command is buried", || {
            let lone_runner = self.runner.is_idle();
            lone_runner.then_some(())
        })
        .await;
        self.containment.remove();
    }
}

async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within 10 s");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until this process is gone, or is but a zombie that waits for its new parent.
async fn gone(pid: u32) {
    eventually("it is killed", || is_gone(pid).then_some(())).await;
}

fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    let is_dead = |stat: String| stat.rsplit(')').next().is_some_and(|s| s.starts_with(" Z"));
    stat.map_or(true, is_dead)
}

/// Runs a test by either means.
macro_rules! at_both_levels {
    ($($name:ident($bench:ident) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn test($bench: Bench) $body

            #[tokio::test]
            async fn with_cgroups_where_there_are_any() {
                test(Bench::new(Level::Cgroup)).await;
            }

            #[tokio::test]
            async fn without_cgroups() {
                test(Bench::new(Level::Subreaper)).await;
            }
        }
    )*};
}

at_both_levels! {
    an_end_with_its_output(bench) {
        let end = bench.run("echo one; echo two >&2; exit 3").await.expect("it runs");
        assert_eq!(end, CommandEnd { exit: Exit::Code(3), output: b"one\ntwo\n".to_vec() });
        let end = bench.run("kill -9 $$").await.expect("the first is no hindrance");
        assert_eq!(end.exit, Exit::Signal { signal: 9, core: false });
        bench.end().await;
    }

    a_command_that_is_dropped_dies_with_its_whole_tree(bench) {
        let script = "setsid sh -c 'echo $$ >grandchild; exec sleep 1000' & echo $$ >leader; wait";
        let running = tokio::spawn(bench.run(script));
        let (leader, grandchild) = (bench.pid("leader").await, bench.pid("grandchild").await);
        running.abort();
        gone(leader).await;
        gone(grandchild).await;
        bench.end().await;
    }

    the_end_of_a_command_is_not_the_end_of_its_component(bench) {
        let id = ComponentId::new("ps").expect("a good id");
        let null = || std::fs::File::create("/dev/null").expect("it is there").into();
        let mut launch = (bench.launch_of)(RUN, &id, null(), null()).expect("a launch");
        launch.executable = PathBuf::from("sh");
        // Its daemon starts while the command runs, and becomes our child.
        let script = "while ! test -e go; do sleep 0.01; done
            (setsid sh -c 'echo $$ >daemon; exec sleep 1000' &); exec sleep 1000";
        launch.arguments = vec!["-c".into(), script.into()];
        let mut tree = bench.containment.tree(&id, RUN).expect("a tree");
        let component = crate::process::spawn(&launch, Some(&mut tree)).expect("it starts");
        let script = "touch go; while ! test -s daemon; do sleep 0.01; done";
        bench.run(script).await.expect("it runs");
        let daemon = bench.pid("daemon").await;
        eventually("the command is buried", || bench.runner.is_idle().then_some(())).await;
        assert_eq!(component.reap().expect("it can be asked"), None, "it lives");
        assert!(!is_gone(daemon), "and so does its daemon");
        tree.kill().expect("it is ours");
        let exit = eventually("it ends", || component.reap().expect("it can be asked")).await;
        assert_eq!(exit, Exit::Signal { signal: 9, core: false });
        eventually("its tree is empty", || tree.is_empty().then_some(())).await;
        tree.remove();
        bench.end().await;
    }

    what_a_command_leaves_behind_is_killed_and_not_waited_for(bench) {
        let script = "setsid sh -c 'echo $$ >daemon; exec sleep 1000' &
            while ! test -s daemon; do :; done; echo done";
        let end = tokio::time::timeout(Duration::from_secs(10), bench.run(script)).await;
        let end = end.expect("the daemon holds the pipe, but is not waited for").expect("it runs");
        assert_eq!(end, CommandEnd { exit: Exit::Code(0), output: b"done\n".to_vec() });
        gone(bench.pid("daemon").await).await;
        bench.end().await;
    }
}

#[tokio::test]
async fn of_much_output_the_end_is_kept() {
    let bench = Bench::new(Level::Subreaper);
    let end = bench.run("head -c 3000000 /dev/zero; echo; echo the end").await.expect("it runs");
    assert_eq!(end.output.len(), CommandEnd::TAIL);
    assert!(end.output.ends_with(b"\0\nthe end\n"));
    bench.end().await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_named() {
    let bench = Bench::new(Level::Subreaper);
    let error = bench.command(&["no-such-command"]).await.expect_err("there is none");
    assert!(error.to_string().starts_with("cannot execute no-such-command"), "{error}");
    bench.end().await;
}

#[tokio::test]
async fn a_command_cannot_speak_for_its_component() {
    let bench = Bench::new(Level::Subreaper);
    let end = bench.run("echo \"[$NOTIFY_SOCKET] $PWD\"").await.expect("it runs");
    let expected = format!("[] {}\n", bench.folder.path().display());
    assert_eq!(String::from_utf8_lossy(&end.output), expected);
    bench.end().await;
}
