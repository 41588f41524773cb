//! The systemd notification protocol on a socket of its own per component.

mod message;
mod socket;

pub use message::{Message, Watchdog, parse};
pub use socket::NotifyError;
pub(super) use socket::{Bound, LONGEST, Socket, SocketFile, bind, wanted_address};
