//! Bounds that the kernel keeps for a whole tree, by the controllers of cgroup v2.
//!
//! ```text
//!   OUR OWN CGROUP               subtree_control: cpu memory pids
//!   ├── s7supervisor-NAME.engine   this process, if OUR OWN had to be emptied for that
//!   └── s7supervisor-NAME        subtree_control: cpu memory pids
//!       └── component-is         cpu.max, memory.max, memory.oom.group, pids.max
//! ```
//!
//! Nothing of this is touched before a component asks for such a bound. What cannot be had has a
//! reason in words, once for the whole Supervisor.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    cgroup::{Base, Leaf, plain},
    guard,
};
use crate::{process::Unbounded, registry::Limits};

/// The controllers that bounds are made of, by the names of the kernel.
pub(super) const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The period of `cpu.max`, in microseconds: the kernel's own choice.
const PERIOD: u64 = 100_000;

/// Why controllers cannot be used, by name; one that is not here can.
#[derive(Debug)]
pub(super) struct Missing(Vec<(&'static str, String)>);

/// One bound: the element of the registry, the controller, the file and what is written to it.
struct Bound {
    element: &'static str,
    controller: &'static str,
    file: &'static str,
    value: String,
}

/// The name of the cgroup into which we go ourselves where we are in the way.
pub(super) fn engine_name(base: &Path) -> PathBuf {
    let mut name = base.file_name().unwrap_or_default().to_owned();
    name.push(".engine");
    name.into()
}

impl Base {
    /// Bounds what is started in the leaf. What could not be done is returned.
    pub(super) fn bound(&self, leaf: &Leaf, limits: &Limits) -> Vec<Unbounded> {
        let bounds = bounds(limits);
        if bounds.is_empty() {
            return Vec::new();
        }
        let missing = self.controllers.get_or_init(|| Missing(enable(self.folder())));
        let failed = bounds.into_iter().filter_map(|bound| {
            let Bound { element, controller, file, value } = bound;
            let known = missing.0.iter().find(|(name, _)| *name == controller);
            let reason = if let Some((_, reason)) = known {
                reason.clone()
            } else {
                let error = leaf.write(file, &value).err()?;
                format!("cannot write {value} to {file}: {}", plain(&error))
            };
            Some(Unbounded { element, reason })
        });
        failed.collect()
    }
}

fn bounds(limits: &Limits) -> Vec<Bound> {
    let mut bounds = Vec::new();
    let mut add = |element, controller, file, value| {
        bounds.push(Bound { element, controller, file, value });
    };
    if let Some(cores) = limits.cpu {
        add("limits/cpu", "cpu", "cpu.max", cpu_max(cores));
    }
    if let Some(bytes) = limits.memory_max {
        add("limits/memoryMax", "memory", "memory.max", bytes.to_string());
        // A tree of which the kernel has taken a part is of no use: all of it goes.
        add("limits/memoryMax", "memory", "memory.oom.group", "1".to_owned());
    }
    if let Some(count) = limits.processes {
        add("limits/processes", "pids", "pids.max", count.to_string());
    }
    bounds
}

/// Microseconds of CPU in each period.
fn cpu_max(cores: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the registry allows 0.01 to 4096 cores"
    )]
    let quota = (cores * PERIOD as f64).round() as u64;
    // The kernel takes no less than a millisecond.
    format!("{} {PERIOD}", quota.max(1_000))
}

/// Has the controllers work in the cgroups below `base`; why not, for each that does not.
fn enable(base: &Path) -> Vec<(&'static str, String)> {
    let Some(own) = base.parent() else { return Vec::new() };
    let offered = words(&own.join("cgroup.controllers"));
    let refused = CONTROLLERS.into_iter().filter_map(|controller| {
        if !offered.iter().any(|name| name == controller) {
            return Some((controller, not_delegated(own, controller)));
        }
        let enabled = switch_on(own, controller)
            .or_else(|error| {
                if error.raw_os_error() != Some(libc::EBUSY) {
                    return Err(error);
                }
                // Only the root cgroup may have processes and controllers for those below.
                step_aside(own, base)?;
                switch_on(own, controller)
            })
            .and_then(|()| switch_on(base, controller));
        let error = enabled.err()?;
        Some((
            controller,
            format!(
                "cannot use the {controller} controller below {}: {}",
                own.display(),
                plain(&error)
            ),
        ))
    });
    refused.collect()
}

pub(super) fn not_delegated(own: &Path, controller: &str) -> String {
    let place = own.display();
    format!(
        "the {controller} controller is not delegated to {place} (it may be bound to cgroup v1)"
    )
}

fn switch_on(folder: &Path, controller: &str) -> io::Result<()> {
    let file = folder.join("cgroup.subtree_control");
    if words(&file).iter().any(|name| name == controller) {
        return Ok(());
    }
    fs::write(file, format!("+{controller}"))
}

/// Puts this process (and its guardian) into a cgroup beside the components', if nobody else
/// stands in the way.
fn step_aside(own: &Path, base: &Path) -> io::Result<()> {
    let us = std::process::id().to_string();
    let guardian = guard::guardian().map(|pid| pid.to_string());
    let there = words(&own.join("cgroup.procs"));
    let stranger = |pid: &&String| **pid != us && Some(*pid) != guardian.as_ref();
    if let Some(other) = there.iter().find(stranger) {
        return Err(io::Error::other(format!(
            "process {other} is in our cgroup, too: let the service manager delegate one \
             (Delegate=yes)"
        )));
    }
    let engine = own.join(engine_name(base));
    match fs::create_dir(&engine) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The kernel takes one number at a time.
    if let Some(guardian) = guardian.filter(|pid| there.contains(pid)) {
        fs::write(engine.join("cgroup.procs"), guardian)?;
    }
    fs::write(engine.join("cgroup.procs"), us)
}

pub(super) fn words(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_written_as_the_kernel_reads_them() {
        let limits = Limits {
            cpu: Some(1.5),
            memory_max: Some(64 << 20),
            processes: Some(20),
            ..Limits::default()
        };
        let written: Vec<_> =
            bounds(&limits).into_iter().map(|bound| (bound.file, bound.value)).collect();
        let expected = [
            ("cpu.max", "150000 100000"),
            ("memory.max", "67108864"),
            ("memory.oom.group", "1"),
            ("pids.max", "20"),
        ];
        assert_eq!(written, expected.map(|(file, value)| (file, value.to_owned())));
        assert_eq!(cpu_max(0.01), "1000 100000");
        assert!(bounds(&Limits { memory: Some(1), ..Limits::default() }).is_empty());
    }

    /// A folder that looks like a cgroup: what is written can be read back.
    fn cgroup(folder: &Path, controllers: &str) {
        fs::create_dir_all(folder).expect("our folder");
        for (file, text) in [
            ("cgroup.controllers", controllers),
            ("cgroup.subtree_control", ""),
            ("cgroup.procs", "1\n"),
        ] {
            fs::write(folder.join(file), text).expect("our folder");
        }
    }

    #[test]
    fn a_controller_that_is_not_delegated_is_named() {
        let own = tempfile::tempdir().expect("a folder");
        let base = own.path().join("s7supervisor-x");
        cgroup(own.path(), "cpuset cpu io\n");
        cgroup(&base, "");
        let missing = enable(&base);
        let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["memory", "pids"]);
        assert!(missing[0].1.contains("not delegated"), "{missing:?}");
        for folder in [own.path(), &base] {
            let control = fs::read_to_string(folder.join("cgroup.subtree_control"));
            assert_eq!(control.expect("ours"), "+cpu");
        }
    }

    #[test]
    fn others_in_our_cgroup_are_not_moved() {
        let own = tempfile::tempdir().expect("a folder");
        let base = own.path().join("s7supervisor-x");
        cgroup(own.path(), "cpu\n");
        let error = step_aside(own.path(), &base).expect_err("pid 1 is there");
        assert!(error.to_string().contains("process 1 is in our cgroup"), "{error}");
        fs::write(own.path().join("cgroup.procs"), format!("{}\n", std::process::id()))
            .expect("our folder");
        let engine = own.path().join("s7supervisor-x.engine");
        fs::create_dir(&engine).expect("our folder");
        fs::write(engine.join("cgroup.procs"), "").expect("our folder");
        step_aside(own.path(), &base).expect("we alone");
        let moved = fs::read_to_string(engine.join("cgroup.procs")).expect("ours");
        assert_eq!(moved, std::process::id().to_string());
    }
}
