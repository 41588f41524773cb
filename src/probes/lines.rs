//! Where output lines come from: the logs room, behind a trait.

use regex::bytes::Regex;

use crate::model::{ComponentId, RunId};

/// From which line on a watch looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// The first line of this run, also where it was written before the watch began.
    RunStart,
    /// The first line that comes after the watch began.
    Now,
}

/// Watches components' output. There is at most one watch per component: a new one replaces it.
pub trait LineSource: Send + Sync {
    /// The first line of this run that matches is to be given to [`super::Probes::matched`], once.
    fn watch_lines(&self, id: &ComponentId, run: RunId, pattern: Regex, since: Since);

    /// Ends the watch, if there is one.
    fn unwatch(&self, id: &ComponentId);
}
