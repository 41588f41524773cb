//! Gives memory back when a burst of work is over: some seconds after the start, or after the
//! registry was read, and with the history's sample of a minute in which nobody asked anything.
//!
//! No timer runs for it while nothing happens, and whoever asks every few seconds finds the
//! program's pages where they were.

use std::time::Duration;

use super::driver::Driver;
use crate::{model::Moment, process, wire::Verb};

/// From the end of a burst on: more may follow.
const REST: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub(super) struct Tidy {
    due: Option<Moment>,
    /// Somebody asked something since the last minute.
    pub is_asked: bool,
}

impl Tidy {
    pub fn next_deadline(&self) -> Option<Moment> {
        self.due
    }

    /// Whether an operation of this kind on so many components leaves much behind.
    pub fn is_burst(verb: Verb, components: usize) -> bool {
        verb == Verb::Reload || components > 100
    }

    pub fn burst_ended(&mut self, now: Moment) {
        self.due = Some(now.after(REST));
    }

    /// A minute is over: what to do when its sample is taken.
    pub fn at_rest(&mut self) -> impl FnOnce() + Send + 'static + use<> {
        let was_asked = std::mem::take(&mut self.is_asked);
        move || {
            if !was_asked {
                process::give_back();
            }
        }
    }
}

impl Driver {
    pub fn tidy_up(&mut self, now: Moment) {
        if self.tidy.due.is_some_and(|due| due <= now) {
            self.tidy.due = None;
            tokio::task::spawn_blocking(process::give_back);
        }
    }
}
