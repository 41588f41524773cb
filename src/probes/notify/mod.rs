//! The systemd notification protocol on a socket of its own per component.
//!
//! [`message`] parses a datagram, [`session`] decides what it means (both pure), [`socket`] binds
//! and reads, [`listener`] is the task that joins them.

mod listener;
mod message;
mod session;
mod socket;

pub(super) use listener::Listener;
pub use message::{Message, Watchdog, parse};
pub(super) use session::Session;
pub use socket::NotifyError;
pub(super) use socket::{LONGEST, Received, Socket, SocketFile, bind, resume, wanted_address};
