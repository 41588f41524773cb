//! The operations console: what an operator watches for hours, and acts on at three in the
//! morning.
//!
//! ```text
//!             keys                    news of the hosts
//!   terminal ──────► run ◄──────────────────── feed ◄──── client
//!       ▲             │ message, now             ▲
//!       │ bytes       ▼                          │ requests
//!     views ◄────── update (pure) ───────────────┘
//!              model
//! ```
//!
//! It owns the screen and nothing else: what it shows the engines said, what it wishes is asked
//! of them through [`feed`]. Deciding is pure ([`update`] in virtual time, [`views`] from the
//! model to cells); [`terminal`] alone touches the tty. The console runs on a thread of its own,
//! so that neither a slow terminal nor a panic here reaches the engine.
//!
//! It does not know the engine's types, sockets or HTTP. Who holds the other end of the feed is
//! nothing to it either: [`link`] joins it to clients, tests to scripted hosts.

pub mod action;
mod ending;
pub mod feed;
pub mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
pub mod key;
pub mod keymap;
pub mod layout;
pub mod link;
pub mod model;
mod options;
#[cfg(unix)]
mod run;
pub mod sanitize;
pub mod terminal;
pub mod update;
pub mod views;

pub use ending::{Ender, Outcome};
pub use options::{ConsoleOptions, is_ascii};
#[cfg(unix)]
pub use run::{ConsoleError, run};

#[cfg(test)]
mod tests;
