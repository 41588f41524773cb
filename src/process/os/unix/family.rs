//! Who descends from whom, as `/proc` tells it at the moment of asking.

use std::{
    fs, io,
    os::unix::ffi::OsStrExt,
    str::{self, FromStr},
    sync::OnceLock,
};

use super::stat::Stat;

/// The direct children of all threads of a process (`self` or a pid), living and ended.
pub(crate) fn children_of(parent: &str) -> Vec<i32> {
    if !has_children_files() {
        return children_by_scan(parent);
    }
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| fs::read(thread.path().join("children")).ok())
        .flat_map(|text| numbers(&text))
        .collect()
}

/// All processes that `/proc` shows.
pub(super) fn every_process() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| number(entry.file_name().as_bytes())).collect()
}

/// Whether this assignment stood in the environment that the process's program was given.
pub(super) fn has_in_environment(pid: i32, assignment: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|text| text.split(|&byte| byte == 0).any(|entry| entry == assignment))
}

pub(crate) fn numbers(text: &[u8]) -> Vec<i32> {
    text.split(u8::is_ascii_whitespace).filter_map(number).collect()
}

fn number<T: FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// Kernels without `CONFIG_PROC_CHILDREN` lack the files.
fn has_children_files() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        !fs::read("/proc/thread-self/children").as_ref().is_err_and(missing)
    })
}

fn children_by_scan(parent: &str) -> Vec<i32> {
    let parent = match parent {
        "self" => std::process::id().cast_signed(),
        pid => pid.parse().unwrap_or_default(),
    };
    let is_child =
        |&pid: &i32| Stat::of(pid).ok().flatten().is_some_and(|stat| stat.ppid == parent);
    every_process().into_iter().filter(is_child).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_find_children_agree() {
        // Our parent (cargo, or a shell) has at least us.
        let parent = std::os::unix::process::parent_id().to_string();
        let own = std::process::id().cast_signed();
        assert!(children_of(&parent).contains(&own));
        assert!(children_by_scan(&parent).contains(&own));
    }
}
