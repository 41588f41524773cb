//! What follows from a registry before anything runs: the order of starts, and what one registry
//! changes about another.
//!
//! Knows registries; knows neither processes nor time.

mod difference;
mod order;

pub use difference::{Change, Difference, config_differences, difference};
pub use order::start_stages;
