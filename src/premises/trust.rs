//! Whom the operator trusts with what runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::process;

/// Names users that are trusted like root and the Supervisor's own. In the environment, since
/// whoever could write to the registry could name himself there.
pub const VARIABLE: &str = "S7_TRUST";

/// The value that trusts everybody.
const EVERYBODY: &str = "everybody";

/// Whose writing is no concern.
#[derive(Debug, Clone)]
pub struct Trust {
    /// As whom the Supervisor runs.
    user: u32,
    users: BTreeSet<u32>,
    /// Findings may forbid a start: we are root, and the operator has not lifted it.
    enforced: bool,
}

impl Trust {
    /// Root, the Supervisor's user, and whom [`VARIABLE`] names.
    pub fn of(user: u32, environment: &BTreeMap<String, String>) -> Self {
        let named = environment.get(VARIABLE).map(String::as_str).unwrap_or_default();
        let words = || named.split(',').map(str::trim).filter(|word| !word.is_empty());
        // An unknown name trusts nobody: a start that is refused then says so.
        let users = words().filter_map(|name| process::user_id(name).ok().flatten());
        let users = users.chain([0, user]).collect();
        Self { user, users, enforced: user == 0 && !words().any(|word| word == EVERYBODY) }
    }

    /// As whom the Supervisor runs.
    pub(super) fn user(&self) -> u32 {
        self.user
    }

    pub(super) fn trusts(&self, user: u32) -> bool {
        self.users.contains(&user)
    }

    pub(super) fn enforced(&self) -> bool {
        self.enforced
    }

    /// As root has it, whoever runs the tests; files of the test's own user stay trusted.
    #[cfg(test)]
    pub(super) fn strict(users: &[u32]) -> Self {
        Self { user: us(), users: users.iter().copied().collect(), enforced: true }
    }
}

/// As whom we run.
pub(super) fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// How a user is called.
pub(super) fn called(uid: u32) -> String {
    process::user_name(uid).unwrap_or_else(|| format!("uid {uid}"))
}
