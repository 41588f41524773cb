//! Ends: exits, signals, adoption, notices.

use std::io::{BufRead, BufReader};

use super::*;
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

/// A grandchild that its parent reaps, and how it ended as the parent saw it.
#[test]
fn the_exit_of_anothers_child_is_told_before_and_after_its_reap() {
    // The shell's own child waits for a line, then exits with 42; the shell waits for another
    // line before it reaps: `wait` is what reaps in a non-interactive shell with a running job.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut parent = launch(
        "/usr/bin/perl",
        &[
            "-e",
            "$|=1; my $p=fork; if(!$p){ $SIG{TERM}=sub{exit 42}; sleep 1000 while 1 } \
             print \"$p\\n\"; $SIG{USR1}=sub{waitpid $p,0; print \"reaped\\n\"}; sleep 1000 while 1",
        ],
    );
    parent.stdout = writer.into();
    let parent_process = spawn(&parent, None).expect("it starts");
    drop(parent);
    let mut lines = BufReader::new(reader).lines().map(|line| line.expect("text"));
    let pid: i32 = lines.next().expect("a line").parse().expect("a pid");
    let since = start_time(pid).expect("readable").expect("it lives");

    let before = Child::adopt(pid, since).expect("an answer").expect("it is that process");
    let after = Child::adopt(pid, since).expect("an answer").expect("it is that process");
    assert_eq!(before.reap().expect("we may ask"), None, "it lives");

    // Its handler may not be set yet, then it ends by the signal: both are told exactly.
    assert_eq!(before.signal(Signal::Term).expect("ours"), Delivery::Delivered);
    await_readable(&before);
    let told = before.reap().expect("we may ask").expect("it has ended");
    let exact = [Exit::Code(42), Exit::Signal { signal: 15, core: false }];
    assert!(exact.contains(&told), "as a zombie: {told:?}");

    assert_eq!(parent_process.signal(Signal::Usr1).expect("ours"), Delivery::Delivered);
    assert_eq!(lines.next().as_deref(), Some("reaped"));
    await_events(&after, PollFlags::IN);
    let remembered = after.reap().expect("we may ask").expect("it has ended");
    // Linux 6.15 and later remember; before, it cannot be known, and is said to be unknown.
    assert!(remembered == told || (remembered == Exit::Unknown && !kernel_remembers()));

    parent_process.signal(Signal::Kill).expect("ours");
    end_of(&parent_process);
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
