//! Packets with at most one descriptor each, over a pair of sockets that keeps them apart.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};

/// How often a socket is asked again that could not answer for want of memory.
const TRIES: u32 = 10;

/// No packet is longer.
pub const LONGEST: usize = 4_096;

/// Both ends, close-on-exec and never waiting.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Gone,
    /// There is no room for now.
    Full,
    /// Nobody is at the other end.
    Broken,
}

pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Sent {
    send_parts(socket, &[IoSlice::new(bytes)], descriptor)
}

/// One packet of these parts.
pub fn send_parts(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    descriptor: Option<BorrowedFd<'_>>,
) -> Sent {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        match sendmsg(socket, parts, &mut control, flags) {
            Ok(_) => return Sent::Gone,
            Err(Errno::INTR) => {}
            // Too many descriptors of this user are under way; or memory is short.
            Err(Errno::AGAIN | Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM) => {
                return Sent::Full;
            }
            Err(_) => return Sent::Broken,
        }
    }
}

/// What came.
#[derive(Debug)]
pub enum Received {
    /// So many bytes, and what came with them.
    Packet(usize, Option<OwnedFd>),
    Nothing,
    /// Nobody is at the other end any more, and everything was read.
    Broken,
}

pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8; LONGEST]) -> Received {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let mut tries = 0;
    loop {
        let mut parts = [IoSliceMut::new(bytes)];
        match recvmsg(socket.as_fd(), &mut parts, &mut control, flags) {
            Ok(message) if message.bytes == 0 => return Received::Broken,
            Ok(message) => {
                let length = message.bytes.min(LONGEST);
                let descriptor = control.drain().find_map(|part| match part {
                    RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                    _ => None,
                });
                return Received::Packet(length, descriptor);
            }
            Err(Errno::INTR) => {}
            // Whoever is taken for gone is replaced: not for a moment without memory.
            Err(Errno::NOMEM | Errno::NOBUFS) if tries < TRIES => tries += 1,
            Err(Errno::AGAIN) => return Received::Nothing,
            Err(_) => return Received::Broken,
        }
    }
}
