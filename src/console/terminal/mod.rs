//! The terminal: everything that touches the tty is here.
//!
//! [`input`] turns events into messages, [`paint`] cells into bytes, [`tty`] takes the terminal
//! over and gives it back, [`capture`] feeds the Supervisor's own log to its screen.

pub mod capture;
pub mod input;
pub mod paint;
#[cfg(unix)]
pub mod tty;
