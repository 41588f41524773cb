//! Whether another binary can take over: it is asked, within bounds, before anything changes.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::{PipeFlags, pipe_with},
};
use serde::{Deserialize, Serialize};

use super::{clock, engine::Place, handover, journal};
use crate::{
    model::{ComponentId, Exit, RunId},
    process::{self, Child, Containment, Launch, Tree},
    registry::Limits,
    wire::{Problem, ProblemCode},
};

/// The hidden verb that is asked, and answers one [`Candidate`] as JSON.
pub const VERB: &str = "takeover-check";

/// For the whole answer; a registry of a thousand components takes some tens of milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of an answer at most.
const LONGEST_ANSWER: u64 = 1 << 20;

/// What a binary says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// "s7supervisor".
    pub program: String,
    pub version: String,
    /// The newest formats that it reads.
    pub journal: u32,
    pub handover: u32,
    /// Why it does not read the registry, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<String>,
}

/// A file that was asked, known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    pub path: PathBuf,
    identity: (u64, u64, u64, i64, i64),
}

impl Candidate {
    /// This program.
    pub fn ours() -> Self {
        let wish = |name, usual| {
            process::tests_wish(name).and_then(|text| text.parse().ok()).unwrap_or(usual)
        };
        Self {
            program: env!("CARGO_PKG_NAME").to_owned(),
            version: process::version().to_owned(),
            journal: wish("journal", journal::VERSION),
            handover: wish("handover", handover::VERSION),
            problem: None,
            diagnostics: None,
        }
    }
}

impl Binary {
    /// The file that is there now.
    pub fn at(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        if !file.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let identity = (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec());
        Ok(Self { path: path.to_owned(), identity })
    }

    /// Whether the same file is still there.
    pub fn is_there(&self) -> bool {
        Self::at(&self.path).is_ok_and(|now| now == *self)
    }
}

/// Asks the binary whether it can go on with what we leave. Blocks.
pub(super) fn ask(
    path: &Path,
    place: &Place,
    containment: &Containment,
    serial: u64,
) -> Result<(Binary, Candidate), Problem> {
    let refuse = |why: String| {
        let text = format!("{} cannot take over: {why}; nothing was changed", path.display());
        Problem::new(ProblemCode::UpgradeRefused, text)
    };
    let binary = Binary::at(path).map_err(|error| refuse(error.to_string()))?;
    let answer = question(path, place, containment, serial).map_err(refuse)?;
    let candidate: Candidate = serde_json::from_slice(&answer).map_err(|_not_json| {
        refuse("what it answered is not what an s7supervisor that can be upgraded to says".into())
    })?;
    let Candidate { program, version, journal, handover, problem, diagnostics } = &candidate;
    if program != env!("CARGO_PKG_NAME") {
        return Err(refuse(format!("it is {program:?}")));
    }
    for (what, theirs, ours) in
        [("journal", *journal, journal::VERSION), ("handover", *handover, handover::VERSION)]
    {
        if theirs < ours {
            return Err(refuse(format!(
                "{version} reads the {what} up to format {theirs}, and it is written in format \
                 {ours}: it is too old"
            )));
        }
    }
    if let Some(problem) = problem {
        let refused = refuse(format!("{version} does not read the registry: {problem}"));
        return Err(Problem { diagnostics: diagnostics.clone(), ..refused });
    }
    Ok((binary, candidate))
}

/// Everything that it writes to standard output, if it then ends well.
fn question(
    path: &Path,
    place: &Place,
    containment: &Containment,
    serial: u64,
) -> Result<Vec<u8>, String> {
    let plain = |error: io::Error| error.to_string();
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).map_err(|it| plain(it.into()))?;
    let nowhere = File::options().write(true).open("/dev/null").map_err(plain)?;
    let launch = Launch {
        executable: path.to_owned(),
        arguments: arguments(place),
        environment: std::env::vars_os().filter(|(name, _)| name != "NOTIFY_SOCKET").collect(),
        working_directory: place.install_folder.clone(),
        user: None,
        group: None,
        umask: None,
        limits: Limits::default(),
        stdout: write_end,
        stderr: nowhere.into(),
    };
    // A tree of its own, so that whatever it starts ends with it.
    let name = ComponentId::new(&format!("takeover-check-{serial}"));
    let name = name.map_err(|error| error.to_string())?;
    let run = RunId(u64::MAX / 2 - serial);
    let mut tree = containment.tree(&name, run).map_err(plain)?;
    let child = process::spawn(&launch, Some(&mut tree)).map_err(|error| error.to_string());
    // Ours of the write end has to go, or there is no end of file.
    drop(launch);
    let child = child?;
    let answer = answer_of(&child, read_end);
    bury(&child, tree);
    answer
}

fn answer_of(child: &Child, output: OwnedFd) -> Result<Vec<u8>, String> {
    let until = clock::now().after(PATIENCE);
    let mut file = File::from(output);
    let mut answer = Vec::new();
    let late = || format!("it did not answer within {} s", PATIENCE.as_secs());
    loop {
        if !readable_until(&file, until) {
            return Err(late());
        }
        let mut chunk = [0; 16 << 10];
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
            Err(error) => return Err(format!("its answer cannot be read: {error}")),
        }
        if answer.len() as u64 > LONGEST_ANSWER {
            return Err("its answer does not end".to_owned());
        }
    }
    loop {
        if !readable_until(child, until) {
            return Err(late());
        }
        match child.reap().map_err(|error| error.to_string())? {
            Some(Exit::Code(0)) => return Ok(answer),
            Some(exit) => {
                return Err(format!(
                    "asked whether it can, it ended with {exit}: it is no \
                     s7supervisor, or too old to be upgraded to"
                ));
            }
            None => {}
        }
    }
}

fn readable_until(descriptor: &impl std::os::fd::AsFd, until: crate::model::Moment) -> bool {
    let left = until.since(clock::now());
    let left = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    let mut polled = [PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::IN)];
    // Interrupted: asked again by whoever reads.
    poll(&mut polled, Some(&left)).is_ok_and(|ready| ready > 0)
}

/// Nothing of it lives on.
#[expect(clippy::disallowed_methods, reason = "no event tells about a tree without a cgroup")]
fn bury(child: &Child, mut tree: Tree) {
    const LOOK: Duration = Duration::from_millis(5);
    let until = clock::now().after(Duration::from_secs(2));
    loop {
        let _refusals_show_below = tree.kill();
        let _reaped_before = child.reap();
        if tree.is_empty() {
            return tree.remove();
        }
        if clock::now() >= until {
            tracing::warn!("a binary that was asked whether it can take over does not go away");
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// The same place, the formats that are written, and the question.
fn arguments(place: &Place) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "--install-folder".into(),
        place.install_folder.clone().into(),
        "--registry".into(),
        place.registry_file.clone().into(),
    ];
    for (name, value) in &place.sources.overrides {
        arguments.extend(["--set".into(), format!("{name}={value}").into()]);
    }
    arguments.push(VERB.into());
    arguments.push(format!("--journal={}", journal::VERSION).into());
    arguments.push(format!("--handover={}", handover::VERSION).into());
    arguments
}
