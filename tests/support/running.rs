//! A Supervisor that runs in the foreground as a child of the test.

use std::{
    cell::RefCell,
    process::{Child, ExitStatus},
    thread,
};

use rustix::process::Signal;

use super::{Place, processes, until};

/// The child, and the promise that it ends: a test that is done with it stops it politely and
/// expects a clean end.
pub struct Supervisor<'place> {
    place: &'place Place,
    child: RefCell<Child>,
    ended: RefCell<Option<ExitStatus>>,
}

impl<'place> Supervisor<'place> {
    pub fn new(place: &'place Place, child: Child) -> Self {
        Self { place, child: RefCell::new(child), ended: RefCell::new(None) }
    }

    /// The engine, which supervises; it says so in its lock.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        until("the engine has its lock", || self.engine())
    }

    fn engine(&self) -> Option<u32> {
        self.place.read("temp/supervisor.lock").trim().parse().ok()
    }

    /// The process that the test has started: the guardian, unless the Supervisor does without.
    pub fn guardian(&self) -> u32 {
        self.child.borrow().id()
    }

    /// To the process that whoever started the Supervisor knows.
    pub fn signal(&self, signal: Signal) {
        assert!(self.exit().is_none(), "the Supervisor has ended already");
        processes::signal(self.guardian(), signal);
    }

    /// Its exit status, when it has ended.
    pub fn exit(&self) -> Option<ExitStatus> {
        let mut ended = self.ended.borrow_mut();
        if ended.is_none() {
            *ended = self.child.borrow_mut().try_wait().expect("a child can be waited for");
        }
        *ended
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(&self) -> ExitStatus {
        until("the Supervisor ends", || self.exit())
    }

    /// Kills the process that was started, unless it has come to its end by itself.
    pub fn kill(&self) {
        if self.exit().is_none() {
            // Not waited for yet: the pid is its own even if it ends now.
            processes::signal(self.guardian(), Signal::KILL);
        }
        self.ended();
    }

    /// Ends it the hard way, so that nobody is left: guardian and engine.
    pub fn crash(&self) {
        let guardian = self.guardian();
        // Stopped, it cannot start another engine.
        self.signal(Signal::STOP);
        let is_ours =
            |engine: &u32| processes::stat(*engine).is_some_and(|stat| stat.parent == guardian);
        let engine = self.engine().filter(is_ours);
        if let Some(engine) = engine {
            processes::signal(engine, Signal::KILL);
        }
        self.signal(Signal::KILL);
        self.ended();
        if let Some(engine) = engine {
            until("the engine has ended", || (!processes::alive(engine)).then_some(()));
        }
    }

    /// Ends it politely: it stops everything and leaves with 0.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "the Supervisor's end after TERM: {status}");
        self.place.assert_nothing_runs();
    }
}

impl Drop for Supervisor<'_> {
    fn drop(&mut self) {
        if self.exit().is_some() {
            return;
        }
        if thread::panicking() {
            // The place shows what was and ends the rest.
            self.place.show();
            self.crash();
        } else {
            self.stop();
        }
    }
}
