//! How often and how long a message is tried.

use std::time::Duration;

/// The waits after the first tries; after the last of them it is given up. About 15 minutes in
/// all: a receiver that is being restarted or moved is back by then, and one that is not has
/// missed nothing that `events` does not show.
const WAITS: [Duration; 4] = [
    Duration::from_secs(15),
    Duration::from_mins(1),
    Duration::from_mins(4),
    Duration::from_mins(10),
];

/// A receiver may ask for more patience than we would have, up to this.
const LONGEST: Duration = Duration::from_mins(15);

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may be taken later; the receiver may say when.
    Passing { why: String, again_after: Option<Duration> },
    /// It will not be taken as long as nobody changes something.
    Lasting { why: String },
}

impl Failure {
    pub fn passing(why: impl Into<String>) -> Self {
        Self::Passing { why: why.into(), again_after: None }
    }

    pub fn lasting(why: impl Into<String>) -> Self {
        Self::Lasting { why: why.into() }
    }

    pub fn why(&self) -> &str {
        match self {
            Self::Passing { why, .. } | Self::Lasting { why } => why,
        }
    }
}

/// How long to wait after the `tries`th try failed; none: no more. `chance` in 0..1 makes it a
/// fifth shorter or longer, so that a hundred hosts do not come back to a receiver at once.
pub(super) fn wait(tries: usize, failure: &Failure, chance: f64) -> Option<Duration> {
    let Failure::Passing { again_after, .. } = failure else { return None };
    let wait = WAITS.get(tries.checked_sub(1)?)?.mul_f64(0.8 + 0.4 * chance);
    Some(wait.max(again_after.unwrap_or_default().min(LONGEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_tries_within_about_fifteen_minutes() {
        let failure = Failure::passing("refused");
        let waits: Vec<u64> = (1..)
            .map_while(|tries| wait(tries, &failure, 0.5))
            .map(|wait| wait.as_secs())
            .collect();
        assert_eq!(waits, [15, 60, 240, 600]);
        assert_eq!(wait(1, &failure, 0.0), Some(Duration::from_secs(12)));
        assert_eq!(wait(1, &failure, 1.0), Some(Duration::from_secs(18)));
    }

    #[test]
    fn what_lasts_is_not_tried_again() {
        assert_eq!(wait(1, &Failure::lasting("answered 404"), 0.5), None);
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_within_reason() {
        let asked = |seconds| Failure::Passing {
            why: "answered 503".to_owned(),
            again_after: Some(Duration::from_secs(seconds)),
        };
        assert_eq!(wait(1, &asked(100), 0.5), Some(Duration::from_secs(100)));
        assert_eq!(wait(1, &asked(1), 0.5), Some(Duration::from_secs(15)));
        assert_eq!(wait(1, &asked(1_000_000), 0.5), Some(LONGEST));
    }
}
