//! The Unix socket: bound where nobody listens, whatever the length of its path.

use std::{
    ffi::OsStr,
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{
            fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// The kernel's limit on a path in a socket address, without its final zero.
const LONGEST_PATH: usize = 107;

/// A path to a socket that the kernel takes: the path itself, or, where it is too long, a short
/// way through the folder's descriptor, which is kept open as long as this value.
#[derive(Debug)]
pub(crate) struct ShortPath {
    path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl ShortPath {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= LONGEST_PATH {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let (folder, name) = split(path)?;
        let folder = rustix::fs::open(
            folder,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}

/// A bound socket and its file, which goes away with this value unless another took its place.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket that is ours.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Binds the control socket: mode 0600, or 0660 for a group. A socket that a dead Supervisor
/// left is replaced; one that somebody listens at who lives never is.
pub(super) fn bind(path: &Path, group: Option<u32>) -> io::Result<Bound> {
    let (folder, _name) = split(path)?;
    // Held until we listen, so that two Supervisors that start at once cannot both find the old
    // socket dead and then one remove what the other has just bound.
    let folder = rustix::fs::open(
        folder,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
        match error {
            Errno::WOULDBLOCK => io::Error::new(
                io::ErrorKind::AddrInUse,
                "another Supervisor is starting in this folder",
            ),
            other => other.into(),
        }
    })?;
    let short = ShortPath::of(path)?;
    clear_stale(&short)?;

    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(short.as_path())?)?;
    let metadata = fs::symlink_metadata(short.as_path())?;
    let file = SocketFile { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) };
    // Before listen() nobody can connect, so there is no moment at which a wider mode counts.
    open_to(short.as_path(), group)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(Bound { listener: socket.into(), file })
}

/// The listener of a server before, if whoever connects to `path` comes to it.
pub(super) fn resume(path: &Path, group: Option<u32>, known: OwnedFd) -> Option<Bound> {
    let short = ShortPath::of(path).ok()?;
    let metadata = fs::symlink_metadata(short.as_path()).ok()?;
    if !metadata.file_type().is_socket() {
        return None;
    }
    // There is no other way to learn whose the file is than to come in. A queue that is full is
    // ours if ours is.
    let came = owner(short.as_path());
    let is_full = came.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    if !(came.is_ok() || is_full) || !is_readable(&known) {
        return None;
    }
    open_to(short.as_path(), group).ok()?;
    // The kernel names us from now on, not who is dead, to whoever asks who listens.
    rustix::net::listen(&known, BACKLOG).ok()?;
    let listener = UnixListener::from(known);
    listener.set_nonblocking(true).ok()?;
    let file = SocketFile { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) };
    Some(Bound { listener, file })
}

/// To the owner alone, or to a group as well.
fn open_to(path: &Path, group: Option<u32>) -> io::Result<()> {
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    if group.is_some() {
        chown(path, None, group)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn is_readable(descriptor: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(descriptor, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}

impl Bound {
    pub(super) fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let Ok(short) = ShortPath::of(&self.path) else { return };
        let Ok(metadata) = fs::symlink_metadata(short.as_path()) else { return };
        if (metadata.dev(), metadata.ino()) == self.identity {
            // Failing leaves a stale socket, which the next start replaces.
            let _ = fs::remove_file(short.as_path());
        }
    }
}

/// Removes a socket that nobody listens at.
fn clear_stale(path: &ShortPath) -> io::Result<()> {
    let path = path.as_path();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else is there, and it is no socket: move it away",
            ));
        }
        Ok(_) => {}
    }
    match owner(path) {
        // Kept by somebody for one that lives no more (systemd's descriptor store).
        Ok(Some(pid)) if is_dead(pid) => fs::remove_file(path),
        Ok(pid) => {
            let by = pid.map_or_else(|| "another process".to_owned(), |pid| format!("pid {pid}"));
            Err(io::Error::new(io::ErrorKind::AddrInUse, format!("in use by {by}")))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A full queue means a listener that is busy, not one that is gone.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "in use by a process that is busy"))
        }
        Err(error) => Err(error),
    }
}

/// The process that listens at a socket. Never blocks.
fn owner(path: &Path) -> io::Result<Option<i32>> {
    let probe = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::net::connect(&probe, &SocketAddrUnix::new(path)?)?;
    // Of a connected client the kernel tells who called listen() at the other end.
    let credentials = rustix::net::sockopt::socket_peercred(&probe);
    Ok(credentials.ok().map(|credentials| credentials.pid.as_raw_nonzero().get()))
}

/// Nobody has this pid, or who has it has ended.
fn is_dead(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else { return false };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => is_readable(&pidfd),
        Err(error) => error == Errno::SRCH,
    }
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok((folder.unwrap_or(Path::new(".")), name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").mode() & 0o777
    }

    #[test]
    fn a_socket_is_open_to_its_owner_or_to_one_group() {
        let folder = folder();
        let path = folder.path().join("supervisor.sock");
        let bound = bind(&path, None).expect("bound");
        assert_eq!(mode(&path), 0o600);
        drop(bound);
        assert!(!path.exists(), "the file goes with the listener");
        let _bound = bind(&path, Some(rustix::process::getegid().as_raw())).expect("bound");
        assert_eq!(mode(&path), 0o660);
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_named() {
        let folder = folder();
        let path = folder.path().join("supervisor.sock");
        drop(UnixListener::bind(&path).expect("a socket that dies"));
        let live = bind(&path, None).expect("the dead one is replaced");
        let error = bind(&path, None).expect_err("a live one").to_string();
        assert_eq!(error, format!("in use by pid {}", std::process::id()));
        UnixStream::connect(&path).expect("the live one is untouched");
        drop(live);
    }

    #[test]
    fn a_listener_is_resumed_where_its_file_still_leads_to_it() {
        let folder = folder();
        let path = folder.path().join("supervisor.sock");
        let known = || {
            let bound = bind(&path, None).expect("bound");
            let (listener, file) = bound.into_parts();
            // As by a kill: the file stays.
            std::mem::forget(file);
            OwnedFd::from(listener)
        };
        let first = known();
        let resumed = resume(&path, None, first.try_clone().expect("a copy")).expect("the same");
        UnixStream::connect(&path).expect("it listens");
        drop((resumed, first));
        assert!(!path.exists(), "the file goes with the last one");

        let first = known();
        fs::remove_file(&path).expect("somebody tidied up");
        let _second = bind(&path, None).expect("bound");
        assert!(resume(&path, None, first).is_none(), "another's");
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = folder();
        let path = folder.path().join("supervisor.sock");
        fs::write(&path, "precious").expect("written");
        let error = bind(&path, None).expect_err("a file").to_string();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
    }

    #[test]
    fn the_file_of_a_successor_is_not_removed() {
        let folder = folder();
        let path = folder.path().join("supervisor.sock");
        let first = bind(&path, None).expect("bound");
        fs::remove_file(&path).expect("somebody tidied up");
        let second = bind(&path, None).expect("bound");
        drop(first);
        UnixStream::connect(&path).expect("the second one's file is still there");
        drop(second);
    }
}
