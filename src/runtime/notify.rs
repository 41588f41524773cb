//! What the Supervisor tells its own supervisor: the systemd notification protocol
//! (`sd_notify(3)`), with `Type=notify-reload`.

use std::{sync::Arc, time::Duration};

use super::clock;
use crate::guardian::{Link, ServiceSocket};

/// The socket of `NOTIFY_SOCKET`, or nobody who listens.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<ServiceSocket>,
    /// The manager listens to the main process alone, which is the guardian.
    guardian: Option<Arc<Link>>,
    /// Half of `WATCHDOG_USEC`, if it is meant for us.
    pub watchdog: Option<Duration>,
}

impl ServiceManager {
    pub fn from_environment(guardian: Option<Arc<Link>>) -> Self {
        let socket = ServiceSocket::from_environment();
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let main = guardian.as_ref().map(|link| link.guardian());
        let is_us = |pid| pid == u64::from(std::process::id()) || Some(pid) == main.map(u64::from);
        let ours = number("WATCHDOG_PID").is_none_or(is_us);
        let watchdog = number("WATCHDOG_USEC").filter(|&usec| ours && usec > 0);
        let watchdog = watchdog.map(|usec| Duration::from_micros(usec) / 2);
        Self { watchdog: watchdog.filter(|_| socket.is_some()), socket, guardian }
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
        let Some(socket) = &self.socket else { return };
        match self.guardian.as_ref().filter(|link| !link.is_broken()) {
            Some(guardian) => guardian.notify(message),
            None => {
                if let Err(error) = socket.send(message.as_bytes()) {
                    tracing::debug!(%error, message, "the service manager did not take a message");
                }
            }
        }
    }
}
