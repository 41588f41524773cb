//! How the console ends, and how somebody else has it end.

use std::sync::{Arc, Mutex, PoisonError};

use super::feed::Wake;

/// How the console ended. The terminal has been given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An attached console was left.
    Quit,
    /// The engine of this process is to go on without a console.
    Detach,
    /// Everything is to be stopped.
    StopAll,
    /// The terminal is gone; the engine is to go on as its options say.
    TerminalLost,
    /// What it showed has ended: the engine of this process.
    EngineEnded,
}

/// Ends a console from another thread; the first to say so decides how.
#[derive(Debug, Clone)]
pub struct Ender {
    told: Arc<Mutex<Option<Told>>>,
    wake: Arc<Wake>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    End(Outcome),
    /// To see what a panic of the console does to the terminal and to the engine.
    #[cfg(debug_assertions)]
    Panic,
}

impl Ender {
    pub(super) fn new(wake: Arc<Wake>) -> Self {
        Self { told: Arc::default(), wake }
    }

    /// Has the console give the terminal back and end, at once.
    pub fn end(&self, outcome: Outcome) {
        self.tell(Told::End(outcome));
    }

    /// Has the console's own thread panic.
    #[cfg(debug_assertions)]
    pub fn panic(&self) {
        self.tell(Told::Panic);
    }

    fn tell(&self, told: Told) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(told);
        self.wake.ring();
    }

    pub(super) fn told(&self) -> Option<Told> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
