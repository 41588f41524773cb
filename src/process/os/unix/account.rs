//! Users and groups, by the system's name service.
//!
//! Looked up before a process is created: the name service allocates, locks and may ask a
//! directory server.

#![expect(unsafe_code, reason = "the C library's reentrant look-ups")]

use std::{
    ffi::{CStr, CString},
    io, ptr,
};

use crate::process::{SpawnError, SpawnStage};

/// Who a process is to be, as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub user: Option<u32>,
    pub group: Option<u32>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// What a refusal is about: the user where one was asked for, else the group.
    pub blame: SpawnStage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct User {
    id: u32,
    group: u32,
    name: CString,
}

impl Credentials {
    /// `None`: nothing is to be changed.
    pub(super) fn resolve(
        user: Option<&str>,
        group: Option<&str>,
    ) -> Result<Option<Self>, SpawnError> {
        let failed = |what: String, error| SpawnError::new(SpawnStage::Account, what, error);
        let missing = || io::Error::new(io::ErrorKind::NotFound, "no such name or number");

        let group = group
            .map(|name| {
                let what = || format!("group {name}");
                group_id(name)
                    .map_err(|error| failed(what(), error))?
                    .ok_or_else(|| failed(what(), missing()))
            })
            .transpose()?;
        let Some(name) = user else {
            return Ok(group.map(|group| Self {
                user: None,
                group: Some(group),
                groups: vec![group],
                blame: SpawnStage::Group,
            }));
        };

        let what = || format!("user {name}");
        let found = find_user(name).map_err(|error| failed(what(), error))?;
        let credentials = match (found, name.parse().ok(), group) {
            (Some(user), _, group) => {
                let group = group.unwrap_or(user.group);
                Self {
                    user: Some(user.id),
                    group: Some(group),
                    groups: supplementary_groups(&user.name, group),
                    blame: SpawnStage::User,
                }
            }
            // A number without an account is fine as long as somebody says which group.
            (None, Some(number), Some(group)) => Self {
                user: Some(number),
                group: Some(group),
                groups: vec![group],
                blame: SpawnStage::User,
            },
            (None, Some(_), None) => {
                let text = "it has no account, so its group must be given";
                return Err(failed(what(), io::Error::new(io::ErrorKind::NotFound, text)));
            }
            (None, None, _) => return Err(failed(what(), missing())),
        };
        Ok(Some(credentials).filter(|wanted| !wanted.are_ours()))
    }

    /// We are that user already, and not root, so there is nothing to switch and no right to.
    fn are_ours(&self) -> bool {
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        user != 0 && self.user == Some(user) && self.group == Some(group)
    }
}

/// The user and all groups that a process with these names would have; ours where nothing is to be
/// changed.
pub fn identity(user: Option<&str>, group: Option<&str>) -> Result<(u32, Vec<u32>), SpawnError> {
    let ours = || rustix::process::geteuid().as_raw();
    let wanted = Credentials::resolve(user, group)?;
    let Some(Credentials { user, group, mut groups, .. }) = wanted else {
        let mut groups = rustix::process::getgroups().unwrap_or_default();
        groups.push(rustix::process::getegid());
        return Ok((ours(), groups.into_iter().map(rustix::process::Gid::as_raw).collect()));
    };
    groups.extend(group);
    Ok((user.unwrap_or_else(ours), groups))
}

/// The name of a user; `None` where it has none.
pub fn user_name(uid: u32) -> Option<String> {
    let user = passwd(|entry, buffer, length, found| {
        // SAFETY: see `passwd`.
        unsafe { libc::getpwuid_r(uid, entry, buffer, length, found) }
    });
    user.ok().flatten().map(|user| user.name.to_string_lossy().into_owned())
}

/// The number of a user, by name or number; `None`: there is no such user.
pub fn user_id(name: &str) -> io::Result<Option<u32>> {
    let number = name.parse().ok();
    Ok(find_user(name)?.map(|user| user.id).or(number))
}

/// The number of a group, by name or number; `None`: there is no such group.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    let number = name.parse().ok();
    let Ok(name) = CString::new(name) else { return Ok(None) };
    let mut entry = libc::group {
        gr_name: ptr::null_mut(),
        gr_passwd: ptr::null_mut(),
        gr_gid: 0,
        gr_mem: ptr::null_mut(),
    };
    let found = look_up(|buffer, length| {
        let mut found = ptr::null_mut();
        // SAFETY: the structures and the buffer are writable for their whole length.
        let answer = unsafe {
            libc::getgrnam_r(name.as_ptr(), &raw mut entry, buffer, length, &raw mut found)
        };
        (answer, (!found.is_null()).then_some(()))
    })?;
    Ok(found.map(|()| entry.gr_gid).or(number))
}

/// By name, then by number, as chown(1) does.
fn find_user(name: &str) -> io::Result<Option<User>> {
    let Ok(text) = CString::new(name) else { return Ok(None) };
    let by_name = passwd(|entry, buffer, length, found| {
        // SAFETY: see `passwd`; the name is a C string.
        unsafe { libc::getpwnam_r(text.as_ptr(), entry, buffer, length, found) }
    })?;
    match (by_name, name.parse()) {
        (None, Ok(number)) => passwd(|entry, buffer, length, found| {
            // SAFETY: see `passwd`.
            unsafe { libc::getpwuid_r(number, entry, buffer, length, found) }
        }),
        (user, _) => Ok(user),
    }
}

/// Runs one of the `getpw*_r` functions, with pointers that are valid for all that they write.
fn passwd(
    mut ask: impl FnMut(
        *mut libc::passwd,
        *mut libc::c_char,
        usize,
        *mut *mut libc::passwd,
    ) -> libc::c_int,
) -> io::Result<Option<User>> {
    let mut entry = libc::passwd {
        pw_name: ptr::null_mut(),
        pw_passwd: ptr::null_mut(),
        pw_uid: 0,
        pw_gid: 0,
        pw_gecos: ptr::null_mut(),
        pw_dir: ptr::null_mut(),
        pw_shell: ptr::null_mut(),
    };
    look_up(|buffer, length| {
        let mut found = ptr::null_mut();
        let answer = ask(&raw mut entry, buffer, length, &raw mut found);
        let user = (answer == 0 && !found.is_null()).then(|| User {
            id: entry.pw_uid,
            group: entry.pw_gid,
            // SAFETY: it points into the buffer, which lives until the closure returns.
            name: unsafe { CStr::from_ptr(entry.pw_name) }.to_owned(),
        });
        (answer, user)
    })
}

/// Gives a look-up a buffer that grows until it is large enough.
fn look_up<T>(
    mut ask: impl FnMut(*mut libc::c_char, usize) -> (libc::c_int, Option<T>),
) -> io::Result<Option<T>> {
    const LARGEST: usize = 1 << 24;
    let mut buffer = vec![0; 1024];
    loop {
        match ask(buffer.as_mut_ptr(), buffer.len()) {
            (0, found) => return Ok(found),
            (libc::EINTR, _) => {}
            (libc::ERANGE, _) if buffer.len() < LARGEST => buffer.resize(buffer.len() * 4, 0),
            // "Not found" has many numbers; getpwnam(3) lists these.
            (libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, _) => return Ok(None),
            (number, _) => return Err(io::Error::from_raw_os_error(number)),
        }
    }
}

fn supplementary_groups(user: &CStr, group: u32) -> Vec<u32> {
    let mut groups = vec![0; 32];
    loop {
        let mut count = i32::try_from(groups.len()).unwrap_or(i32::MAX);
        // SAFETY: the list is writable for `count` entries.
        let answer = unsafe {
            libc::getgrouplist(user.as_ptr(), group, groups.as_mut_ptr(), &raw mut count)
        };
        let count = usize::try_from(count).unwrap_or_default();
        if answer >= 0 {
            groups.truncate(count);
            return groups;
        }
        // It said how many there are; grow by force where it did not.
        groups.resize(count.max(groups.len() * 2), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_nobody_are_known_by_name_and_number() {
        assert_eq!(user_name(0).as_deref(), Some("root"));
        assert_eq!(user_id("root").expect("an answer"), Some(0));
        assert_eq!(group_id("root").expect("an answer"), Some(0));
        assert_eq!(group_id("4711").expect("an answer"), Some(4711));
        assert_eq!(user_id("no-such-user").expect("an answer"), None);
        assert_eq!(group_id("no-such-group").expect("an answer"), None);
        assert_eq!(find_user("65534").expect("an answer"), find_user("nobody").expect("an answer"));
    }

    #[test]
    fn an_unknown_account_is_named_in_the_error() {
        let text = |user, group| {
            Credentials::resolve(user, group).expect_err("there is no such account").to_string()
        };
        assert_eq!(
            text(Some("no-such-user"), None),
            "cannot look up user no-such-user: no such name or number"
        );
        assert_eq!(
            text(None, Some("no-such-group")),
            "cannot look up group no-such-group: no such name or number"
        );
        assert_eq!(
            text(Some("471147"), None),
            "cannot look up user 471147: it has no account, so its group must be given"
        );
    }

    #[test]
    fn a_group_overrides_the_users_own() {
        let nobody = Credentials::resolve(Some("nobody"), Some("4711"))
            .expect("both are known")
            .expect("we are not nobody");
        assert_eq!((nobody.user, nobody.group), (Some(65534), Some(4711)));
        assert!(nobody.groups.contains(&4711));
    }
}
