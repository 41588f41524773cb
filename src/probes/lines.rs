//! Where output lines come from: the logs room, behind a trait.

use regex::bytes::Regex;
use tokio::sync::mpsc;

use crate::model::ComponentId;

/// Matching lines of one component, without their line end. It ends when the receiver is dropped.
pub type Lines = mpsc::Receiver<Vec<u8>>;

/// A subscription to a component's output.
pub trait LineSource: Send + Sync {
    /// The lines of both streams that match, from now on.
    ///
    /// The source must never wait for the reader: when the channel is full, a matching line is
    /// dropped, since one match is as good as many.
    fn watch_lines(&self, id: &ComponentId, pattern: Regex) -> Lines;
}
