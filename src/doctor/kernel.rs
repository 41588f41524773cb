//! What the kernel can do of what we use.

use super::{Finding, Sheet};

/// A version, what came with it, and what is missing before.
const FEATURES: [((u32, u32), &str, &str); 4] = [
    ((5, 3), "pidfd_open", "processes cannot be told from later ones with the same number"),
    ((5, 7), "clone3 into a cgroup", "processes join their cgroup after their birth"),
    ((5, 14), "cgroup.kill", "process trees are held by sessions and marks"),
    (
        (6, 15),
        "exit status of processes that others reaped",
        "how a component ended while no Supervisor ran may be unknown",
    ),
];

pub(super) fn check(sheet: &Sheet) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let Some(version) = parse(&release) else {
        sheet.add(Finding::note("kernel", format!("Linux {release}: not understood")));
        return;
    };
    let missing: Vec<_> = FEATURES.iter().filter(|(since, ..)| version < *since).collect();
    let pidfd = rustix::process::pidfd_open(
        rustix::process::getpid(),
        rustix::process::PidfdFlags::empty(),
    );
    if let Err(error) = pidfd {
        sheet.add(
            Finding::problem("kernel", format!("Linux {release}: pidfd_open is refused: {error}"))
                .why("no process can be started or watched")
                .advice(
                    "a kernel of version 5.3 or later; in a container, a seccomp profile with it",
                ),
        );
        return;
    }
    if missing.is_empty() {
        sheet.add(Finding::ok("kernel", format!("Linux {release} has all that is used")));
    }
    for ((major, minor), what, without) in missing {
        let seen = format!("Linux {release} has no {what} ({major}.{minor})");
        sheet.add(Finding::note("kernel", seen).why(*without));
    }
}

fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        assert_eq!(parse("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(parse("5.4"), Some((5, 4)));
        assert!(parse("5.14.0-427.el9") < Some((6, 2)));
        assert_eq!(parse("unknown"), None);
    }
}
