//! Black-box acceptance: the real binary, real processes, the written interface alone.
//!
//! One crate for all subjects, so that it links once and the tests run side by side. Each test
//! has an installation folder of its own, fails when it leaves a process behind, and waits for
//! conditions with a deadline, never for time to pass.

#[path = "../support/mod.rs"]
mod support;

mod adoption;
mod background;
mod commands;
mod containment;
mod control_security;
mod crash;
mod demo;
mod details;
mod doctor;
mod dossiers;
mod fleet;
mod guardian;
mod harness;
mod history;
mod holds;
mod hostile;
mod killed;
mod latency;
mod launch;
mod limits;
mod logs;
mod metrics;
mod notifications;
mod notify;
mod order;
mod output;
mod ownership;
mod probing;
mod random;
mod recall;
mod recording;
mod registry;
mod reload;
mod resuming;
mod signals;
mod store;
mod systemd;
mod trace;
mod unclaimed;
mod upgrade;
mod watching;
