//! What earlier engines left that nobody needs any more.
//!
//! An engine that is killed between the end of a run and saying so leaves what was kept for that
//! run; one that is killed while a component leaves the registry, its pipes and its cgroup. None of
//! it does harm, but over many deaths it would add up.

use std::{collections::BTreeSet, fs, os::unix::fs::FileTypeExt as _};

use super::{driver::Driver, launch::pipes_folder};
use crate::guardian::{self, DescriptorStore as _};

/// Pipes and cgroups of components that the registry does not have. Everything of them has been
/// ended, and nothing may be starting.
pub(super) fn tidy(driver: &Driver) {
    let is_known = |id: &str| driver.supervisor.config(id).is_some();
    driver.containment.forget(&is_known);
    let folder = pipes_folder(&driver.supervisor.registry().config.temp);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.rsplit_once('.')).map(|(id, _stream)| id);
        let is_pipe = entry.file_type().is_ok_and(|kind| kind.is_fifo());
        if is_pipe && id.is_some_and(|id| !is_known(id)) {
            // One that stays is taken over by the next start of a component of that name.
            let _stays = fs::remove_file(entry.path());
        }
    }
}

/// Of what was kept under these names, what belongs to no run that lives and to no component that
/// the registry has.
pub(super) fn let_go(driver: &Driver, kept: &[String]) {
    let alive: BTreeSet<String> = driver
        .running
        .iter()
        .flat_map(|(run, running)| {
            [guardian::name::pid(&running.id, *run), guardian::name::notify(&running.id, *run)]
        })
        .collect();
    let is_known = |id: &str| driver.supervisor.config(id).is_some();
    for name in kept {
        let is_needed = match name.split_once('.') {
            Some(("pid" | "notify", _)) => alive.contains(name),
            Some(("out" | "err", id)) => is_known(id),
            // The lock and the listeners are whoever's business who took them.
            _ => true,
        };
        if !is_needed {
            driver.stores.forget(name);
        }
    }
}
