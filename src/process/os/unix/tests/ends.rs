//! Ends: exits, signals, adoption, notices.

use std::io::{BufRead, BufReader};

use super::{super::stat::Stat, *};
use crate::process::{Delivery, Notice, Signal, Watcher, start_time};

#[test]
fn exits_and_signals_are_told_as_they_were() {
    for code in [0, 1, 77, 255] {
        let child = spawn(&shell(&format!("exit {code}")), None).expect("it starts");
        assert_eq!(end_of(&child), Exit::Code(code));
    }
    let signals = [
        (Signal::Term, 15),
        (Signal::Int, 2),
        (Signal::Hup, 1),
        (Signal::Usr1, 10),
        (Signal::Kill, 9),
    ];
    for (signal, number) in signals {
        let child = spawn(&launch("sleep", &["1000"]), None).expect("it starts");
        assert_eq!(child.reap().expect("we may ask"), None, "it lives");
        assert_eq!(child.signal(signal).expect("ours"), Delivery::Delivered);
        assert_eq!(end_of(&child), Exit::Signal { signal: number, core: false });
    }
}

#[test]
fn a_signal_after_the_end_is_already_gone() {
    let child = spawn(&shell("exit 3"), None).expect("it starts");
    await_readable(&child);
    assert_eq!(child.signal(Signal::Term).expect("no error"), Delivery::AlreadyGone, "a zombie");
    assert_eq!(child.reap().expect("we may ask"), Some(Exit::Code(3)));
    assert_eq!(child.signal(Signal::Term).expect("no error"), Delivery::AlreadyGone, "reaped");
}

#[test]
fn a_pidfd_that_was_kept_is_believed_only_if_it_is_that_of_the_process() {
    let sleep = || spawn(&launch("sleep", &["60"]), None).expect("it starts");
    let (first, second) = (sleep(), sleep());
    let pidfd = |child: &Child| child.as_fd().try_clone_to_owned().expect("a copy");
    let held = |child: &Child, pidfd| {
        let held = Child::held(child.pid(), child.start_time(), pidfd).expect("an answer");
        held.expect("it lives")
    };
    for pidfd in [pidfd(&first), pidfd(&second)] {
        assert_eq!(held(&first, pidfd).signal(Signal::Cont).expect("ours"), Delivery::Delivered);
    }
    let stale = pidfd(&second);
    second.signal(Signal::Kill).expect("ours");
    assert_eq!(end_of(&second), Exit::Signal { signal: 9, core: false });
    let by_number = held(&first, stale.try_clone().expect("a copy"));
    assert!(by_number.lives(), "that of another, which is gone");
    let gone = Child::held(second.pid(), second.start_time(), stale).expect("an answer");
    assert!(!gone.expect("its own").lives());
    first.signal(Signal::Kill).expect("ours");
    end_of(&first);
}

#[test]
fn adoption_believes_a_pid_only_with_its_start_time() {
    let child = spawn(&launch("sleep", &["1000"]), None).expect("it starts");
    let (pid, since) = (child.pid(), child.start_time());
    assert_eq!(start_time(pid).expect("readable"), Some(since));

    assert!(Child::adopt(pid, since + 1).expect("an answer").is_none(), "another process's pid");
    assert!(Child::adopt(5_000_000, since).expect("an answer").is_none(), "nobody's pid");
    let adopted = Child::adopt(pid, since).expect("an answer").expect("it is that process");
    assert_eq!(adopted.signal(Signal::Kill).expect("ours"), Delivery::Delivered);
    assert_eq!(end_of(&adopted), Exit::Signal { signal: 9, core: false });
    assert!(Child::adopt(pid, since).expect("an answer").is_none(), "it is gone");
}

#[test]
fn the_exit_of_anothers_child_is_told_before_and_after_its_reap() {
    let ends = [
        ("exec sleep 1000", Signal::Term, Exit::Signal { signal: 15, core: false }),
        ("kill -STOP $$; exit 42", Signal::Cont, Exit::Code(42)),
    ];
    for (script, signal, expected) in ends {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let shell = shell(&format!("sh -c '{script}' & echo $!; wait $!; echo reaped"));
        let shell = Launch { stdout: writer.into(), ..shell };
        let parent = spawn(&shell, None).expect("it starts");
        drop(shell);
        let mut lines = BufReader::new(reader).lines().map(|line| line.expect("text"));
        let pid: i32 = lines.next().expect("a line").parse().expect("a pid");
        let since = start_time(pid).expect("readable").expect("it lives");
        let adopt = || Child::adopt(pid, since).expect("an answer").expect("it is that process");
        let (before, after) = (adopt(), adopt());
        assert_eq!(before.reap().expect("we may ask"), None, "it lives");

        // A parent that is stopped does not reap.
        parent.signal(Signal::Stop).expect("ours");
        if signal == Signal::Cont {
            await_state(pid, b'T');
        }
        assert_eq!(before.signal(signal).expect("ours"), Delivery::Delivered);
        await_readable(&before);
        assert_eq!(before.reap().expect("we may ask"), Some(expected), "as a zombie");

        parent.signal(Signal::Cont).expect("ours");
        assert_eq!(lines.next().as_deref(), Some("reaped"));
        let remembered = after.reap().expect("we may ask").expect("it has ended");
        // Linux 6.15 and later remember; before, it cannot be known, and is said to be unknown.
        assert!(remembered == expected || (remembered == Exit::Unknown && !kernel_remembers()));
        end_of(&parent);
    }
}

fn await_state(pid: i32, state: u8) {
    while Stat::of(pid).expect("readable").expect("it lives").state != state {
        std::thread::yield_now();
    }
}

fn kernel_remembers() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("readable");
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn the_watcher_tells_each_end_once() {
    let mut watcher = Watcher::new().expect("an epoll");
    let ended = spawn(&shell("exit 1"), None).expect("it starts");
    await_readable(&ended);
    let living = spawn(&launch("sleep", &["1000"]), None).expect("it starts");
    watcher.add_child(&ended, 1).expect("added");
    watcher.add_child(&living, 2).expect("added");

    let mut notices = Vec::new();
    await_readable(&watcher);
    watcher.poll(&mut notices).expect("an answer");
    assert_eq!(notices, [Notice::Exited { token: 1 }], "it had ended before it was added");
    watcher.poll(&mut notices).expect("an answer");
    assert_eq!(notices.len(), 1, "not again, though it was not reaped");

    notices.clear();
    living.signal(Signal::Kill).expect("ours");
    await_readable(&watcher);
    watcher.poll(&mut notices).expect("an answer");
    assert_eq!(notices, [Notice::Exited { token: 2 }]);
    end_of(&living);
    end_of(&ended);

    let forgotten = spawn(&launch("sleep", &["1000"]), None).expect("it starts");
    watcher.add_child(&forgotten, 3).expect("added");
    watcher.remove_child(&forgotten);
    forgotten.signal(Signal::Kill).expect("ours");
    end_of(&forgotten);
    notices.clear();
    watcher.poll(&mut notices).expect("an answer");
    assert_eq!(notices, []);
}

#[test]
fn many_ends_at_once_are_all_told() {
    let mut watcher = Watcher::new().expect("an epoll");
    let children: Vec<_> = (0..300)
        .map(|token| {
            let child = spawn(&launch("sleep", &["1000"]), None).expect("it starts");
            watcher.add_child(&child, token).expect("added");
            child
        })
        .collect();
    for child in &children {
        child.signal(Signal::Kill).expect("ours");
        await_readable(child);
    }
    let mut notices = Vec::new();
    watcher.poll(&mut notices).expect("an answer");
    let mut tokens: Vec<_> = notices
        .into_iter()
        .map(|notice| match notice {
            Notice::Exited { token } => token,
            Notice::TreeEmpty { .. } => panic!("no tree was added"),
        })
        .collect();
    tokens.sort_unstable();
    assert!(tokens.into_iter().eq(0..300));
    for child in &children {
        end_of(child);
    }
}
