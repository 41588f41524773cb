//! A descriptor in the runtime's reactor.

#![expect(unsafe_code, reason = "the reactor has to trust the descriptor")]

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Tells when `descriptor` becomes readable. Inside a tokio runtime with I/O.
pub fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always gives the same descriptor, which stays open as long as the
    // registration owns it.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    Ok(registered?)
}
