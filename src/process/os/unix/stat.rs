//! `/proc/PID/stat`, parsed without allocation.

use std::{fs::File, io, io::Read, str};

/// The fields that we use, by their numbers in proc(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Field 3; `Z` is a zombie.
    pub state: u8,
    pub ppid: i32,
    pub session: i32,
    /// Fields 14 and 15, user and system time, in clock ticks.
    pub ticks: u64,
    /// Fields 16 and 17: the same of the children that it has waited for.
    pub children_ticks: u64,
    pub threads: u32,
    /// Field 22: clock ticks from boot to the start of the process.
    pub start_time: u64,
    /// Field 24.
    pub resident_pages: u64,
}

/// Clock ticks a second in `/proc`: fixed by the kernel's interface on every machine we know.
pub(crate) const TICKS_PER_SECOND: u64 = 100;

impl Stat {
    /// Longest line: 52 numbers of up to 20 digits and a name of up to 64 bytes.
    pub(crate) const BUFFER: usize = 1536;

    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        // The name is the only field that may hold spaces and brackets, so count from its end.
        let name_end = memchr::memrchr(b')', line)?;
        let text = str::from_utf8(line.get(name_end + 2..)?).ok()?;
        let mut fields = text.split(' ');
        let state = *fields.next()?.as_bytes().first()?;
        let ppid = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        let mut ticks = |skip| fields.nth(skip)?.parse::<u64>().ok();
        let (user, system, children_user, children_system) =
            (ticks(7)?, ticks(0)?, ticks(0)?, ticks(0)?);
        let threads = fields.nth(2)?.parse().ok()?;
        let start_time = fields.nth(1)?.parse().ok()?;
        let resident_pages = fields.nth(1)?.parse().unwrap_or(0);
        Some(Self {
            state,
            ppid,
            session,
            ticks: user + system,
            children_ticks: children_user + children_system,
            threads,
            start_time,
            resident_pages,
        })
    }

    /// `None`: there is no such process.
    pub(crate) fn of(pid: i32) -> io::Result<Option<Self>> {
        Self::read(pid, Self::parse)
    }

    /// Together with field 52, the wait status of a zombie; 0 where we may not know it.
    pub(crate) fn with_exit_status(pid: i32) -> io::Result<Option<(Self, i32)>> {
        Self::read(pid, |line| {
            let name_end = memchr::memrchr(b')', line)?;
            let text = str::from_utf8(line.get(name_end + 2..)?).ok()?;
            let status = text.split_ascii_whitespace().nth(49)?.parse().ok()?;
            Some((Self::parse(line)?, status))
        })
    }

    fn read<T>(pid: i32, parse: impl FnOnce(&[u8]) -> Option<T>) -> io::Result<Option<T>> {
        let mut buffer = [0; Self::BUFFER];
        let read =
            File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut buffer));
        match read {
            Ok(length) => Ok(buffer.get(..length).and_then(parse)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A zombie whose threads have all ended: the first thread may end before the others.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }
}

/// What `/proc` answers about a process that has ended.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let line = b"42 (a) b (c) R 7 42 41 0 -1 4194560 1 2 3 4 500 60 7 8 20 0 3 0 98765 1000 \
            77 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 256\n";
        let stat = Stat::parse(line).expect("a well-formed line");
        let expected = Stat {
            state: b'R',
            ppid: 7,
            session: 41,
            ticks: 560,
            children_ticks: 15,
            threads: 3,
            start_time: 98765,
            resident_pages: 77,
        };
        assert_eq!(stat, expected);
    }

    #[test]
    fn our_own_line_is_understood() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        let stat = Stat::of(own).expect("readable").expect("we live");
        assert!(!stat.is_dead());
        assert!(stat.threads >= 1 && stat.resident_pages > 0 && stat.start_time > 0);
        assert_eq!(stat.ppid, std::os::unix::process::parent_id().cast_signed());
    }

    #[test]
    fn no_process_is_no_error() {
        // Above the kernel's greatest pid (2^22).
        assert_eq!(Stat::of(5_000_000).expect("an answer"), None);
    }
}
