//! Where processes are, by `/proc`: for those that hang.
//!
//! Reading may wait for a lock that a hung process holds, so nobody waits for it without a limit.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

/// Threads of one process that are looked at.
const THREADS: usize = 256;

/// Lines of `status` that tell something of a hang.
const TELLING: [&str; 10] = [
    "Name:",
    "State:",
    "VmSize:",
    "VmRSS:",
    "VmSwap:",
    "Threads:",
    "SigPnd:",
    "ShdPnd:",
    "voluntary_ctxt_switches:",
    "nonvoluntary_ctxt_switches:",
];

/// What `/proc` says of these processes and of each of their threads. Kernel stacks are there for
/// root alone.
pub fn stacks(pids: &[i32]) -> String {
    let mut text = String::new();
    for pid in pids {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let Ok(status) = fs::read_to_string(folder.join("status")) else {
            let _infallible = writeln!(text, "== pid {pid}: gone\n");
            continue;
        };
        let _infallible = writeln!(text, "== pid {pid}");
        for line in status.lines().filter(|line| TELLING.iter().any(|it| line.starts_with(it))) {
            let _infallible = writeln!(text, "{line}");
        }
        let mut tasks: Vec<PathBuf> = match fs::read_dir(folder.join("task")) {
            Ok(tasks) => tasks.flatten().map(|task| task.path()).collect(),
            Err(_gone) => Vec::new(),
        };
        tasks.sort_by_key(|task| number(task));
        let left_out = tasks.len().saturating_sub(THREADS);
        for task in tasks.iter().take(THREADS) {
            thread(&mut text, task);
        }
        if left_out > 0 {
            let _infallible = writeln!(text, "-- and {left_out} more threads");
        }
        text.push('\n');
    }
    text
}

fn thread(text: &mut String, task: &Path) {
    let read = |name: &str| {
        let content = fs::read_to_string(task.join(name));
        content.map(|content| content.trim_end().to_owned())
    };
    let state = read("stat").ok().and_then(|stat| {
        let after_name = stat.rfind(')')?;
        stat[after_name + 1..].split_whitespace().next().map(str::to_owned)
    });
    let wait = read("wchan").unwrap_or_default();
    let _infallible = writeln!(
        text,
        "-- thread {} ({}) {} in {}",
        number(task).unwrap_or_default(),
        read("comm").unwrap_or_default(),
        state.unwrap_or_else(|| "?".to_owned()),
        if wait.is_empty() || wait == "0" { "user space, or not told" } else { &wait },
    );
    match read("stack") {
        Ok(stack) => {
            for line in stack.lines() {
                let _infallible = writeln!(text, "     {line}");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(_gone) => {}
    }
}

fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.parse().ok()
}

/// Whether it is a JVM that answers SIGQUIT with a thread dump, instead of dying of it.
pub fn is_jvm_that_dumps(pid: i32) -> bool {
    const QUIT: u64 = 1 << (3 - 1);
    let caught = fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(|status| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    });
    // One that was started with -Xrs does not catch it.
    if caught.is_none_or(|mask| mask & QUIT == 0) {
        return false;
    }
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    memchr::memmem::find(&maps, b"/libjvm.so").is_some()
}
