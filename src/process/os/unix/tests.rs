//! Real processes: how they start, what they inherit, how they end.

mod ends;
mod starts;
mod trees;

use std::{
    ffi::OsString,
    io::Read,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Child, Containment, spawn};
use crate::{
    model::{ComponentId, Exit},
    process::{Launch, Level, SpawnError},
    registry::Limits,
};

/// Far above what anything here takes, so that a fault fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(30);

/// A launch whose output goes nowhere.
fn launch(executable: &str, arguments: &[&str]) -> Launch {
    let null = || {
        let file = std::fs::OpenOptions::new().write(true).open("/dev/null");
        file.expect("the null device is there").into()
    };
    Launch {
        executable: PathBuf::from(executable),
        arguments: arguments.iter().map(OsString::from).collect(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        working_directory: PathBuf::from("/"),
        user: None,
        group: None,
        umask: None,
        limits: Limits::default(),
        stdout: null(),
        stderr: null(),
    }
}

fn shell(script: &str) -> Launch {
    launch("/bin/sh", &["-c", script])
}

/// Starts it, and returns what it wrote to its standard output, and its end.
fn output_of(mut launch: Launch) -> Result<(String, Exit), SpawnError> {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    launch.stdout = writer.into();
    let child = spawn(&launch, None)?;
    drop(launch);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    Ok((text, end_of(&child)))
}

/// Waits for its end and reaps it.
fn end_of(child: &Child) -> Exit {
    await_readable(child);
    child.reap().expect("we may ask").expect("it has ended")
}

fn await_readable(descriptor: &impl AsFd) {
    let mut descriptors = [PollFd::new(descriptor, PollFlags::IN)];
    let timeout = Timespec::try_from(LIMIT).expect("it is small");
    let ready = poll(&mut descriptors, Some(&timeout)).expect("we may wait");
    assert_eq!(ready, 1, "nothing happened within {LIMIT:?}");
}

/// A containment of this test's own, whose cgroups are removed at the end.
struct Ground(Containment);

impl Ground {
    fn new(level: Option<Level>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{}-{number}", std::process::id());
        Self(Containment::probe(&name, level))
    }
}

impl Drop for Ground {
    /// What a test has killed may still be dying.
    fn drop(&mut self) {
        let folder = self.0.folder().map(Path::to_owned);
        self.0.remove();
        while !std::thread::panicking() && folder.as_ref().is_some_and(|folder| folder.exists()) {
            std::thread::yield_now();
            self.0.remove();
        }
    }
}

fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("a good id")
}
