//! What the rooms of the world need of one another, and get through the driver alone.

use std::{os::fd::OwnedFd, sync::PoisonError};

use regex::bytes::Regex;

use super::{driver::Configs, launch::launch};
use crate::{
    logs::Logs,
    model::{ComponentId, RunId},
    probes::{LaunchOf, LineSource, Members, Since},
    process,
};

/// Output lines, for checks that wait for one.
pub(super) struct Lines(pub Logs);

impl LineSource for Lines {
    fn watch_lines(&self, id: &ComponentId, run: RunId, pattern: Regex, since: Since) {
        match since {
            Since::RunStart => self.0.watch_lines(id, run, pattern),
            Since::Now => self.0.watch_new_lines(id, run, pattern),
        }
    }

    fn unwatch(&self, id: &ComponentId) {
        self.0.unwatch(id);
    }
}

/// Whether a process that speaks to a notify socket belongs to the component.
pub(super) struct Belonging;

impl Members for Belonging {
    fn contains(&self, _run: RunId, leader: u32, pid: u32) -> bool {
        process::belongs_to(pid, leader)
    }
}

/// Launches of commands beside a component: as the component itself would be launched.
pub(super) fn launch_beside(configs: Configs) -> LaunchOf {
    Box::new(move |run, id: &ComponentId, stdout: OwnedFd, stderr: OwnedFd| {
        let configs = configs.lock().unwrap_or_else(PoisonError::into_inner);
        let component = configs.get(id).cloned();
        drop(configs);
        let component = component.ok_or_else(|| format!("{id} is not in the registry any more"))?;
        launch(&component, run, Vec::new(), stdout, stderr)
    })
}
