//! Whether processes that are not ours have ended.
//!
//! A process is held by a descriptor, so a pid that has been given to another in the meantime
//! cannot mislead. Where there are no such descriptors nothing is held and nothing is claimed.

use std::time::Duration;

/// Some process, watched until it ends.
#[derive(Debug)]
pub struct Held {
    pub pid: u32,
    #[cfg(target_os = "linux")]
    descriptor: rustix::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Held {
    /// `None` where no such process lives (or it may not be watched).
    pub fn new(pid: u32) -> Option<Self> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let descriptor = pidfd_open(number, PidfdFlags::empty()).ok()?;
        Some(Self { pid, descriptor })
    }

    pub fn has_ended(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut polled = [PollFd::new(&self.descriptor, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().contains(PollFlags::IN)
    }
}

#[cfg(not(target_os = "linux"))]
impl Held {
    pub fn new(_pid: u32) -> Option<Self> {
        None
    }

    pub fn has_ended(&self) -> bool {
        true
    }
}

impl Held {
    /// Returns when it has ended. Looks, instead of being told: the reactor takes a descriptor
    /// only with a promise that this part of the program may not give (`unsafe`).
    pub async fn ended(&self) {
        while !self.has_ended() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_noticed_and_not_before() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let us = Held::new(std::process::id()).expect("we live");
            assert!(!us.has_ended());
            #[expect(clippy::disallowed_methods, reason = "a process to watch")]
            let mut child = std::process::Command::new("cat")
                .stdin(std::process::Stdio::piped())
                .spawn()
                .expect("cat starts");
            let held = Held::new(child.id()).expect("it lives until its input ends");
            assert!(!held.has_ended());
            drop(child.stdin.take());
            held.ended().await;
            // Not yet reaped, and yet ended.
            assert!(held.has_ended());
            child.wait().expect("it can be reaped");
            assert!(Held::new(child.id()).is_none());
        });
    }
}
