//! The runtime folder: nobody but us may put a socket or a token there.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
};

use super::names;

/// Makes the runtime folder, or checks the one that is there.
///
/// - Missing: created with mode 0700, its parents as usual.
/// - There: it must be a folder that belongs to us or to root. Where the group or others may
///   write, that right is taken from them: whoever may write there could put a socket of their
///   own in place of ours. A folder that everyone shares (with the sticky bit, like `/tmp`) is
///   refused, since taking rights away would harm its other users.
/// - With a `group` (name, or number): the folder is given to that group, whose members may
///   then pass through it (0710), but not list it.
///
/// Its parents are not checked. The error says what stands in the way and what to do.
pub fn prepare_folder(path: &Path, group: Option<&str>) -> io::Result<()> {
    prepare(path, group).map_err(|error| {
        let text = format!("cannot use the runtime folder {}: {error}", path.display());
        io::Error::new(error.kind(), text)
    })
}

fn prepare(path: &Path, group: Option<&str>) -> io::Result<()> {
    let group = group.map(group_id).transpose()?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no folder"));
    }
    let (owner, us) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != us && owner != 0 {
        return refuse(format!("it belongs to uid {owner}, not to us (uid {us})"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o1000 != 0 {
        return refuse("it is shared with other users: name a folder of its own in <temp>".into());
    }
    let mut wanted = mode & !0o022;
    if let Some(group) = group {
        wanted |= 0o010;
        if metadata.gid() != group {
            chown(path, None, Some(group))?;
        }
    }
    if wanted != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(wanted)).map_err(|error| {
            let text = format!("others may write to it, and that cannot be taken back: {error}");
            io::Error::new(error.kind(), text)
        })?;
    }
    Ok(())
}

/// The number of the control group.
pub(super) fn group_id(group: &str) -> io::Result<u32> {
    names::group_id(group).ok_or_else(|| {
        let text = format!("the group \"{group}\" is not in /etc/group; its number works as well");
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").mode() & 0o7777
    }

    fn existing(mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let path = parent.path().join("temp");
        fs::create_dir(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        (parent, path)
    }

    #[test]
    fn a_missing_folder_is_made_for_us_alone() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let path = parent.path().join("a/b/temp");
        prepare_folder(&path, None).expect("made");
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn nobody_else_keeps_the_right_to_write() {
        for (before, after) in [(0o700, 0o700), (0o755, 0o755), (0o777, 0o755), (0o770, 0o750)] {
            let (_parent, path) = existing(before);
            prepare_folder(&path, None).expect("ours");
            assert_eq!(mode(&path), after, "{before:o}");
        }
    }

    #[test]
    fn a_shared_folder_is_refused_and_left_as_it_is() {
        let (_parent, path) = existing(0o1777);
        let error = prepare_folder(&path, None).expect_err("shared").to_string();
        assert!(error.contains("shared with other users"), "{error}");
        assert_eq!(mode(&path), 0o1777);
    }

    #[test]
    fn a_file_in_its_place_and_an_unknown_group_are_named() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let path = parent.path().join("temp");
        fs::write(&path, "").expect("written");
        let error = prepare_folder(&path, None).expect_err("a file").to_string();
        assert!(error.ends_with("it is no folder"), "{error}");
        let error = prepare_folder(&path, Some("no-such-group")).expect_err("unknown").to_string();
        assert!(error.contains("\"no-such-group\" is not in /etc/group"), "{error}");
    }

    #[test]
    fn the_control_group_may_pass_through() {
        let (_parent, path) = existing(0o700);
        let own = rustix::process::getegid().as_raw().to_string();
        prepare_folder(&path, Some(&own)).expect("our own group");
        assert_eq!(mode(&path), 0o710);
    }
}
