//! The control API and its client over real sockets, with a stand-in for the engine.
#![cfg(unix)]

#[path = "control/calls.rs"]
mod calls;
#[path = "control/description.rs"]
mod description;
#[path = "control/doors.rs"]
mod doors;
#[path = "control/engine.rs"]
mod engine;
#[path = "control/limits.rs"]
mod limits;
#[path = "control/lines.rs"]
mod lines;
#[path = "control/logs.rs"]
mod logs;
#[path = "control/readers.rs"]
mod readers;
#[path = "control/routes.rs"]
mod routes;
#[path = "control/served.rs"]
mod served;
#[path = "control/ssh.rs"]
mod ssh;
#[path = "control/streams.rs"]
mod streams;
#[path = "control/supervisor_logs.rs"]
mod supervisor_logs;
