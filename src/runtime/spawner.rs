//! The starting threads: a start waits for the new program's `exec`, and that can hang (a dead
//! network file system), so it never happens on the engine's thread.
//!
//! A thread is suspended while its child executes its program, so there is one for each processor,
//! within bounds. Orders are taken in the order in which they were asked for; those that are
//! taken overlap. What has to wait for another start to be done is asked for after that.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use tokio::sync::Notify;

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

/// Starts under way at once. With one processor a second one is of use, too: where an `exec` hangs.
const THREADS: std::ops::RangeInclusive<usize> = 2..=4;

/// All threads but one end when they had nothing to do for so long.
const REST: Duration = Duration::from_secs(2);

/// Orders for which there is room while there are none.
const FEW: usize = 16;

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

/// The way to the starting threads; they end when this is dropped.
#[derive(Debug)]
pub struct Spawner {
    workshop: Arc<Workshop>,
    most: usize,
}

/// What the threads share.
#[derive(Debug)]
struct Workshop {
    logs: Logs,
    containment: Containment,
    pipes: PathBuf,
    made: mpsc::Sender<Made>,
    bell: Arc<Notify>,
    queue: Mutex<Queue>,
    arrived: Condvar,
    /// A thread has ended, with nothing left to be done.
    left: Condvar,
}

/// What came of the orders.
#[derive(Debug)]
pub struct Nursery {
    made: mpsc::Receiver<Made>,
    /// Rung when something was made and nothing waits to be. Whoever has more orders out than that
    /// looks by himself: in a crowd of starts waking him for each would cost as much as its entry.
    pub bell: Arc<Notify>,
}

impl Nursery {
    /// The next one that is there.
    pub fn take(&self) -> Option<Made> {
        self.made.try_recv().ok()
    }
}

#[derive(Debug, Default)]
struct Queue {
    orders: VecDeque<Order>,
    /// What is to be removed when there is nothing to start.
    gone: Vec<Tree>,
    threads: usize,
    /// Of these, those that wait for an order.
    idle: usize,
    is_closed: bool,
    /// A thread panicked, and what became of its start is not known.
    is_broken: bool,
}

impl Spawner {
    /// Starts the first thread. The nursery is unbounded, but holds at most one for each component.
    pub fn start(
        logs: Logs,
        containment: Containment,
        pipes: PathBuf,
    ) -> io::Result<(Self, Nursery)> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let most = processors.clamp(*THREADS.start(), *THREADS.end());
        // While few descriptors are open: the lower they are, the less a new process copies.
        process::reserve_places(most)?;
        let (queue, arrived, left) = (Mutex::default(), Condvar::new(), Condvar::new());
        let (made, inbox) = mpsc::channel();
        let bell = Arc::new(Notify::new());
        let nursery = Nursery { made: inbox, bell: Arc::clone(&bell) };
        let workshop = Workshop { logs, containment, pipes, made, bell, queue, arrived, left };
        let spawner = Self { workshop: Arc::new(workshop), most };
        spawner.workshop.queue().threads = 1;
        spawner.start_thread()?;
        Ok((spawner, nursery))
    }

    pub fn order(&self, order: Order) {
        let mut queue = self.workshop.queue();
        assert!(!queue.is_broken, "a start panicked: the next engine looks what became of it");
        queue.orders.push_back(order);
        let is_short = queue.orders.len() > queue.idle && queue.threads < self.most;
        queue.threads += usize::from(is_short);
        drop(queue);
        self.workshop.arrived.notify_one();
        if is_short && let Err(error) = self.start_thread() {
            // The first one makes all starts, then.
            self.workshop.queue().threads -= 1;
            tracing::debug!(%error, "cannot start another thread for starts");
        }
    }

    /// For a tree whose component is not started any more: there is no other with its name.
    pub fn clear_away(&self, tree: Tree) {
        self.workshop.queue().gone.push(tree);
        self.workshop.arrived.notify_one();
    }

    /// Waits until there is nothing to be done, or a start hangs.
    pub fn finish(self, patience: Duration) {
        let mut queue = self.workshop.queue();
        queue.is_closed = true;
        self.workshop.arrived.notify_all();
        let is_at_work = |queue: &mut Queue| queue.threads > 0;
        let waited = self.workshop.left.wait_timeout_while(queue, patience, is_at_work);
        drop(waited);
    }

    fn start_thread(&self) -> io::Result<()> {
        let workshop = Arc::clone(&self.workshop);
        let builder = thread::Builder::new().name("spawner".to_owned()).stack_size(256 << 10);
        builder.spawn(move || workshop.work())?;
        Ok(())
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.workshop.queue().is_closed = true;
        self.workshop.arrived.notify_all();
    }
}

/// Tells of a panic.
struct Alarm<'a>(&'a Workshop);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.queue().is_broken = true;
        }
    }
}

impl Workshop {
    fn work(&self) {
        let _alarm = Alarm(self);
        while let Some(order) = self.next() {
            let run = order.run;
            let result = self.make(order);
            if self.made.send(Made { run, result }).is_err() {
                return;
            }
            if self.queue().orders.is_empty() {
                self.bell.notify_one();
            }
        }
    }

    /// Waits for an order; `None`: this thread is not needed any more.
    fn next(&self) -> Option<Order> {
        let mut queue = self.queue();
        loop {
            if let Some(order) = queue.orders.pop_front() {
                return Some(order);
            }
            if let Some(tree) = queue.gone.pop() {
                drop(queue);
                tree.remove();
                queue = self.queue();
                continue;
            }
            if queue.is_closed {
                queue.threads -= 1;
                self.left.notify_all();
                return None;
            }
            // A thousand orders were there, perhaps.
            queue.orders.shrink_to(FEW);
            queue.idle += 1;
            let is_over;
            if queue.threads > 1 {
                let waited = self.arrived.wait_timeout(queue, REST);
                let (again, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                (queue, is_over) = (again, waited.timed_out());
            } else {
                queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
                is_over = false;
            }
            queue.idle -= 1;
            if is_over && queue.orders.is_empty() && queue.threads > 1 {
                queue.threads -= 1;
                return None;
            }
        }
    }

    fn make(&self, order: Order) -> Result<Newborn, String> {
        let Order { run, component, extra } = order;
        let owner =
            pipe_owner(&component).map_err(|error| format!("cannot look the user up: {error}"))?;
        let streams = self
            .logs
            .open(&component.id, component.output.arc(), &self.pipes, owner)
            .map_err(|error| error.to_string())?;
        let launch = launch(&component, run, extra, streams.stdout, streams.stderr)?;
        let mut tree = self
            .containment
            .tree(&component.id, run)
            .map_err(|error| format!("cannot prepare its process tree: {error}"))?;
        let unbounded = self.containment.bound(&tree, &component.limits);
        let child = process::spawn(&launch, Some(&mut tree)).map_err(|error| error.to_string())?;
        let pid = child.pid().unsigned_abs();
        // At once: its first lines may be on their way.
        self.logs.started(&component.id, run, pid);
        let process = Process { pid, started: clock::now() };
        Ok(Newborn { child, tree, process, unbounded })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        logs,
        process::members_below,
        registry::{self, Sources},
    };

    /// What sleeps, as the registry would have it.
    fn sleepers(folder: &std::path::Path, count: usize) -> Vec<Arc<Component>> {
        let server = |number| {
            format!(
                "<server id=\"c{number}\"><executable>/bin/sleep</executable>\
                 <arguments><argument>600</argument></arguments></server>"
            )
        };
        let servers: String = (0..count).map(server).collect();
        let file = folder.join("registry.xml");
        let text = format!("<supervisor><servers>{servers}</servers></supervisor>");
        fs::write(&file, text).expect("written");
        let loaded = registry::load(&file, folder, &Sources::default()).expect("a good registry");
        loaded.registry.components.iter().map(|component| Arc::clone(component.arc())).collect()
    }

    #[test]
    fn a_start_that_hangs_does_not_keep_the_next_from_being_born() {
        let folder = tempfile::tempdir().expect("a folder");
        let containment = Containment::probe(&format!("spawner-{}", std::process::id()), None);
        let Some(base) = containment.folder().map(std::path::Path::to_owned) else {
            return; // nothing here can make a start hang
        };
        let options = logs::Options::new(Box::new(|_| Ok(())));
        let (logs, _log_thread) = Logs::start(options).expect("a log thread");
        let pipes = folder.path().join("pipes");
        let (spawner, nursery) =
            Spawner::start(logs, containment.clone(), pipes).expect("a thread");

        // Whoever is born in there stands still before its program is executed.
        fs::write(base.join("cgroup.freeze"), "1").expect("frozen");
        let orders = spawner.most + 1;
        for (number, component) in (1..).zip(sleepers(folder.path(), orders)) {
            spawner.order(Order { run: RunId(number), component, extra: Vec::new() });
        }
        while members_below(&base).len() < spawner.most {
            thread::yield_now();
        }
        assert!(nursery.take().is_none(), "none has executed its program");
        assert_eq!(spawner.workshop.queue().orders.len(), 1, "the last one has its turn later");

        fs::write(base.join("cgroup.freeze"), "0").expect("thawed");
        let mut born = Vec::new();
        while born.len() < orders {
            born.extend(nursery.take());
        }
        for Made { result, .. } in born {
            let mut newborn = result.expect("born");
            newborn.tree.kill().expect("ours");
            while newborn.child.reap().expect("ours").is_none() {
                thread::yield_now();
            }
        }
        while base.exists() {
            containment.remove();
        }
    }
}
