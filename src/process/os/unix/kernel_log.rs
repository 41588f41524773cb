//! What the kernel's log tells of its out-of-memory killer, for trees whose cgroup does not count
//! such kills.
//!
//! Read only when a process was killed by somebody unknown, and only what was logged since the
//! last look. Where we may not read it (`kernel.dmesg_restrict`, no `CAP_SYSLOG`) nothing is
//! known.

use std::{collections::VecDeque, os::fd::OwnedFd, time::Duration};

use rustix::fs::{Mode, OFlags, SeekFrom};

use crate::model::Moment;

/// Records that one look reads at most: it happens on the engine's thread.
const RECORDS_A_LOOK: usize = 2_000;

/// Kills that are remembered: pid and when.
const REMEMBERED: usize = 256;

/// The log's clock and ours differ by some milliseconds.
const SKEW: Duration = Duration::from_secs(1);

/// `/dev/kmsg`, from now on.
#[derive(Debug)]
pub struct KernelLog {
    file: Option<OwnedFd>,
    kills: VecDeque<(i32, Moment)>,
}

impl KernelLog {
    pub fn open() -> Self {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open("/dev/kmsg", flags, Mode::empty()).and_then(|file| {
            rustix::fs::seek(&file, SeekFrom::End(0))?;
            Ok(file)
        });
        Self { file: file.ok(), kills: VecDeque::new() }
    }

    /// Whether out-of-memory kills can be seen here at all.
    pub fn is_readable(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the out-of-memory killer took the process that had this pid since `started`.
    /// Tells each kill once.
    pub fn has_killed(&mut self, pid: i32, started: Moment) -> bool {
        self.read_on();
        let is_it = |&(killed, at): &(i32, Moment)| killed == pid && at.after(SKEW) >= started;
        let known = self.kills.iter().any(is_it);
        self.kills.retain(|kill| !is_it(kill));
        known
    }

    fn read_on(&mut self) {
        let Some(file) = &self.file else { return };
        let mut buffer = [0; 8192];
        for _ in 0..RECORDS_A_LOOK {
            match rustix::io::read(file, &mut buffer) {
                Ok(length) => {
                    let record = buffer.get(..length).unwrap_or_default();
                    if let Some(kill) = kill_of(record) {
                        self.kills.push_back(kill);
                        if self.kills.len() > REMEMBERED {
                            self.kills.pop_front();
                        }
                    }
                }
                // Overwritten before we read it: the next read goes on behind the gap.
                Err(rustix::io::Errno::PIPE | rustix::io::Errno::INTR) => {}
                Err(_nothing_more) => return,
            }
        }
    }
}

/// `PRIORITY,NUMBER,MICROSECONDS,FLAGS;TEXT`, where the text says who was killed.
fn kill_of(record: &[u8]) -> Option<(i32, Moment)> {
    /// Above them the priority names another facility: anybody's words, not the kernel's.
    const KERNEL: u32 = 8;
    let record = String::from_utf8_lossy(record);
    let (head, text) = record.split_once(';')?;
    let mut head = head.split(',');
    let priority: u32 = head.next()?.parse().ok()?;
    let at: u64 = head.nth(1)?.parse().ok()?;
    if priority >= KERNEL {
        return None;
    }
    let line = text.lines().next()?;
    // The first line comes before the kill, the second after it. A process may have any name,
    // so what is read stands before the name, or is looked for from the end.
    let pid = match line.strip_prefix("oom-kill:") {
        Some(facts) => facts.rsplit_once(",pid=")?.1,
        None if line.contains("ut of memory") => line.split_once("Killed process ")?.1,
        None => return None,
    };
    let digits = pid.find(|c: char| !c.is_ascii_digit()).unwrap_or(pid.len());
    Some((pid[..digits].parse().ok()?, Moment::from_boot(Duration::from_micros(at))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_read_from_both_lines() {
        let at = Moment::from_boot(Duration::from_micros(123_456_789));
        for (record, expected) in [
            (
                "6,1234,123456789,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),\
                 oom_memcg=/a,task_memcg=/a,task=evil,pid=1,pid=4711,uid=0\n",
                Some((4711, at)),
            ),
            (
                "3,1235,123456789,-;Memory cgroup out of memory: Killed process 4711 (tail) \
                 total-vm:1kB\n SUBSYSTEM=x\n",
                Some((4711, at)),
            ),
            (
                "3,1235,123456789,-;Out of memory: Killed process 4711 (tail) total-vm:1kB\n",
                Some((4711, at)),
            ),
            // Somebody who may write there, but is not the kernel.
            ("14,1,123456789,-;Out of memory: Killed process 4711 (tail)\n", None),
            ("6,1,123456789,-;usb 1-1: new device\n", None),
            ("nonsense", None),
        ] {
            assert_eq!(kill_of(record.as_bytes()), expected, "{record}");
        }
    }

    #[test]
    fn a_kill_before_the_process_was_born_is_another_ones() {
        let second = |s| Moment::from_boot(Duration::from_secs(s));
        let mut log = KernelLog { file: None, kills: [(7, second(100))].into() };
        assert!(!log.has_killed(8, second(50)));
        assert!(!log.has_killed(7, second(200)));
        assert!(log.has_killed(7, second(50)));
        assert!(!log.has_killed(7, second(50)), "told once");
    }
}
