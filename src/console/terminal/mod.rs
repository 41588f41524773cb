//! The terminal: everything that touches the tty is here.
//!
//! [`input`] turns bytes into messages, [`paint`] cells into bytes, `tty` takes the terminal over
//! and gives it back, `signals` and `hook` see to it that it is given back whatever happens, and
//! [`capture`] feeds the Supervisor's own log to its screen.

pub mod capture;
#[cfg(unix)]
pub mod hook;
pub mod input;
pub mod paint;
#[cfg(unix)]
pub mod signals;
#[cfg(unix)]
pub mod tty;
