//! Registries from files to typed values, or to exactly what is wrong with them.
//!
//! `tests/registry/bad/` holds one wrong registry a file; what an operator is told about it is in
//! `tests/registry/snapshots/`. `tests/registry/good/` holds registries that load without a word.

#[path = "registry/bad.rs"]
mod bad;
#[path = "registry/good.rs"]
mod good;
#[path = "registry/model.rs"]
mod model;
#[path = "registry/oracle.rs"]
mod oracle;
#[path = "registry/schema.rs"]
mod schema;
#[path = "registry/settings.rs"]
mod settings;
#[path = "registry/support.rs"]
mod support;
