//! Who descends from whom, as `/proc` tells it at the moment of asking.

use std::{fs, io, os::unix::ffi::OsStrExt, str::FromStr, sync::OnceLock};

use super::{leaders, stat::Stat};

/// The direct children of another process, living and ended.
///
/// One that is being reaped at this moment can make the kernel leave out another one.
pub(crate) fn children_of(parent: i32) -> Vec<i32> {
    if has_children_files() { listed_children(parent) } else { children_by_scan(parent) }
}

/// Our own direct children, living and ended: all of them.
pub(super) fn own_children() -> Vec<i32> {
    leaders::undisturbed(|| children_of(std::process::id().cast_signed()))
}

/// Children of our first thread. See `Look::AtOrphans`.
pub(crate) fn own_orphans() -> Vec<i32> {
    let first = format!("/proc/self/task/{}/children", std::process::id());
    let listed = leaders::undisturbed(|| fs::read(first));
    // Without such files there is but one list of children.
    listed.map_or_else(|_| own_children(), |text| numbers(&text))
}

/// Each thread has a list of its own.
fn listed_children(parent: i32) -> Vec<i32> {
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

/// Whether this assignment stood in the environment that the process's program was given;
/// `None`: it is just executing another program, so ask again.
pub(super) fn has_in_environment(pid: i32, assignment: &[u8]) -> Option<bool> {
    let path = format!("/proc/{pid}/environ");
    // A program executed between open and read leaves nothing of the old environment to be read,
    // and then the new one is there at the second look.
    for _ in 0..2 {
        match fs::read(&path) {
            Ok(text) if !text.is_empty() => {
                return Some(text.split(|&byte| byte == 0).any(|entry| entry == assignment));
            }
            Ok(_) if is_executing(pid) => return None,
            Ok(_) => {}
            // Another user's, or ended: nothing says that it is ours.
            Err(_) => return Some(false),
        }
    }
    Some(false)
}

/// New memory has no environment yet: field 51, its end, is 0. Kernel threads (field 9) never
/// have any; where we may not know the field is 0, too, but then the environment is an error.
fn is_executing(pid: i32) -> bool {
    const KERNEL_THREAD: u32 = 0x0020_0000;
    let Ok(line) = fs::read(format!("/proc/{pid}/stat")) else { return false };
    let name_end = memchr::memrchr(b')', &line).unwrap_or(line.len());
    let text = line.get(name_end + 1..).unwrap_or_default();
    let mut fields = text.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let flags = fields.nth(6).and_then(number::<u32>);
    let environment_end = fields.nth(41).and_then(number::<u64>);
    flags.is_some_and(|flags| flags & KERNEL_THREAD == 0) && environment_end == Some(0)
}

pub(crate) fn numbers(text: &[u8]) -> Vec<i32> {
    text.split(u8::is_ascii_whitespace).filter_map(number).collect()
}

fn number<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Kernels without `CONFIG_PROC_CHILDREN` lack the files.
fn has_children_files() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        !fs::read("/proc/thread-self/children").as_ref().is_err_and(missing)
    })
}

fn children_by_scan(parent: i32) -> Vec<i32> {
    let is_child =
        |&pid: &i32| Stat::of(pid).ok().flatten().is_some_and(|stat| stat.ppid == parent);
    every_process().into_iter().filter(is_child).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_searched_for_whole_assignments() {
        let own = std::process::id().cast_signed();
        let text = fs::read("/proc/self/environ").expect("readable");
        let first = text.split(|&byte| byte == 0).next().expect("cargo sets some");
        assert_eq!(has_in_environment(own, first), Some(true));
        assert_eq!(has_in_environment(own, &first[..first.len() - 1]), Some(false));
        assert!(!is_executing(own));
    }

    #[test]
    fn both_ways_to_find_children_agree() {
        // Our parent (cargo, or a shell) has at least us.
        let parent = std::os::unix::process::parent_id().cast_signed();
        let own = std::process::id().cast_signed();
        assert!(children_of(parent).contains(&own));
        assert!(children_by_scan(parent).contains(&own));
    }
}
