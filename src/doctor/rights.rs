//! Whether a user may use a file, by its mode and those of the folders above it.
//!
//! Access lists and security modules are not looked at; whoever we are ourselves is asked of the
//! kernel, which knows them.

use std::{
    fs::{self, Metadata},
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// Who wants to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    pub user: u32,
    pub groups: Vec<u32>,
    /// As it is told: `nobody`, `uid 1000`.
    pub name: String,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Read,
    Write,
    /// To execute a file, to pass through a folder.
    Execute,
}

impl Who {
    /// What this user may do with `path`; why not, otherwise, after "cannot be …".
    pub fn may(&self, want: Want, path: &Path) -> Result<(), String> {
        let plain = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => "it is not there".to_owned(),
            _ => error.to_string(),
        };
        if self.is_us() {
            let access = match want {
                Want::Read => Access::READ_OK,
                Want::Write => Access::WRITE_OK,
                Want::Execute => Access::EXEC_OK,
            };
            let asked = accessat(CWD, path, access, AtFlags::EACCESS);
            return match asked {
                Ok(()) => Ok(()),
                Err(rustix::io::Errno::ACCESS) => Err(self.closed(path)),
                Err(rustix::io::Errno::ROFS) => {
                    Err("the file system is mounted read-only".to_owned())
                }
                Err(error) => Err(plain(error.into())),
            };
        }
        if let Some(folder) = self.closed_folder(path) {
            return Err(format!("{} may not pass through {}", self.name, folder.display()));
        }
        let metadata = fs::metadata(path).map_err(plain)?;
        if self.has(&metadata, want) { Ok(()) } else { Err(self.closed(path)) }
    }

    fn is_us(&self) -> bool {
        self.user == rustix::process::geteuid().as_raw()
    }

    fn closed(&self, path: &Path) -> String {
        match fs::metadata(path) {
            Ok(metadata) => format!(
                "it has mode {:04o} and belongs to uid {}, gid {}",
                metadata.mode() & 0o7777,
                metadata.uid(),
                metadata.gid()
            ),
            Err(_) => match self.closed_folder(path) {
                Some(folder) => format!("{} may not pass through {}", self.name, folder.display()),
                None => "permission denied".to_owned(),
            },
        }
    }

    /// The first folder above that lets nobody like this pass.
    fn closed_folder(&self, path: &Path) -> Option<PathBuf> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        above.retain(|folder| !folder.as_os_str().is_empty());
        let closed = |folder: &&Path| {
            fs::metadata(folder).is_ok_and(|metadata| !self.has(&metadata, Want::Execute))
        };
        above.into_iter().find(closed).map(Path::to_owned)
    }

    fn has(&self, metadata: &Metadata, want: Want) -> bool {
        let mode = metadata.mode();
        if self.user == 0 {
            return want != Want::Execute || metadata.is_dir() || mode & 0o111 != 0;
        }
        let bit = match want {
            Want::Read => 4,
            Want::Write => 2,
            Want::Execute => 1,
        };
        let shift = if metadata.uid() == self.user {
            6
        } else if self.groups.contains(&metadata.gid()) {
            3
        } else {
            0
        };
        mode >> shift & bit != 0
    }
}

/// The interpreter in the first line of a script.
pub(super) fn interpreter(program: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    fs::File::open(program).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let word = line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty())?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(word)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn somebody() -> Who {
        Who { user: 4711, groups: vec![4711], name: "somebody".to_owned() }
    }

    #[test]
    fn a_folder_that_lets_nobody_pass_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
        };
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("made");
        let program = inner.join("program");
        fs::write(&program, "#! /bin/sh -e\n").expect("written");
        open(folder.path(), 0o755);
        open(&inner, 0o700);
        open(&program, 0o755);
        let why = somebody().may(Want::Execute, &program).expect_err("closed");
        assert_eq!(why, format!("somebody may not pass through {}", inner.display()));
        open(&inner, 0o755);
        somebody().may(Want::Execute, &program).expect("open");
        let why = somebody().may(Want::Write, &program).expect_err("not his");
        assert!(why.starts_with("it has mode 0755"), "{why}");
        assert_eq!(interpreter(&program), Some(PathBuf::from("/bin/sh")));
    }
}
