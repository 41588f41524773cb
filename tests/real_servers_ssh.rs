//! `ssh://` through a real login: an sshd of our own on loopback, with its own key, port and
//! list of keys, and the operator's own ssh.
//!
//! Needs Debian's openssh-server and openssh-client, hence the feature; where one of them is
//! missing the tests fail and say so.

#![cfg(feature = "real-servers")]
#![expect(
    clippy::disallowed_methods,
    reason = "the tests stand outside of the engine: they start programs and look at the clock"
)]

#[expect(
    dead_code,
    reason = "the harness serves the acceptance tests first, this crate uses a part of it"
)]
mod support;
#[expect(dead_code, reason = "the harness of the console's own tests, of which a part is used")]
#[path = "console/terminal.rs"]
mod terminal;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::Signal;
use s7supervisor::{
    client::{Client, Endpoint, SshOptions},
    console::{
        feed::{self, Ask, Feed, Link, News},
        link,
    },
    wire::{Access, Update, Verb},
};
use support::{
    PATIENCE, Place, Registry, Server, free_port,
    place::{finish, pid_of, text},
    processes, until,
};
use terminal::Terminal;

/// An sshd that knows one key, and what is needed to log in there.
struct Sshd {
    folder: tempfile::TempDir,
    port: u16,
    listener: Option<Child>,
}

impl Sshd {
    fn new() -> Self {
        for needed in ["/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"] {
            assert!(Path::new(needed).exists(), "{needed} is not installed");
        }
        assert!(
            Path::new("/run/sshd").exists() || !rustix::process::geteuid().is_root(),
            "root's sshd needs the folder /run/sshd; .ci/run makes it"
        );
        let folder = tempfile::Builder::new().prefix("s7t-ssh-").tempdir().expect("a folder");
        for key in ["host", "login", "stranger"] {
            let mut command = Command::new("/usr/bin/ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.path().join(key));
            finish(command).assert_code(0);
        }
        let port = free_port();
        let file = |name: &str| text(&folder.path().join(name)).to_owned();
        let read = |name: &str| fs::read_to_string(file(name)).expect("made by ssh-keygen");
        let write = |name: &str, text: String| fs::write(file(name), text).expect("our folder");
        let binary = Path::new(env!("CARGO_BIN_EXE_s7supervisor"));
        let path = text(binary.parent().expect("a file stands in a folder"));
        write("authorized_keys", read("login.pub"));
        write("known_hosts", format!("[127.0.0.1]:{port} {}", read("host.pub")));
        let config = [
            format!("Port {port}"),
            "ListenAddress 127.0.0.1".to_owned(),
            format!("HostKey {}", file("host")),
            format!("AuthorizedKeysFile {}", file("authorized_keys")),
            "PidFile none".to_owned(),
            "PermitRootLogin prohibit-password".to_owned(),
            "PasswordAuthentication no".to_owned(),
            "KbdInteractiveAuthentication no".to_owned(),
            "UsePAM no".to_owned(),
            // Parents of the temporary folder may be open to everybody.
            "StrictModes no".to_owned(),
            format!("SetEnv PATH={path}:/usr/bin:/bin S7_TEST_SSH={}", text(folder.path())),
        ];
        write("config", config.join("\n") + "\n");
        let mut sshd = Self { folder, port, listener: None };
        sshd.start();
        sshd
    }

    fn start(&mut self) {
        let log = self.folder.path().join("log");
        let log = fs::File::options().create(true).append(true).open(log).expect("our folder");
        let before = self.log().matches("Server listening").count();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(self.folder.path().join("config"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.listener = Some(command.spawn().expect("sshd can be started"));
        until("sshd listens", || {
            (self.log().matches("Server listening").count() > before).then_some(())
        });
    }

    /// Ends the listener and every login, as when the machine goes down.
    fn stop(&mut self) {
        let Some(mut listener) = self.listener.take() else { return };
        let of_listener =
            |pid: &u32| processes::stat(*pid).is_some_and(|stat| stat.parent == listener.id());
        let all = fs::read_dir("/proc").expect("/proc is mounted").flatten();
        let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let logins: Vec<u32> = all.filter(of_listener).collect();
        for pid in logins {
            processes::signal(pid, Signal::KILL);
        }
        listener.kill().expect("our child");
        listener.wait().expect("our child");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until no ssh and no `dial-stdio` of ours is left; the listener may stay.
    #[track_caller]
    fn assert_nobody_is_left(&self) {
        let listener = self.listener.as_ref().map(Child::id);
        until("every ssh and dial-stdio has ended", || {
            let left = processes::marked(self.folder.path());
            left.iter().all(|process| Some(process.pid) == listener).then_some(())
        });
    }

    fn logins(&self) -> usize {
        self.log().matches("Accepted publickey").count()
    }

    /// The operator's ssh: with this key and the known hosts, and nothing of this machine's own
    /// configuration. It runs in our folder, so that nothing it leaves is overlooked.
    fn ssh(&self, key: &str, hosts: &str) -> String {
        let folder = text(self.folder.path());
        format!(
            "env -C {folder} ssh -F none -i {folder}/{key} -o IdentitiesOnly=yes -o IdentityAgent=none \
             -o UserKnownHostsFile={folder}/{hosts} -o GlobalKnownHostsFile=none \
             -o StrictHostKeyChecking=yes"
        )
    }

    fn target(&self) -> String {
        format!("ssh://127.0.0.1:{}", self.port)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn place() -> Place {
    Place::new(&Registry::of([Server::sleep("a"), Server::sleep("b")]))
}

#[test]
fn commands_work_over_a_login() {
    let place = place();
    let sshd = Sshd::new();
    let host = sshd.target();
    let ssh = |key: &str, hosts: &str, words: &str| {
        let mut command = place.command();
        command.env("S7_SSH", sshd.ssh(key, hosts)).args(["--host", &host]);
        command.args(words.split_whitespace());
        finish(command)
    };
    let well = |words: &str| ssh("login", "known_hosts", words);

    well("status").assert_code(3);
    well("stop").assert_code(0);
    let supervisor = place.start();
    let status = well("status");
    status.assert_code(0);
    let pid = place.running("a");
    assert!(status.stdout.contains(&pid.to_string()), "{status:?}");
    let json = well("status --json");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("one object");
    assert_eq!(json["supervisor"]["pid"], supervisor.pid());

    // However long it waits and however often it asks: one login.
    let before = sshd.logins();
    well("restart a").assert_code(0);
    assert_eq!(sshd.logins(), before + 1, "{}", sshd.log());
    assert_ne!(pid_of(&place.component("a")), pid);
    let events = well("events --json").stdout;
    let asked = events.lines().find(|line| line.contains("restart asked")).expect("it is recorded");
    assert!(asked.contains(" over ssh from ") && asked.contains("(cli)"), "{asked}");
    well("restart nonesuch").assert_code(2);
    well("explain b").assert_code(0);

    let both = well(&format!("status --host unix:{}", text(&place.path("temp/supervisor.sock"))));
    both.assert_code(0);
    assert_eq!(both.stdout.matches(&format!("{} ", place.pid("b"))).count(), 2, "{}", both.stdout);

    // Each trouble says what it is, and what to do.
    let refused = ssh("stranger", "known_hosts", "status");
    refused.assert_code(77);
    assert!(refused.stderr.contains("Permission denied (publickey"), "{refused:?}");
    let unknown = ssh("login", "nobody", "status");
    unknown.assert_code(77);
    assert!(unknown.stderr.contains("Host key verification failed"), "{unknown:?}");
    assert!(unknown.stderr.contains(&format!("run `ssh {host}` once")), "{unknown:?}");
    let mut command = place.command();
    command.env("S7_SSH", sshd.ssh("login", "known_hosts")).env("S7_REMOTE_PROGRAM", "nonesuch");
    command.args(["--host", &host, "status"]);
    let missing = finish(command);
    missing.assert_code(69);
    assert!(missing.stderr.contains("S7_REMOTE_PROGRAM"), "{missing:?}");

    well("stop").assert_code(0);
    supervisor.ended();
    // Neither ssh nor what keeps its login, nor anything at the other end.
    sshd.assert_nobody_is_left();
}

/// The console's end of a link over ssh, with a thread that serves it.
struct Attached {
    feed: Feed,
    served: std::thread::JoinHandle<()>,
}

impl Attached {
    fn new(sshd: &Sshd, place: &Place) -> Self {
        let options = SshOptions {
            program: SshOptions::program_of(&sshd.ssh("login", "known_hosts")).expect("words"),
            remote_program: vec!["s7supervisor".to_owned()],
            remote_arguments: vec!["-i".to_owned(), text(&place.path("")).to_owned()],
        };
        let endpoint: Endpoint = sshd.target().parse().expect("well-formed");
        let client = Client::new(endpoint.with_ssh(options), "console");
        let client = client.with_one_login().expect("a folder for it");
        client.ask_nothing();
        let (feed, remote, requests) = feed::channel(vec![sshd.target()]).expect("a socket pair");
        let served = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(link::attach(remote, requests, vec![client]));
        });
        Self { feed, served }
    }

    /// The first news that these words are found for; all others before it are passed over.
    #[track_caller]
    fn news<T>(&mut self, what: &str, mut wanted: impl FnMut(News) -> Option<T>) -> T {
        support::within(PATIENCE * 2, what, || {
            while let Some(incoming) = self.feed.try_next() {
                if let Some(found) = wanted(incoming.news) {
                    return Some(found);
                }
            }
            None
        })
    }

    #[track_caller]
    fn snapshot(&mut self) -> s7supervisor::wire::Snapshot {
        self.news("a snapshot", |news| match news {
            News::Update(message) => match message.update {
                Update::Snapshot(snapshot) => Some(*snapshot),
                _ => None,
            },
            _ => None,
        })
    }

    #[track_caller]
    fn sample(&mut self) {
        self.news("figures come", |news| match news {
            News::Update(message) => matches!(message.update, Update::Sample(_)).then_some(()),
            _ => None,
        });
    }

    #[track_caller]
    fn lost(&mut self) -> String {
        self.news("the link is lost", |news| match news {
            News::Link(Link::Lost { why, .. }) => Some(why),
            _ => None,
        })
    }

    fn leave(self) {
        drop(self.feed);
        self.served.join().expect("no panic");
    }
}

#[test]
fn a_console_stays_attached_over_restarts_at_the_other_end() {
    let place = place();
    let mut sshd = Sshd::new();
    let first = place.start();
    let mut console = Attached::new(&sshd, &place);
    let snapshot = console.snapshot();
    assert_eq!(snapshot.access, Access::Full);
    assert_eq!(snapshot.status.supervisor.pid, first.pid());
    place.running("a");
    console.sample();
    let before = place.pid("a");
    let command =
        Ask::Command { number: 1, verb: Verb::Restart, ids: vec!["a".to_owned()], if_run: None };
    console.feed.ask(feed::Request { host: 0, ask: command });
    console.news("it runs again", |news| match news {
        News::Update(message) => match message.update {
            Update::Component { component } => {
                let anew = component.pid.is_some_and(|pid| pid != before);
                (component.id == "a" && anew).then_some(())
            }
            _ => None,
        },
        _ => None,
    });
    assert_eq!(sshd.logins(), 1, "one for the stream and the command: {}", sshd.log());

    // The daemon goes and comes: lost, then the truth of the new one.
    first.signal(Signal::TERM);
    first.ended();
    let why = console.lost();
    assert!(
        why.contains("closed") || why.contains("not running") || why.contains("broke"),
        "{why}"
    );
    let second = place.start();
    assert_eq!(console.snapshot().status.supervisor.pid, second.pid());
    assert_eq!(sshd.logins(), 1, "the login outlives the daemon: {}", sshd.log());

    // The machine goes and comes.
    sshd.stop();
    console.lost();
    sshd.start();
    console.feed.ask(feed::Request { host: 0, ask: Ask::Reconnect });
    // Where it broke, or anew: the daemon remembers for a while.
    console.news("what is shown is true again", |news| match news {
        News::Link(Link::Resumed) => Some(()),
        News::Update(message) => matches!(message.update, Update::Snapshot(_)).then_some(()),
        _ => None,
    });
    console.sample();

    console.leave();
    sshd.assert_nobody_is_left();
    second.stop();
}

#[test]
fn the_screen_over_ssh_is_stale_while_the_daemon_is_away_and_then_live_again() {
    let mut place = place();
    let sshd = Sshd::new();
    place.set("S7_SSH", &sshd.ssh("login", "known_hosts"));
    let first = place.start();
    let pid = place.running("a");
    let mut terminal = Terminal::open(&place, &["console", "--host", &sshd.target()]);
    terminal.row("a", &["running", &pid.to_string()]);
    terminal.press("r");
    terminal.press("r");
    let again = terminal.until("another pid of a", |screen| {
        let line = screen.lines().find(|line| line.contains(" a ") && line.contains("running"))?;
        (!line.contains(&pid.to_string())).then(|| line.to_owned())
    });
    assert!(again.contains(&place.pid("a").to_string()), "{again}");
    // Its log over the same login.
    terminal.press("l");
    terminal.shows("run 3 started");
    terminal.press("\u{1b}");

    first.signal(Signal::TERM);
    first.ended();
    terminal.shows("STALE");
    let second = place.start();
    terminal.shows_no("STALE");
    terminal.row("a", &["running", &place.running("a").to_string()]);
    assert_eq!(sshd.logins(), 1, "{}", sshd.log());
    terminal.press("q");
    terminal.ends_with(0);
    terminal.is_restored();
    until("the other end has gone, too", || {
        let dials = |command: &str| command.contains("dial-stdio");
        (!place.processes().iter().any(|process| dials(&process.command))).then_some(())
    });
    second.stop();
    sshd.assert_nobody_is_left();
}
