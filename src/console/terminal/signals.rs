//! The signals that concern a terminal program, as bytes that a loop can sleep on.
//!
//! Registered beside whoever else handles them in the process; what they mean is decided by the
//! loop, in its own time. Those that end a program are left alone where the engine is in the same
//! process: they have one owner, and he tells the console.

use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{SigId, consts, low_level};

/// Signals as bytes in a socket that the loop sleeps on.
#[derive(Debug)]
pub struct Signals {
    receiver: UnixStream,
    flags: Vec<(i32, Arc<AtomicBool>)>,
    ids: Vec<SigId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Size,
    Continue,
    End,
    HangUp,
}

impl Signals {
    /// `ends`: those that end a program, too.
    pub fn register(ends: bool) -> io::Result<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        let mut signals = Self { receiver, flags: Vec::new(), ids: Vec::new() };
        let screen = [consts::SIGWINCH, consts::SIGCONT];
        let ending = [consts::SIGTERM, consts::SIGINT, consts::SIGHUP];
        for signal in screen.into_iter().chain(ending.into_iter().filter(|_| ends)) {
            let flag = Arc::default();
            // The flag first: when the byte wakes us it is set.
            signals.ids.push(signal_hook::flag::register(signal, Arc::clone(&flag))?);
            signals.ids.push(low_level::pipe::register(signal, sender.try_clone()?)?);
            signals.flags.push((signal, flag));
        }
        Ok(signals)
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }

    /// Those that came since the last call.
    pub fn pending(&self) -> Vec<Signal> {
        let mut bytes = [0; 64];
        while matches!((&self.receiver).read(&mut bytes), Ok(count) if count == bytes.len()) {}
        let came = |flag: &AtomicBool| flag.swap(false, Ordering::AcqRel);
        let set = self.flags.iter().filter(|(_, flag)| came(flag));
        set.map(|(signal, _)| match *signal {
            consts::SIGWINCH => Signal::Size,
            consts::SIGCONT => Signal::Continue,
            consts::SIGHUP => Signal::HangUp,
            _ => Signal::End,
        })
        .collect()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}
