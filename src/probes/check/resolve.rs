//! Names to addresses, off the engine's thread.

/// Bounds how many lookups are under way.
#[derive(Debug, Default)]
pub(in crate::probes) struct Resolver {}
