//! Names of users and numbers of groups, from `/etc/passwd` and `/etc/group` alone.
//!
//! The name service would also know the users of a directory server, but it may ask the network,
//! and one slow answer would hold up the engine's thread. A user it alone knows is shown by number.

use std::fs;

/// The name of a user.
pub(super) fn user_name(uid: u32) -> Option<String> {
    name_in(&fs::read_to_string("/etc/passwd").ok()?, uid)
}

/// The number of a group, by its name or its number in digits.
pub(super) fn group_id(group: &str) -> Option<u32> {
    group.parse().ok().or_else(|| number_in(&fs::read_to_string("/etc/group").ok()?, group))
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    entries(passwd).find(|&(_, number)| number == uid).map(|(name, _)| name.to_owned())
}

fn number_in(group: &str, name: &str) -> Option<u32> {
    entries(group).find(|&(entry, _)| entry == name).map(|(_, number)| number)
}

/// Name and number: both files have them in the first and the third field.
fn entries(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name, fields.nth(1)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n\n# no entry\nbad:x\nops:x:1000:1000::/:\n";

    #[test]
    fn names_and_numbers_are_found_among_lines_that_are_none() {
        assert_eq!(name_in(PASSWD, 1000).as_deref(), Some("ops"));
        assert_eq!(name_in(PASSWD, 7), None);
        assert_eq!(number_in("adm:x:4:syslog\nstaff:x:50:\n", "staff"), Some(50));
        assert_eq!(group_id("4711"), Some(4711));
        assert_eq!(user_name(0).as_deref(), Some("root"));
    }
}
