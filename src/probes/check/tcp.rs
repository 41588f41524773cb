//! `tcp`: a connection can be made.
