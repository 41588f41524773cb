//! Names to addresses, off the engine's thread.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    sync::Arc,
};

use tokio::sync::Semaphore;

/// Bounds how many lookups are under way: one can hang in the system's resolver for minutes, long
/// after the check that wanted it has given up.
#[derive(Debug)]
pub(in crate::probes) struct Resolver {
    slots: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(Self::AT_ONCE)) }
    }
}

impl Resolver {
    /// Lookups at the same time, each with a thread of the blocking pool.
    const AT_ONCE: usize = 4;

    /// The addresses of a host: at once for a literal one and for `localhost`.
    pub async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(vec![(ip, port).into()]);
        }
        if host.eq_ignore_ascii_case("localhost") {
            let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
            return Ok(vec![(v4, port).into(), (v6, port).into()]);
        }
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let name = host.to_owned();
        let lookup = tokio::task::spawn_blocking(move || {
            let _slot = slot; // until the system answers, whoever still waits for it
            (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>)
        });
        match lookup.await? {
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(io::Error::new(
                error.kind(),
                format!("cannot resolve {host}: {}", crate::probes::text::reason(&error)),
            )),
        }
    }
}
