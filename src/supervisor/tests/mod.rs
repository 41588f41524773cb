//! The supervisor in virtual time, in a simulated world that answers its effects.

mod explaining;
mod failures;
mod holds;
mod operations;
mod oracle;
mod reloading;
mod resuming;
mod size;
mod starts;
mod stops;
pub(super) mod world;
