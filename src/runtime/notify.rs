//! What the Supervisor tells its own supervisor: the systemd notification protocol
//! (`sd_notify(3)`), with `Type=notify-reload`.

use std::time::Duration;

use super::clock;
use crate::{
    guardian::{ServiceSocket, Stores},
    registry::{Component, Registry},
};

/// The socket of `NOTIFY_SOCKET`, or nobody who listens.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<ServiceSocket>,
    /// The manager listens to the main process alone, which is the guardian where there is one.
    stores: Stores,
    /// Half of `WATCHDOG_USEC`, if it is meant for us.
    pub watchdog: Option<Duration>,
    /// How many descriptors its store takes.
    room: Option<usize>,
    /// The generation of the registry for which that was looked at.
    room_looked_at: u64,
}

/// How many descriptors are kept at most while these components run: two listeners, of each a pidfd and
/// two pipes, and the sockets of those that speak.
pub fn descriptors_kept<'a>(components: impl Iterator<Item = &'a Component>) -> usize {
    components.fold(2, |sum, component| sum + 3 + usize::from(component.speaks()))
}

impl ServiceManager {
    pub fn from_environment(stores: Stores) -> Self {
        let socket = ServiceSocket::from_environment();
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let main = stores.guardian().map(|link| link.guardian());
        let is_us = |pid| pid == u64::from(std::process::id()) || Some(pid) == main.map(u64::from);
        let ours = number("WATCHDOG_PID").is_none_or(is_us);
        let watchdog = number("WATCHDOG_USEC").filter(|&usec| ours && usec > 0);
        let watchdog = watchdog.map(|usec| Duration::from_micros(usec) / 2);
        let room = std::env::var("FDSTORE").ok().and_then(|text| text.parse().ok());
        Self {
            watchdog: watchdog.filter(|_| socket.is_some()),
            room: room.filter(|_| socket.is_some()),
            room_looked_at: 0,
            socket,
            stores,
        }
    }

    pub fn is_present(&self) -> bool {
        self.socket.is_some()
    }

    /// Tells the operator, once for each registry, if the store of descriptors is too small for it.
    pub fn mind_room(&mut self, generation: u64, registry: &Registry) {
        let Some(room) = self.room.filter(|_| self.room_looked_at != generation) else { return };
        self.room_looked_at = generation;
        let needed = descriptors_kept(registry.components.iter().map(|one| &**one));
        if room < needed {
            tracing::warn!(
                room,
                needed,
                "systemd's store takes fewer descriptors than there may be: should guardian and \
                 engine both be killed, exit codes and last words of some that end meanwhile would \
                 be lost; raise FileDescriptorStoreMax= in the unit"
            );
        }
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
        match self.stores.guardian().filter(|link| !link.is_broken()) {
            Some(guardian) => guardian.notify(message),
            None if self.stores.say(message) => {}
            None => {
                if let Err(error) = socket.send(message.as_bytes()) {
                    tracing::debug!(%error, message, "the service manager did not take a message");
                }
            }
        }
    }
}
