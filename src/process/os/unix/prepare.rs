//! A launch in the form that the new process needs. Everything that allocates, looks up or can
//! fail for reasons of ours happens here, before there is a process.

use std::{
    ffi::{CString, OsStr, OsString},
    io, iter,
    os::{
        fd::{AsFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

use super::{Tree, account::Credentials, own, places::Places};
use crate::process::{Launch, SpawnError, SpawnStage};

/// How a process comes into its cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joining {
    /// It is born there, and never was anywhere else.
    AtBirth,
    /// It writes itself into `cgroup.procs` before anything else.
    ByWriting,
}

/// C strings, numbers, descriptors above 2.
///
/// The pointers in `argv` and `envp` point into the heap blocks of `_texts`.
pub(super) struct Prepared {
    /// The program's paths in the order in which they are tried; none: end at once.
    pub candidates: Vec<CString>,
    pub argv: Vec<*const libc::c_char>,
    pub envp: Vec<*const libc::c_char>,
    pub working_directory: CString,
    /// Standard input, output and error; -1: left alone.
    pub streams: [RawFd; 3],
    pub open_files: Option<libc::rlimit>,
    pub core: Option<libc::rlimit>,
    pub nice: Option<i32>,
    pub oom_score_adjust: Option<CString>,
    pub credentials: Option<Credentials>,
    pub umask: Option<u32>,
    /// `cgroup.procs` of the tree, for a child that was not born in it.
    pub cgroup_procs: Option<OwnedFd>,
    pub cgroup: Option<OwnedFd>,
    pub joining: Joining,
    /// Descriptors from this one on are of no use to the new process.
    pub unneeded: Option<u32>,
    _texts: Vec<CString>,
    _places: Option<Places>,
}

impl Prepared {
    pub(super) fn new(launch: &Launch, tree: Option<&mut Tree>) -> Result<Self, SpawnError> {
        let program = launch.executable.display();
        let unfit =
            |error: io::Error| SpawnError::new(SpawnStage::Request, program.to_string(), error);
        let candidates = candidates(launch).map_err(unfit)?;
        let arguments = iter::once(launch.executable.as_os_str())
            .chain(launch.arguments.iter().map(OsString::as_os_str))
            .map(c_string)
            .collect::<io::Result<Vec<_>>>()
            .map_err(unfit)?;
        let marker = tree.as_deref().map(Tree::marker);
        let environment = marker
            .iter()
            .map(|(name, value)| assignment(OsStr::new(name), value))
            .chain(launch.environment.iter().map(|(name, value)| assignment(name, value)))
            .collect::<io::Result<Vec<_>>>()
            .map_err(unfit)?;
        let credentials = Credentials::resolve(launch.user.as_deref(), launch.group.as_deref())?;

        let places = Places::fill(launch.stdout.as_fd(), launch.stderr.as_fd())
            .map_err(|error| SpawnError::new(SpawnStage::Streams, program.to_string(), error))?;
        let joining = tree.as_deref().map_or(Joining::AtBirth, Tree::joining);
        let cgroup = tree
            .map_or(Ok(None), Tree::cgroup)
            .map_err(|error| SpawnError::new(SpawnStage::Tree, program.to_string(), error))?;
        let limits = &launch.limits;
        Ok(Self {
            candidates,
            argv: pointers(&arguments),
            envp: pointers(&environment),
            working_directory: c_string(launch.working_directory.as_os_str()).map_err(unfit)?,
            streams: places.numbers(),
            open_files: limits.open_files.map(both).or_else(own::original_open_files),
            core: limits.core.map(both),
            nice: limits.nice,
            oom_score_adjust: limits
                .oom_score_adjust
                .map(|score| c_string(score.to_string()))
                .transpose()
                .map_err(unfit)?,
            credentials,
            umask: launch.umask,
            cgroup_procs: None,
            cgroup,
            joining,
            unneeded: Some(places.end()),
            _texts: arguments.into_iter().chain(environment).collect(),
            _places: Some(places),
        })
    }

    /// A process that ends at once, in `cgroup`.
    pub(super) fn probe(cgroup: OwnedFd, joining: Joining) -> io::Result<Self> {
        Ok(Self {
            candidates: Vec::new(),
            argv: vec![ptr::null()],
            envp: vec![ptr::null()],
            working_directory: c_string("/")?,
            streams: [-1; 3],
            open_files: None,
            core: None,
            nice: None,
            oom_score_adjust: None,
            credentials: None,
            umask: None,
            cgroup_procs: None,
            cgroup: Some(cgroup),
            joining,
            unneeded: None,
            _texts: Vec::new(),
            _places: None,
        })
    }
}

/// The paths that `execvp` would try.
fn candidates(launch: &Launch) -> io::Result<Vec<CString>> {
    let program = launch.executable.as_os_str();
    if program.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program)?]);
    }
    // Entries are relative to the folder that the child has changed to; an empty one is it.
    std::env::split_paths(search_path(launch))
        .map(|folder| c_string(Path::new(".").join(folder).join(program)))
        .collect()
}

pub(super) fn search_path(launch: &Launch) -> &OsStr {
    let path = launch.environment.iter().find(|(name, _)| name == "PATH");
    path.map_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"), |(_, value)| value.as_os_str())
}

fn c_string(text: impl AsRef<OsStr>) -> io::Result<CString> {
    CString::new(text.as_ref().as_bytes()).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{error} in {}", text.as_ref().display()),
        )
    })
}

fn assignment(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut text = name.to_owned();
    text.push("=");
    text.push(value);
    c_string(text)
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// The same value as soft and hard limit.
fn both(value: u64) -> libc::rlimit {
    libc::rlimit { rlim_cur: value, rlim_max: value }
}
