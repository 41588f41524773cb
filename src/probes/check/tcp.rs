//! `tcp`: a connection can be made.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;

use super::{Outcome, Resolver, refusal};

pub(super) async fn ask(resolver: &Resolver, host: &str, port: u16) -> (Outcome, String) {
    match connect(resolver, host, port).await {
        Ok(_closed_at_once) => (Outcome::Good, "accepts connections".to_owned()),
        Err(error) => refusal(&error),
    }
}

/// A connection to the first address of the host that takes one.
pub(super) async fn connect(resolver: &Resolver, host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in resolver.addresses(host, port).await? {
        match connect_to(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Where nobody listens on a port of the ephemeral range, the kernel may choose that very port
    // for our end, and TCP then connects it to itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}
