//! Limits are kept, and what passed them is told by name.

use std::{fs, path::PathBuf};

use crate::{
    containment::available,
    support::{Place, Registry, Server, report, until},
};

/// Once, 80 MiB in a process below the leader; afterwards nothing.
const LEAKS_ONCE: &str = "if test ! -e leaked; then touch leaked; \
    head -c 83886080 /dev/zero | tail -c 83886080 | sleep infinity & fi; \
    sleep infinity & wait";

#[test]
fn a_leak_is_cut_at_its_limit_and_explained_by_name() {
    for level in ["cgroup", "subreaper"].into_iter().filter(|level| available(level)) {
        let mut place = Place::new(&Registry::of([
            Server::shell("ps", LEAKS_ONCE).with("<limits><memory>40M</memory></limits>"),
            Server::shell("other", "sleep infinity & wait")
                .with("<limits><memory>40M</memory></limits>"),
        ]));
        place.set("S7_CONTAINMENT", level);
        let _supervisor = place.start();
        let other = place.running("other");
        let after = place.await_component("ps", "restarted for its limit", |ps| {
            ps["state"] == "running" && ps["restarts"] == 1
        });
        assert_eq!(after["last_exit"]["expected"], false, "{after:#}");
        let explained = place.get("/v1/components/ps/explain").json();
        let cause = explained["exits"][0]["cause"].as_str().expect("a cause");
        assert!(cause.starts_with("its memory limit was passed: "), "{explained:#}");
        assert!(cause.ends_with(" MiB resident, 40 MiB allowed"), "{explained:#}");
        let spoken = place.cli("explain ps");
        assert!(spoken.all().contains("its memory limit was passed"), "{}", spoken.all());
        assert_eq!(place.pid("other"), other, "who keeps the limit is left alone");
    }
}

#[test]
fn a_limit_that_nobody_keeps_is_told_and_the_component_runs() {
    let mut place = Place::new(&Registry::of([
        Server::sleep("is").with("<limits><processes>5</processes></limits>"),
        Server::sleep("ps").with("<limits><processes>5</processes></limits>"),
    ]));
    place.set("S7_CONTAINMENT", "subreaper");
    let _supervisor = place.start();
    place.running("is");
    place.running("ps");
    let trace = until("the trace log tells it", || {
        let trace = place.log_text("Supervisor");
        trace.contains("this limit cannot be kept here").then_some(trace)
    });
    assert!(trace.contains("limits/processes"), "{trace}");
    assert_eq!(trace.matches("this limit cannot be kept here").count(), 1, "told once");
}

/// A memory cgroup below the one that this test is in (cgroup v1: there it needs no delegation).
struct Cramped(PathBuf);

impl Cramped {
    fn make() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.split_once(":memory:"))?.1;
        let folder =
            PathBuf::from(format!("/sys/fs/cgroup/memory{own}/s7t-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let made = Self(folder);
        fs::write(made.0.join("memory.limit_in_bytes"), "33554432").ok()?;
        fs::File::open("/dev/kmsg").ok()?;
        Some(made)
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        until("the cgroup is empty", || fs::remove_dir(&self.0).ok());
    }
}

#[test]
fn an_end_by_the_out_of_memory_killer_is_told_as_such() {
    let Some(cgroup) = Cramped::make() else {
        report("no memory cgroup can be made here: ends for want of memory are not tested");
        return;
    };
    let script = format!(
        "if test ! -e eaten; then touch eaten; echo $$ >{}/cgroup.procs; exec tail /dev/zero; fi; \
         exec sleep infinity",
        cgroup.0.display()
    );
    let place = Place::new(&Registry::of([Server::shell("ps", &script)]));
    let _supervisor = place.start();
    let after = place
        .await_component("ps", "runs again", |ps| ps["state"] == "running" && ps["restarts"] == 1);
    assert_eq!(after["last_exit"]["oom"], true, "{after:#}");
    assert_eq!(after["last_exit"]["signal"], 9, "{after:#}");
    let explained = place.get("/v1/components/ps/explain").json();
    let cause = explained["exits"][0]["cause"].as_str().expect("a cause");
    assert_eq!(cause, "the kernel's out-of-memory killer ended it");
    // A kill by somebody else is none.
    let pid = place.running("ps");
    crate::support::processes::signal(pid, rustix::process::Signal::KILL);
    let after = place
        .await_component("ps", "runs again", |ps| ps["state"] == "running" && ps["restarts"] == 2);
    assert_eq!(after["last_exit"]["oom"], false, "{after:#}");
}
