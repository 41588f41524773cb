//! The spawner thread: a start waits for the new program's `exec`, and that can hang (a dead
//! network file system), so it never happens on the engine's thread.
//!
//! One start at a time, in the order in which they were asked for.

use std::{io, path::PathBuf, sync::Arc, sync::mpsc, thread};

use super::{
    clock,
    launch::{launch, pipe_owner},
};
use crate::{
    logs::Logs,
    machine::Process,
    model::RunId,
    process::{self, Child, Containment, Tree, Unbounded},
    registry::Component,
};

/// A start to be made.
#[derive(Debug)]
pub struct Order {
    pub run: RunId,
    pub component: Arc<Component>,
    /// Variables over everything else in its environment.
    pub extra: Vec<(String, String)>,
}

/// What became of an order.
#[derive(Debug)]
pub struct Made {
    pub run: RunId,
    pub result: Result<Newborn, String>,
}

/// A process that has just been started, and its tree.
#[derive(Debug)]
pub struct Newborn {
    pub child: Child,
    pub tree: Tree,
    pub process: Process,
    /// Limits that nobody keeps.
    pub unbounded: Vec<Unbounded>,
}

/// The way to the spawner thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Spawner {
    orders: mpsc::Sender<Order>,
}

impl Spawner {
    /// Starts the thread. `made` is unbounded, but holds at most one message per component.
    pub fn start(
        logs: Logs,
        containment: Containment,
        pipes: PathBuf,
        made: tokio::sync::mpsc::UnboundedSender<Made>,
    ) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::Builder::new().name("spawner".to_owned()).stack_size(256 << 10).spawn(
            move || {
                while let Ok(order) = inbox.recv() {
                    let run = order.run;
                    let result = make(&logs, &containment, &pipes, order);
                    if made.send(Made { run, result }).is_err() {
                        return;
                    }
                }
            },
        )?;
        Ok(Self { orders })
    }

    pub fn order(&self, order: Order) {
        self.orders.send(order).expect("the spawner lives as long as its sender");
    }
}

fn make(
    logs: &Logs,
    containment: &Containment,
    pipes: &std::path::Path,
    order: Order,
) -> Result<Newborn, String> {
    let Order { run, component, extra } = order;
    let owner =
        pipe_owner(&component).map_err(|error| format!("cannot look the user up: {error}"))?;
    let streams = logs
        .open(&component.id, component.output.arc(), pipes, owner)
        .map_err(|error| error.to_string())?;
    let launch = launch(&component, run, extra, streams.stdout, streams.stderr)?;
    let mut tree = containment
        .tree(&component.id, run)
        .map_err(|error| format!("cannot prepare its process tree: {error}"))?;
    let unbounded = containment.bound(&tree, &component.limits);
    let child = process::spawn(&launch, Some(&mut tree)).map_err(|error| error.to_string())?;
    let pid = child.pid().unsigned_abs();
    // At once: its first lines may be on their way.
    logs.started(&component.id, run, pid);
    let process = Process { pid, started: clock::now() };
    Ok(Newborn { child, tree, process, unbounded })
}
