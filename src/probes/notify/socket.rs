//! The socket: bound before the component starts, read with the kernel's word on who sent.
//!
//! Anybody who can name the socket may send to it, since a component may give up its privileges
//! after its start; the credentials that the kernel attaches decide what is listened to.

use std::{
    fs, io,
    io::Write as _,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::{Path, PathBuf},
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags};
use tokio::io::Interest;

use crate::model::{ComponentId, RunId};

use super::message::{Message, parse};

/// Why a component has no notify socket.
#[derive(Debug, thiserror::Error)]
#[error("cannot bind the notify socket {address} of {id}: {source}")]
pub struct NotifyError {
    pub id: ComponentId,
    pub address: String,
    pub source: io::Error,
}

/// The receiving end, registered with the runtime.
#[derive(Debug)]
pub(in crate::probes) struct Socket(tokio::net::UnixDatagram);

/// A socket with the ways to it.
#[derive(Debug)]
pub(in crate::probes) struct Bound {
    pub socket: Socket,
    /// None: the socket has no name in the file system.
    pub file: Option<SocketFile>,
    /// The value of `NOTIFY_SOCKET`.
    pub address: String,
}

/// The socket's name in the file system, removed when this is dropped.
#[derive(Debug)]
pub(in crate::probes) struct SocketFile {
    path: PathBuf,
    /// Device and inode: a successor of the same name is not ours to remove.
    identity: (u64, u64),
}

/// One datagram.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::probes) struct Received {
    /// The sender by the kernel's word; none where it has no number in our pid namespace.
    pub sender: Option<u32>,
    /// None: the datagram was longer than [`LONGEST`], or held a zero byte.
    pub message: Option<Message>,
}

/// Longest datagram in bytes, as systemd has it.
pub(in crate::probes) const LONGEST: usize = 4096;

/// `sun_path` without its final zero.
const LONGEST_PATH: usize = 107;

/// Binds `FOLDER/ID.sock`. Where a component could not reach or name that file (a path too long;
/// we are root, it may be another user, and the folder is closed to others), the socket gets a
/// name outside the file system instead, which nobody can guess.
pub(in crate::probes) fn bind(folder: &Path, run: RunId, id: &ComponentId) -> io::Result<Bound> {
    make_folder(folder)?;
    match place(folder, run, id)? {
        Place::File(path) => {
            let (socket, file) = bind_file(&path)?;
            bound(socket, Some(file), path.to_string_lossy().into_owned())
        }
        Place::Name(name) => {
            let address = SocketAddr::from_abstract_name(name.as_bytes())?;
            bound(UnixDatagram::bind_addr(&address)?, None, format!("@{name}"))
        }
    }
}

/// The socket of an engine before, where who speaks to the address comes to it.
pub(in crate::probes) fn resume(
    folder: &Path,
    run: RunId,
    id: &ComponentId,
    before: OwnedFd,
) -> io::Result<Option<Bound>> {
    let socket = UnixDatagram::from(before);
    let Ok(known) = socket.local_addr() else { return Ok(None) };
    make_folder(folder)?;
    match place(folder, run, id)? {
        Place::File(path) => {
            // A file that was left by a socket that is gone refuses.
            let is_alive = || UnixDatagram::unbound()?.connect(&path);
            if known.as_pathname() != Some(&*path) || is_alive().is_err() {
                return Ok(None);
            }
            let file = SocketFile::of(&path)?;
            bound(socket, Some(file), path.to_string_lossy().into_owned()).map(Some)
        }
        Place::Name(name) if known.as_abstract_name() == Some(name.as_bytes()) => {
            bound(socket, None, format!("@{name}")).map(Some)
        }
        Place::Name(_) => Ok(None),
    }
}

/// Where the socket of a run is.
enum Place {
    File(PathBuf),
    /// Outside the file system.
    Name(String),
}

fn place(folder: &Path, run: RunId, id: &ComponentId) -> io::Result<Place> {
    let path = folder.join(format!("{id}.sock"));
    let nameable = path.as_os_str().len() <= LONGEST_PATH;
    Ok(if nameable && may_be_reached(folder)? {
        Place::File(path)
    } else {
        Place::Name(format!("s7supervisor/{}/{run}", key(folder)?))
    })
}

fn bound(socket: UnixDatagram, file: Option<SocketFile>, address: String) -> io::Result<Bound> {
    socket.set_nonblocking(true)?;
    rustix::net::sockopt::set_socket_passcred(&socket, true)?;
    let socket = Socket(tokio::net::UnixDatagram::from_std(socket)?);
    Ok(Bound { socket, file, address })
}

/// Where the socket of this component would be, for an error that came before its address.
pub(in crate::probes) fn wanted_address(folder: &Path, id: &ComponentId) -> String {
    folder.join(format!("{id}.sock")).to_string_lossy().into_owned()
}

fn bind_file(path: &Path) -> io::Result<(UnixDatagram, SocketFile)> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _removed => {}
    }
    let socket = UnixDatagram::bind(path)?;
    let file = SocketFile::of(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok((socket, file))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o711).create(folder) {
        // The umask may have taken bits away.
        Ok(()) => fs::set_permissions(folder, fs::Permissions::from_mode(0o711)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether any process that a component can consist of may open a file in the folder.
fn may_be_reached(folder: &Path) -> io::Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(true); // Components run as we do.
    }
    for ancestor in folder.canonicalize()?.ancestors() {
        if fs::metadata(ancestor)?.mode() & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The folder's secret, made at the first need: abstract names must not be guessed, or another
/// user could take them first. It is kept so that a taken-over process finds its socket again.
fn key(folder: &Path) -> io::Result<String> {
    let path = folder.join("key");
    match fs::read_to_string(&path) {
        Ok(key) if key.len() == 32 => return Ok(key),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _none_or_half_written => {}
    }
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let key = format!("{:032x}", u128::from_le_bytes(bytes));
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(key.as_bytes())?;
    Ok(key)
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if ours {
            // Best effort: the next bind removes what is left.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Socket {
    /// The next datagram, whenever it comes. Cancel-safe.
    pub async fn next(&self) -> io::Result<Received> {
        self.0.async_io(Interest::READABLE, || receive(&self.0)).await
    }

    /// The next datagram that has come already.
    pub fn pending(&self) -> Option<Received> {
        receive(&self.0).ok()
    }
}

fn receive(socket: impl AsFd) -> io::Result<Received> {
    let mut bytes = [0_u8; LONGEST];
    // There is no room for descriptors, so the kernel closes those that come along: FDSTORE is
    // not offered, and a BARRIER=1 is answered by just that, after everything sent before it.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut iov = [io::IoSliceMut::new(&mut bytes)];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut iov, &mut control, flags)?;
    let sender = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(credentials) => {
            u32::try_from(credentials.pid.as_raw_pid()).ok().filter(|pid| *pid != 0)
        }
        _ => None,
    });
    let datagram = &bytes[..received.bytes.min(LONGEST)];
    let whole = !received.flags.contains(ReturnFlags::TRUNC);
    let message = (whole && !datagram.contains(&0)).then(|| parse(datagram));
    Ok(Received { sender, message })
}
