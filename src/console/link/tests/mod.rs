//! The link in virtual time, against stand-ins that answer as they are told.

mod connection;
mod stand_in;
mod wishes;
