//! What the Supervisor tells its own supervisor: the systemd notification protocol
//! (`sd_notify(3)`), with `Type=notify-reload`.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use super::clock;

/// The socket of `NOTIFY_SOCKET`, or nobody who listens.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Half of `WATCHDOG_USEC`, if it is meant for us.
    pub watchdog: Option<Duration>,
}

impl ServiceManager {
    pub fn from_environment() -> Self {
        let socket = std::env::var("NOTIFY_SOCKET").ok().and_then(|name| open(&name).ok());
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|&usec| ours && usec > 0);
        let watchdog = watchdog.map(|usec| Duration::from_micros(usec) / 2);
        Self { watchdog: watchdog.filter(|_| socket.is_some()), socket }
    }

    pub fn is_present(&self) -> bool {
        self.socket.is_some()
    }

    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// The start goes on: the manager should not give up before `more` from now.
    pub fn extend(&self, status: &str, more: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}\nSTATUS={status}", more.as_micros()));
    }

    pub fn reloading(&self) {
        let since_boot = clock::now().since_boot().as_micros();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={since_boot}"));
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping every component");
    }

    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::debug!(%error, message, "the service manager did not take a message");
        }
    }
}

fn open(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold us up.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}
