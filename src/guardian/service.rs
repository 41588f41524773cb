//! The socket of the service manager (`sd_notify(3)`).

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

/// The socket that `NOTIFY_SOCKET` names.
#[derive(Debug)]
pub struct ServiceSocket {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceSocket {
    /// `None`: nobody listens.
    pub fn from_environment() -> Option<Self> {
        let name = std::env::var("NOTIFY_SOCKET").ok()?;
        open(&name).ok()
    }

    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        self.socket.send_to_addr(message, &self.address).map(drop)
    }
}

/// A name as `NOTIFY_SOCKET` has it.
pub(super) fn address_of(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

fn open(name: &str) -> io::Result<ServiceSocket> {
    let address = address_of(name)?;
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold us up.
    socket.set_nonblocking(true)?;
    Ok(ServiceSocket { socket, address })
}
