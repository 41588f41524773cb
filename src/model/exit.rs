//! How a process ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Moment;

/// The end of a process, as the kernel tells it. Raw facts: judging them is policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It called `exit` with this code, 0 to 255.
    Code(i32),
    /// A signal ended it; `core` tells whether a core was written.
    Signal { signal: i32, core: bool },
    /// It ended, but the kernel offered no way to learn how (adopted, and reaped by another).
    Unknown,
}

/// The last end of a component with what is known about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    pub exit: Exit,
    pub at: Moment,
    /// How long the run had lasted, in the monotonic clock.
    pub lasted: std::time::Duration,
    /// The kernel's out-of-memory killer ended it.
    pub oom: bool,
    /// A stop or restart had been asked for, so this end was no failure.
    pub expected: bool,
}

impl Exit {
    /// Whether `SIGKILL` ended it.
    pub fn is_kill(self) -> bool {
        const SIGKILL: i32 = 9;
        matches!(self, Self::Signal { signal: SIGKILL, .. })
    }

    /// Whether it looks like the end of a process, or of a shell that waited for one, that the
    /// out-of-memory killer took.
    pub fn may_be_out_of_memory(self) -> bool {
        const KILLED_CHILD: i32 = 128 + 9;
        self.is_kill() || self == Self::Code(KILLED_CHILD)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal { signal, core } => {
                match signal_name(signal) {
                    Some(name) => f.write_str(name)?,
                    None => write!(f, "signal {signal}")?,
                }
                if core { f.write_str(" (core)") } else { Ok(()) }
            }
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The name of a signal by its Linux number, `SIGTERM` for 15.
///
/// A table of our own because exits are shown where they did not happen: on Windows, and for
/// another machine's status.
pub fn signal_name(signal: i32) -> Option<&'static str> {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    let index = usize::try_from(signal).ok()?.checked_sub(1)?;
    NAMES.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_reads_as_an_operator_would_say_it() {
        assert_eq!(Exit::Code(3).to_string(), "exit 3");
        let segv = Exit::Signal { signal: 11, core: true };
        assert_eq!(segv.to_string(), "SIGSEGV (core)");
        let realtime = Exit::Signal { signal: 40, core: false };
        assert_eq!(realtime.to_string(), "signal 40");
    }
}
