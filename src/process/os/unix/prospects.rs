//! What a Supervisor could have of cgroups, told without trying it: nothing is made or moved.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{
    cgroup::{folder_name, folder_of, plain},
    controllers::{CONTROLLERS, engine_name, not_delegated, words},
};

/// What a Supervisor in the cgroup of some process could have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prospects {
    /// Where the components' cgroups would be (or are), or why there could be none.
    pub folder: Result<PathBuf, String>,
    /// Controllers that could not be used, with the reason.
    pub missing: Vec<(&'static str, String)>,
}

/// Of a Supervisor that `pid` is, or that it would start; `name` as for
/// [`Containment::probe`](super::Containment::probe).
pub fn prospects(pid: u32, name: &str) -> Prospects {
    let name = folder_name(name);
    let own = folder_of(&pid.to_string()).map(|mut own| {
        if own.file_name() == Some(engine_name(Path::new(&name)).as_os_str()) {
            own.pop();
        }
        own
    });
    let own = match own {
        Ok(own) => own,
        Err(reason) => return Prospects { missing: all_missing(&reason), folder: Err(reason) },
    };
    if let Err(reason) = may_hold_folders(&own) {
        return Prospects { missing: all_missing(&reason), folder: Err(reason) };
    }
    let missing = missing(&own, pid);
    Prospects { folder: Ok(own.join(name)), missing }
}

fn all_missing(reason: &str) -> Vec<(&'static str, String)> {
    CONTROLLERS.into_iter().map(|controller| (controller, reason.to_owned())).collect()
}

fn may_hold_folders(own: &Path) -> Result<(), String> {
    let place = own.display();
    let writable = accessat(CWD, own, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    writable.map_err(|error| format!("{place} may not be changed: {}", plain(&error.into())))?;
    // The root cgroup has neither file, and those below it have both or the older one alone.
    let has = |name: &str| own.join(name).exists();
    if has("cgroup.events") && !has("cgroup.kill") {
        return Err("the kernel is older than 5.14: it has no cgroup.kill".to_owned());
    }
    Ok(())
}

fn missing(own: &Path, pid: u32) -> Vec<(&'static str, String)> {
    let offered = words(&own.join("cgroup.controllers"));
    let enabled = words(&own.join("cgroup.subtree_control"));
    let us = pid.to_string();
    // In the root cgroup processes are in nobody's way.
    let in_the_way = own.join("cgroup.events").exists().then(|| {
        let members = words(&own.join("cgroup.procs"));
        members.into_iter().find(|member| *member != us)
    });
    let reason = |controller: &&'static str| {
        if !offered.iter().any(|name| name == controller) {
            return Some(not_delegated(own, controller));
        }
        if enabled.iter().any(|name| name == controller) {
            return None;
        }
        let other = in_the_way.clone().flatten()?;
        Some(format!("process {other} is in the cgroup {}, too", own.display()))
    };
    CONTROLLERS.iter().filter_map(|name| Some((*name, reason(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nothing_is_made_by_looking() {
        let told = prospects(std::process::id(), "doctor-test");
        if let Ok(folder) = &told.folder {
            assert!(!folder.exists(), "{}", folder.display());
        }
    }

    #[test]
    fn what_stands_in_the_way_of_a_controller_is_told() {
        let own = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(own.path().join(name), text).expect("ours");
        write("cgroup.controllers", "cpu memory\n");
        write("cgroup.subtree_control", "cpu\n");
        write("cgroup.events", "populated 1\n");
        write("cgroup.procs", "7\n8\n");
        let missing = missing(own.path(), 7);
        let [(memory, crowded), (pids, absent)] = &missing[..] else { panic!("{missing:?}") };
        assert_eq!((*memory, *pids), ("memory", "pids"));
        assert!(crowded.starts_with("process 8 is in the cgroup"), "{crowded}");
        assert!(absent.contains("not delegated"), "{absent}");
        assert!(may_hold_folders(own.path()).expect_err("old").contains("cgroup.kill"));
    }
}
