//! Identities, each a type of its own, so that a run is never taken for a component.

use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The name of a component, as the registry's `<server id="…">` gives it.
///
/// It is used in file names, cgroup names and URLs, therefore it is 1 to 64 of
/// `[A-Za-z0-9._-]` and never `.` or `..`. Cloning costs a counter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComponentId(Arc<str>);

/// Why a text cannot be a component's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a component id: expected 1 to 64 letters, digits, dots, hyphens or underscores"
)]
pub struct InvalidComponentId(pub String);

impl ComponentId {
    /// Longest id in bytes.
    pub const MAX_LENGTH: usize = 64;

    pub fn new(text: &str) -> Result<Self, InvalidComponentId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let well_formed = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(allowed)
            && text != "."
            && text != "..";
        if well_formed { Ok(Self(text.into())) } else { Err(InvalidComponentId(text.to_owned())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for ComponentId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ComponentId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ComponentId {
    type Err = InvalidComponentId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for ComponentId {
    type Error = InvalidComponentId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<ComponentId> for String {
    fn from(id: ComponentId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// One start of one component. Numbers grow over the whole life of a runtime folder, so an old
/// run is never mistaken for a new one, of whichever component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A command that takes time and that a caller can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub u64);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_safe_as_a_file_name_and_in_a_url() {
        for good in ["is", "worker-1", "a.b_c", &"x".repeat(64)] {
            assert!(ComponentId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", "a%", &"x".repeat(65)] {
            assert!(ComponentId::new(bad).is_err(), "{bad}");
        }
    }
}
