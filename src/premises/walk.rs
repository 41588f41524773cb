//! The way to a file: every folder and symbolic link that the kernel passes, and who may change it.
//!
//! In a folder whoever may write can replace what stands there. With the sticky bit (`/tmp`) only
//! the owner of an entry can, so such a folder is no defect, and the entry has to be trusted.

use std::{
    collections::{HashMap, VecDeque},
    ffi::OsString,
    fmt,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use rustix::fs::StatVfsMountFlags;

use super::{
    Seen,
    trust::{Trust, called},
};

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// Who may change something beside those who are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Defect {
    Owner {
        user: u32,
    },
    Everybody {
        mode: u32,
    },
    Group {
        group: u32,
        mode: u32,
    },
    /// It stands in for a file of ours.
    Link,
}

/// Looks at each folder once, however many ways lead through it.
pub(super) struct Walk<'a> {
    trust: &'a Trust,
    seen: Seen,
    /// What was passed and is no link, and whether everybody shares it: thousands of components
    /// have the same ways.
    passed: HashMap<PathBuf, bool>,
}

impl<'a> Walk<'a> {
    pub fn new(trust: &'a Trust) -> Self {
        Self { trust, seen: Seen::new(), passed: HashMap::new() }
    }

    /// What is open on the way to an absolute path and was not told before. The way ends where
    /// nothing is yet, or where we may not look.
    pub fn to(&mut self, path: &Path) -> Vec<(PathBuf, Defect)> {
        let mut found = Vec::new();
        let mut here = PathBuf::from("/");
        let mut ahead = parts(path);
        let mut links = 0;
        let mut shared = self.pass(&here, &mut found).unwrap_or(false);
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&part);
            if let Some(&is_shared) = self.passed.get(&next) {
                (here, shared) = (next, is_shared);
                continue;
            }
            let Ok(metadata) = next.symlink_metadata() else { return found };
            if metadata.is_symlink() {
                // Who may write to a folder may replace the links in it; in a shared one it takes
                // the link's owner.
                if shared {
                    self.judge(&next, &metadata, true, &mut found);
                }
                links += 1;
                let Ok(target) = fs::read_link(&next) else { return found };
                if links > MOST_LINKS {
                    return found;
                }
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                let mut further = parts(&target);
                further.append(&mut ahead);
                ahead = further;
                continue;
            }
            shared = self.look(&next, &metadata, &mut found);
            here = next;
        }
        found
    }

    /// Whether it is a folder that everybody shares; none where we may not look.
    fn pass(&mut self, path: &Path, found: &mut Vec<(PathBuf, Defect)>) -> Option<bool> {
        let metadata = path.symlink_metadata().ok()?;
        Some(self.look(path, &metadata, found))
    }

    fn look(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        found: &mut Vec<(PathBuf, Defect)>,
    ) -> bool {
        self.judge(path, metadata, false, found);
        let is_shared = metadata.is_dir() && metadata.mode() & STICKY != 0;
        self.passed.insert(path.to_owned(), is_shared);
        is_shared
    }

    fn judge(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        link: bool,
        found: &mut Vec<(PathBuf, Defect)>,
    ) {
        if !self.seen.insert(path.to_owned()) {
            return;
        }
        let defect =
            if link { foreign_owner(metadata, self.trust) } else { open_to(metadata, self.trust) };
        // On a file system that is mounted read-only nobody writes, whatever the modes say.
        if let Some(defect) = defect.filter(|_| !is_read_only(path)) {
            found.push((path.to_owned(), defect));
        }
    }
}

/// A file that is believed: a regular one, of somebody who is trusted, that nobody else writes.
pub(super) fn has_other_writers(metadata: &Metadata, trust: &Trust) -> Option<Defect> {
    if metadata.is_symlink() {
        return Some(Defect::Link);
    }
    open_to(metadata, trust)
}

fn open_to(metadata: &Metadata, trust: &Trust) -> Option<Defect> {
    let mode = metadata.mode() & 0o7777;
    // In a folder with the sticky bit nobody replaces what is another's.
    let writes = !(metadata.is_dir() && mode & STICKY != 0);
    if let Some(defect) = foreign_owner(metadata, trust) {
        Some(defect)
    } else if writes && mode & OTHERS_WRITE != 0 {
        Some(Defect::Everybody { mode })
    } else if writes && mode & GROUP_WRITES != 0 && !is_ours_alone(metadata.gid()) {
        Some(Defect::Group { group: metadata.gid(), mode })
    } else {
        None
    }
}

/// Root's group; and our own, which is that of one user where `umask` lets groups write.
fn is_ours_alone(group: u32) -> bool {
    group == 0 || group == rustix::process::getegid().as_raw()
}

fn foreign_owner(metadata: &Metadata, trust: &Trust) -> Option<Defect> {
    let user = metadata.uid();
    (!trust.trusts(user)).then_some(Defect::Owner { user })
}

fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path)
        .is_ok_and(|file_system| file_system.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// The names on a way; `..` is one of them, since it leads out of where a link has led.
fn parts(path: &Path) -> VecDeque<OsString> {
    let name = |part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

impl Defect {
    /// Not a matter of whom a group may consist of.
    pub fn is_grave(&self) -> bool {
        !matches!(self, Self::Group { .. })
    }

    pub fn is_about_mode(&self) -> bool {
        matches!(self, Self::Everybody { .. } | Self::Group { .. })
    }

    pub fn remedy(&self, path: &Path, trust: &Trust) -> String {
        let text = path.display().to_string();
        let quoted = shlex::try_quote(&text).unwrap_or_else(|_| text.clone().into());
        match self {
            Self::Owner { .. } => format!("chown -h {} {quoted}", called(trust.user())),
            Self::Everybody { .. } => format!("chmod o-w {quoted}"),
            Self::Group { .. } => format!("chmod g-w {quoted}"),
            Self::Link => format!("rm {quoted}"),
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner { user } => write!(f, "it belongs to {}", called(*user)),
            Self::Everybody { mode } => write!(f, "everybody may write to it (mode {mode:04o})"),
            Self::Group { group, mode } => {
                write!(f, "the group {group} may write to it (mode {mode:04o})")
            }
            Self::Link => f.write_str("it is a symbolic link where a file of ours belongs"),
        }
    }
}
