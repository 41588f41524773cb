//! The control API: HTTP/1.1 and JSON over the engine's [`Handle`].
//!
//! Owns the listeners (the Unix socket in the runtime folder, and TCP on 127.0.0.1), who may do
//! what ([`Access`]), the limits on every client, the routes and their description
//! (`docs/openapi.json`). It decides nothing about components: each route is one question to the
//! engine, and the engine's answer is passed on as it is. The engine never waits for a client;
//! a client that reads slowly, sends slowly or opens many connections harms only itself.
//!
//! ```text
//!  accept ─► limits ─► guard (TCP: Host, Origin, token) ─► rights ─► body ─► route ─► Handle
//!                                                            ▲
//!                            router() in the process ────────┘
//! ```

mod access;
#[cfg(unix)]
mod folder;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod guard;
#[cfg(unix)]
mod names;
#[cfg(target_os = "linux")]
mod occupant;
mod openapi;
mod patient;
mod query;
mod refusal;
mod routes;
mod seats;
mod serve;
#[cfg(unix)]
pub(crate) mod socket;
mod token;

pub use access::Access;
#[cfg(unix)]
pub use folder::prepare_folder;
pub use openapi::document as openapi;
pub use serve::{Listeners, Options, ServeError, Server, serve, serve_with};

use axum::Router;

use crate::runtime::Handle;

/// The `Server` header of every answer: clients learn the version from it.
pub const PRODUCT: &str = concat!("s7supervisor/", env!("CARGO_PKG_VERSION"));

/// The name of the control socket in the runtime folder.
pub const SOCKET_NAME: &str = "supervisor.sock";

/// The routes for callers inside the process, who are all treated as `access` says.
pub fn router(handle: Handle, access: Access) -> Router {
    routes::finish(routes::routes(handle).layer(axum::Extension(access)))
}
