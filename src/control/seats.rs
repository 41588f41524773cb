//! Who gets a place among the connections, and for how long.
//!
//! There are so many places and no more, whoever comes. TCP gets a part of them. The last few are
//! kept for processes of this machine that hold hardly any, and each is given for a moment only:
//! enough for an operator's `status`, `stop` or `kill` while a crowd sits on all the others, whether
//! that is one mad client or a hundred forgotten `logs -f`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at the same time, over all listeners.
pub(super) const ALL: usize = 64;
/// Of these, for processes that hold fewer than [`FEW`].
pub(super) const KEPT: usize = 8;
/// Of these, TCP gets fewer, so that no crowd there locks the operator out of the socket.
pub(super) const TCP: usize = 48;
const FEW: u32 = 4;
/// How long a kept place is given.
pub(super) const MOMENT: Duration = Duration::from_secs(10);

/// The places that there are.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    common: Arc<Semaphore>,
    tcp: Arc<Semaphore>,
    kept: Arc<Semaphore>,
    /// Connections of each process of this machine, by pid.
    held: Arc<Mutex<HashMap<i32, u32>>>,
}

/// A place, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    _permits: Vec<OwnedSemaphorePermit>,
    /// How long it may be kept; none: as long as one likes.
    pub limit: Option<Duration>,
    _guest: Option<Guest>,
}

/// One connection of a process.
#[derive(Debug)]
struct Guest {
    pid: i32,
    held: Arc<Mutex<HashMap<i32, u32>>>,
}

impl Seats {
    pub fn new() -> Self {
        Self {
            common: Arc::new(Semaphore::new(ALL - KEPT)),
            tcp: Arc::new(Semaphore::new(TCP)),
            kept: Arc::new(Semaphore::new(KEPT)),
            held: Arc::default(),
        }
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        ALL - self.common.available_permits() - self.kept.available_permits()
    }

    /// For whoever comes over TCP.
    pub fn remote(&self) -> Option<Seat> {
        let permits = vec![take(&self.tcp)?, take(&self.common)?];
        Some(Seat { _permits: permits, limit: None, _guest: None })
    }

    /// For a process of this machine; those without a pid count as one.
    pub fn local(&self, pid: Option<i32>) -> Option<Seat> {
        let guest = Guest::new(pid.unwrap_or_default(), &self.held);
        let (permit, limit) = match take(&self.common) {
            Some(permit) => (permit, None),
            None if guest.connections() <= FEW => (take(&self.kept)?, Some(MOMENT)),
            None => return None,
        };
        Some(Seat { _permits: vec![permit], limit, _guest: Some(guest) })
    }
}

fn take(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().ok()
}

impl Guest {
    fn new(pid: i32, held: &Arc<Mutex<HashMap<i32, u32>>>) -> Self {
        *lock(held).entry(pid).or_default() += 1;
        Self { pid, held: Arc::clone(held) }
    }

    /// Of its process, this one included.
    fn connections(&self) -> u32 {
        lock(&self.held).get(&self.pid).copied().unwrap_or_default()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        if let Some(count) = held.get_mut(&self.pid) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.pid);
            }
        }
    }
}

fn lock(held: &Mutex<HashMap<i32, u32>>) -> std::sync::MutexGuard<'_, HashMap<i32, u32>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_holds_many_gets_none_of_those_that_are_kept() {
        let seats = Seats::new();
        let crowd: Vec<_> = (0..).map_while(|_| seats.local(Some(7))).collect();
        assert_eq!(crowd.len(), ALL - KEPT);
        assert!(seats.remote().is_none());
        let operator = seats.local(Some(8)).expect("kept for those who hold none");
        assert_eq!(operator.limit, Some(MOMENT));
        assert_eq!(seats.taken(), ALL - KEPT + 1);
        drop(crowd);
        assert_eq!(seats.local(Some(8)).expect("there is room").limit, None);
        assert_eq!(seats.taken(), 1, "what was dropped is free again");
        drop(operator);
        assert_eq!(lock(&seats.held).len(), 0, "nothing is kept of who has left");
    }

    #[test]
    fn tcp_leaves_some_to_the_socket() {
        let seats = Seats::new();
        let crowd: Vec<_> = (0..).map_while(|_| seats.remote()).collect();
        assert_eq!(crowd.len(), TCP);
        assert_eq!(seats.local(None).expect("not theirs").limit, None);
    }

    #[test]
    fn there_are_never_more_than_all() {
        let seats = Seats::new();
        let crowd: Vec<_> = (0..1000).filter_map(|pid| seats.local(Some(pid))).collect();
        assert_eq!((crowd.len(), seats.taken()), (ALL, ALL));
    }
}
