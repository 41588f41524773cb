//! Whole trees, on both levels.

use std::{
    fs,
    io::{BufRead, BufReader},
    ops::{Deref, DerefMut},
    os::fd::OwnedFd,
    thread,
    time::Instant,
};

use super::{super::child, *};
use crate::{
    model::RunId,
    process::{Notice, Signal, Tree, Watcher},
};

/// The levels that can be had here. Without cgroups the reason must say why.
fn levels() -> Vec<Level> {
    let probed = Ground::new(None);
    match probed.0.level() {
        Level::Cgroup => vec![Level::Cgroup, Level::Subreaper],
        level => {
            assert!(probed.0.reason().is_some_and(|reason| !reason.is_empty()));
            vec![level]
        }
    }
}

/// A tree that does not outlive its test.
struct Felled(Tree);

impl Deref for Felled {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        &self.0
    }
}

impl DerefMut for Felled {
    fn deref_mut(&mut self) -> &mut Tree {
        &mut self.0
    }
}

impl Drop for Felled {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
    }
}

/// Starts a script in a tree of its own; its lines can be read.
fn grow(
    ground: &Ground,
    name: &str,
    script: &str,
) -> (Felled, Child, impl Iterator<Item = String>) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut tree = ground.0.tree(&id(name), RunId(1)).expect("a tree");
    let launch = Launch { stdout: writer.into(), ..shell(script) };
    let child = spawn(&launch, Some(&mut tree)).expect("it starts");
    drop(launch);
    let lines = BufReader::new(reader).lines().map(|line| line.expect("text"));
    (Felled(tree), child, lines)
}

/// A process that we only know by number. Not a `Child`, which would make it a leader.
struct Held {
    pid: i32,
    pidfd: OwnedFd,
}

fn hold(pid: &str) -> Held {
    let pid = pid.parse().expect("a pid");
    Held { pid, pidfd: child::open(pid).expect("an answer").expect("it lives") }
}

/// Waits until these, and then all of the tree, have ended. A level without cgroups has no event
/// for that, so it is asked again and again.
#[expect(clippy::disallowed_methods, reason = "a bound for what should take milliseconds")]
fn await_empty(tree: &mut Tree, members: &[&Held]) {
    for member in members {
        await_readable(&member.pidfd);
    }
    let start = Instant::now();
    while !tree.is_empty() {
        assert!(start.elapsed() < LIMIT, "left: {:?}", tree.members());
        thread::yield_now();
    }
    assert_eq!(tree.members(), Vec::<i32>::new());
}

/// Ignores SIGTERM; has a child, and a grandchild in a session of its own whose parent is gone.
const STUBBORN: &str = "trap '' TERM; sleep 1000 & echo $!; \
    ( setsid sh -c 'trap \"\" TERM; echo $$; exec sleep 1000' & ); \
    echo ready; while :; do sleep 1000; done";

#[test]
fn a_stubborn_tree_with_an_escaped_grandchild_is_ended() {
    for level in levels() {
        let ground = Ground::new(Some(level));
        assert_eq!(ground.0.level(), level);
        let (mut tree, leader, lines) = grow(&ground, "stubborn", STUBBORN);
        let lines: Vec<_> = lines.take(3).collect();
        let others: Vec<_> =
            lines.iter().filter(|line| *line != "ready").map(|pid| hold(pid)).collect();
        assert_eq!(others.len(), 2, "{lines:?}");

        let members = tree.members();
        for pid in others.iter().map(|held| held.pid).chain([leader.pid()]) {
            assert!(members.contains(&pid), "{level:?}: {pid} in {members:?}");
        }
        assert!(!tree.is_empty());
        assert!(tree.signal(Signal::Term).expect("ours") >= 3, "{level:?}");
        assert_eq!(leader.reap().expect("we may ask"), None, "it ignores SIGTERM");

        tree.kill().expect("ours");
        assert_eq!(end_of(&leader), Exit::Signal { signal: 9, core: false });
        await_empty(&mut tree, &[&others[0], &others[1]]);
    }
}

#[test]
fn an_orphan_is_found_though_it_was_never_seen_before() {
    // Two forks and a new session: only the marker tells whose it is, where there is no cgroup.
    for level in levels() {
        let ground = Ground::new(Some(level));
        let script = "( setsid sh -c 'sleep 1000 & echo $!' & ) ; exit 0";
        let (mut tree, leader, mut lines) = grow(&ground, "daemon", script);
        let daemon = hold(&lines.next().expect("a line"));
        assert_eq!(end_of(&leader), Exit::Code(0));
        assert!(!tree.is_empty(), "{level:?}: the daemon lives on");
        tree.kill().expect("ours");
        await_empty(&mut tree, &[&daemon]);
    }
}

#[test]
fn a_tree_that_forks_all_the_time_is_ended() {
    for level in levels() {
        let ground = Ground::new(Some(level));
        let script = "echo go; while :; do ( sleep 0.01; sleep 0.01 ) & sleep 0.001; done";
        let (mut tree, leader, mut lines) = grow(&ground, "forking", script);
        assert_eq!(lines.next().as_deref(), Some("go"));
        tree.kill().expect("ours");
        assert_eq!(end_of(&leader), Exit::Signal { signal: 9, core: false });
        // The output ends when the last process that holds it has ended.
        assert_eq!(lines.count(), 0);
        await_empty(&mut tree, &[]);
    }
}

#[test]
fn trees_are_kept_apart() {
    for level in levels() {
        let ground = Ground::new(Some(level));
        let (mut one, first, _) = grow(&ground, "one", "sleep 1000 & wait");
        let (mut two, second, _) = grow(&ground, "two", "sleep 1000 & wait");
        one.kill().expect("ours");
        assert_eq!(end_of(&first), Exit::Signal { signal: 9, core: false });
        assert_eq!(second.reap().expect("we may ask"), None, "{level:?}: the other lives");
        assert!(two.members().contains(&second.pid()));
        two.kill().expect("ours");
        end_of(&second);
    }
}

#[test]
fn an_emptied_cgroup_is_told_renewed_and_removed() {
    if !levels().contains(&Level::Cgroup) {
        return; // levels() has asserted that the reason is known
    }
    let ground = Ground::new(Some(Level::Cgroup));
    let mut watcher = Watcher::new().expect("an epoll");
    let mut notices = Vec::new();
    let (mut tree, leader, mut lines) = grow(&ground, "is", "sleep 1000 & echo $!; exit 0");
    assert!(watcher.add_tree(&tree, 7).expect("added"));
    let folder = tree.folder().expect("a cgroup").to_owned();
    lines.next().expect("a line");
    end_of(&leader);
    watcher.poll(&mut notices).expect("an answer");
    assert_eq!(notices, [], "somebody is left in it");

    // While it is populated another run gets a folder of its own.
    let other = ground.0.tree(&id("is"), RunId(2)).expect("a tree");
    assert_eq!(other.folder().and_then(|it| it.file_name()), Some("component-is@2".as_ref()));
    assert_eq!(ground.0.leftovers().len(), 1);
    assert_eq!(ground.0.leftovers()[0].component, id("is"));
    assert_eq!(ground.0.leftovers()[0].pids, tree.members());

    tree.kill().expect("ours");
    await_readable(&watcher);
    watcher.poll(&mut notices).expect("an answer");
    assert_eq!(notices, [Notice::TreeEmpty { token: 7 }]);
    assert!(tree.is_empty());
    watcher.remove_tree(7);

    // A cgroup that was killed kills whoever is born into it, so the next run gets a fresh one.
    let (again, second, mut lines) = grow(&ground, "is", "echo up; exec sleep 1000");
    assert_eq!(again.folder(), Some(folder.as_path()));
    assert_eq!(lines.next().as_deref(), Some("up"));
    assert!(tree.is_empty(), "the former run's tree knows nothing of the new one");
    tree.kill().expect("no error");
    assert_eq!(tree.signal(Signal::Kill).expect("no error"), 0);
    assert_eq!(second.reap().expect("we may ask"), None);
    drop(again);
    end_of(&second);
    await_empty(&mut tree, &[]);
    drop(tree);
    drop(other);
    ground.0.remove();
    assert!(!folder.parent().expect("the base").exists());
}

#[test]
fn an_adopted_leader_brings_its_tree() {
    for level in levels() {
        let ground = Ground::new(Some(level));
        let (_first, leader, mut lines) = grow(&ground, "adopted", "sleep 1000 & echo $!; wait");
        let member = hold(&lines.next().expect("a line"));
        let adopted = Child::adopt(leader.pid(), leader.start_time()).expect("an answer");
        let adopted = adopted.expect("it lives");
        let mut tree = ground.0.adopt(&id("adopted"), RunId(1), &adopted);
        assert_eq!(tree.folder().is_some(), level == Level::Cgroup);
        assert!(tree.members().contains(&member.pid));
        tree.kill().expect("ours");
        end_of(&adopted);
        await_empty(&mut tree, &[&member]);
    }
}

#[test]
fn a_tree_ends_when_nothing_of_it_lives_and_what_it_used_is_known_where_it_is_counted() {
    for level in levels() {
        let ground = Ground::new(Some(level));
        let (mut tree, leader, mut lines) = grow(&ground, "busy", "echo go; exec sleep 1000");
        assert_eq!(lines.next().as_deref(), Some("go"));
        assert_eq!(tree.end(), None, "{level:?}: it lives");
        tree.kill().expect("ours");
        end_of(&leader);
        let used = loop {
            match tree.end() {
                Some(end) => break end.used,
                None => thread::yield_now(),
            }
        };
        assert_eq!(used.is_some_and(|used| !used.is_zero()), level == Level::Cgroup, "{used:?}");
    }
}

#[test]
fn a_thousand_folders_come_and_go() {
    if !levels().contains(&Level::Cgroup) {
        return; // levels() has asserted that the reason is known
    }
    let ground = Ground::new(Some(Level::Cgroup));
    let trees: Vec<_> = (0..1000)
        .map(|number| {
            let id = id(&format!("c{number}"));
            let mut tree = ground.0.tree(&id, RunId(number)).expect("a tree");
            let _as_for_a_birth = tree.cgroup().expect("open");
            tree
        })
        .collect();
    let base = trees[0].folder().and_then(|folder| folder.parent()).expect("the base").to_owned();
    let folders = fs::read_dir(&base).expect("readable").flatten();
    let count = folders.filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir())).count();
    assert_eq!(count, 1000);
    let open = fs::read_dir("/proc/self/fd").expect("readable").flatten();
    let held = open.filter_map(|it| fs::read_link(it.path()).ok());
    assert_eq!(held.filter(|path| path.starts_with(&base)).count(), 0, "held without a need");
    drop(trees);
    ground.0.remove();
    assert!(!base.exists());
}
