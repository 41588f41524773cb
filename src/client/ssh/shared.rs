//! One login for all connections of a client.
//!
//! OpenSSH does it: the first connection leaves a process behind (the master), which keeps the
//! login and takes further connections at a socket in a folder of ours. We end it when the last
//! client of this host goes; should we be killed, it ends half a minute after its last
//! connection.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The kernel's limit on a path in a socket address, less what ssh appends while it binds.
const LONGEST_PATH: usize = 107 - 17;

#[derive(Debug)]
pub(super) struct Shared {
    /// Its last words to the master, as a command.
    farewell: Vec<OsString>,
    socket: PathBuf,
    /// Only we can enter it. Goes away with this value, after the master.
    _folder: tempfile::TempDir,
}

impl Shared {
    pub(super) fn new(program: &[String], host: &str) -> io::Result<Self> {
        let folder = Self::folder()?;
        let socket = folder.path().join("ssh");
        let mut farewell: Vec<OsString> = program.iter().map(OsString::from).collect();
        farewell.extend(["-o".into(), control_path(&socket), "-O".into(), "exit".into()]);
        farewell.extend(["--".into(), OsString::from(host)]);
        Ok(Self { farewell, socket, _folder: folder })
    }

    fn folder() -> io::Result<tempfile::TempDir> {
        let in_folder = |folder: &Path| {
            // Mode 0700, as every temporary folder of this crate.
            tempfile::Builder::new().prefix("s7-ssh-").tempdir_in(folder)
        };
        let folder = in_folder(&std::env::temp_dir())?;
        if folder.path().as_os_str().len() + "/ssh".len() <= LONGEST_PATH {
            return Ok(folder);
        }
        in_folder(Path::new("/tmp"))
    }

    /// Whether a word of the operator's says how logins are shared.
    pub(super) fn is_about_it(word: &str) -> bool {
        let text = word.to_ascii_lowercase();
        let option = ["controlpath", "controlmaster"].iter().any(|name| text.contains(name));
        option || word.starts_with("-S") || word.starts_with("-M")
    }

    pub(super) fn arguments(&self) -> impl Iterator<Item = OsString> {
        let options = [
            control_path(&self.socket),
            "ControlMaster=auto".into(),
            "ControlPersist=30".into(),
            // A master whose network is gone must not keep the next login waiting.
            "ServerAliveInterval=10".into(),
            "ServerAliveCountMax=3".into(),
        ];
        options.into_iter().flat_map(|option| ["-o".into(), option])
    }
}

fn control_path(socket: &Path) -> OsString {
    let mut option = OsString::from("ControlPath=");
    option.push(socket);
    option
}

impl Drop for Shared {
    fn drop(&mut self) {
        let [program, arguments @ ..] = self.farewell.as_slice() else { return };
        if !self.socket.exists() {
            return;
        }
        // A word over a local socket: some milliseconds. Where it fails, the master's own limit
        // ends it.
        let _ended_by_itself = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
