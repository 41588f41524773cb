//! `http`: a GET that is answered with one of the expected statuses.
